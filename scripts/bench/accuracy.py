"""How far the redshifts of each engine are from those in float64, and what that does to the scatter about the truth."""

import sys

import numpy

from bench.engines import ENGINES

# The largest |Δz|/(1+z) above which an engine does not compute this network in the precision that it says. In
# fewer bits, one that is quantised as a whole may be far off for single galaxies, which is for the table to say.
TOLERANCES = {"f32": 1e-4}
# What the native engine promises of the demo's model.
NATIVE_INT8_TOLERANCE = 1e-3
REDUCED_PRECISION_TOLERANCE = 0.5


def of(redshifts: numpy.ndarray, reference: numpy.ndarray, true: numpy.ndarray) -> dict[str, float]:
    difference = (redshifts - reference) / (1 + reference)
    return {
        "largest": float(numpy.abs(difference).max()),
        "rms": float(numpy.sqrt((difference**2).mean())),
        "sigma_nmad": sigma_nmad(redshifts, true),
    }


def sigma_nmad(redshifts: numpy.ndarray, true: numpy.ndarray) -> float:
    """As in crates/catalogue/src/metrics.rs."""
    dz = (redshifts - true) / (1 + true)
    return float(1.48 * numpy.median(numpy.abs(dz - numpy.median(dz))))


def check(name: str, precision: str, largest: float) -> None:
    tolerance = TOLERANCES.get(precision, REDUCED_PRECISION_TOLERANCE)
    if name == "native_int8":
        tolerance = NATIVE_INT8_TOLERANCE
    # Of a number that is not one, no comparison holds.
    if not largest <= tolerance:
        sys.exit(f"the redshifts of {ENGINES[name].label} ({precision}) are off by up to {largest:.2g} × (1 + z)")
