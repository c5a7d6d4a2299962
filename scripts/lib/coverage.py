"""How often intervals hold, over all galaxies and in the worst of eight bins: `coverage.py RESULTS DATA.pt …`.

RESULTS is a folder of `cosmic infer` with a calibrated model, and DATA.pt the simulated data set that it is of. Bins
have equal numbers of galaxies, by the magnitude in r and by z_phot. What is printed is a table in Markdown.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy
import pandas

BINS = 8


def magnitudes_in_r(data_set: Path, galaxies: int) -> numpy.ndarray:
    """The magnitudes are the one tensor of a data set whose values have this size together: [n, 5] of float64."""
    with zipfile.ZipFile(data_set) as archive:
        (entry,) = (entry for entry in archive.infolist() if entry.file_size == galaxies * 5 * 8)
        return numpy.frombuffer(archive.read(entry), "<f8").reshape(galaxies, 5)[:, 2]


def worst(inside: pandas.Series, by: numpy.ndarray, nominal: float) -> float:
    """How far the coverage of the worst bin is from the nominal one."""
    return (inside.groupby(pandas.qcut(by, BINS, labels=False)).mean() - nominal).abs().max()


def row(results: Path, data_set: Path) -> list[str]:
    catalogue = pandas.read_parquet(results / "predictions.parquet")
    catalogue["r"] = magnitudes_in_r(data_set, len(catalogue))
    catalogue = catalogue[catalogue["z_phot"].notna() & catalogue["z_spec"].notna()]
    known = json.loads((results / "Results.json").read_text())
    cells = [results.name, f"{len(catalogue):,}"]
    for low, high, nominal, coverage in (
        ("q16", "q84", 0.6827, known["intervals"]["coverage_68"]),
        ("q02", "q98", 0.9545, known["intervals"]["coverage_95"]),
    ):
        inside = catalogue["z_spec"].between(catalogue[f"z_phot_{low}"], catalogue[f"z_phot_{high}"])
        assert abs(inside.mean() - coverage) < 1e-9, "the catalogue and Results.json agree"
        by_r, by_z = (worst(inside, catalogue[name].to_numpy(), nominal) for name in ("r", "z_phot"))
        cells += [f"{100 * coverage:.1f} %", f"{100 * by_r:.1f}, {100 * by_z:.1f}"]
    outside = known["counts"]["flags"]["outside_calibration"] / known["counts"]["rows"]
    return [*cells, f"{known['intervals']['ks']:.4f}", f"{known['intervals']['crps']:.5f}", f"{100 * outside:.2f} %"]


def main() -> None:
    arguments = [Path(argument) for argument in sys.argv[1:]]
    head = ["", "galaxies", "inside 68.27 %", "worst of 8 bins of r, of z_phot"]
    head += ["inside 95.45 %", "worst", "KS of PIT", "CRPS", "outside the calibration"]
    rows = [head, ["---"] * len(head)]
    rows += [row(*pair) for pair in zip(arguments[::2], arguments[1::2], strict=True)]
    print("\n".join("| " + " | ".join(cells) + " |" for cells in rows))


if __name__ == "__main__":
    main()
