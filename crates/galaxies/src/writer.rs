//! Writing a data set row by row.

use std::path::Path;

use torch_file::{DType, DataSetWriter, Entry, Form, Item, WriteError};

use crate::{
    column::{Column, ColumnType, ColumnValues},
    format::{BANDS, SIDE},
};

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

/// What a data set has beside images in f32 and magnitudes in f64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// How redshifts are stored.
    pub redshifts: Redshifts,
    /// The data set's own columns.
    pub columns: Vec<Column>,
}

impl Layout {
    /// Images, magnitudes and redshifts alone, as in the published files.
    pub fn published(redshifts: Redshifts) -> Self {
        Self { redshifts, columns: Vec::new() }
    }

    /// Bytes of a galaxy in the file. A text counts as 8.
    pub fn bytes_per_galaxy(&self) -> u64 {
        let size = |entry: &Entry| match entry {
            Entry::Tensor { dtype, row_shape, .. } => dtype.size() * row_shape.iter().product::<u64>(),
            Entry::List { .. } => 0,
        };
        let lists = self.columns.iter().filter(|column| column.is_list).map(|column| column.kind.size());
        self.entries(Vec::new()).iter().map(size).chain(lists).sum()
    }

    /// A `TensorDataset`, as the published files are, where its readers would find all columns in it under their names:
    /// by their places.
    fn form(&self) -> Form {
        let by_place = |(place, column): (usize, &Column)| !column.is_list && column.name == format!("column_{place}");
        let has_all = (3..).zip(&self.columns).all(by_place);
        match has_all && (self.redshifts != Redshifts::None || self.columns.is_empty()) {
            true => Form::TensorDataset,
            false => Form::Dictionary,
        }
    }

    /// The entries of the file. `lists` are the items of those columns that are lists.
    fn entries(&self, lists: Vec<Vec<Item>>) -> Vec<Entry> {
        let (bands, side) = (BANDS as u64, SIDE as u64);
        let tensor = |name: &str, dtype, row_shape| Entry::Tensor { name: name.to_owned(), dtype, row_shape };
        let mut entries =
            vec![tensor("images", DType::F32, vec![bands, side, side]), tensor("magnitudes", DType::F64, vec![bands])];
        match self.redshifts {
            Redshifts::F32 => entries.push(tensor("redshifts", DType::F32, Vec::new())),
            Redshifts::F64 => entries.push(tensor("redshifts", DType::F64, Vec::new())),
            Redshifts::None => {}
        }
        let mut lists = lists.into_iter();
        entries.extend(self.columns.iter().map(|Column { name, kind, is_list }| match kind {
            _ if *is_list => Entry::List { name: name.clone(), items: lists.next().unwrap_or_default() },
            ColumnType::Numbers(dtype, length) => tensor(name, *dtype, vec![*length]),
            ColumnType::Number(dtype) => tensor(name, *dtype, Vec::new()),
            // Text is in lists alone.
            ColumnType::Text => Entry::List { name: name.clone(), items: Vec::new() },
        }));
        entries
    }
}

/// A data set that is being written, as a `TensorDataset` of images in f32, magnitudes in f64 and, where they are
/// known, redshifts; as a dictionary of these where there are other columns, which need names.
pub struct DatasetWriter {
    writer: DataSetWriter,
    redshifts: Redshifts,
}

impl DatasetWriter {
    /// Starts a data set of exactly `rows` galaxies. `lists` are all items of those columns that are lists of Python's.
    ///
    /// # Errors
    /// [`WriteError::Rows`] where a list has another number of items, [`WriteError::Io`] where the file cannot be made.
    pub fn create(
        path: impl AsRef<Path>,
        rows: u64,
        layout: &Layout,
        lists: Vec<Vec<Item>>,
    ) -> Result<Self, WriteError> {
        let writer = DataSetWriter::create(path, rows, layout.form(), &layout.entries(lists))?;
        Ok(Self { writer, redshifts: layout.redshifts })
    }

    /// Appends galaxies: images `[n, 5, 32, 32]`, magnitudes `[n, 5]`, redshifts `[n]` unless the data set has none,
    /// and the values of its own columns, of which those of lists are in the file already.
    ///
    /// # Errors
    /// [`WriteError::Rows`] where lengths do not fit each other or the number of rows, [`WriteError::Io`] where the
    /// disk does not take them.
    pub fn write(
        &mut self,
        images: &[f32],
        magnitudes: &[f64],
        redshifts: Option<&[f64]>,
        columns: &[ColumnValues],
    ) -> Result<(), WriteError> {
        let images: Vec<u8> = images.iter().flat_map(|value| value.to_le_bytes()).collect();
        let magnitudes: Vec<u8> = magnitudes.iter().flat_map(|value| value.to_le_bytes()).collect();
        let redshifts: Option<Vec<u8>> = redshifts.map(|redshifts| match self.redshifts {
            Redshifts::F32 => redshifts.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect(),
            Redshifts::F64 | Redshifts::None => redshifts.iter().flat_map(|value| value.to_le_bytes()).collect(),
        });
        let own = columns.iter().filter_map(|values| match values {
            ColumnValues::Bytes(bytes) => Some(bytes),
            ColumnValues::Items(_) => None,
        });
        let tensors: Vec<&[u8]> =
            [&images, &magnitudes].into_iter().chain(&redshifts).chain(own).map(Vec::as_slice).collect();
        self.writer.write(&tensors)
    }

    /// Ends the file, which is not readable before.
    ///
    /// # Errors
    /// [`WriteError::Rows`] where galaxies are missing, [`WriteError::Io`] where the disk does not take the bytes.
    pub fn finish(self) -> Result<(), WriteError> {
        self.writer.finish()
    }
}
