//! The catalogue that is exported: a Parquet file on this machine, which may be read several times.

use std::fs::File;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
};

use crate::error::Error;

/// A Parquet file whose footer was read.
pub struct CatalogueFile {
    file: File,
    footer: ArrowReaderMetadata,
}

impl CatalogueFile {
    /// Reads the footer of a catalogue.
    ///
    /// # Errors
    /// [`Error::Parquet`] where the file is not Parquet.
    pub fn open(file: File) -> Result<Self, Error> {
        let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
        Ok(Self { file, footer })
    }

    /// The columns, in their order.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.footer.schema()
    }

    /// The number of columns.
    pub fn columns(&self) -> usize {
        self.schema().fields().len()
    }

    /// The number of rows that the footer speaks of.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.footer.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// The entries of the file's metadata that have a value, in their order.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.footer.metadata().file_metadata().key_value_metadata();
        entries.into_iter().flatten().filter_map(|entry| Some((entry.key.as_str(), entry.value.as_deref()?)))
    }

    /// Reads the rows from the first, `size` of them at a time, of the columns with these indices.
    pub(crate) fn batches(
        &self,
        size: usize,
        columns: impl IntoIterator<Item = usize>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, Error>>, Error> {
        let file = self.file.try_clone()?;
        let columns = ProjectionMask::roots(self.footer.parquet_schema(), columns);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.clone())
            .with_projection(columns)
            .with_batch_size(size)
            .build()?;
        Ok(reader.map(|batch| batch.map_err(Error::from)))
    }
}
