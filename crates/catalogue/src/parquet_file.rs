//! A catalogue as a Parquet file: one row per galaxy, in the input's order.
//!
//! | column | type | meaning |
//! | --- | --- | --- |
//! | `source_file` | text | key (or file name) the galaxy was read from |
//! | `row_index` | int64 | its row in that file, from 0 |
//! | the data set's own | see [`OwnColumn`]; null where another file has the column and this one does not | what it says itself of the galaxy |
//! | `z_spec` | float64, null where unknown or not in [`REDSHIFTS`](crate::plausible::REDSHIFTS) | spectroscopic redshift of the input |
//! | `z_phot` | float32, null where there is none | predicted redshift |
//! | `z_phot_q02` … `z_phot_q98` | float32, null where `z_phot` is | its quantiles, in order of the levels of a [`LevelSet`], where the model is calibrated |
//! | `flags` | uint8 | why there is none, or what to know of it: the bits of [`Flag`] |
//!
//! What made the catalogue stands in the file's metadata under `cosmic.*` keys, and under `cosmic.flags`, as JSON, each
//! flag by its name with its bit and meaning. Units and descriptions of the columns are there for astropy:
//! [`descriptions`].

use std::{collections::HashSet, io::Write, ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, UInt8Array,
    cast::AsArray,
    new_null_array,
    types::{Float32Type, Float64Type, Int64Type, UInt8Type},
};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use parquet::{
    arrow::{
        ARROW_SCHEMA_META_KEY, ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder,
        arrow_writer::ArrowWriterOptions, encode_arrow_schema,
    },
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, ParquetMetaDataReader},
        properties::WriterProperties,
    },
    schema::types::ColumnPath,
};
use serde_json::{Value, json};

use crate::{
    columns::{CatalogueColumns, ColumnConflict, OwnColumns, is_known, missing},
    descriptions::{self, TextLengths},
    flags::Flag,
    intervals::{LevelSet, QuantileColumns},
    provenance::Provenance,
    rows::{CatalogueRows, OwnColumn},
};

/// Rows read at a time.
const ROWS_PER_BATCH: usize = 65_536;

/// The most rows, and bytes as they are encoded, of a row group. One is in memory while it is written, so that the
/// default of a million rows would be 60 MB of a calibrated model's catalogue, and more with columns of a data set's own.
const ROWS_PER_GROUP: usize = 1 << 18;
const BYTES_PER_GROUP: usize = 32 << 20;

/// The metadata that say what made a catalogue.
fn metadata(made_by: &Provenance) -> Vec<(String, String)> {
    [
        ("cosmic.fingerprint", made_by.fingerprint.clone()),
        ("cosmic.model", Some(made_by.model.clone())),
        ("cosmic.model_sha256", Some(made_by.model_sha256.clone())),
        ("cosmic.calibration", made_by.calibration.as_ref().and_then(|made_of| serde_json::to_string(made_of).ok())),
        ("cosmic.engine", Some(made_by.engine.clone())),
        ("cosmic.precision", Some(made_by.precision.clone())),
        ("cosmic.version", Some(made_by.version.clone())),
        ("cosmic.flags", Some(flags_metadata())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

/// Each flag by its name, with its bit and what it means.
fn flags_metadata() -> String {
    let flags = Flag::ALL.map(|flag| (flag.name().to_owned(), json!({"bit": flag.bit(), "meaning": flag.meaning()})));
    Value::Object(flags.into_iter().collect()).to_string()
}

/// The columns in front of the data set's own.
fn first_fields() -> [FieldRef; 2] {
    [Field::new("source_file", DataType::Utf8, false), Field::new("row_index", DataType::Int64, false)].map(Arc::new)
}

/// The columns behind the data set's own.
fn last_fields(levels: Option<LevelSet>) -> Vec<FieldRef> {
    let redshifts = [("z_spec", DataType::Float64), ("z_phot", DataType::Float32)];
    let redshifts = redshifts.map(|(name, data_type)| Field::new(name, data_type, true));
    let quantiles = levels.into_iter().flat_map(LevelSet::columns);
    let quantiles = quantiles.map(|name| Field::new(name, DataType::Float32, true));
    let flags = Field::new("flags", DataType::UInt8, false);
    redshifts.into_iter().chain(quantiles).chain([flags]).map(Arc::new).collect()
}

fn schema(own: &OwnColumns, levels: Option<LevelSet>) -> SchemaRef {
    let fields = first_fields().into_iter().chain(own.fields().cloned()).chain(last_fields(levels));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Writes a catalogue whose columns are known, row by row. Memory does not grow with the number of rows, but for what
/// the sink `W` keeps.
pub struct CatalogueWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    levels: Option<LevelSet>,
    rows: u64,
    text_lengths: TextLengths,
}

impl<W: Write + Send> CatalogueWriter<W> {
    /// Starts a catalogue with these columns.
    ///
    /// # Errors
    /// What Parquet says.
    pub fn new(to: W, columns: &CatalogueColumns) -> Result<Self, ParquetError> {
        let CatalogueColumns { own, levels } = columns;
        let schema = schema(own, *levels);
        // Texts and flags repeat. Numbers do not, and looking each up took more time than all else of writing them.
        let repeats = |field: &&FieldRef| matches!(field.data_type(), DataType::Utf8 | DataType::UInt8);
        let repeating = schema.fields().iter().filter(repeats).map(|field| ColumnPath::new(vec![field.name().clone()]));
        let builder = WriterProperties::builder().set_dictionary_enabled(false);
        let properties = repeating
            .fold(builder, |builder, column| builder.set_column_dictionary_enabled(column, true))
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("cosmic {}", env!("CARGO_PKG_VERSION")))
            .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
            .set_max_row_group_bytes(Some(BYTES_PER_GROUP))
            .build();
        // `finish` writes the Arrow schema, with what is known then.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(to, Arc::clone(&schema), options)?;
        Ok(Self { writer, schema, levels: *levels, rows: 0, text_lengths: TextLengths::default() })
    }

    /// Appends rows. A column that they lack is null.
    ///
    /// # Errors
    /// What Parquet or the sink says, and a column that the catalogue was started without.
    pub fn write(&mut self, rows: &CatalogueRows) -> Result<(), ParquetError> {
        let first = i64::try_from(rows.first_row)
            .map_err(|_| ParquetError::General(format!("row {} is beyond 64 bits", rows.first_row)))?;
        let count = rows.len();
        let own = &self.schema.fields()[first_fields().len()..];
        let own = &own[..own.len() - last_fields(self.levels).len()];
        if let Some(QuantileColumns { levels, .. }) = rows.quantiles
            && Some(levels) != self.levels
        {
            return Err(ParquetError::General("the catalogue was started with other quantiles".to_owned()));
        }
        if let Some(unknown) = rows.columns.iter().find(|column| !own.iter().any(|field| *field.name() == *column.name))
        {
            return Err(ParquetError::General(format!("the catalogue was started without a column {}", unknown.name)));
        }
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&rows.source_file, count))),
            Arc::new(Int64Array::from_iter_values((first..).take(count))),
        ];
        columns.extend(own.iter().map(|field| {
            let given = rows.columns.iter().find(|column| *column.name == **field.name());
            given.map_or_else(|| missing(field.data_type(), count), |column| Arc::clone(&column.values))
        }));
        columns.extend([
            Arc::new(Float64Array::from(rows.z_spec.clone())) as ArrayRef,
            Arc::new(Float32Array::from(rows.z_phot.clone())),
        ]);
        match &rows.quantiles {
            Some(QuantileColumns { values, .. }) => {
                columns.extend(values.iter().map(|values| Arc::new(Float32Array::from(values.clone())) as ArrayRef));
            }
            None => {
                let missing = self.levels.into_iter().flat_map(LevelSet::columns);
                columns.extend(missing.map(|_| new_null_array(&DataType::Float32, count)));
            }
        }
        columns.push(Arc::new(UInt8Array::from(rows.flags.clone())));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.rows += count as u64;
        self.text_lengths.add(&batch);
        self.writer.write(&batch)
    }

    /// Number of rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The sink, which has all row groups but the one that is being written.
    pub fn sink_mut(&mut self) -> &mut W {
        self.writer.inner_mut()
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
        let described = descriptions::described(&self.schema, &self.text_lengths, &made_by);
        self.note(ARROW_SCHEMA_META_KEY, encode_arrow_schema(&described));
        for (key, value) in made_by {
            self.note(&key, value);
        }
        self.writer.into_inner()
    }
}

/// Why rows cannot be put into a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Files do not fit each other.
    #[error(transparent)]
    Conflict(#[from] ColumnConflict),
    /// What Parquet says.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

/// A catalogue in memory whose columns become known with its rows.
pub struct GrowingCatalogue {
    writer: CatalogueWriter<Vec<u8>>,
    columns: CatalogueColumns,
}

impl GrowingCatalogue {
    /// Starts a catalogue without rows.
    ///
    /// # Errors
    /// What Parquet says.
    pub fn new() -> Result<Self, ParquetError> {
        let columns = CatalogueColumns::default();
        Ok(Self { writer: CatalogueWriter::new(Vec::new(), &columns)?, columns })
    }

    /// Appends rows. A column that they lack is null, and so is one that they bring in all rows before them, which are
    /// therefore written anew. All quantiles must be at the same levels.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] where a column has had another type, and what Parquet says.
    pub fn write(&mut self, rows: &CatalogueRows) -> Result<(), WriteError> {
        if self.columns.admit(rows)? {
            let wider = CatalogueWriter::new(Vec::new(), &self.columns)?;
            let mut narrow = std::mem::replace(&mut self.writer, wider);
            // Without it, vectors would be read back as lists of any length, which no catalogue has.
            narrow.note(ARROW_SCHEMA_META_KEY, encode_arrow_schema(&narrow.schema));
            for rows in read(narrow.writer.into_inner()?.into())? {
                self.writer.write(&rows?)?;
            }
        }
        Ok(self.writer.write(rows)?)
    }

    /// Number of rows written so far.
    pub fn rows(&self) -> u64 {
        self.writer.rows()
    }

    /// Writes the footer, with some entries of metadata and what made the catalogue, and gives the file's bytes.
    ///
    /// # Errors
    /// What Parquet says.
    pub fn finish(mut self, notes: &[(&str, String)], made_by: &Provenance) -> Result<Bytes, ParquetError> {
        for (key, value) in notes {
            self.writer.note(key, value.clone());
        }
        Ok(self.writer.finish(made_by)?.into())
    }
}

/// Reads a catalogue back, as runs of consecutive rows of one file.
///
/// # Errors
/// What Parquet says, and columns or types that are not a catalogue's.
pub fn read(bytes: Bytes) -> Result<impl Iterator<Item = Result<CatalogueRows, ParquetError>>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let found = &builder.schema().fields()[..];
    let own = found.strip_prefix(&first_fields()).and_then(|rest| {
        let mut levels = [None, Some(LevelSet::Five), Some(LevelSet::All)].into_iter();
        levels.find_map(|levels| Some((rest.strip_suffix(&last_fields(levels)[..])?, levels)))
    });
    let Some((_, levels)) = own.filter(|(own, _)| are_own(own)) else {
        return Err(ParquetError::General(format!("these are not a catalogue's columns: {}", builder.schema())));
    };
    let batches = builder.with_batch_size(ROWS_PER_BATCH).build()?;
    Ok(batches.flat_map(move |batch| match batch {
        Ok(batch) => runs(&batch, levels).into_iter().map(Ok).collect::<Vec<_>>(),
        Err(error) => vec![Err(error.into())],
    }))
}

/// Whether these may be columns that data sets brought along.
fn are_own(fields: &[FieldRef]) -> bool {
    let names: HashSet<_> = fields.iter().map(|field| field.name()).collect();
    names.len() == fields.len() && fields.iter().all(|field| is_known(field.data_type()))
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
fn runs(batch: &RecordBatch, levels: Option<LevelSet>) -> Vec<CatalogueRows> {
    let files = batch.column(0).as_string::<i32>();
    let indices = batch.column(1).as_primitive::<Int64Type>();
    let last = batch.num_columns() - last_fields(levels).len();
    let float32 = |column: usize| batch.column(column).as_primitive::<Float32Type>();
    let z_spec = batch.column(last).as_primitive::<Float64Type>();
    let z_phot = float32(last + 1);
    let quantiles: Vec<_> = (last + 2..batch.num_columns() - 1).map(float32).collect();
    let flags = batch.column(batch.num_columns() - 1).as_primitive::<UInt8Type>();
    let valid = |values: &Float32Array, rows: Range<usize>| -> Vec<_> {
        rows.map(|row| values.is_valid(row).then(|| values.value(row))).collect()
    };
    let fields = batch.schema_ref().fields();
    let names: Vec<Arc<str>> = fields.iter().map(|field| field.name().as_str().into()).collect();
    let own = first_fields().len()..last;
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
            columns: own
                .clone()
                .map(|at| OwnColumn { name: names[at].clone(), values: batch.column(at).slice(start, end - start) })
                .collect(),
            z_spec: (start..end).map(|row| z_spec.is_valid(row).then(|| z_spec.value(row))).collect(),
            z_phot: valid(z_phot, start..end),
            quantiles: levels.map(|levels| QuantileColumns {
                levels,
                values: quantiles.iter().map(|values| valid(values, start..end)).collect(),
            }),
            flags: flags.values()[start..end].to_vec(),
        });
        start = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use arrow_array::{BooleanArray, FixedSizeListArray, UInt64Array};
    use proptest::prelude::*;

    use super::*;
    use crate::columns::is_missing;

    fn provenance() -> Provenance {
        Provenance {
            fingerprint: Some("f00d".into()),
            model: "m.pt".into(),
            model_sha256: "ab".into(),
            calibration: None,
            engine: "tch".into(),
            precision: "f32".into(),
            version: "1".into(),
        }
    }

    fn rows(file: &str, first_row: u64, count: usize) -> CatalogueRows {
        CatalogueRows {
            source_file: file.into(),
            first_row,
            columns: Vec::new(),
            z_spec: (0..count).map(|row| (row % 3 != 0).then_some(row as f64 / 7.0)).collect(),
            z_phot: (0..count).map(|row| (row % 2 == 0).then_some(row as f32 / 9.0)).collect(),
            quantiles: None,
            flags: (0..count).map(|row| (row % 2) as u8).collect(),
        }
    }

    fn written(parts: &[CatalogueRows]) -> Bytes {
        let mut catalogue = GrowingCatalogue::new().unwrap();
        for part in parts {
            catalogue.write(part).unwrap();
        }
        catalogue.finish(&[], &provenance()).unwrap()
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let parts = [rows("a/1.pt", 0, 5), rows("a/2.pt", 7, 3), rows("a/2.pt", 11, 2)];
        let back: Vec<_> = read(written(&parts)).unwrap().map(Result::unwrap).collect();
        assert_eq!(back, parts);
    }

    #[test]
    fn columns_of_data_sets_come_back_with_their_types_and_are_null_where_a_file_lacks_them() {
        let length_three = Field::new_list_field(DataType::Float32, true);
        let values = Arc::new(Float32Array::from_iter_values((0..6_u8).map(f32::from)));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(UInt64Array::from(vec![u64::MAX, 1 << 53 | 1]))),
            ("name", Arc::new(StringArray::from(vec![Some("M 31"), None]))),
            ("is_star", Arc::new(BooleanArray::from(vec![true, false]))),
            ("size", Arc::new(FixedSizeListArray::new(Arc::new(length_three), 3, values, None))),
        ];
        let own = |columns: &[(&str, ArrayRef)]| {
            let column = |(name, values): &(&str, ArrayRef)| OwnColumn { name: (*name).into(), values: values.clone() };
            columns.iter().map(column).collect::<Vec<_>>()
        };
        let parts = [
            CatalogueRows { columns: own(&columns[..1]), ..rows("1.pt", 0, 2) },
            rows("2.pt", 0, 3),
            CatalogueRows { columns: own(&columns), ..rows("3.pt", 0, 2) },
        ];
        let back: Vec<_> = read(written(&parts)).unwrap().map(Result::unwrap).collect();
        assert_eq!(back[2], parts[2]);
        assert_eq!((&back[0].columns[0], back[0].columns.len()), (&parts[0].columns[0], 4));
        for absent in back[0].columns[1..].iter().chain(&back[1].columns) {
            assert!(is_missing(&absent.values), "{}", absent.name);
        }
        assert_eq!(
            (back[0].z_phot.clone(), back[1].z_spec.clone()),
            (parts[0].z_phot.clone(), parts[1].z_spec.clone())
        );
    }

    #[test]
    fn vectors_stay_vectors_where_a_later_file_brings_a_column() {
        let item = Arc::new(Field::new_list_field(DataType::Int16, true));
        let values = Arc::new(arrow_array::Int16Array::from_iter_values(0..4));
        let size: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, values, None));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let column = |name: &str, values: &ArrayRef| OwnColumn { name: name.into(), values: Arc::clone(values) };
        let parts = [
            CatalogueRows { columns: vec![column("size", &size)], ..rows("1.pt", 0, 2) },
            CatalogueRows { columns: vec![column("size", &size), column("id", &ids)], ..rows("2.pt", 0, 2) },
        ];
        let back: Vec<_> = read(written(&parts)).unwrap().map(Result::unwrap).collect();
        assert_eq!((&back[0].columns[0], &back[1]), (&parts[0].columns[0], &parts[1]));
        assert_eq!(back[0].columns[1].values.null_count(), 2);
    }

    #[test]
    fn a_column_of_another_type_is_refused_and_costs_nothing_that_was_written() {
        let column = |values| vec![OwnColumn { name: "id".into(), values }];
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let mut catalogue = GrowingCatalogue::new().unwrap();
        catalogue.write(&CatalogueRows { columns: column(Arc::clone(&ids)), ..rows("1.pt", 0, 2) }).unwrap();
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let error = catalogue.write(&CatalogueRows { columns: column(names), ..rows("2.pt", 0, 2) }).unwrap_err();
        assert!(matches!(error, WriteError::Conflict(_)), "{error}");
        assert_eq!(catalogue.rows(), 2);
        assert_eq!(read(catalogue.finish(&[], &provenance()).unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn quantiles_come_back_and_are_null_in_rows_that_have_none() {
        let with = |levels: LevelSet, rows: CatalogueRows| {
            let column = |offset: f32| rows.z_phot.iter().map(|z| z.map(|z| z + offset)).collect();
            let values = (0..levels.columns().count()).map(|level| column(level as f32)).collect();
            CatalogueRows { quantiles: Some(QuantileColumns { levels, values }), ..rows }
        };
        for (levels, columns) in [(LevelSet::Five, 10), (LevelSet::All, 28)] {
            let parts = [rows("1.pt", 0, 3), with(levels, rows("2.pt", 0, 4))];
            let bytes = written(&parts);
            let schema = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap().schema().clone();
            assert_eq!(schema.fields().len(), columns);
            assert_eq!(schema.field(4).name(), "z_phot_q02");
            let back: Vec<_> = read(bytes).unwrap().map(Result::unwrap).collect();
            assert_eq!(back[1], parts[1]);
            let nulls = QuantileColumns { levels, values: vec![vec![None; 3]; levels.columns().count()] };
            assert_eq!(back[0], CatalogueRows { quantiles: Some(nulls), ..parts[0].clone() });
        }
        let mut catalogue = GrowingCatalogue::new().unwrap();
        catalogue.write(&with(LevelSet::Five, rows("1.pt", 0, 3))).unwrap();
        let said = catalogue.write(&with(LevelSet::All, rows("2.pt", 0, 3))).unwrap_err().to_string();
        assert!(said.contains("other quantiles"), "{said}");
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
                columns: Vec::new(),
                z_spec: rows.iter().map(|(z_spec, ..)| z_spec.map(f64::from_bits)).collect(),
                z_phot: rows.iter().map(|(_, z_phot, _)| z_phot.map(f32::from_bits)).collect(),
                quantiles: None,
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
