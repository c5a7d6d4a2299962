"""Photometry and redshifts of real SDSS galaxies as CSV: `sdss_catalogue.py FILE.csv`.

From the source archive of kcorrect (BSD-3), which holds 10,000 rows of SDSS for its tests: model fluxes in nanomaggies,
Galactic extinction in magnitudes, spectroscopic redshift.
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy
from astropy.table import Table

PACKAGE = "kcorrect==5.1.9 --hash=sha256:af00579d3ef4733fee76a56cbecd6dbdaa695c4245c56f03ea3b009215db9561"
MEMBER = "src/kcorrect/data/test/gst_tests_small.fits"


def main() -> None:
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(PACKAGE)
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--require-hashes", "--no-deps", "--no-binary=kcorrect"),
                *("--dest", folder, "--requirement", requirements),
            ],
            check=True,
        )
        archive = next(Path(folder).glob("*.tar.gz"))
        with tarfile.open(archive) as tar:
            name = next(name for name in tar.getnames() if name.endswith(MEMBER))
            table = Table.read(tar.extractfile(name), format="fits")
    fluxes, redshifts = table["MODELFLUX"], table["Z"]
    # A magnitude needs a positive flux. Below the lower redshift are stars, and galaxies whose own motion counts; the
    # tables of the simulated sky end at the higher one.
    used = (fluxes > 0).all(axis=1) & (redshifts > 0.003) & (redshifts < 0.7)
    magnitudes = 22.5 - 2.5 * numpy.log10(fluxes[used]) - table["EXTINCTION"][used]
    rows = numpy.column_stack((magnitudes, redshifts[used]))
    numpy.savetxt(path, rows, fmt="%.6f", delimiter=",", header="u,g,r,i,z,redshift", comments="")
    print(f"{path}: {len(rows)} of {len(table)} rows")


if __name__ == "__main__":
    main()
