//! A catalogue as a Parquet file: one row per galaxy, in the input's order.
//!
//! | column | type | meaning |
//! | --- | --- | --- |
//! | `source_file` | text | key (or file name) the galaxy was read from |
//! | `row_index` | int64 | its row in that file, from 0 |
//! | `z_spec` | float64, null where unknown or not in [`REDSHIFTS`](crate::plausible::REDSHIFTS) | spectroscopic redshift of the input |
//! | `z_phot` | float32, null where there is none | predicted redshift |
//! | `flags` | uint8 | why there is none: the bits of [`Flag`] |
//!
//! What made the catalogue stands in the file's metadata under `cosmic.*` keys, and under `cosmic.flags`, as JSON, each
//! flag by its name with its bit and meaning. Units and descriptions of the columns are there for astropy:
//! [`descriptions`](crate::descriptions).

use std::{io::Write, sync::Arc};

use arrow_array::{
    Array, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, UInt8Array,
    cast::AsArray,
    types::{Float32Type, Float64Type, Int64Type, UInt8Type},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, ParquetMetaDataReader},
        properties::WriterProperties,
    },
};
use serde_json::{Value, json};

use crate::{
    descriptions::{TextLengths, astropy_metadata},
    flags::Flag,
    provenance::Provenance,
    rows::CatalogueRows,
};

/// Rows read at a time.
const ROWS_PER_BATCH: usize = 65_536;

/// The metadata that say what made a catalogue.
fn metadata(made_by: &Provenance) -> Vec<KeyValue> {
    [
        ("cosmic.fingerprint", made_by.fingerprint.clone()),
        ("cosmic.model", Some(made_by.model.clone())),
        ("cosmic.model_sha256", Some(made_by.model_sha256.clone())),
        ("cosmic.engine", Some(made_by.engine.clone())),
        ("cosmic.version", Some(made_by.version.clone())),
        ("cosmic.flags", Some(flags_metadata())),
    ]
    .into_iter()
    .filter(|(_, value)| value.is_some())
    .map(|(key, value)| KeyValue::new(key.to_owned(), value))
    .collect()
}

/// Each flag by its name, with its bit and what it means.
fn flags_metadata() -> String {
    let flags = Flag::ALL.map(|flag| (flag.name().to_owned(), json!({"bit": flag.bit(), "meaning": flag.meaning()})));
    Value::Object(flags.into_iter().collect()).to_string()
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("source_file", DataType::Utf8, false),
        Field::new("row_index", DataType::Int64, false),
        Field::new("z_spec", DataType::Float64, true),
        Field::new("z_phot", DataType::Float32, true),
        Field::new("flags", DataType::UInt8, false),
    ]))
}

/// Writes a catalogue row by row. Memory does not grow with the number of rows, but for what the sink `W` keeps.
pub struct CatalogueWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    rows: u64,
    text_lengths: TextLengths,
}

impl<W: Write + Send> CatalogueWriter<W> {
    /// Starts a catalogue.
    ///
    /// # Errors
    /// What Parquet says.
    pub fn new(to: W) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("cosmic {}", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            writer: ArrowWriter::try_new(to, schema(), Some(properties))?,
            rows: 0,
            text_lengths: TextLengths::default(),
        })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// What Parquet or the sink says.
    pub fn write(&mut self, rows: &CatalogueRows) -> Result<(), ParquetError> {
        let first = i64::try_from(rows.first_row)
            .map_err(|_| ParquetError::General(format!("row {} is beyond 64 bits", rows.first_row)))?;
        let count = rows.len();
        let batch = RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&rows.source_file, count))),
                Arc::new(Int64Array::from_iter_values((first..).take(count))),
                Arc::new(Float64Array::from(rows.z_spec.clone())),
                Arc::new(Float32Array::from(rows.z_phot.clone())),
                Arc::new(UInt8Array::from(rows.flags.clone())),
            ],
        )?;
        self.rows += count as u64;
        self.text_lengths.add(&batch);
        self.writer.write(&batch)
    }

    /// Number of rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds an entry to the file's metadata.
    pub fn note(&mut self, key: &str, value: String) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Writes the footer, with what made the catalogue, and gives the sink back.
    ///
    /// # Errors
    /// What Parquet or the sink says.
    pub fn finish(mut self, made_by: &Provenance) -> Result<W, ParquetError> {
        let made_by = metadata(made_by);
        for entry in astropy_metadata(&schema(), &self.text_lengths, &made_by).into_iter().chain(made_by) {
            self.writer.append_key_value_metadata(entry);
        }
        self.writer.into_inner()
    }
}

/// Reads a catalogue back, as runs of consecutive rows of one file.
///
/// # Errors
/// What Parquet says, and columns or types that are not a catalogue's.
pub fn read(bytes: Bytes) -> Result<impl Iterator<Item = Result<CatalogueRows, ParquetError>>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let (found, expected) = (builder.schema(), schema());
    if found.fields() != expected.fields() {
        return Err(ParquetError::General(format!("these are not a catalogue's columns: {found}")));
    }
    let batches = builder.with_batch_size(ROWS_PER_BATCH).build()?;
    Ok(batches.flat_map(|batch| match batch {
        Ok(batch) => runs(&batch).into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error.into())],
    }))
}

/// Reads an entry of the metadata of a Parquet file, where it has it.
///
/// # Errors
/// What Parquet says.
pub fn read_metadata(bytes: &Bytes, key: &str) -> Result<Option<String>, ParquetError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes)?;
    let entries = metadata.file_metadata().key_value_metadata();
    Ok(entries.into_iter().flatten().find(|entry| entry.key == key).and_then(|entry| entry.value.clone()))
}

/// The number of rows that the footer of a Parquet file speaks of.
///
/// # Errors
/// What Parquet says.
pub fn row_count(bytes: &Bytes) -> Result<u64, ParquetError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes)?;
    Ok(metadata
        .row_groups()
        .iter()
        .map(|group| u64::try_from(group.num_rows()).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add))
}

/// Cuts a batch where the file changes or the row index does not go on by one.
fn runs(batch: &RecordBatch) -> Vec<CatalogueRows> {
    let files = batch.column(0).as_string::<i32>();
    let indices = batch.column(1).as_primitive::<Int64Type>();
    let z_spec = batch.column(2).as_primitive::<Float64Type>();
    let z_phot = batch.column(3).as_primitive::<Float32Type>();
    let flags = batch.column(4).as_primitive::<UInt8Type>();
    let goes_on = |row: usize| {
        files.value(row) == files.value(row - 1) && indices.value(row).checked_sub(1) == Some(indices.value(row - 1))
    };
    let mut found = Vec::new();
    let mut start = 0;
    while start < batch.num_rows() {
        let end = (start + 1..batch.num_rows()).find(|row| !goes_on(*row)).unwrap_or(batch.num_rows());
        found.push(CatalogueRows {
            source_file: files.value(start).to_owned(),
            // A negative index is no catalogue's: it fails the comparison with the plan as this impossible row.
            first_row: u64::try_from(indices.value(start)).unwrap_or(u64::MAX),
            z_spec: (start..end).map(|row| z_spec.is_valid(row).then(|| z_spec.value(row))).collect(),
            z_phot: (start..end).map(|row| z_phot.is_valid(row).then(|| z_phot.value(row))).collect(),
            flags: flags.values()[start..end].to_vec(),
        });
        start = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn provenance() -> Provenance {
        Provenance {
            fingerprint: Some("f00d".into()),
            model: "m.pt".into(),
            model_sha256: "ab".into(),
            engine: "tch".into(),
            version: "1".into(),
        }
    }

    fn rows(file: &str, first_row: u64, count: usize) -> CatalogueRows {
        CatalogueRows {
            source_file: file.into(),
            first_row,
            z_spec: (0..count).map(|row| (row % 3 != 0).then_some(row as f64 / 7.0)).collect(),
            z_phot: (0..count).map(|row| (row % 2 == 0).then_some(row as f32 / 9.0)).collect(),
            flags: (0..count).map(|row| (row % 2) as u8).collect(),
        }
    }

    fn written(parts: &[CatalogueRows]) -> Bytes {
        let mut writer = CatalogueWriter::new(Vec::new()).unwrap();
        for part in parts {
            writer.write(part).unwrap();
        }
        writer.finish(&provenance()).unwrap().into()
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let parts = [rows("a/1.pt", 0, 5), rows("a/2.pt", 7, 3), rows("a/2.pt", 11, 2)];
        let back: Vec<_> = read(written(&parts)).unwrap().map(Result::unwrap).collect();
        assert_eq!(back, parts);
    }

    #[test]
    fn the_same_rows_give_the_same_bytes() {
        assert_eq!(written(&[rows("a", 0, 100)]), written(&[rows("a", 0, 100)]));
    }

    #[test]
    fn an_empty_catalogue_is_a_valid_file() {
        assert_eq!(read(written(&[])).unwrap().count(), 0);
    }

    #[test]
    fn the_metadata_say_what_each_flag_means() {
        let reader = ParquetRecordBatchReaderBuilder::try_new(written(&[])).unwrap();
        let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
        let flags = metadata.iter().find(|entry| entry.key == "cosmic.flags").unwrap().value.as_deref().unwrap();
        let flags: Value = serde_json::from_str(flags).unwrap();
        assert_eq!(flags["bad_magnitude"]["bit"], 2);
        assert_eq!(flags["bad_magnitude"]["meaning"], "a magnitude is NaN, infinite, or outside -5 to 50");
        assert_eq!(flags.as_object().unwrap().len(), Flag::ALL.len());
    }

    #[test]
    fn what_is_not_a_catalogue_is_an_error() {
        assert!(read(Bytes::from_static(b"PAR1 not really")).is_err());
    }

    proptest! {
        #[test]
        fn any_bit_pattern_comes_back(
            rows in proptest::collection::vec((any::<Option<u64>>(), any::<Option<u32>>(), any::<u8>()), 1..50),
            first_row in 0..1_u64 << 60,
        ) {
            let rows = CatalogueRows {
                source_file: "a/\u{0}1.pt".into(),
                first_row,
                z_spec: rows.iter().map(|(z_spec, ..)| z_spec.map(f64::from_bits)).collect(),
                z_phot: rows.iter().map(|(_, z_phot, _)| z_phot.map(f32::from_bits)).collect(),
                flags: rows.iter().map(|(.., flags)| *flags).collect(),
            };
            let back: Vec<CatalogueRows> = read(written(std::slice::from_ref(&rows))).unwrap().map(Result::unwrap).collect();
            // NaN is not equal to itself, but its bits are.
            let bits = |rows: &CatalogueRows| {
                let z_spec: Vec<_> = rows.z_spec.iter().map(|z| z.map(f64::to_bits)).collect();
                let z_phot: Vec<_> = rows.z_phot.iter().map(|z| z.map(f32::to_bits)).collect();
                (rows.source_file.clone(), rows.first_row, z_spec, z_phot, rows.flags.clone())
            };
            prop_assert_eq!(back.iter().map(bits).collect::<Vec<_>>(), vec![bits(&rows)]);
        }
    }
}
