"""Makes sdss.npz, twenty real sources of SDSS DR12 in ugriz as a data set of NumPy's: `make.py SDSS_TEST_IMAGES.npy`.

The file is `data/sdss_test_images.npy` of github.com/edwardjkim/dl4astro (licence beside this script): cut-outs of
48 × 48 pixels in asinh magnitudes. Here they are in nanomaggies, and cut to the 32 × 32 pixels in their middle.
Magnitudes are those of the flux within ten pixels, neighbours included. The authors resampled each band onto the pixels
of r, which takes noise from the others.
"""

import sys
from pathlib import Path

import numpy

# The softening of SDSS's asinh magnitudes in u, g, r, i and z: https://www.sdss4.org/dr17/algorithms/magnitudes
SOFTENING = numpy.array([1.4, 0.9, 1.2, 1.8, 7.4]).reshape(5, 1, 1) * 1e-10

HERE = Path(__file__).parent


def main(path: str) -> None:
    magnitudes = numpy.load(path)[:, :, 8:40, 8:40].astype("f8")
    maggies = 2 * SOFTENING * numpy.sinh(-numpy.log(10) / 2.5 * magnitudes - numpy.log(SOFTENING))
    images = (1e9 * maggies).astype("f4")
    y, x = numpy.mgrid[:32, :32] - 15.5
    flux = (images * (numpy.hypot(x, y) < 10)).sum((2, 3), dtype="f8")
    with numpy.errstate(invalid="ignore"):
        aperture = 22.5 - 2.5 * numpy.log10(flux)
    numpy.savez(HERE / "sdss.npz", images=images, magnitudes=aperture, object_id=numpy.arange(1, len(images) + 1))


if __name__ == "__main__":
    main(sys.argv[1])
