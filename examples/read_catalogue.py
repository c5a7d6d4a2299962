"""Cosmic's catalogue in pandas, polars and astropy, joined to a table of yours: `read_catalogue.py CATALOGUE TABLE`.

CATALOGUE is a predictions.parquet; TABLE is a FITS table or CSV with the column `object_id` that the data set had. Each
function does the same in another library: all galaxies of yours, with redshifts where there is one.
"""

import sys

import numpy
import pandas
import polars
from astropy.table import Table, join


def with_pandas(catalogue: str, yours: pandas.DataFrame) -> pandas.DataFrame:
    redshifts = pandas.read_parquet(catalogue, dtype_backend="pyarrow")  # keeps integers that have nulls integers
    return yours.merge(redshifts, on="object_id", how="left", validate="one_to_one", suffixes=("", "_cosmic"))


def with_polars(catalogue: str, yours: pandas.DataFrame) -> polars.DataFrame:
    redshifts = polars.read_parquet(catalogue)
    return polars.from_pandas(yours).join(redshifts, on="object_id", how="left", validate="1:1", suffix="_cosmic")


def with_astropy(catalogue: str, yours: pandas.DataFrame) -> Table:
    redshifts = masked_table(catalogue)
    names = "{col_name}{table_name}"
    return join(
        Table.from_pandas(yours), redshifts, "object_id", "left", uniq_col_name=names, table_names=["", "_cosmic"]
    )


def masked_table(catalogue: str) -> Table:
    """`Table.read` knows units and descriptions, but reads null as NaN (None in texts). Here nulls are masked."""
    table = Table.read(catalogue)
    masked = Table.from_pandas(pandas.read_parquet(catalogue, dtype_backend="numpy_nullable"))
    for name in table.colnames:
        if table[name].ndim == 1:
            masked[name].unit, masked[name].description = table[name].unit, table[name].description
            table[name] = masked[name]
    return table


if __name__ == "__main__":
    catalogue, path = sys.argv[1:]
    if path.endswith(".csv"):
        yours = pandas.read_csv(path)
    else:
        fits = Table.read(path)
        fits.convert_bytestring_to_unicode()
        yours = fits.to_pandas()
    joined = with_pandas(catalogue, yours)
    found = int(joined["z_phot"].notna().sum())
    assert found == with_polars(catalogue, yours)["z_phot"].count()
    assert found == len(yours) - numpy.ma.getmaskarray(with_astropy(catalogue, yours)["z_phot"]).sum()
    print(joined.to_string(max_rows=10))
    print(f"{len(yours)} galaxies, {found} with a redshift")
    table = masked_table(catalogue)
    table.info()
