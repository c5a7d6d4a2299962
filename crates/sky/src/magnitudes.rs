//! Pogson magnitudes on the AB system, and fluxes in nanomaggies, SDSS's unit: a magnitude of 22.5 is one nanomaggy.

/// Magnitudes in u g r i z.
pub(crate) type Magnitudes = [f64; 5];

pub(crate) fn nanomaggies(magnitude: f64) -> f64 {
    libm::exp10(0.4 * (22.5 - magnitude))
}

/// The magnitude of a positive flux.
pub(crate) fn magnitude(nanomaggies: f64) -> f64 {
    22.5 - 2.5 * libm::log10(nanomaggies)
}
