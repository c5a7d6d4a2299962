//! The telescope: SDSS's camera under SDSS's sky.
//!
//! Zero points and sky are those of surveycodex 1.3.0 (`data/SDSS.yaml`, MIT); read noise is the camera's nominal one
//! (Gunn et al. 1998, AJ 116, 3040). Pixels follow from them; nothing is tuned to any data set.

use crate::{
    conditions::Conditions,
    magnitudes::{Magnitudes, magnitude, nanomaggies},
    random::Stream,
    stamp::{PIXEL_SCALE, SIDE, Stamp},
};

/// Time of an exposure, in seconds.
const EXPOSURE: f64 = 54.1;
/// Magnitudes of a source of one electron a second.
const ZERO_POINT: [f64; 5] = [23.58, 25.73, 25.62, 25.28, 23.30];
/// Brightness of the sky in magnitudes per square arcsecond.
const SKY: [f64; 5] = [22.01, 21.84, 20.84, 20.16, 18.96];
/// Read noise of a pixel, in electrons.
const READ_NOISE: [f64; 5] = [5.0, 4.0, 5.0, 5.0, 5.0];
/// Errors of catalogue magnitudes that no longer exposure would reduce (zero points, colour gradients, deblending), as
/// shares of the flux; about what SDSS states.
const SYSTEMATIC: [f64; 5] = [0.025, 0.008, 0.007, 0.007, 0.011];
/// Catalogue fluxes, not dereddened, are at least that of this magnitude.
const FAINTEST: f64 = 24.5;

pub(crate) struct Instrument {
    /// Electrons that one nanomaggy leaves in an exposure.
    electrons: [f64; 5],
    /// Electrons that the sky leaves in a pixel.
    sky: [f64; 5],
}

impl Instrument {
    pub(crate) fn new() -> Self {
        let electrons = |magnitude: f64, band: usize| EXPOSURE * libm::exp10(0.4 * (ZERO_POINT[band] - magnitude));
        Self {
            electrons: std::array::from_fn(|band| electrons(22.5, band)),
            sky: std::array::from_fn(|band| electrons(SKY[band], band) * PIXEL_SCALE * PIXEL_SCALE),
        }
    }

    /// Observed pixels `[5, 32, 32]` of stamps of true brightness, both in nanomaggies: with the noise of photons and
    /// readout, and the sky subtracted.
    pub(crate) fn expose(&self, stream: &mut Stream, stamps: &[Stamp; 5]) -> Vec<f32> {
        let mut pixels = Vec::with_capacity(5 * SIDE * SIDE);
        for (band, stamp) in stamps.iter().enumerate() {
            let electrons = self.electrons[band];
            let constant = self.sky[band] + READ_NOISE[band] * READ_NOISE[band];
            pixels.extend(stamp.iter().flatten().map(|flux| {
                let sigma = (flux * electrons + constant).sqrt() / electrons;
                (flux + stream.standard_normal() * sigma) as f32
            }));
        }
        pixels
    }

    /// Catalogue magnitudes of fluxes (nanomaggies, before Galactic dust), dereddened as SDSS's `dered_*` are: with the
    /// noise of the sky in the galaxy's effective area, the noise of photons, and systematic errors.
    ///
    /// `radius` is the half-light radius, in pixels, of the component that dominates the light.
    pub(crate) fn measure(
        &self,
        stream: &mut Stream,
        fluxes: &[f64; 5],
        radius: f64,
        conditions: &Conditions,
    ) -> Magnitudes {
        let extinction = conditions.extinction();
        std::array::from_fn(|band| {
            let flux = fluxes[band] * libm::exp10(-0.4 * extinction[band]);
            let psf = conditions.psf_sigma(band);
            // The effective area of a profile, (∫I)² / ∫I², is 4π σ² for a Gaussian. For a galaxy of radius r it is
            // 4π · 0.71 r² if exponential and 4π · 0.22 r² if de Vaucouleurs; 0.6 is between these.
            let area = 4.0 * std::f64::consts::PI * (psf * psf + 0.6 * radius * radius);
            let electrons = self.electrons[band];
            let background = (self.sky[band] + READ_NOISE[band] * READ_NOISE[band]) / (electrons * electrons);
            let systematic = SYSTEMATIC[band] * flux;
            let sigma = (area * background + flux / electrons + systematic * systematic).sqrt();
            let measured = (flux + stream.normal(sigma)).max(nanomaggies(FAINTEST));
            magnitude(measured) - extinction[band]
        })
    }
}
