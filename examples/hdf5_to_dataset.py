"""HDF5 of GalaxiesML or the Multimodal Universe as a data set for Cosmic: `hdf5_to_dataset.py input.hdf5 galaxies.npz`.

Both have arrays with a row per galaxy: `object_id`, `ra`, `dec`, and magnitudes such as `g_cmodel_mag`. GalaxiesML
(https://doi.org/10.5281/zenodo.11117528) has `image` [n, 5, side, side] in g, r, i, z, y and `specz_redshift`. The
Multimodal Universe (https://github.com/MultimodalUniverse/MultimodalUniverse) has `image_array` [n, bands, side, side],
with names such as hsc-g in `image_band`, fluxes such as FLUX_G, in nanomaggies, where it has no magnitudes, and `Z`,
where a catalogue of spectra was joined to it.

The middle 32 × 32 pixels are taken, and extinction (`a_g`) is taken off the magnitudes. Bands and pixels stay those of
the survey, so that a model is needed that was trained with them: HSC's are not those of SDSS.
"""

import argparse

import h5py
import numpy

SIDE = 32


def first(file: h5py.File, *names: str) -> h5py.Dataset | None:
    return next((file[name] for name in names if name in file), None)


def image_bands(file: h5py.File) -> list[str]:
    """The last letters of the images' bands, in their order."""
    return [name.decode()[-1].lower() for name in file["image_band"][0]] if "image_band" in file else list("grizy")


def magnitude(file: h5py.File, band: str) -> numpy.ndarray:
    measured = first(file, f"{band}_cmodel_mag", f"mag_{band}")
    if measured is None:
        with numpy.errstate(divide="ignore", invalid="ignore"):
            return 22.5 - 2.5 * numpy.log10(file[f"FLUX_{band.upper()}"][:].astype(float))
    return measured[:].astype(float) - (file[f"a_{band}"][:] if f"a_{band}" in file else 0)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("input")
parser.add_argument("out")
parser.add_argument("--bands", default="grizy", help="the five that the model takes, in its order")
parser.add_argument("--zero-point", type=float, default=27.0, help="AB magnitude of one count; nanomaggies: 22.5")
args = parser.parse_args()

with h5py.File(args.input) as file:
    images, order = first(file, "image", "image_array", "image_flux"), image_bands(file)
    if missing := set(args.bands) - set(order):
        raise SystemExit(f"{args.input} has images in {', '.join(order)}, not in {', '.join(sorted(missing))}")
    y, x = ((size - SIDE) // 2 for size in images.shape[2:])
    middle = images[:, :, y : y + SIDE, x : x + SIDE][:, [order.index(band) for band in args.bands]]
    tensors = {name: file[name][:] for name in ("object_id", "ra", "dec") if name in file}
    if (redshift := first(file, "specz_redshift", "Z", "redshift")) is not None:
        tensors["redshifts"] = redshift[:].astype(float)
    tensors["magnitudes"] = numpy.stack([magnitude(file, band) for band in args.bands], axis=1)
tensors["images"] = middle.astype(numpy.float32) * numpy.float32(10 ** (-0.4 * (args.zero_point - 22.5)))
if "object_id" in tensors and tensors["object_id"].dtype.kind in "SO":
    tensors["object_id"] = numpy.array([name.decode() for name in tensors["object_id"]])
numpy.savez(args.out, **tensors)
print(f"{args.out}: {len(middle)} galaxies")
