"""A FITS catalogue and its cut-outs as a data set for Cosmic: `fits_to_dataset.py catalogue.fits stamps galaxies.npz`.

The options name the catalogue's columns. The cut-outs are images [band, y, x] in nanomaggies, in the bands of the
magnitudes: a folder with `<object_id>.fits` for each galaxy, a file with an extension for each (by its object_id, or in
the rows' order), or a column of the catalogue. The middle 32 × 32 pixels are taken; beyond an edge is empty sky.
"""

import argparse
from pathlib import Path

import numpy
from astropy.io import fits
from astropy.table import Table


def column(table: Table, name: str) -> numpy.ndarray:
    values = table[name].astype(table[name].dtype.newbyteorder("="))
    if values.dtype.kind == "f":
        values = numpy.ma.filled(values, numpy.nan)
    assert not numpy.ma.is_masked(values), f"the column {name} has rows without a value, which only floats can say"
    return numpy.asarray(values)


def stamp(image) -> numpy.ndarray:
    y, x = (size // 2 for size in image.shape[1:])
    return numpy.pad(image, ((0, 0), (16, 16), (16, 16)))[:, y : y + 32, x : x + 32]


def images(cutouts: str, table: Table, ids: list[str]) -> list[numpy.ndarray]:
    if cutouts in table.colnames:
        return [stamp(image) for image in table[cutouts]]
    if Path(cutouts).is_dir():
        return [stamp(fits.getdata(Path(cutouts, f"{name}.fits"))) for name in ids]
    with fits.open(cutouts) as file:
        stamps = [hdu for hdu in file if hdu.is_image and hdu.data is not None]
        by_name = {hdu.name: hdu for hdu in stamps}
        if all(name.upper() in by_name for name in ids):
            stamps = [by_name[name.upper()] for name in ids]
        assert len(stamps) == len(ids), f"{cutouts} has {len(stamps)} images, and the catalogue {len(ids)} galaxies"
        return [stamp(hdu.data) for hdu in stamps]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name in ("catalogue", "cutouts", "out"):
    parser.add_argument(name)
parser.add_argument("--id", default="object_id")
parser.add_argument("--magnitudes", nargs=5, default=["u", "g", "r", "i", "z"], metavar="COLUMN")
parser.add_argument("--redshift", metavar="COLUMN")
parser.add_argument("--keep", nargs="*", default=["ra", "dec"], metavar="COLUMN", help="columns for Cosmic's catalogue")
args = parser.parse_args()

table = Table.read(args.catalogue)
table.convert_bytestring_to_unicode()
tensors = {name: column(table, name) for name in args.keep} | {"object_id": column(table, args.id)}
tensors["images"] = numpy.float32(images(args.cutouts, table, [str(name) for name in table[args.id]]))
tensors["magnitudes"] = numpy.stack([column(table, name) for name in args.magnitudes], axis=1)
tensors |= {"redshifts": column(table, args.redshift)} if args.redshift else {}
numpy.savez(args.out, **tensors)
print(f"{args.out}: {len(table)} galaxies")
