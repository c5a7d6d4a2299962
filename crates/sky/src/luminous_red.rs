//! Redshifts and luminosities of luminous red galaxies, which a survey selects far beyond its flux limit (as
//! Eisenstein et al. 2001, AJ 122, 2267, did for SDSS).

use crate::random::Stream;

/// Mean and standard deviation of the redshifts, and the range that they are confined to.
const REDSHIFT: (f64, f64) = (0.35, 0.085);
const REDSHIFTS: (f64, f64) = (0.18, 0.62);
/// Mean and standard deviation of the absolute magnitudes, and the faintest of them.
const MAGNITUDE: (f64, f64) = (-22.75, 0.35);
const FAINTEST: f64 = -21.9;

/// Draws a redshift and an absolute magnitude.
pub(crate) fn draw(stream: &mut Stream) -> (f64, f64) {
    let z = (REDSHIFT.0 + stream.normal(REDSHIFT.1)).clamp(REDSHIFTS.0, REDSHIFTS.1);
    (z, (MAGNITUDE.0 + stream.normal(MAGNITUDE.1)).min(FAINTEST))
}

/// The share of these galaxies per unit of redshift, as if redshifts were not confined.
pub(crate) fn redshift_density(z: f64) -> f64 {
    normal_density(z, REDSHIFT)
}

/// The share of these galaxies per absolute magnitude, as if there were no faintest.
pub(crate) fn magnitude_density(absolute_magnitude: f64) -> f64 {
    normal_density(absolute_magnitude, MAGNITUDE)
}

fn normal_density(value: f64, (mean, sigma): (f64, f64)) -> f64 {
    let deviate = (value - mean) / sigma;
    libm::exp(-0.5 * deviate * deviate) / (sigma * std::f64::consts::TAU.sqrt())
}
