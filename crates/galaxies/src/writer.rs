//! Writing a data set row by row.

use std::path::Path;

use torch_file::{Column, DType, TensorDatasetWriter, WriteError};

use crate::format::{BANDS, SIDE};

/// How redshifts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redshifts {
    /// As f32, like those of the published files.
    F32,
    /// As f64.
    F64,
    /// Not at all, since they are not known.
    None,
}

/// A data set that is being written, as a `TensorDataset` of images in f32, magnitudes in f64 and, where they are
/// known, redshifts.
pub struct DatasetWriter {
    writer: TensorDatasetWriter,
    redshifts: Redshifts,
}

impl DatasetWriter {
    /// Bytes of a galaxy in the file.
    pub fn bytes_per_galaxy(redshifts: Redshifts) -> u64 {
        columns(redshifts).iter().map(Column::row_size).sum()
    }

    /// Starts a data set of exactly `rows` galaxies.
    ///
    /// # Errors
    /// [`WriteError::Io`] where the file cannot be made.
    pub fn create(path: impl AsRef<Path>, rows: u64, redshifts: Redshifts) -> Result<Self, WriteError> {
        Ok(Self { writer: TensorDatasetWriter::create(path, rows, columns(redshifts))?, redshifts })
    }

    /// Appends galaxies: images `[n, 5, 32, 32]`, magnitudes `[n, 5]` and, unless the data set has none, redshifts
    /// `[n]`.
    ///
    /// # Errors
    /// [`WriteError::Rows`] where lengths do not fit each other or the number of rows, [`WriteError::Io`] where the
    /// disk does not take them.
    pub fn write(&mut self, images: &[f32], magnitudes: &[f64], redshifts: Option<&[f64]>) -> Result<(), WriteError> {
        let images: Vec<u8> = images.iter().flat_map(|value| value.to_le_bytes()).collect();
        let magnitudes: Vec<u8> = magnitudes.iter().flat_map(|value| value.to_le_bytes()).collect();
        let redshifts: Option<Vec<u8>> = redshifts.map(|redshifts| match self.redshifts {
            Redshifts::F32 => redshifts.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect(),
            Redshifts::F64 | Redshifts::None => redshifts.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        let columns: Vec<&[u8]> = [&images, &magnitudes].into_iter().chain(&redshifts).map(Vec::as_slice).collect();
        self.writer.write(&columns)
    }

    /// Ends the file, which is not readable before.
    ///
    /// # Errors
    /// [`WriteError::Rows`] where galaxies are missing, [`WriteError::Io`] where the disk does not take the bytes.
    pub fn finish(self) -> Result<(), WriteError> {
        self.writer.finish()
    }
}

fn columns(redshifts: Redshifts) -> Vec<Column> {
    let (bands, side) = (BANDS as u64, SIDE as u64);
    let images = Column { dtype: DType::F32, row_shape: vec![bands, side, side] };
    let magnitudes = Column { dtype: DType::F64, row_shape: vec![bands] };
    let redshifts = match redshifts {
        Redshifts::F32 => Some(DType::F32),
        Redshifts::F64 => Some(DType::F64),
        Redshifts::None => None,
    };
    let redshifts = redshifts.map(|dtype| Column { dtype, row_shape: Vec::new() });
    [images, magnitudes].into_iter().chain(redshifts).collect()
}
