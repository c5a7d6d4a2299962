//! Rows of a catalogue, as columns.

use std::sync::Arc;

use arrow_array::ArrayRef;

use crate::{flags::has_redshift, intervals::QuantileColumns};

/// The catalogue's rows of consecutive galaxies of one file. The columns have equal length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CatalogueRows {
    /// Key or path of the file that the galaxies were read from.
    pub source_file: String,
    /// The first galaxy's row in that file, from 0.
    pub first_row: u64,
    /// What the data set says of the galaxies itself.
    pub columns: Vec<OwnColumn>,
    /// Spectroscopic redshifts; `None` where none is known.
    pub z_spec: Vec<Option<f64>>,
    /// Predicted redshifts; `None` where a flag says why there is none.
    pub z_phot: Vec<Option<f32>>,
    /// How sure they are, where the model is calibrated.
    pub quantiles: Option<QuantileColumns>,
    /// Why there is no prediction, or what to know of it: the bits of [`Flag`](crate::Flag).
    pub flags: Vec<u8>,
}

impl CatalogueRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.flags.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty()
    }

    /// Number of rows without a redshift.
    pub fn flagged(&self) -> u64 {
        self.flags.iter().filter(|flags| !has_redshift(**flags)).count() as u64
    }
}

/// Values of a data set's own column.
#[derive(Debug, Clone)]
pub struct OwnColumn {
    /// The column's name in the data set and in the catalogue.
    pub name: Arc<str>,
    /// One for each galaxy: boolean, an integer, float32 or float64, text, or a list of one length of numbers.
    pub values: ArrayRef,
}

impl OwnColumn {
    /// The values of consecutive galaxies, which are not copied.
    pub fn slice(&self, first: usize, count: usize) -> Self {
        Self { name: Arc::clone(&self.name), values: self.values.slice(first, count) }
    }
}

impl PartialEq for OwnColumn {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && *self.values == *other.values
    }
}
