#!/usr/bin/env python3
"""Makes spectra.csv and profiles.csv, the tables that the simulated sky is computed from.

    python3 -m venv venv && venv/bin/pip install numpy scipy && venv/bin/python make.py

Sources, which it downloads (data sets inside Python packages; nothing of the packages is executed):

- Template spectra: Coleman, Wu & Weedman 1980 (ApJS 43, 393), types E, Sbc, Scd and Im, extended by Bolzonella,
  Miralles & Pelló 2000; as in galsim 2.8.5, share/SEDs/CWW_*_ext.sed (BSD-2-Clause).
- Filters: SDSS u g r i z at an airmass of 1.3, Doi et al. 2010 (AJ 139, 1628); as in speclite 1.0.0,
  data/filters/sdss2010-*.ecsv (BSD-3-Clause).
- Dust: Calzetti et al. 2000 (ApJ 533, 682), R_V = 4.05.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

HERE = Path(__file__).parent
PACKAGES = ["galsim==2.8.5", "speclite==1.0.0"]
TEMPLATES = ["E", "Sbc", "Scd", "Im"]
BANDS = "ugriz"
REDSHIFTS = np.linspace(0, 0.7, 141)


def fetch(folder):
    """The files by their names in the packages."""
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, *PACKAGES], check=True)
    return [zipfile.ZipFile(wheel) for wheel in sorted(Path(folder).glob("*.whl"))]


def columns(text, first):
    """The first two columns of the lines that start as numbers do."""
    rows = [line.split()[:2] for line in text.decode().splitlines() if line.strip()[:1] in first]
    return np.array(rows, float).T


def attenuation(wavelength):
    """A(λ)/A_V of Calzetti et al., wavelengths in Å."""
    x = np.clip(wavelength, 1200, 22000) / 1e4
    blue = 2.659 * (-2.156 + 1.509 / x - 0.198 / x**2 + 0.011 / x**3)
    red = 2.659 * (-1.857 + 1.040 / x)
    return (np.where(x < 0.63, blue, red) + 4.05) / 4.05


def trapezoid(y, x):
    return np.sum(0.5 * (y[1:] + y[:-1]) * np.diff(x))


def ab_magnitude(wavelength, flux, z, band):
    """AB magnitude, up to a constant, of a rest-frame spectrum F_λ seen at a redshift."""
    at = np.linspace(band[0][0], band[0][-1], 400)
    response = np.interp(at, *band)
    seen = np.interp(at / (1 + z), wavelength, flux) / (1 + z)
    return -2.5 * np.log10(trapezoid(seen * at * response, at) / trapezoid(response / at, at))


def relative_magnitudes(wavelength, flux, z, bands):
    """Magnitudes in all bands of a rest-frame spectrum F_λ seen at a redshift, relative to its rest-frame r."""
    rest = ab_magnitude(wavelength, flux, 0.0, bands[2])
    return np.array([ab_magnitude(wavelength, flux, z, band) - rest for band in bands])


def spectra(wheels):
    """The rows of spectra.csv.

    For each template and redshift: m_b − M_r without the distance modulus, and its derivatives with respect to the tilt
    s of F_λ·(λ/5500 Å)^s and to the extinction A_V, all relative to rest-frame r.
    """
    galsim, speclite = wheels
    bands = [columns(speclite.read(f"speclite/data/filters/sdss2010-{band}.ecsv"), "0123456789") for band in BANDS]
    for index, name in enumerate(TEMPLATES):
        wavelength, flux = columns(galsim.read(f"galsim/share/SEDs/CWW_{name}_ext.sed"), "0123456789.")
        tilted = [flux * (wavelength / 5500) ** tilt for tilt in (0.3, -0.3)]
        dusty = flux * 10 ** (-0.4 * 0.3 * attenuation(wavelength))

        for z in REDSHIFTS:
            base, bluer, redder, reddened = (
                relative_magnitudes(wavelength, spectrum, z, bands) for spectrum in (flux, *tilted, dusty)
            )
            tilt = (bluer - redder) / 0.6
            dust = (reddened - base) / 0.3
            yield [index, f"{z:.3f}", *(f"{value:.5f}" for value in [*base, *tilt, *dust])]


def mixture(n, reach, count=40):
    """A Sérsic profile, cut off softly at `reach` half-light radii, as a sum of round Gaussians.

    Returns their shares of the flux, and their variances in half-light radii squared. After Hogg & Lang 2013 (PASP 125,
    719).
    """
    b = 2 * n - 1 / 3 + 4 / (405 * n)
    r = np.concatenate([[0], np.geomspace(2e-3, reach * 1.3, 500)])
    edge = np.clip((reach - r) / (0.25 * reach), 0, 1)
    brightness = np.exp(-b * (r ** (1 / n) - 1)) * edge**2 * (3 - 2 * edge)
    variances = np.geomspace(3e-4 if n > 2 else 5e-3, (reach / 2.5) ** 2, count)
    gaussians = np.exp(-0.5 * r[:, None] ** 2 / variances) / (2 * np.pi * variances)
    weight = np.sqrt(np.gradient(r) * 2 * np.pi * np.maximum(r, 1e-3))
    shares, _ = nnls(gaussians * weight[:, None], brightness * weight)
    kept = shares > shares.sum() * 1e-5
    shares, variances = shares[kept] / shares[kept].sum(), variances[kept]
    # Scaled so that the half-light radius of the sum is 1.
    radius = np.linspace(0, 12, 24001)
    inside = (shares * (1 - np.exp(-(radius[:, None] ** 2) / 2 / variances))).sum(1)
    return shares, variances / radius[np.searchsorted(inside, 0.5)] ** 2


def profiles():
    """The rows of profiles.csv."""
    for n, reach in ((1, 4.0), (4, 8.0)):
        for share, variance in zip(*mixture(n, reach), strict=True):
            yield [n, f"{share:.9f}", f"{variance:.9e}"]


def write(name, comment, header, rows):
    lines = [f"# {comment}", "# Made by make.py, which says the sources.", ",".join(header)]
    lines += [",".join(map(str, row)) for row in rows]
    (HERE / name).write_text("\n".join(lines) + "\n")


def main():
    with tempfile.TemporaryDirectory() as folder:
        wheels = fetch(folder)
        header = ["template", "z", *(f"{what}_{band}" for what in ("m", "dm_dtilt", "dm_dav") for band in BANDS)]
        comment = f"Magnitudes relative to rest-frame r; templates 0 to 3 are {', '.join(TEMPLATES)}."
        write("spectra.csv", comment, header, spectra(wheels))
    comment = "Exponential (n = 1) and de Vaucouleurs (n = 4) profiles as sums of Gaussians; variances in r_e²."
    write("profiles.csv", comment, ["n", "share", "variance"], profiles())


if __name__ == "__main__":
    main()
