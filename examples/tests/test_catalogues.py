"""The examples that read a catalogue, on one that Cosmic has made and on one that has nulls."""

import json
import sys
import warnings
from pathlib import Path

import numpy
import pandas
import pyarrow
import pytest
from astropy import units
from astropy.table import Table
from pyarrow import parquet

from command import ROOT, cosmic, example

sys.path.append(str(ROOT / "examples"))
import qp_ensemble
import read_catalogue

TWENTIETHS = [number / 20 for number in range(1, 20)]
LEVELS = sorted([0.0228, 0.1587, 0.8413, 0.9772, *TWENTIETHS])


def test_astropy_knows_units_and_descriptions(results: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(results / "predictions.parquet")
    assert table["z_phot"].unit == units.dimensionless_unscaled
    assert table["z_phot"].description == "predicted redshift"
    assert table["flags"].description.startswith("sum of 1 bad_image, 2 bad_magnitude")
    assert (table["object_id"].unit, table["object_id"].description) == (None, None)
    assert table["source_file"].dtype == numpy.dtype("U11")
    assert len(table.meta["cosmic.model_sha256"]) == 64


def test_pandas_polars_and_astropy_join_the_same(results: Path, tmp_path: Path):
    catalogue = results / "predictions.parquet"
    redshifts = pandas.read_parquet(catalogue).set_index("object_id")["z_phot"]
    # Some galaxies in another order, and one that Cosmic has not seen.
    ids = [*redshifts.index[[50, 3, 27]], -1]
    yours = pandas.DataFrame({"object_id": ids, "name": ["a", "b", "c", "d"], "flags": [1.5, 2.5, 3.5, 4.5]})
    expected = [*redshifts.iloc[[50, 3, 27]], None]
    for joined in (read_catalogue.with_pandas(catalogue, yours), read_catalogue.with_polars(catalogue, yours)):
        found = dict(zip(joined["name"], joined["z_phot"], strict=True))
        assert [None if pandas.isna(found[name]) else found[name] for name in "abcd"] == expected
        assert joined["flags_cosmic"].dtype != joined["flags"].dtype
    table = read_catalogue.with_astropy(catalogue, yours)
    table.sort("name")
    assert table["z_phot"].tolist() == expected
    assert table["z_phot"].description == "predicted redshift"

    Table.from_pandas(yours).write(tmp_path / "yours.fits")
    yours.to_csv(tmp_path / "yours.csv")
    for name in ("yours.fits", "yours.csv"):
        assert "4 galaxies, 3 with a redshift" in example("read_catalogue.py", catalogue, tmp_path / name)


def test_nulls_of_any_type_are_masked(tmp_path: Path):
    made = pyarrow.table(
        {
            "object_id": pyarrow.array([2**62 + 1, None, 3]),
            "name": pyarrow.array(["é", None, "ccc"]),
            "good": pyarrow.array([True, None, False]),
            "colours": pyarrow.array([[1.0, 2.0]] * 3, pyarrow.list_(pyarrow.float32(), 2)),
            "z_phot": pyarrow.array([0.25, None, 0.5], pyarrow.float32()),
        },
        metadata={"table::len::name": "4"},
    )
    parquet.write_table(made, tmp_path / "made.parquet")
    table = read_catalogue.masked_table(str(tmp_path / "made.parquet"))
    assert table["object_id"].tolist() == [2**62 + 1, None, 3]
    assert table["name"].tolist() == ["é", None, "ccc"]
    assert table["good"].tolist() == [True, None, False]
    assert table["z_phot"].tolist() == [0.25, None, 0.5]
    assert table["colours"].shape == (3, 2)


def test_the_quantiles_are_an_ensemble_and_qp_finds_them_calibrated(tmp_path: Path):
    # Normal distributions whose spectroscopic redshifts are drawn of them.
    from scipy.stats import norm

    random = numpy.random.default_rng(3)
    means, widths = random.uniform(0.05, 0.5, (2, 500)) * [[1], [0.1]]
    columns = {f"z_phot_q{100 * level:02.0f}": norm.ppf(level, means, widths) for level in LEVELS}
    assert len(columns) == 23
    z_spec = random.normal(means, widths)
    made = pandas.DataFrame({"object_id": range(500), "z_spec": z_spec, **columns}).astype({"z_phot_q50": "float32"})
    made.loc[7, list(columns)] = None
    made.to_parquet(tmp_path / "made.parquet", index=False)
    found = json.loads(example("qp_ensemble.py", tmp_path / "made.parquet", tmp_path / "made.hdf5"))

    used = numpy.arange(500) != 7
    z = (z_spec[used] - means[used]) / widths[used]
    crps = widths[used] * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / numpy.pi**0.5)
    assert found["n"] == 499
    assert found["coverage_68"] == numpy.mean(abs(z) <= norm.ppf(0.8413))
    assert found["coverage_95"] == numpy.mean(abs(z) <= norm.ppf(0.9772))
    assert found["ks"] < 0.08
    assert found["crps"] == pytest.approx(crps.mean(), rel=0.01)

    ensemble = qp_ensemble.qp.read(str(tmp_path / "made.hdf5"))
    assert ensemble.npdf == 499
    assert ensemble.ancil["object_id"][7] == 8
    numpy.testing.assert_allclose(ensemble.ppf(0.5)[:, 0], made["z_phot_q50"][used], atol=1e-6)


def test_qp_agrees_with_the_intervals_of_the_results(results: Path, tmp_path: Path):
    ours = json.loads((results / "Results.json").read_text())["intervals"]
    found = json.loads(example("qp_ensemble.py", results / "predictions.parquet", tmp_path / "made.hdf5"))
    for name in ("n", "coverage_68", "coverage_95"):
        assert found[name] == pytest.approx(ours[name], abs=1e-9), name
    # Ours is measured in steps of a thousandth, and not beyond the outer quantiles.
    assert -0.002 < found["ks"] - ours["ks"] < 0.025
    assert found["crps"] == pytest.approx(ours["crps"], rel=0.02)


def test_rails_metrics_are_those_of_the_results(results: Path):
    rail = pytest.importorskip("rail.evaluation.metrics.pointestimates", reason="RAIL needs Python 3.11")
    catalogue = pandas.read_parquet(results / "predictions.parquet")
    redshifts = catalogue["z_phot"].to_numpy(float), catalogue["z_spec"].to_numpy()
    ours = json.loads((results / "Results.json").read_text())["rail"]
    for name, metric in {
        "bias": rail.PointBias,
        "sigma_iqr": rail.PointSigmaIQR,
        "outliers": rail.PointOutlierRate,
    }.items():
        assert ours[name] == pytest.approx(float(metric(*redshifts).evaluate()), rel=1e-6), name


def test_a_catalogue_exports_with_its_own_columns(results: Path, tmp_path: Path):
    cosmic("export", results, tmp_path / "out.fits")
    ours, exported = pandas.read_parquet(results / "predictions.parquet"), Table.read(tmp_path / "out.fits")
    for name in ("object_id", "ra", "z_spec", "z_phot", "flags"):
        numpy.testing.assert_array_equal(ours[name].to_numpy(), numpy.asarray(exported[name]))
