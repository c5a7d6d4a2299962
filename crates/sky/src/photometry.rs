//! Galaxies whose magnitudes and redshift are known, such as those of a real catalogue. What these leave open is drawn
//! from the population.
//!
//! Candidates with the galaxy's redshift and brightness are drawn from the population, and one of them is taken, with
//! a probability that falls with the distance of its colours: a red galaxy becomes an elliptical of a size that
//! ellipticals of its luminosity have. The image then gets exactly the given magnitudes, since these are what was seen;
//! the candidate only decides how bulge and disc share the light.

use crate::{
    conditions::Conditions,
    galaxy::{Object, Sample},
    magnitudes::{Magnitudes, nanomaggies},
    population::{Kind, Light, NEAREST, Population},
    random::Stream,
};

/// Candidates that are drawn for each galaxy.
const CANDIDATES: usize = 64;
/// Standard deviations by which a candidate's colours u−g, g−r, r−i and i−z are compared: the errors of photometry,
/// widened so that several candidates are likely to be taken.
const COLOUR_ERROR: [f64; 4] = [0.25, 0.08, 0.06, 0.08];
/// From the nearest galaxy of the population to the end of its table of spectra.
const REDSHIFTS: std::ops::RangeInclusive<f64> = NEAREST..=0.7;
/// Catalogues have magnitudes outside this range, such as −9999, where there is no measurement.
const MAGNITUDES: std::ops::RangeInclusive<f64> = 5.0..=30.0;

/// Magnitudes and redshift that a galaxy of the population can have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Photometry {
    magnitudes: Magnitudes,
    redshift: f64,
}

/// No galaxy of the population has this photometry.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum PhotometryError {
    #[error("redshift {0} is not between {least} and {most}", least = REDSHIFTS.start(), most = REDSHIFTS.end())]
    Redshift(f64),
    #[error(
        "magnitude {magnitude} in {band} is not between {least} and {most}: leave out rows without a measurement",
        least = MAGNITUDES.start(),
        most = MAGNITUDES.end()
    )]
    Magnitude { band: char, magnitude: f64 },
}

impl Photometry {
    /// Photometry with magnitudes in u g r i z.
    ///
    /// Magnitudes are taken as AB, Pogson's and dereddened. SDSS's asinh magnitudes may be given as they are: down to
    /// 22 in u, g, r and i and 20.5 in z, they differ by less than 0.015.
    ///
    /// # Errors
    /// [`PhotometryError`] where the redshift or a magnitude is out of range.
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

/// An object with this photometry; everything else of it is drawn.
pub(crate) fn complete(population: &Population, stream: &mut Stream, photometry: &Photometry) -> Object {
    let Photometry { magnitudes, redshift } = *photometry;
    let (kind, light, absolute_magnitude) = draw_candidate(population, stream, photometry);
    let shape = population.draw_shape(stream, kind, redshift, absolute_magnitude, &light);
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

/// Draws candidates, and takes one of them by how well its colours fit.
fn draw_candidate(population: &Population, stream: &mut Stream, photometry: &Photometry) -> (Kind, Light, f64) {
    let Photometry { magnitudes, redshift } = *photometry;
    // A candidate's absolute magnitude follows from its spectrum. The spectrum, though, is drawn by absolute magnitude,
    // which is therefore guessed first, with the spectrum of an old galaxy.
    let guess = magnitudes[2] - population.apparent(redshift, 0.0) - population.old_colours(redshift)[2];
    let luminous_red = population.luminous_red_probability(redshift, guess);
    let mut candidate = || {
        let sample = if stream.chance(luminous_red) { Sample::LuminousRed } else { Sample::Main };
        let kind = Kind::draw(stream, sample, guess);
        let light = population.draw_light(stream, kind, redshift, guess);
        let model = light.magnitudes(population.apparent(redshift, guess));
        let colour = |magnitudes: &Magnitudes, band: usize| magnitudes[band] - magnitudes[band + 1];
        let deviation = |band: usize| (colour(&model, band) - colour(&magnitudes, band)) / COLOUR_ERROR[band];
        let chi_squared: f64 = (0..4).map(|band| deviation(band) * deviation(band)).sum();
        // The candidate with the highest sum of log-weight and Gumbel deviate is a draw by weight, and no weight
        // underflows.
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
