"""Compares simulated galaxies with real pixels of SDSS: `real_pixels.py SIMULATED.pt REAL.npz`.

Of each set, the medians over its images of:
- noise: the scatter of a pixel in the two rows at each of the upper and lower edges, in nanomaggies, by its median;
- correlation: that of neighbouring pixels in these rows, which resampling an image brings in;
- sky: the level in the corners, more than 18 pixels from the middle, in nanomaggies;
- concentration in r: the flux within three pixels of the middle as a part of that within ten, for sources between
  magnitude 16 and 18.6, stars included, with the range of the middle two thirds.
"""

import io
import sys
import zipfile

import numpy

BANDS = "ugriz"


def images(path: str) -> numpy.ndarray:
    """The images of a data set of NumPy's or of `cosmic simulate`, [n, 5, 32, 32]."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "images.npy" in names:
            return numpy.load(io.BytesIO(archive.read("images.npy")))
        first = next(name for name in names if name.endswith("data/0"))
        return numpy.frombuffer(archive.read(first), "<f4").reshape(-1, 5, 32, 32)


def scatter(values: numpy.ndarray) -> numpy.ndarray:
    centre = numpy.median(values, axis=(-2, -1), keepdims=True)
    return 1.4826 * numpy.median(abs(values - centre), axis=(-2, -1))


def figures(stamps: numpy.ndarray) -> dict[str, numpy.ndarray]:
    edges = stamps[:, :, [0, 1, 30, 31], :]
    y, x = numpy.mgrid[:32, :32] - 15.5
    radius = numpy.hypot(x, y)
    inner, outer = ((stamps[:, 2] * (radius < limit)).sum((1, 2)) for limit in (3, 10))
    magnitude = 22.5 - 2.5 * numpy.log10(numpy.clip(outer, 1e-3, None))
    bright = (magnitude > 16) & (magnitude < 18.6)
    return {
        "noise": numpy.median(scatter(edges), axis=0),
        "correlation": numpy.median(1 - scatter(numpy.diff(edges, axis=-1)) ** 2 / (2 * scatter(edges) ** 2), axis=0),
        "sky": numpy.median(stamps[:, :, radius > 18], axis=(0, 2)),
        "concentration": numpy.percentile((inner / outer)[bright], [16, 50, 84]),
    }


def main() -> None:
    found = [figures(images(path)) for path in sys.argv[1:]]
    names = ("simulated", "real")
    print(f"{'':24}" + "".join(f"{band:>9}" for band in BANDS))
    for figure in ("noise", "correlation", "sky"):
        for name, values in zip(names, found, strict=True):
            print(f"{figure + ', ' + name:24}" + "".join(f"{value:9.4f}" for value in values[figure]))
    ratio = found[0]["noise"] / found[1]["noise"]
    print(f"{'noise, simulated / real':24}" + "".join(f"{value:9.2f}" for value in ratio))
    for name, values in zip(names, found, strict=True):
        low, middle, high = values["concentration"]
        print(f"{'concentration, ' + name:24} {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
