//! Colours of galaxies by spectral type and redshift: template spectra seen through the SDSS filters.
//!
//! The templates are those of Coleman, Wu & Weedman 1980, the filters those of Doi et al. 2010; `data/make.py` has the
//! sources and integrates the one over the other.

use crate::{
    magnitudes::Magnitudes,
    tables::{self, locate},
};

const TEMPLATES: usize = 4;
const REDSHIFTS: usize = 141;
/// Redshifts in the table are multiples of this.
const STEP: f64 = 0.005;

/// The spectrum of a stellar population behind its own dust.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spectrum {
    /// 0 is E, 1 Sbc, 2 Scd and 3 Im; between these, magnitudes are interpolated.
    pub(crate) template: f64,
    /// The template is multiplied by (λ / 5500 Å) to this power: redder if positive.
    pub(crate) tilt: f64,
    /// Internal dust, A_V in magnitudes, with the curve of Calzetti et al. 2000.
    pub(crate) dust: f64,
}

/// The templates' magnitudes relative to rest-frame r, and their derivatives by tilt and dust.
pub(crate) struct Spectra {
    /// Template by template, redshift by redshift; in each row template, redshift, five magnitudes, their derivatives
    /// by tilt, and those by dust.
    rows: Vec<[f64; 17]>,
}

impl Spectra {
    pub(crate) fn new() -> Self {
        Self { rows: tables::parse(include_str!("../data/spectra.csv")) }
    }

    /// What the apparent magnitudes are beyond the sum of absolute magnitude in rest-frame r and distance modulus.
    pub(crate) fn colours(&self, spectrum: Spectrum, z: f64) -> Magnitudes {
        let (template, towards_next) = locate(spectrum.template, TEMPLATES - 1);
        let (step, fraction) = locate(z / STEP, REDSHIFTS - 1);
        let at = |template: usize, band: usize| {
            let seen = |step: usize| {
                let row = &self.rows[template * REDSHIFTS + step];
                row[2 + band] + spectrum.tilt * row[7 + band] + spectrum.dust * row[12 + band]
            };
            seen(step) * (1.0 - fraction) + seen(step + 1) * fraction
        };
        std::array::from_fn(|band| at(template, band) * (1.0 - towards_next) + at(template + 1, band) * towards_next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_template_and_redshift() {
        let spectra = Spectra::new();
        assert_eq!(spectra.rows.len(), TEMPLATES * REDSHIFTS);
        for (index, row) in spectra.rows.iter().enumerate() {
            assert_eq!(row[0], (index / REDSHIFTS) as f64);
            assert!((row[1] - (index % REDSHIFTS) as f64 * STEP).abs() < 1e-9);
        }
    }

    #[test]
    fn colours_follow_type_tilt_dust_and_redshift() {
        let spectra = Spectra::new();
        let u_minus_r = |template, tilt, dust, z| {
            let colours = spectra.colours(Spectrum { template, tilt, dust }, z);
            colours[0] - colours[2]
        };
        let elliptical = u_minus_r(0.0, 0.0, 0.0, 0.0);
        assert!((elliptical - 2.545).abs() < 1e-3, "{elliptical}");
        assert!(u_minus_r(3.0, 0.0, 0.0, 0.0) < 1.2);
        assert!(u_minus_r(0.0, 0.1, 0.0, 0.0) > elliptical && u_minus_r(0.0, 0.0, 0.1, 0.0) > elliptical);
        // The 4000 Å break passes through g.
        let g_minus_r = |z| {
            let colours = spectra.colours(Spectrum { template: 0.0, tilt: 0.0, dust: 0.0 }, z);
            colours[1] - colours[2]
        };
        assert!(g_minus_r(0.35) > g_minus_r(0.1) + 0.5);
    }
}
