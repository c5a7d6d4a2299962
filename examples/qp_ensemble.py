"""The quantiles of a catalogue as a qp ensemble, which LSST-DESC's RAIL takes: `qp_ensemble.py CATALOGUE OUT.hdf5`.

CATALOGUE is a predictions.parquet of a calibrated model, best with all levels (`--levels`). Where z_spec is known, qp's
metrics are printed, which are those of `intervals` in Results.json. The distributions are even between quantiles:
qp.quant's curves are off by some hundredths where these are noisy. Beyond the outer ones, the density goes on.
"""

import json
import re
import sys

import numpy
import pandas
import qp
from qp.metrics.pit import PIT

# One and two standard deviations of a normal distribution; the other columns are named by their level.
ROUNDED = {2: 0.0228, 16: 0.1587, 84: 0.8413, 98: 0.9772}


def ensemble(catalogue: pandas.DataFrame) -> qp.Ensemble:
    """A distribution for each row that has quantiles, with the ids of the rows."""
    columns = sorted(name for name in catalogue if re.fullmatch(r"z_phot_q\d\d", name))
    levels = numpy.array([0, *(ROUNDED.get(int(name[-2:]), int(name[-2:]) / 100) for name in columns), 1])
    # Quantiles may be equal, and a density must be finite.
    inner = catalogue[columns].to_numpy(float) + 1e-8 * numpy.arange(len(columns))
    outer = (inner[:, [1, -1]] - inner[:, [0, -2]]) * levels[1] / (levels[2] - levels[1])
    edges = numpy.hstack([inner[:, :1] - outer[:, :1], inner, inner[:, -1:] + outer[:, 1:]])
    density = numpy.diff(levels) / numpy.diff(edges)
    # qp draws lines between points, of which two at each edge make a step.
    points = numpy.repeat(edges, 2, axis=1)[:, 1:-1]
    points[:, 1:-1:2] -= 1e-9
    ids = {name: catalogue[name].to_numpy() for name in ("object_id", "row_index") if name in catalogue}
    return qp.Ensemble(qp.interp_irregular, {"xvals": points, "yvals": numpy.repeat(density, 2, axis=1)}, ancil=ids)


def metrics(distributions: qp.Ensemble, z_spec: numpy.ndarray) -> dict[str, float]:
    pit = PIT(distributions, z_spec).pit_samps
    grid = numpy.linspace(-0.1, z_spec.max() + 0.5, 2000)
    # The continuous ranked probability score is the integral of the square of the CDF less a step at z_spec.
    difference = distributions.cdf(grid) - (grid >= z_spec[:, None])
    return {
        "n": len(z_spec),
        "coverage_68": float(numpy.mean(abs(pit - 0.5) <= 0.3413 + 1e-6)),
        "coverage_95": float(numpy.mean(abs(pit - 0.5) <= 0.4772 + 1e-6)),
        "ks": float(PIT(distributions, z_spec).evaluate_PIT_KS().statistic),
        "crps": float(numpy.trapezoid(difference**2, grid, axis=1).mean()),
    }


if __name__ == "__main__":
    catalogue = pandas.read_parquet(sys.argv[1])
    if "z_phot_q50" not in catalogue:
        sys.exit(f"{sys.argv[1]} has no quantiles: its model is not calibrated (cosmic calibrate)")
    catalogue = catalogue[catalogue["z_phot_q50"].notna()]
    ensemble(catalogue).write_to(sys.argv[2])
    known = catalogue[catalogue["z_spec"].notna()]
    if len(known):
        print(json.dumps(metrics(ensemble(known), known["z_spec"].to_numpy()), indent=2))
