"""The quantiles of a catalogue as a qp ensemble, which LSST-DESC's RAIL takes: `qp_ensemble.py CATALOGUE OUT.hdf5`.

CATALOGUE is a predictions.parquet made by a calibrated model, best with all levels. Where there are spectroscopic
redshifts, qp's metrics are printed. They are those of `intervals` in Results.json, but that qp draws curves through the
quantiles and goes on beyond the outer ones, where Cosmic draws lines and ends.
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
    levels = [ROUNDED.get(int(name[-2:]), int(name[-2:]) / 100) for name in columns]
    # Quantiles may be equal, which qp's curves do not take.
    places = catalogue[columns].to_numpy(float) + 1e-9 * numpy.arange(len(columns))
    ids = {name: catalogue[name].to_numpy() for name in ("object_id", "row_index") if name in catalogue}
    return qp.Ensemble(qp.quant, data={"quants": numpy.array(levels), "locs": places}, ancil=ids)


def metrics(distributions: qp.Ensemble, z_spec: numpy.ndarray) -> dict[str, float]:
    pit = PIT(distributions, z_spec).pit_samps
    # The continuous ranked probability score: the integral of the square of the CDF less a step at z_spec.
    grid = numpy.linspace(-0.2, 1.5, 3401) if z_spec.max() < 1.2 else numpy.linspace(-0.2, 20, 40401)
    step = grid >= z_spec[:, None]
    return {
        "n": len(z_spec),
        "coverage_68": float(numpy.mean(abs(pit - 0.5) <= 0.3413 + 1e-6)),
        "coverage_95": float(numpy.mean(abs(pit - 0.5) <= 0.4772 + 1e-6)),
        "ks": float(PIT(distributions, z_spec).evaluate_PIT_KS().statistic),
        "crps": float(numpy.trapezoid((distributions.cdf(grid) - step) ** 2, grid, axis=1).mean()),
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
