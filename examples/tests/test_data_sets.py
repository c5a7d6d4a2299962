"""The examples that make data sets of FITS and HDF5, and Cosmic's reading of what they made."""

from pathlib import Path

import h5py
import numpy
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from command import ROOT, cosmic, example

RANDOM = numpy.random.default_rng(7)
BANDS = "ugriz"
IDS = ["J12-3", "J4+5", "J678"]


def cutouts(side: int) -> numpy.ndarray:
    return RANDOM.normal(size=(len(IDS), 5, side, side)).astype(">f4")


def middle(images: numpy.ndarray) -> numpy.ndarray:
    """What a data set has of images of 40 × 40 pixels."""
    return images[:, :, 4:36, 4:36].astype(numpy.float32)


def fits_catalogue(path: Path, **columns) -> numpy.ndarray:
    magnitudes = RANDOM.uniform(15, 22, (len(IDS), 5))
    table = Table({"object_id": IDS, "ra": [1.0, 2.0, 3.0], "dec": [-1.0, 0.0, 1.0], **columns})
    for band, column in zip(BANDS, magnitudes.T, strict=True):
        table[f"mag_{band}"] = column
    table["mag_z"] = MaskedColumn(magnitudes[:, 4], mask=[False, True, False])
    table["Z"] = [0.1, numpy.nan, 0.3]
    table.write(path)
    magnitudes[1, 4] = numpy.nan
    return magnitudes


OPTIONS = ["--magnitudes", *(f"mag_{band}" for band in BANDS), "--redshift", "Z"]


@pytest.mark.parametrize("form", ["folder", "extensions", "in order", "column"])
def test_fits_cut_outs_become_a_data_set(tmp_path: Path, form: str):
    images = cutouts(40)
    images[2, 1, 20, 20] = numpy.nan
    where, columns = tmp_path / "stamps", {}
    if form == "folder":
        where.mkdir()
        for name, image in zip(IDS, images, strict=True):
            fits.writeto(where / f"{name}.fits", image)
    elif form == "column":
        where, columns = "stamp", {"stamp": images}
    else:
        names = IDS if form == "extensions" else [None] * len(IDS)
        hdus = [fits.ImageHDU(image, name=name) for name, image in zip(names, images, strict=True)]
        if form == "extensions":
            hdus.reverse()
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(where)
    magnitudes = fits_catalogue(tmp_path / "catalogue.fits", **columns)

    said = example("fits_to_dataset.py", tmp_path / "catalogue.fits", where, tmp_path / "galaxies.npz", *OPTIONS)
    assert said.endswith("galaxies.npz: 3 galaxies\n")
    with numpy.load(tmp_path / "galaxies.npz") as made:
        numpy.testing.assert_array_equal(made["images"], middle(images))
        numpy.testing.assert_array_equal(made["magnitudes"], magnitudes)
        numpy.testing.assert_array_equal(made["redshifts"], [0.1, numpy.nan, 0.3])
        assert made["object_id"].tolist() == IDS
        assert made["ra"].tolist() == [1.0, 2.0, 3.0]
        assert (made["images"].dtype, made["magnitudes"].dtype) == (numpy.float32, numpy.float64)


@pytest.mark.parametrize("side", [1, 31, 32, 33, 40])
def test_the_middle_of_a_cut_out_stays_in_the_middle(tmp_path: Path, side: int):
    images = numpy.zeros((len(IDS), 5, side, side), numpy.float32)
    images[:, :, side // 2, side // 2] = 1
    fits_catalogue(tmp_path / "catalogue.fits", stamp=images)
    example("fits_to_dataset.py", tmp_path / "catalogue.fits", "stamp", tmp_path / "galaxies.npz", *OPTIONS)
    with numpy.load(tmp_path / "galaxies.npz") as made:
        assert made["images"].shape == (3, 5, 32, 32)
        assert made["images"].sum() == 15
        assert (made["images"][:, :, 16, 16] == 1).all()


def test_too_few_cut_outs_are_said(tmp_path: Path):
    fits_catalogue(tmp_path / "catalogue.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(cutouts(40)[0])]).writeto(tmp_path / "stamps.fits")
    arguments = [tmp_path / "catalogue.fits", tmp_path / "stamps.fits", tmp_path / "galaxies.npz", *OPTIONS]
    assert "has 1 images, and the catalogue 3 galaxies" in example("fits_to_dataset.py", *arguments, fails=True)


def test_galaxies_ml_becomes_a_data_set(tmp_path: Path):
    images, magnitudes = cutouts(127), RANDOM.uniform(15, 22, (len(IDS), 5))
    with h5py.File(tmp_path / "input.hdf5", "w") as file:
        file["image"], file["specz_redshift"] = images, [0.1, 0.2, 0.3]
        file["object_id"] = numpy.array([2**60 + 1, 2, 3])
        for band, column in zip("grizy", magnitudes.T, strict=True):
            file[f"{band}_cmodel_mag"] = column
    example("hdf5_to_dataset.py", tmp_path / "input.hdf5", tmp_path / "galaxies.npz")
    with numpy.load(tmp_path / "galaxies.npz") as made:
        # HSC's images have a zero point of 27 mag: 63.1 counts are a nanomaggy.
        counts = made["images"] * 10 ** (0.4 * 4.5)
        numpy.testing.assert_allclose(counts, images[:, :, 47:79, 47:79], rtol=1e-6)
        numpy.testing.assert_array_equal(made["magnitudes"], magnitudes)
        assert made["object_id"].tolist() == [2**60 + 1, 2, 3]
        assert made["redshifts"].tolist() == [0.1, 0.2, 0.3]


def test_multimodal_universe_becomes_a_data_set(tmp_path: Path):
    images, fluxes = cutouts(160), RANDOM.uniform(1, 100, (len(IDS), 5))
    order, text = "yzirg", h5py.string_dtype("utf-8", 5)
    with h5py.File(tmp_path / "input.hdf5", "w") as file:
        file["image_array"] = images
        file["image_band"] = numpy.array([[f"hsc-{band}".encode() for band in order]] * len(IDS), dtype=text)
        file["object_id"] = numpy.array([name.encode() for name in IDS])
        for band, column in zip("griz", fluxes.T, strict=False):
            file[f"FLUX_{band.upper()}"] = column
        file["y_cmodel_mag"], file["a_y"] = [20.0, 21.0, 22.0], numpy.float32([0.5, 0.25, 0.0])
    example("hdf5_to_dataset.py", tmp_path / "input.hdf5", tmp_path / "galaxies.npz", "--zero-point", 22.5)
    with numpy.load(tmp_path / "galaxies.npz") as made:
        numpy.testing.assert_array_equal(made["images"], images[:, ::-1, 64:96, 64:96].astype(numpy.float32))
        numpy.testing.assert_allclose(made["magnitudes"][:, :4], 22.5 - 2.5 * numpy.log10(fluxes[:, :4]))
        assert made["magnitudes"][:, 4].tolist() == [19.5, 20.75, 22.0]
        assert made["object_id"].tolist() == IDS
        assert "redshifts" not in made
    arguments = [tmp_path / "input.hdf5", tmp_path / "galaxies.npz", "--bands", "ugriz"]
    assert "has images in y, z, i, r, g, not in u" in example("hdf5_to_dataset.py", *arguments, fails=True)


def test_a_table_with_cut_outs_becomes_a_catalogue_joined_to_its_own_ids(tmp_path: Path):
    images, out = cutouts(40), tmp_path / "out"
    images[1, 0, 20, 20] = numpy.nan
    magnitudes = fits_catalogue(tmp_path / "catalogue.fits", stamp=images)
    example("fits_to_dataset.py", tmp_path / "catalogue.fits", "stamp", tmp_path / "galaxies.npz", *OPTIONS)
    model = ROOT / "payloads/demo/model.safetensors"
    cosmic("infer", "--data", tmp_path / "galaxies.npz", "--model", model, "--out", out)
    table = Table.read(tmp_path / "catalogue.fits")
    table.remove_column("stamp")
    table.write(tmp_path / "yours.fits")
    said = example("read_catalogue.py", out / "predictions.parquet", tmp_path / "yours.fits")
    assert "3 galaxies, 2 with a redshift" in said
    cosmic("export", out, tmp_path / "exported.fits")
    exported = Table.read(tmp_path / "exported.fits")
    exported.convert_bytestring_to_unicode()
    assert exported["object_id"].tolist() == IDS
    assert exported["ra"].tolist() == [1.0, 2.0, 3.0]
    # The second galaxy lacks a magnitude and a pixel.
    assert numpy.isnan(magnitudes[1]).any()
    # 8 may be there too: nothing like this noise was among the galaxies that the model was calibrated on.
    assert [flags & 7 for flags in exported["flags"].tolist()] == [0, 3, 0]
    assert [z is None for z in exported["z_phot"].tolist()] == [False, True, False]
    assert exported["z_spec"].tolist() == [0.1, None, 0.3]
