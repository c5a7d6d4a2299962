#!/usr/bin/env python3
"""Makes reference.json: statistics of a sky that is simulated by a second implementation, in NumPy.

    python3 -m venv venv && venv/bin/pip install numpy && venv/bin/python make.py

The code and the random numbers are independent of the crate's: populations are drawn column by column from NumPy's
generator, and Gaussians are evaluated by `exp` at each pixel. The model is not: its formulas, their constants and the
tables in crates/sky/data are the crate's. So the comparison finds errors of programming, and none of the model. This
takes a few minutes.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DATA = HERE / "../../data"
OBJECTS, GALAXIES = 200_000, 6_000
BANDS = "ugriz"
# Ranges of redshift, by sample.
BINS = {
    "main": [(0.03, 0.05), (0.08, 0.10), (0.13, 0.15), (0.18, 0.22)],
    "luminous red": [(0.28, 0.32), (0.38, 0.42), (0.48, 0.52)],
}

PIXEL, EXPOSURE = 0.396, 54.1
ZERO_POINT = np.array([23.58, 25.73, 25.62, 25.28, 23.30])
SKY = np.array([22.01, 21.84, 20.84, 20.16, 18.96])
FWHM = np.array([1.55, 1.43, 1.32, 1.25, 1.18])
READ_NOISE = np.array([5.0, 4.0, 5.0, 5.0, 5.0])
SYSTEMATIC = np.array([0.025, 0.008, 0.007, 0.007, 0.011])
EXTINCTION = np.array([4.239, 3.303, 2.285, 1.698, 1.263])
ELECTRONS = EXPOSURE * 10 ** (0.4 * (ZERO_POINT - 22.5))
SKY_ELECTRONS = EXPOSURE * 10 ** (0.4 * (ZERO_POINT - SKY)) * PIXEL**2

Z = np.linspace(0, 0.8, 1601)
HUBBLE_DISTANCE = 299792.458 / 70.0 / np.sqrt(0.3 * (1 + Z) ** 3 + 0.7)
COMOVING = np.r_[0, np.cumsum(0.5 * (HUBBLE_DISTANCE[1:] + HUBBLE_DISTANCE[:-1]) * np.diff(Z))]

SPECTRA = np.loadtxt(DATA / "spectra.csv", delimiter=",", skiprows=3)[:, 2:].reshape(4, 141, 3, 5)
PROFILES = np.loadtxt(DATA / "profiles.csv", delimiter=",", skiprows=3)


def distance_modulus(z):
    return 5 * np.log10(np.interp(z, Z, COMOVING) * (1 + z)) + 25


def colours(template, tilt, dust, z):
    """Magnitudes relative to rest-frame r, [n, 5]."""
    t = np.clip(template, 0, 2.9999)
    x = np.clip(z, 0, 0.6999) / 0.005
    ti, zi = t.astype(int), x.astype(int)
    tf, zf = (t - ti)[:, None, None], (x - zi)[:, None, None]

    def of_template(index):
        return SPECTRA[index, zi] * (1 - zf) + SPECTRA[index, zi + 1] * zf

    base, by_tilt, by_dust = np.moveaxis(of_template(ti) * (1 - tf) + of_template(ti + 1) * tf, 1, 0)
    return base + tilt[:, None] * by_tilt + dust[:, None] * by_dust


def half_light_radius(magnitude, early, deviate):
    scatter = 0.27 + (0.45 - 0.27) / (1 + 10 ** (-0.8 * (magnitude + 20.91)))
    late = -0.4 * 0.26 * magnitude + (0.51 - 0.26) * np.log10(1 + 10 ** (-0.4 * (magnitude + 20.91))) - 1.71
    return 10 ** np.where(early, -0.4 * 0.65 * magnitude - 5.06, late) * np.exp(scatter * deviate)


def draw(rng, n):
    """The properties of n objects, by name, each with n rows."""

    def normal(sigma):
        return rng.normal(0, sigma, n)

    zs, ms = np.linspace(0.004, 0.33, 200), np.linspace(-24.2, -17.5, 135)
    luminosity = 10 ** (-0.4 * (ms + 21.21))
    schechter = luminosity ** (-1.05 + 1) * np.exp(-luminosity)
    volume = np.interp(zs, Z, COMOVING) ** 2 / np.sqrt(0.3 * (1 + zs) ** 3 + 0.7)
    weight = volume[:, None] * schechter * (ms + distance_modulus(zs)[:, None] < 17.77)
    cell = rng.choice(weight.size, n, p=weight.ravel() / weight.sum())
    z = zs[cell // 135] + (rng.random(n) - 0.5) * (zs[1] - zs[0])
    magnitude = ms[cell % 135] + (rng.random(n) - 0.5) * (ms[1] - ms[0])
    luminous = rng.random(n) < 0.15
    z = np.where(luminous, np.clip(rng.normal(0.35, 0.085, n), 0.18, 0.62), np.maximum(z, 0.003))
    magnitude = np.where(luminous, np.minimum(rng.normal(-22.75, 0.35, n), -21.9), magnitude)
    red = luminous | (rng.random(n) < np.clip(0.55 - 0.17 * (magnitude + 21.2), 0.15, 0.95))
    early = luminous | red & (rng.random(n) < 0.85)

    cosine = rng.random(n)
    q_disc = np.sqrt(cosine**2 + 0.2**2 * (1 - cosine**2))
    bulge = colours(np.abs(normal(0.05)), 0.05 - 0.05 * (magnitude + 21.5) + normal(0.08), np.abs(normal(0.04)), z)
    template = np.clip(np.where(red, 0.40, 1.15) + 0.16 * (magnitude + 21) + normal(0.35), 0.05, 3.0)
    dust = np.abs(normal(0.15)) + 0.5 * 0.7 * np.log10(1 / q_disc) * ~early
    disc = colours(template, normal(0.10), dust, z)
    offset = np.array([0.15, 0.03, 0, 0, -0.02])
    bulge += offset + z[:, None] * np.array([-0.1, -0.25, 0, 0, 0.05])
    disc += offset
    late_share = np.where(red, 0.55 + normal(0.15), 0.18 + np.abs(normal(0.12)))
    share = np.clip(np.where(early, 0.85 + normal(0.1), late_share), 0, 1)
    q_bulge = 0.55 + 0.45 * rng.random(n)
    q_bulge = np.where(early, q_bulge, np.maximum(q_bulge, q_disc))
    apparent = (magnitude + distance_modulus(z) - z)[:, None]
    fluxes = [share[:, None] * 10 ** (0.4 * (22.5 - apparent - bulge))]
    fluxes.append((1 - share)[:, None] * 10 ** (0.4 * (22.5 - apparent - disc)))

    kpc_per_arcsec = np.interp(z, Z, COMOVING) / (1 + z) * 1e3 / 206264.806
    radius = half_light_radius(magnitude, early, rng.normal(size=n)) / kpc_per_arcsec / PIXEL
    r_bulge, r_disc = np.clip(np.where(early, radius, 0.35 * radius), 0.25, 20), np.clip(1.1 * radius, 0.5, 30)

    reddening = rng.exponential(0.03, n)[:, None] * EXTINCTION
    psf = FWHM / 2.3548 / PIXEL * np.exp(normal(0.08))[:, None]
    area = 4 * np.pi * (psf**2 + 0.6 * np.where(share > 0.5, r_bulge, r_disc)[:, None] ** 2)
    flux = (fluxes[0] + fluxes[1]) * 10 ** (-0.4 * reddening)
    background = (SKY_ELECTRONS + READ_NOISE**2) / ELECTRONS**2
    sigma = np.sqrt(area * background + flux / ELECTRONS + (SYSTEMATIC * flux) ** 2)
    measured = np.maximum(flux + rng.normal(size=(n, 5)) * sigma, 10 ** (0.4 * (22.5 - 24.5)))
    return {
        "z": z,
        "magnitudes": 22.5 - 2.5 * np.log10(measured) - reddening,
        "luminous": luminous,
        "early": early,
        "share": share,
        "radius": r_disc,
        "parts": [(4, fluxes[0], r_bulge, q_bulge), (1, fluxes[1], r_disc, q_disc)],
        "dimming": 10 ** (-0.4 * reddening),
        "psf": psf,
        "angle": np.pi * rng.random(n),
        "offset": rng.uniform(-0.5, 0.5, (n, 2)),
    }


def image(rng, objects, index):
    """The image of one object with its noise, [5, 32, 32], in nanomaggies."""
    y, x = np.mgrid[0:32, 0:32] - 15.5
    dx, dy = x - objects["offset"][index, 0], y - objects["offset"][index, 1]
    c, s = np.cos(objects["angle"][index]), np.sin(objects["angle"][index])
    along, across = (dx * c + dy * s) ** 2, (-dx * s + dy * c) ** 2
    images = np.zeros((5, 32, 32))
    for band in range(5):
        for n, flux, radius, q in objects["parts"]:
            for psf_share, width in ((0.9, 1.0), (0.1, 2.5)):
                for share, variance in PROFILES[PROFILES[:, 0] == n, 1:]:
                    blur = (width * objects["psf"][index, band]) ** 2
                    a = variance * radius[index] ** 2 + blur
                    b = variance * (radius[index] * q[index]) ** 2 + blur
                    peak = flux[index, band] * psf_share * share / (2 * np.pi * np.sqrt(a * b))
                    images[band] += peak * np.exp(-0.5 * (along / a + across / b))
        images[band] *= objects["dimming"][index, band]
    electrons = images * ELECTRONS[:, None, None] + (SKY_ELECTRONS + READ_NOISE**2)[:, None, None]
    return images + rng.normal(size=images.shape) * np.sqrt(electrons) / ELECTRONS[:, None, None]


def object_statistics(objects):
    z, m, luminous = objects["z"], objects["magnitudes"], objects["luminous"]
    for quantile in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
        yield f"z, quantile {quantile}", np.quantile(z, quantile)
    yield "share of luminous red galaxies", luminous.mean()
    yield "share of early types", objects["early"].mean()
    yield "mean bulge fraction", objects["share"].mean()
    yield "median disc radius", np.median(objects["radius"])
    for sample, bins in BINS.items():
        for low, high in bins:
            chosen = m[(z > low) & (z < high) & (luminous == (sample == "luminous red"))]
            for quantile in (0.1, 0.5, 0.9):
                yield f"{sample}, z {low} to {high}, r, quantile {quantile}", np.quantile(chosen[:, 2], quantile)
            for band in range(4):
                colour = chosen[:, band] - chosen[:, band + 1]
                for quantile in (0.16, 0.5, 0.84):
                    name = f"{sample}, z {low} to {high}, {BANDS[band]}-{BANDS[band + 1]}, quantile {quantile}"
                    yield name, np.quantile(colour, quantile)


def image_measures(images, magnitudes):
    """What is measured on each galaxy: columns by name."""
    y, x = np.mgrid[0:32, 0:32] - 15.5
    radius = np.hypot(x, y)
    for band, name in enumerate(BANDS):
        pixels = images[:, band].astype(np.float64)
        # A corner of 8 × 8 pixels about its own median.
        corner = pixels[:, :8, :8].reshape(len(pixels), -1)
        deviation = np.abs(corner - np.median(corner, axis=1, keepdims=True))
        yield f"noise of a pixel in {name}", np.median(deviation, axis=1) / 0.6745
        flux = pixels.sum((1, 2))
        yield (
            f"flux of the stamp over that of the magnitude in {name}",
            flux / 10 ** (0.4 * (22.5 - magnitudes[:, band])),
        )
        if name in "gri":
            yield f"concentration in {name}", pixels[:, radius < 3].sum(1) / pixels[:, radius < 10].sum(1)


def main():
    rng = np.random.default_rng(20_240_901)
    objects = draw(rng, OBJECTS)
    table = {name: column for name, column in objects.items() if isinstance(column, np.ndarray)}

    def resampled():
        chosen = rng.integers(0, OBJECTS, OBJECTS)
        return dict(object_statistics({name: column[chosen] for name, column in table.items()}))

    repeats = [resampled() for _ in range(40)]
    statistics = {
        name: {"value": round(float(value), 6), "error": float(f"{np.std([one[name] for one in repeats]):.2g}")}
        for name, value in object_statistics(table)
    }
    images = np.stack([image(rng, objects, index) for index in range(GALAXIES)])
    for name, values in image_measures(images, objects["magnitudes"][:GALAXIES]):
        medians = [np.median(rng.choice(values, GALAXIES)) for _ in range(200)]
        statistics[name] = {"value": round(float(np.median(values)), 6), "error": float(f"{np.std(medians):.2g}")}
    written = {"objects": OBJECTS, "galaxies": GALAXIES, "statistics": statistics}
    (HERE / "reference.json").write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
