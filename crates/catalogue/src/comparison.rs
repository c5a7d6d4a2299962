//! Predicted beside spectroscopic redshifts, collected while a catalogue is written.

use canvas::DrawError;

use crate::{metrics::Metrics, picture, rows::CatalogueRows};

/// The redshifts of galaxies that have both, and the predictions of those that have no spectroscopic one.
#[derive(Debug, Default)]
pub struct Comparison {
    z_spec: Vec<f64>,
    z_phot: Vec<f32>,
    z_phot_alone: Vec<f32>,
}

impl Comparison {
    /// Takes the redshifts of some rows.
    pub fn add(&mut self, rows: &CatalogueRows) {
        for (z_spec, z_phot) in rows.z_spec.iter().zip(&rows.z_phot) {
            match (z_spec, z_phot) {
                (Some(z_spec), Some(z_phot)) => {
                    self.z_spec.push(*z_spec);
                    self.z_phot.push(*z_phot);
                }
                (None, Some(z_phot)) => self.z_phot_alone.push(*z_phot),
                (_, None) => {}
            }
        }
    }

    /// The metrics, where any galaxy has both redshifts.
    pub fn metrics(&self) -> Option<Metrics> {
        Metrics::of(&self.z_spec, &self.z_phot)
    }

    /// Number of galaxies that have both redshifts.
    pub fn compared(&self) -> u64 {
        self.z_spec.len() as u64
    }

    /// Draws inference.png, of the galaxies with both redshifts, or of the predictions where no other redshift is known.
    ///
    /// # Errors
    /// [`DrawError`], which no data can cause.
    pub fn picture(&self, title: &str) -> Result<Vec<u8>, DrawError> {
        match self.metrics() {
            Some(metrics) => picture::draw(&self.z_spec, &self.z_phot, &metrics, title),
            None => picture::draw_distribution(&self.z_phot_alone, title),
        }
    }
}
