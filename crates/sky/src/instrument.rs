//! The telescope: SDSS's camera, sky and seeing.
//!
//! Zero points, sky and seeing are those of surveycodex 1.3.0 (`data/SDSS.yaml`, MIT); read noise is the camera's nominal
//! one (Gunn et al. 1998, AJ 116, 3040). Pixels follow from them; nothing is tuned to any data set.

use crate::{
    random::Stream,
    render::{PIXELS, Stamp},
    spectra::Magnitudes,
};

/// Arcseconds.
pub(crate) const PIXEL: f64 = 0.396;
/// Seconds.
const EXPOSURE: f64 = 54.1;
/// Magnitudes of one electron a second.
const ZERO_POINT: [f64; 5] = [23.58, 25.73, 25.62, 25.28, 23.30];
/// Brightness of the sky, magnitudes per square arcsecond.
const SKY: [f64; 5] = [22.01, 21.84, 20.84, 20.16, 18.96];
/// Median seeing: full width at half maximum in arcseconds.
const SEEING: [f64; 5] = [1.55, 1.43, 1.32, 1.25, 1.18];
/// Electrons.
const READ_NOISE: [f64; 5] = [5.0, 4.0, 5.0, 5.0, 5.0];
/// Error of catalogue magnitudes that no exposure takes away: zero points, colour gradients, deblending. As part of the
/// flux; about what SDSS states.
const SYSTEMATIC: [f64; 5] = [0.025, 0.008, 0.007, 0.007, 0.011];
/// A_b / E(B−V): Schlafly & Finkbeiner 2011 (ApJ 737, 103), table 6, SDSS, R_V = 3.1.
const EXTINCTION: [f64; 5] = [4.239, 3.303, 2.285, 1.698, 1.263];
/// Catalogue fluxes end at this magnitude, not dereddened.
const FAINTEST: f64 = 24.5;
/// Full width at half maximum of a Gaussian, in standard deviations.
const FWHM: f64 = 2.3548;
/// The wings of the point spread function: a second Gaussian with this share of the flux, so much wider (about SDSS's
/// `psf_b` and `psf_sigma2`).
pub(crate) const WING_SHARE: f64 = 0.1;
pub(crate) const WING_WIDTH: f64 = 2.5;

pub(crate) struct Instrument {
    /// Electrons of one nanomaggy in an exposure.
    electrons: [f64; 5],
    /// Electrons of the sky in a pixel.
    sky: [f64; 5],
}

impl Instrument {
    pub(crate) fn new() -> Self {
        let electrons = |magnitude: f64, band: usize| EXPOSURE * libm::exp10(0.4 * (ZERO_POINT[band] - magnitude));
        Self {
            electrons: std::array::from_fn(|band| electrons(22.5, band)),
            sky: std::array::from_fn(|band| electrons(SKY[band], band) * PIXEL * PIXEL),
        }
    }

    /// Exposes stamps of true brightness (nanomaggies per pixel), `[5, 32, 32]`: photon and read noise, sky subtracted.
    pub(crate) fn expose(&self, stream: &mut Stream, stamps: &[Stamp; 5]) -> Vec<f32> {
        let mut pixels = Vec::with_capacity(5 * PIXELS);
        for (band, stamp) in stamps.iter().enumerate() {
            let electrons = self.electrons[band];
            let constant = self.sky[band] + READ_NOISE[band] * READ_NOISE[band];
            pixels.extend(stamp.iter().flatten().map(|flux| {
                let sigma = (flux * electrons + constant).sqrt() / electrons;
                (flux + stream.normal() * sigma) as f32
            }));
        }
        pixels
    }

    /// Catalogue magnitudes of fluxes (nanomaggies, above the atmosphere and unreddened), dereddened as SDSS's `dered_*`
    /// are: with noise of the sky in the effective area, of photons, and systematic.
    ///
    /// `size` is the half-light radius in pixels of what dominates the light.
    pub(crate) fn measure(&self, stream: &mut Stream, fluxes: &[f64; 5], size: f64, sky: &Conditions) -> Magnitudes {
        let reddening = sky.extinction();
        std::array::from_fn(|band| {
            let flux = fluxes[band] * libm::exp10(-0.4 * reddening[band]);
            let psf = sky.psf_sigma(band);
            let area = 4.0 * std::f64::consts::PI * (psf * psf + 0.6 * size * size);
            let electrons = self.electrons[band];
            let background = (self.sky[band] + READ_NOISE[band] * READ_NOISE[band]) / (electrons * electrons);
            let systematic = SYSTEMATIC[band] * flux;
            let sigma = (area * background + flux / electrons + systematic * systematic).sqrt();
            let measured = (flux + stream.gauss(sigma)).max(nanomaggies(FAINTEST));
            magnitude(measured) - reddening[band]
        })
    }
}

/// What lies between a galaxy and the detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Galactic reddening E(B−V) in magnitudes. It is left in the images, and taken out of the magnitudes.
    pub reddening: f64,
    /// Width of the point spread function relative to SDSS's median.
    pub seeing: f64,
}

impl Conditions {
    pub(crate) fn draw(stream: &mut Stream) -> Self {
        Self { reddening: stream.exponential(0.03), seeing: libm::exp(stream.gauss(0.08)) }
    }

    /// Magnitudes that Galactic dust takes in each band.
    pub fn extinction(&self) -> [f64; 5] {
        EXTINCTION.map(|coefficient| self.reddening * coefficient)
    }

    /// Standard deviation of the point spread function's core, in pixels.
    pub(crate) fn psf_sigma(&self, band: usize) -> f64 {
        SEEING[band] / FWHM / PIXEL * self.seeing
    }
}

/// Flux of a (Pogson) magnitude: 22.5 is one nanomaggy.
pub(crate) fn nanomaggies(magnitude: f64) -> f64 {
    libm::exp10(0.4 * (22.5 - magnitude))
}

/// Magnitude of a positive flux in nanomaggies.
pub(crate) fn magnitude(nanomaggies: f64) -> f64 {
    22.5 - 2.5 * libm::log10(nanomaggies)
}
