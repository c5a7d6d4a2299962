"""What a run takes beside its inference, as it grows, beside what it may take. See scripts/bench.sh --scale.

It runs within scripts/with_stack.sh. Only the execution uses the local stack: all else reads and writes local files, so
that the local S3 is not what is measured.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.paths import EXAMPLES, MODEL, OUT, RELEASE
from bench.rank import ENVIRONMENT, SIZES

BATCH_SIZE = 4096
# Files that are planned; ranks that are resumed and merged, and the rows of each.
FILES, RANKS, ROWS = 100_000, 10_000, 500
# Galaxies of the execution, and the size of its partitions.
GALAXIES, PARTITION_SIZE = 12_288, "25MiB"
BUCKET = "cosmic-demo"


@dataclass
class Figure:
    name: str
    measured: float
    unit: str
    target: float
    # Whether more is better.
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured >= self.target if self.at_least else self.measured <= self.target

    def line(self) -> str:
        sign = "≥" if self.at_least else "≤"
        number = f"{self.measured:.2f}" if self.measured < 100 else f"{self.measured:.0f}"
        met = "" if self.is_met else "   missed"
        return f"{self.name:<58}{number:>8} {self.unit:<3}{sign:>3} {self.target:g}{met}"


def answer(*command: object, environment: dict[str, str] | None = None) -> dict:
    """The JSON object that a program prints as its last line."""
    command = list(map(str, command))
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | (environment or {}))
    if finished.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {finished.returncode}; what it said is above")
    return json.loads(finished.stdout.strip().splitlines()[-1])


def simulate(count: int, path: Path) -> None:
    command = [RELEASE / "cosmic", "simulate", "--count", count, "--out", path]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def infer(data: Path, out: Path, batch_size: int) -> dict:
    """Results.json of a run on this machine, with the record of its one rank."""
    command = [RELEASE / "cosmic", "infer", "--data", data, "--model", MODEL, "--out", out, "--batch-size", batch_size]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    results = json.loads((out / "Results.json").read_text())
    [results["rank"]] = json.loads((out / "combined_data.json").read_text())
    return results


def memory(folder: Path, _rounds: int) -> list[Figure]:
    """Of a rank and of `cosmic infer` with the largest batches, once each: it hardly differs from round to round."""
    figures = []
    row_bytes = 5 * 32 * 32 * 4
    for name in ("100 MB", "1 GB"):
        data = folder / "data"
        data.mkdir()
        simulate(SIZES[name] // row_bytes, data / "1.pt")
        threads = min(2, os.cpu_count() or 1)
        rank = EXAMPLES / "rank"
        record = answer(rank, data, MODEL, "native", BATCH_SIZE, threads, environment=ENVIRONMENT["native"])
        figures.append(Figure(f"memory of a rank of {name}, batch {BATCH_SIZE}", record["peak_memory_mb"], "MB", 300))
        peak = infer(data, folder / "out", BATCH_SIZE)["rank"]["total_cpu_memory (MB)"]
        figures.append(Figure(f"memory of cosmic infer of {name}, batch {BATCH_SIZE}", peak, "MB", 300))
        (data / "1.pt").unlink()
        data.rmdir()
    return figures


def scale(*arguments: object, rounds: int = 1) -> dict:
    """What a part of crates/summarizer/examples/scale.rs takes, in the median of some rounds."""
    # The summarizer has the same environment as the ranks.
    found = [answer(EXAMPLES / "scale", *arguments, environment=ENVIRONMENT["native"]) for _ in range(rounds)]
    median = {key: statistics.median(round[key] for round in found) for key in ("seconds", "peak_memory_mb")}
    return found[0] | median


def plan(folder: Path, rounds: int) -> list[Figure]:
    scale("files", folder, FILES)
    took = scale("plan", folder, rounds=rounds)
    return [Figure(f"planning {FILES:,} files", took["seconds"], "s", 5)]


def merge(folder: Path, rounds: int) -> list[Figure]:
    """Resuming and merging, with redshifts to be compared and without: the latter at a tenth of the size too."""
    figures = []
    for what, ranks, with_redshifts in (
        ("with redshifts", RANKS, "true"),
        ("without redshifts", RANKS, "false"),
        ("without redshifts", RANKS // 10, "false"),
    ):
        place = folder / f"{ranks}-{with_redshifts}"
        scale("files", place, ranks)
        scale("plan", place)
        scale("ranks", place, ROWS, with_redshifts)
        resumed = scale("plan", place, rounds=rounds)
        if resumed["did"]["pending"]:
            sys.exit(f"{resumed['did']['pending']} finished ranks would run again")
        if not figures:
            figures.append(Figure(f"resuming {ranks:,} finished ranks", resumed["seconds"], "s", 3))
        took = scale("merge", place, rounds=rounds)
        if took["did"]["rows"] != ranks * ROWS or not took["did"]["complete"]:
            sys.exit(f"the merge has {took['did']['rows']} of {ranks * ROWS} rows")
        name = f"merging {ranks:,} ranks of {ROWS}, {what}"
        figures.append(Figure(name, took["seconds"], "s", 10))
        figures.append(Figure(f"memory of {name}", took["peak_memory_mb"], "MB", 200))
    return figures


def execution(folder: Path, rounds: int) -> list[Figure]:
    """The throughput of an execution on the local stack over that of `cosmic infer`, in turns on the same data."""
    data = folder / "data"
    simulate(GALAXIES, folder / "all.pt")
    for place in (data, f"s3://{BUCKET}/scale"):
        split = [RELEASE / "cosmic", "split", folder / "all.pt", "--partition-size", PARTITION_SIZE, "--out", place]
        subprocess.run(list(map(str, split)), check=True, stdout=subprocess.DEVNULL)
    payload = folder / "payload.json"
    payload.write_text(json.dumps({"bucket": BUCKET, "prefix": "scale", "batch_size": 512}))
    ratios = []
    for turn in range(rounds):
        local = infer(data, folder / "out", 512)["throughput"]["galaxies_per_second"]
        command = [RELEASE / "cosmic", "run", "--payload", payload, "--state-machine", "cosmic-redshift"]
        command += ["--set", f"result_path=results/scale-{turn}", "--out", folder / "execution"]
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        there = json.loads((folder / "execution" / "Results.json").read_text())["throughput"]["galaxies_per_second"]
        print(f"execution: {there:.0f} galaxies/s; cosmic infer: {local:.0f}", file=sys.stderr, flush=True)
        ratios.append(there / local)
    return [Figure("an execution's throughput over cosmic infer's", statistics.median(ratios), "", 0.9, at_least=True)]


PARTS = {"memory": memory, "plan": plan, "merge": merge, "execution": execution}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh --scale")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often what is timed is run (default: 3)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments = parser.parse_args()

    figures: list[Figure] = []
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            found = PARTS[name](Path(folder), arguments.rounds)
        figures += found
        print("\n".join(figure.line() for figure in found), flush=True)
    report = {"figures": [asdict(figure) | {"is_met": figure.is_met} for figure in figures]}
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "scale.json").write_text(json.dumps(report, indent=2) + "\n")
    if arguments.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
