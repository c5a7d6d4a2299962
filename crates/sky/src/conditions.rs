//! What lies between a galaxy and the detector: Galactic dust, and the atmosphere and optics that blur.

use crate::{random::Stream, stamp::PIXEL_SCALE};

/// A_b / E(B−V): Schlafly & Finkbeiner 2011 (ApJ 737, 103), table 6, SDSS, R_V = 3.1.
const EXTINCTION: [f64; 5] = [4.239, 3.303, 2.285, 1.698, 1.263];
/// SDSS's median seeing, as surveycodex 1.3.0 has it (`data/SDSS.yaml`, MIT): full width at half maximum in arcseconds.
const SEEING: [f64; 5] = [1.55, 1.43, 1.32, 1.25, 1.18];
/// Full width at half maximum of a Gaussian, in standard deviations.
const FWHM: f64 = 2.3548;
/// The point spread function's wings are a second Gaussian, which has this share of the flux and is wider than the core
/// by this factor: about SDSS's `psf_b` and `psf_sigma2`.
const WING_SHARE: f64 = 0.1;
const WING_WIDTH: f64 = 2.5;

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
        Self { reddening: stream.exponential(0.03), seeing: libm::exp(stream.normal(0.08)) }
    }

    /// Magnitudes that Galactic dust takes in each band.
    pub fn extinction(&self) -> [f64; 5] {
        EXTINCTION.map(|coefficient| self.reddening * coefficient)
    }

    /// Standard deviation of the point spread function's core, in pixels.
    pub(crate) fn psf_sigma(&self, band: usize) -> f64 {
        SEEING[band] / FWHM / PIXEL_SCALE * self.seeing
    }

    /// The point spread function as two round Gaussians, core and wings: shares of the flux, and variances in pixels
    /// squared.
    pub(crate) fn psf(&self, band: usize) -> [(f64, f64); 2] {
        let sigma = self.psf_sigma(band);
        let variance = |width: f64| sigma * sigma * width * width;
        [(1.0 - WING_SHARE, variance(1.0)), (WING_SHARE, variance(WING_WIDTH))]
    }
}
