//! Galaxies whose magnitudes and redshift are known: what these leave open is drawn as the population has it.
//!
//! Candidates with the galaxy's redshift and brightness are drawn from the population, and one of them is taken, with
//! a probability that falls with the distance of its colours: a red galaxy becomes an elliptical of a size that
//! ellipticals of its luminosity have. The image then gets exactly the given magnitudes, since these are what was seen;
//! the candidate only says how bulge and disc share the light.

use crate::{
    instrument::{Conditions, nanomaggies},
    population::{Kind, LRG_MAGNITUDE, LRG_REDSHIFT, LUMINOUS_RED, Light, Object, Population, Sample},
    random::Stream,
    spectra::{Magnitudes, Spectrum},
};

/// Candidates for a galaxy.
const CANDIDATES: usize = 64;
/// How far the colours u−g, g−r, r−i and i−z of a candidate may be off: errors of photometry, and what keeps several
/// candidates in the choice.
const COLOUR_ERROR: [f64; 4] = [0.25, 0.08, 0.06, 0.08];
/// Redshifts that the population has spectra for.
const REDSHIFTS: std::ops::RangeInclusive<f64> = 0.003..=0.7;
/// Magnitudes that may be those of a galaxy.
const MAGNITUDES: std::ops::RangeInclusive<f64> = 5.0..=30.0;

/// Magnitudes and redshift of a galaxy, such as a row of a real catalogue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Photometry {
    magnitudes: Magnitudes,
    redshift: f64,
}

/// No galaxy is like that.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PhotometryError {
    /// The spectra are not known so far away.
    #[error("redshift {0} is not between {least} and {most}", least = REDSHIFTS.start(), most = REDSHIFTS.end())]
    Redshift(f64),
    /// Catalogues have such values where there is no measurement.
    #[error(
        "magnitude {magnitude} in {band} is not between {least} and {most}: leave out rows without a measurement",
        least = MAGNITUDES.start(),
        most = MAGNITUDES.end()
    )]
    Magnitude {
        /// u, g, r, i or z.
        band: char,
        /// The magnitude.
        magnitude: f64,
    },
}

impl Photometry {
    /// Magnitudes in u g r i z, and a redshift.
    ///
    /// Magnitudes are taken as AB, Pogson's and dereddened. SDSS's asinh magnitudes may be given as they are: down to
    /// 22 in u, g, r and i and 20.5 in z, they differ by less than 0.015.
    ///
    /// # Errors
    /// [`PhotometryError`] where no galaxy of the population can be like that.
    pub fn new(magnitudes: [f64; 5], redshift: f64) -> Result<Self, PhotometryError> {
        if !REDSHIFTS.contains(&redshift) {
            return Err(PhotometryError::Redshift(redshift));
        }
        match magnitudes.iter().zip("ugriz".chars()).find(|(magnitude, _)| !MAGNITUDES.contains(magnitude)) {
            Some((magnitude, band)) => Err(PhotometryError::Magnitude { band, magnitude: *magnitude }),
            None => Ok(Self { magnitudes, redshift }),
        }
    }
}

/// Draws the rest of the galaxy.
pub(crate) fn complete(population: &Population, stream: &mut Stream, photometry: &Photometry) -> Object {
    let Photometry { magnitudes, redshift } = *photometry;
    let (kind, light, absolute_magnitude) = choose(population, stream, photometry);
    let shape = population.shape(stream, kind, redshift, absolute_magnitude, &light);
    let conditions = Conditions::draw(stream);
    let mut fluxes = light.fluxes(population.apparent(redshift, absolute_magnitude));
    let [bulge, disc] = &mut fluxes;
    for ((bulge, disc), magnitude) in bulge.iter_mut().zip(disc).zip(magnitudes) {
        let scale = nanomaggies(magnitude) / (*bulge + *disc);
        *bulge *= scale;
        *disc *= scale;
    }
    let Kind { sample, red, early } = kind;
    Object { redshift, magnitudes, sample, red, early, absolute_magnitude, fluxes, shape, conditions }
}

/// One of the candidates, by how well its colours fit.
fn choose(population: &Population, stream: &mut Stream, photometry: &Photometry) -> (Kind, Light, f64) {
    let Photometry { magnitudes, redshift } = *photometry;
    // The K-correction of an old galaxy, until the candidate has its own.
    let old = population.spectra.colours(Spectrum { template: 0.0, tilt: 0.0, dust: 0.0 }, redshift);
    let guess = magnitudes[2] - population.apparent(redshift, 0.0) - old[2];
    let luminous_red = luminous_red_probability(population, redshift, guess);
    let mut candidate = || {
        let sample = if stream.chance(luminous_red) { Sample::LuminousRed } else { Sample::Main };
        let kind = Kind::draw(stream, sample, guess);
        let light = population.light(stream, kind, redshift, guess);
        let model = light.magnitudes(population.apparent(redshift, guess));
        let colour = |magnitudes: &Magnitudes, band: usize| magnitudes[band] - magnitudes[band + 1];
        let deviation = |band: usize| (colour(&model, band) - colour(&magnitudes, band)) / COLOUR_ERROR[band];
        let chi_squared: f64 = (0..4).map(|band| deviation(band) * deviation(band)).sum();
        // The highest of log-weights plus Gumbel deviates is a draw by weight (and no weight underflows).
        let gumbel = -libm::log(stream.exponential(1.0).max(f64::MIN_POSITIVE));
        (gumbel - 0.5 * chi_squared, (kind, light, guess + magnitudes[2] - model[2]))
    };
    let mut best = candidate();
    for _ in 1..CANDIDATES {
        let other = candidate();
        if other.0 > best.0 {
            best = other;
        }
    }
    best.1
}

/// How likely a galaxy at a redshift and of a brightness is a luminous red one, before its colours are looked at.
fn luminous_red_probability(population: &Population, redshift: f64, absolute_magnitude: f64) -> f64 {
    let normal = |value: f64, (mean, sigma): (f64, f64)| {
        let deviate = (value - mean) / sigma;
        libm::exp(-0.5 * deviate * deviate) / (sigma * std::f64::consts::TAU.sqrt())
    };
    let luminous = LUMINOUS_RED * normal(redshift, LRG_REDSHIFT) * normal(absolute_magnitude, LRG_MAGNITUDE);
    let main = (1.0 - LUMINOUS_RED) * population.main.density(&population.cosmology, redshift, absolute_magnitude);
    if luminous + main > 0.0 { luminous / (luminous + main) } else { 0.0 }
}
