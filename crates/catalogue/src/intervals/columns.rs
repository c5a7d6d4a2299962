//! The quantiles of some rows of a catalogue, as columns.

use super::{levels::LevelSet, quantiles::Quantiles};

/// A column of quantiles for each of some levels.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileColumns {
    /// The levels, which name the columns.
    pub levels: LevelSet,
    /// For each level, in order, one quantile per row; `None` where the row has no redshift.
    pub values: Vec<Vec<Option<f32>>>,
}

impl QuantileColumns {
    /// Columns without a row.
    pub fn new(levels: LevelSet) -> Self {
        Self { levels, values: vec![Vec::new(); levels.places().len()] }
    }

    /// Appends a row.
    pub fn push(&mut self, quantiles: Option<&Quantiles>) {
        for (column, place) in self.values.iter_mut().zip(self.levels.places()) {
            column.push(quantiles.map(|quantiles| quantiles.all()[*place]));
        }
    }
}
