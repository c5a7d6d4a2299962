"""`cosmic export` of made-up catalogues with columns of all types, read back by astropy and pandas."""

import csv
import json
import urllib.parse
from pathlib import Path

import numpy
import pyarrow
import pytest
from astropy.io import fits
from astropy.table import Table
from pyarrow import parquet

from command import cosmic

INTEGERS = [
    *(pyarrow.int8(), pyarrow.int16(), pyarrow.int32(), pyarrow.int64()),
    *(pyarrow.uint8(), pyarrow.uint16(), pyarrow.uint32(), pyarrow.uint64()),
]
FLOATS = [pyarrow.float32(), pyarrow.float64()]
TYPES = [pyarrow.bool_(), *INTEGERS, *FLOATS, pyarrow.string()]


def values(random: numpy.random.Generator, kind: pyarrow.DataType, count: int, nulls: bool) -> pyarrow.Array:
    """Values of a type, among them its extremes."""
    if kind in INTEGERS:
        dtype = kind.to_pandas_dtype()
        ends = numpy.iinfo(dtype)
        made = random.integers(ends.min, ends.max, count, dtype=dtype, endpoint=True)
        made[random.random(count) < 0.1] = ends.min
        made[random.random(count) < 0.1] = ends.max
    elif kind in FLOATS:
        made = (10 ** random.uniform(-30, 30, count)).astype(kind.to_pandas_dtype())
        made[random.random(count) < 0.1] = -numpy.inf
    elif kind == pyarrow.bool_():
        made = random.random(count) < 0.5
    else:
        letters = [*"abcXYZ 0%',\"", *(["é", "\n", "☃"] if random.random() < 0.5 else [])]
        made = numpy.array(["".join(random.choice(letters, random.integers(0, 9))) for _ in range(count)], object)
    missing = nulls & (random.random(count) < 0.2)
    return pyarrow.array([None if gone else value for gone, value in zip(missing, made.tolist(), strict=True)], kind)


def catalogue(path: Path, seed: int) -> pyarrow.Table:
    """Writes a catalogue of columns of any type, with nulls and vectors in some."""
    random = numpy.random.default_rng(seed)
    rows = int(random.choice([0, 1, 7, 300, 9000]))
    arrays, fields = [], []
    for column in range(int(random.integers(1, 9))):
        kind, nulls, length = TYPES[random.integers(len(TYPES))], bool(random.random() < 0.5), 0
        if kind != pyarrow.string() and random.random() < 0.3:
            length = int(random.integers(2, 6))
            flat = values(random, kind, rows * length, nulls)
            array = pyarrow.FixedSizeListArray.from_arrays(flat, length)
            rows_of_it = [None if nulls and random.random() < 0.1 else row for row in array.to_pylist()]
            array = pyarrow.array(rows_of_it, pyarrow.list_(kind, length))
        else:
            array = values(random, kind, rows, nulls)
        arrays.append(array)
        # Names of which two differ in case alone.
        fields.append(pyarrow.field(f"{'Cc'[column % 2]}ol_{column // 2}", array.type, nullable=nulls))
    table = pyarrow.table(arrays, schema=pyarrow.schema(fields))
    parquet.write_table(table, path, row_group_size=1000, compression="zstd")
    return table


def items(field: pyarrow.Field, row) -> list:
    """The values of a row's cell, nulls where a vector is null."""
    if not pyarrow.types.is_fixed_size_list(field.type):
        return [row]
    return row if row is not None else [None] * field.type.list_size


def item_type(field: pyarrow.Field) -> pyarrow.DataType:
    return field.type.value_type if pyarrow.types.is_fixed_size_list(field.type) else field.type


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.filterwarnings("error")
def test_a_fits_table_reads_back_as_the_catalogue(tmp_path: Path, seed: int):
    table = catalogue(tmp_path / "made.parquet", seed)
    exported = json.loads(cosmic("export", tmp_path / "made.parquet", tmp_path / "made.fits", "--json"))
    assert (exported["rows"], exported["columns"]) == table.shape
    with fits.open(tmp_path / "made.fits", checksum=True) as file:
        file.verify("exception")
        assert len(file) == 2
        hdu = file["CATALOGUE"]
        assert hdu.header["NAXIS2"] == table.num_rows
        assert len({name.lower() for name in hdu.columns.names}) == table.num_columns
        for number, field in enumerate(table.schema):
            kind, column = item_type(field), hdu.columns[number]
            encoded = any(f"`{column.name}` is percent-encoded" in notice for notice in exported["notices"])
            zero = int(hdu.header.get(f"TZERO{number + 1}", 0))
            if not table.num_rows:
                continue
            # Logicals as they lie in the file, since astropy makes False of a null.
            as_stored = hdu.data.view(numpy.ndarray)
            read = as_stored[column.name] if kind == pyarrow.bool_() else hdu.data.field(number)
            for expected_row, found_row in zip(table.column(number).to_pylist(), read, strict=True):
                pairs = zip(items(field, expected_row), numpy.atleast_1d(found_row), strict=True)
                for expected, found in pairs:
                    if kind == pyarrow.string():
                        assert (urllib.parse.unquote(found) if encoded else found) == (expected or "")
                    elif kind == pyarrow.bool_():
                        assert found == {None: 0, True: ord("T"), False: ord("F")}[expected]
                    elif kind in FLOATS:
                        wanted = numpy.array(numpy.nan if expected is None else expected, kind.to_pandas_dtype())
                        assert found.dtype == wanted.dtype
                        numpy.testing.assert_equal(found, wanted)
                    else:
                        assert found.dtype.kind in "iu"
                        assert (int(found) - zero == column.null) == (expected is None)
                        assert expected is None or found == expected


@pytest.mark.parametrize("seed", range(20))
def test_csv_reads_back_as_the_catalogue(tmp_path: Path, seed: int):
    table = catalogue(tmp_path / "made.parquet", seed)
    cosmic("export", tmp_path / "made.parquet", tmp_path / "made.CSV")
    with (tmp_path / "made.CSV").open(newline="") as file:
        read = list(csv.DictReader(file))
    for field in table.schema:
        kind, rows = item_type(field), [items(field, row) for row in table.column(field.name).to_pylist()]
        names = [field.name] if kind == field.type else [f"{field.name}_{n}" for n in range(field.type.list_size)]
        for place, name in enumerate(names):
            for line, row in zip(read, rows, strict=True):
                found, expected = line[name], row[place]
                if expected is None:
                    assert found == ""
                elif kind in FLOATS:
                    dtype = kind.to_pandas_dtype()
                    assert dtype(found) == dtype(expected)
                    digits = found.split("e")[0].replace(".", "").strip("-0")
                    assert len(digits) <= (9 if dtype == numpy.float32 else 17), "the shortest form of its type"
                elif kind == pyarrow.bool_():
                    assert found == str(expected).lower()
                else:
                    assert found == str(expected)


def test_tables_of_astropy_mask_nulls_and_know_what_made_the_catalogue(tmp_path: Path):
    made = pyarrow.table(
        {
            "object_id": pyarrow.array([2**63 - 1, None, -5]),
            "priority": pyarrow.array([0, 255, None], pyarrow.uint8()),
            "name": ["a", None, "c"],
            "z_phot": pyarrow.array([0.25, None, 0.5], pyarrow.float32()),
        },
        metadata={"cosmic.model": "it's " + "long" * 40, "cosmic.version": "0.1.0"},
    )
    parquet.write_table(made, tmp_path / "predictions.parquet", compression="zstd")
    cosmic("export", tmp_path, tmp_path / "made.fit")
    table = Table.read(tmp_path / "made.fit")
    assert table["object_id"].tolist() == [2**63 - 1, None, -5]
    assert table["priority"].tolist() == [0, 255, None]
    assert table["z_phot"].tolist() == [0.25, None, 0.5]
    # Whether an empty text is masked depends on the version of astropy.
    table.convert_bytestring_to_unicode()
    assert [name or "" for name in table["name"].tolist()] == ["a", "", "c"]
    assert table.meta["COSMIC MODEL"] == "it's " + "long" * 40
    assert table["z_phot"].dtype.name == "float32"


def test_what_cannot_be_exported_is_said_and_leaves_the_old_file(tmp_path: Path):
    parquet.write_table(pyarrow.table({"when": pyarrow.array([1], pyarrow.timestamp("s"))}), tmp_path / "made.parquet")
    out = tmp_path / "made.fits"
    out.write_text("old")
    assert "column `when` is of the type Timestamp" in cosmic("export", tmp_path / "made.parquet", out, fails=True)
    assert ".fits or .csv" in cosmic("export", tmp_path / "made.parquet", tmp_path / "made.xlsx", fails=True)
    assert "cannot be read as Parquet" in cosmic("export", out, out, fails=True)
    assert "predictions.parquet" in cosmic("export", tmp_path, out, fails=True)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.fits", "made.parquet"]
