"""Simulates the demo's galaxies, cut into partitions of uneven size: `demo_sky.py FOLDER`.

The model has been trained on a sky of another seed.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COSMIC = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/cosmic"
SEED = 303
# The natural order of the names is not the alphabetical one, and one partition has a single galaxy.
PARTITIONS = {"1.pt": 640, "2.pt": 970, "3.pt": 1, "4.pt": 330, "5.pt": 800, "10.pt": 25}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    for name, count in PARTITIONS.items():
        subprocess.run(
            [
                COSMIC,
                "simulate",
                "--seed",
                str(SEED),
                "--first",
                str(first),
                "--count",
                str(count),
                "--out",
                folder / name,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        first += count
    print(f"{first} galaxies in {len(PARTITIONS)} partitions under {folder}")


if __name__ == "__main__":
    main()
