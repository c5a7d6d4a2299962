//! Rows of a catalogue, as columns.

/// The catalogue's rows of consecutive galaxies of one file. The columns have equal length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CatalogueRows {
    /// Key or path of the file that the galaxies were read from.
    pub source_file: String,
    /// The first galaxy's row in that file, from 0.
    pub first_row: u64,
    /// Spectroscopic redshifts; `None` where none is known.
    pub z_spec: Vec<Option<f64>>,
    /// Predicted redshifts; `None` where the galaxy is flagged.
    pub z_phot: Vec<Option<f32>>,
    /// Why there is no prediction: the bits of [`Flag`](crate::Flag).
    pub flags: Vec<u8>,
}

impl CatalogueRows {
    /// Appends the rows that follow in the same file.
    pub fn append(&mut self, mut next: Self) {
        self.z_spec.append(&mut next.z_spec);
        self.z_phot.append(&mut next.z_phot);
        self.flags.append(&mut next.flags);
    }

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
        self.flags.iter().filter(|flags| **flags != 0).count() as u64
    }
}
