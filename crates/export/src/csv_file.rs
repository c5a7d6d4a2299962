//! CSV as [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180) has it, with a header line and in UTF-8.
//!
//! Null is an empty field, and so is an empty text. A number is in the shortest form that reads back as the same, that
//! of its own type. A vector is a column for each of its values, `name_0`, `name_1` ….

use std::io::Write;

use crate::{
    columns::{ColumnType, Element, Values},
    distinct_names::distinct_names,
    error::Error,
    parquet_file::CatalogueFile,
};

/// Rows read at a time.
const ROWS_PER_BATCH: usize = 8192;

/// Writes a catalogue as CSV, and gives what a person should know of it.
///
/// # Errors
/// Those of reading, of writing, and [`Error::Type`].
pub fn write_csv(catalogue: &CatalogueFile, to: impl Write) -> Result<Vec<String>, Error> {
    let fields = catalogue.schema().fields();
    let types: Vec<ColumnType> = fields.iter().map(|field| ColumnType::of(field)).collect::<Result<_, _>>()?;
    let names: Vec<String> = std::iter::zip(fields, &types)
        .flat_map(|(field, column_type)| match column_type.vector {
            None => vec![field.name().clone()],
            Some(length) => (0..length).map(|index| format!("{}_{index}", field.name())).collect(),
        })
        .collect();
    let header = distinct_names(&names, str::to_owned);
    let renamed = std::iter::zip(&names, &header).filter(|(name, distinct)| name != distinct);
    let notices = renamed
        .map(|(name, distinct)| format!("a second column `{name}` is called `{distinct}` in the CSV file"))
        .collect();

    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(to);
    writer.write_record(&header)?;
    for batch in catalogue.batches(ROWS_PER_BATCH, 0..fields.len())? {
        let batch = batch?;
        let columns: Vec<Values> = batch.columns().iter().map(|column| Values::of(column)).collect();
        for row in 0..batch.num_rows() {
            for (values, column_type) in std::iter::zip(&columns, &types) {
                for index in values.of_row(row) {
                    let field = index.map(|index| shown(values, column_type.element, index));
                    writer.write_field(field.unwrap_or_default())?;
                }
            }
            writer.write_record(None::<&[u8]>)?;
        }
    }
    writer.flush()?;
    Ok(notices)
}

/// A value as text. Rust's debug form of a float is the shortest that reads back as the same, with an exponent where
/// the number is very large or small.
fn shown(values: &Values, element: Element, index: usize) -> String {
    match element {
        Element::Bool => values.bool(index).to_string(),
        Element::Integer { .. } => values.integer(index).to_string(),
        Element::Float32 => format!("{:?}", values.float32(index)),
        Element::Float64 => format!("{:?}", values.float64(index)),
        Element::Text => values.text(index).to_owned(),
    }
}
