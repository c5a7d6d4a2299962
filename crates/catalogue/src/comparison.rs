//! Predicted beside spectroscopic redshifts, collected while a catalogue is written.

use canvas::DrawError;

use crate::{
    distribution::Distribution,
    metrics::Metrics,
    picture,
    plausible::is_redshift,
    rows::CatalogueRows,
    worst::{WorstGalaxies, WorstGalaxy},
};

/// The redshifts of galaxies that have both, and how the predictions of those are distributed that have no spectroscopic
/// one: twelve bytes for each of the first, of which medians are to be exact, and none for the others.
///
/// A number that cannot be a redshift counts as none: whoever made the rows has said so already, and of a foreign
/// file's rows nothing that is averaged or drawn may be infinite either.
#[derive(Debug, Default)]
pub struct Comparison {
    z_spec: Vec<f64>,
    z_phot: Vec<f32>,
    z_phot_alone: Distribution,
    worst: WorstGalaxies,
}

impl Comparison {
    /// Takes the redshifts of some rows.
    pub fn add(&mut self, rows: &CatalogueRows) {
        self.worst.add(rows);
        for (z_spec, z_phot) in rows.z_spec.iter().zip(&rows.z_phot) {
            let z_spec = z_spec.filter(|z| is_redshift(*z));
            let z_phot = z_phot.filter(|z| is_redshift((*z).into()));
            match (z_spec, z_phot) {
                (Some(z_spec), Some(z_phot)) => {
                    self.z_spec.push(z_spec);
                    self.z_phot.push(z_phot);
                }
                (None, Some(z_phot)) => self.z_phot_alone.add(z_phot),
                (_, None) => {}
            }
        }
    }

    /// The metrics of the galaxies with both redshifts, all null where there is none.
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.z_spec, &self.z_phot)
    }

    /// Number of galaxies that have both redshifts.
    pub fn compared(&self) -> u64 {
        self.z_spec.len() as u64
    }

    /// Spectroscopic and predicted redshift of the galaxies that have both.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (f64, f32)> + Clone {
        self.z_spec.iter().copied().zip(self.z_phot.iter().copied())
    }

    /// All predictions: of the galaxies that have both redshifts, then of the others, in order and to four digits.
    pub fn predictions(&self) -> impl Iterator<Item = f32> + Clone {
        let alone = self.z_phot_alone.counts();
        let alone = alone.flat_map(|(z_phot, count)| std::iter::repeat_n(z_phot as f32, count as usize));
        self.z_phot.iter().copied().chain(alone)
    }

    /// The redshifts that axes show: the bulk of those of galaxies that have both, or of all predictions where none has.
    pub fn redshift_range(&self) -> std::ops::Range<f64> {
        match self.z_spec.is_empty() {
            true => picture::range_of_distribution(&self.z_phot_alone),
            false => picture::redshift_range(self.pairs()),
        }
    }

    /// Some galaxies of those that have both redshifts, by the size of δ, the largest first.
    pub fn worst(&self) -> Vec<WorstGalaxy> {
        self.worst.ranked()
    }

    /// Draws inference.png, of the galaxies with both redshifts and their metrics, or of the predictions where no other
    /// redshift is known.
    ///
    /// A picture that cannot be drawn costs the picture alone, since a catalogue and its metrics are whole without it:
    /// then the picture says why, and so does the second value.
    ///
    /// # Errors
    /// [`DrawError`] where not even that can be drawn.
    pub fn picture(&self, metrics: &Metrics, title: &str) -> Result<(Vec<u8>, Option<DrawError>), DrawError> {
        let drawn = if self.z_spec.is_empty() {
            picture::draw_distribution(&self.z_phot_alone, title)
        } else {
            picture::draw(&self.z_spec, &self.z_phot, metrics, title)
        };
        match drawn {
            Ok(picture) => Ok((picture, None)),
            Err(error) => Ok((picture::draw_apology(&error)?, Some(error))),
        }
    }
}
