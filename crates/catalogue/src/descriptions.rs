//! What the columns of a catalogue mean and which units they have, for people and for astropy.
//!
//! Only our own columns are described. Those that a data set has brought are known by name and type alone: an `ra` may
//! be in degrees or in hours.
//!
//! astropy's `Table.read` takes units and descriptions of a Parquet file from the entry `table_meta_yaml` of its
//! metadata, the header of an ECSV file as YAML, and the lengths of texts from entries `table::len::<column>`, without
//! which it warns (`astropy/io/misc/parquet.py`, the same in its versions 6.1 to 8.0). It reads no file of which the
//! YAML leaves a column out, so that all are listed. Nulls have no place there: they come as NaN, and those of texts as
//! `None`.
//!
//! pyarrow, through which it reads, shows of a file's metadata only what stands in the Arrow schema that is stored
//! among them as well. That is why [`described`] makes such a schema, which has to be stored at the end, when all texts
//! were seen.

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Metadata, Schema};

use crate::{
    flags::Flag,
    intervals::{LEVELS, LevelSet},
};

/// What a column means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The unit as the International Virtual Observatory Alliance writes it (VOUnits), which is empty for a number
    /// without dimension; `None` for what is no quantity.
    pub unit: Option<&'static str>,
    /// One phrase, without a full stop.
    pub text: String,
}

/// What one of our own columns means; `None` for a data set's own.
pub fn of_column(name: &str) -> Option<Description> {
    let redshift = |text: String| Some(Description { unit: Some(""), text });
    let other = |text: String| Some(Description { unit: None, text });
    match name {
        "source_file" => other("key or path of the file that the galaxy is in".into()),
        "row_index" => other("the galaxy's row in that file, from 0".into()),
        "z_spec" => redshift("spectroscopic redshift of the data set".into()),
        "z_phot" => redshift("predicted redshift".into()),
        "flags" => {
            let flags = Flag::ALL.map(|flag| format!("{} {}", flag.bit(), flag.name()));
            other(format!("sum of {}", flags.join(", ")))
        }
        _ => {
            let (_, level) = std::iter::zip(LevelSet::All.columns(), LEVELS).find(|(column, _)| column == name)?;
            redshift(format!("the redshift is below this with a probability of {:.2} %", 100.0 * level))
        }
    }
}

/// The length in characters of the longest text of each column that has texts.
#[derive(Debug, Clone, Default)]
pub struct TextLengths(BTreeMap<String, usize>);

impl TextLengths {
    /// Looks at the rows of a batch.
    pub fn add(&mut self, batch: &RecordBatch) {
        for (field, array) in std::iter::zip(batch.schema_ref().fields(), batch.columns()) {
            if let Some(texts) = array.as_string_opt::<i32>() {
                let longest = texts.iter().flatten().map(|text| text.chars().count()).max();
                // astropy makes the four letters None of null.
                let null = (texts.null_count() > 0).then_some(4);
                let length = self.0.entry(field.name().clone()).or_default();
                *length = (*length).max(longest.unwrap_or(0)).max(null.unwrap_or(0));
            }
        }
    }
}

/// A catalogue's schema with what astropy reads of all its columns, and what made the catalogue, in its metadata.
/// astropy makes the latter the table's `meta`.
pub fn described(schema: &Schema, lengths: &TextLengths, made_by: &[(String, String)]) -> Schema {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut entries = vec![("name", field.name().clone()), ("datatype", datatype(field.data_type()))];
            if let DataType::FixedSizeList(item, length) = field.data_type() {
                entries.push(("subtype", format!("{}[{length}]", datatype(item.data_type()))));
            }
            if let Some(Description { unit, text }) = of_column(field.name()) {
                entries.extend(unit.map(|unit| ("unit", unit.to_owned())));
                entries.push(("description", text));
            }
            format!("- {}", mapping(entries.iter().map(|(key, text)| (*key, text.as_str()))))
        })
        .collect();
    let meta = mapping(made_by.iter().map(|(key, text)| (key.as_str(), text.as_str())));
    let yaml = format!("datatype:\n{}\nmeta: {meta}", columns.join("\n"));
    let lengths = lengths.0.iter().map(|(name, length)| (format!("table::len::{name}"), length.max(&1).to_string()));
    let entries = lengths.chain([("table_meta_yaml".to_owned(), yaml)]).chain(made_by.iter().cloned());
    Schema::new_with_metadata(schema.fields().clone(), entries.collect::<Metadata>())
}

/// A type by its name in ECSV, which has vectors as texts with a subtype.
fn datatype(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "bool".to_owned(),
        DataType::Utf8 | DataType::FixedSizeList(..) => "string".to_owned(),
        number => number.to_string().to_lowercase(),
    }
}

/// A YAML mapping of texts, on one line.
fn mapping<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let entries: Vec<String> =
        entries.into_iter().map(|(key, text)| format!("{}: {}", quoted(key), quoted(text))).collect();
    format!("{{{}}}", entries.join(", "))
}

/// A text in double quotes, as YAML has it. All but printable ASCII is escaped: YAML's readers refuse some characters
/// as they are, and take others for line breaks.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            '\0'..='\u{ffff}' => quoted += &format!("\\u{:04x}", u32::from(character)),
            _ => quoted += &format!("\\U{:08x}", u32::from(character)),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::StringArray;
    use arrow_schema::Field;

    use super::*;

    #[test]
    fn every_column_is_listed_and_ours_are_described() {
        let vector = DataType::FixedSizeList(Arc::new(Field::new_list_field(DataType::Float32, true)), 5);
        let schema = Schema::new(vec![
            Field::new("source_file", DataType::Utf8, false),
            Field::new("mag\"s: é\u{2028}\u{1f30c}", vector, true),
            Field::new("z_phot_q16", DataType::Float32, true),
            Field::new("z_phot_quality", DataType::UInt8, true),
        ]);
        let described = described(&schema, &TextLengths::default(), &[("cosmic.model".into(), "m.pt".into())]);
        assert_eq!((described.fields(), described.metadata().len()), (schema.fields(), 2));
        assert_eq!(described.metadata()["cosmic.model"], "m.pt");
        assert_eq!(
            described.metadata()["table_meta_yaml"].lines().collect::<Vec<_>>(),
            [
                "datatype:",
                r#"- {"name": "source_file", "datatype": "string", "description": "key or path of the file that the galaxy is in"}"#,
                r#"- {"name": "mag\"s: \u00e9\u2028\U0001f30c", "datatype": "string", "subtype": "float32[5]"}"#,
                r#"- {"name": "z_phot_q16", "datatype": "float32", "unit": "", "description": "the redshift is below this with a probability of 15.87 %"}"#,
                r#"- {"name": "z_phot_quality", "datatype": "uint8"}"#,
                r#"meta: {"cosmic.model": "m.pt"}"#,
            ]
        );
    }

    #[test]
    fn lengths_of_texts_are_those_in_characters() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        let batch = |texts: Vec<Option<&str>>| {
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(StringArray::from(texts))]).unwrap()
        };
        let mut lengths = TextLengths::default();
        let length = |lengths: &TextLengths| described(&schema, lengths, &[]).metadata()["table::len::a"].clone();
        lengths.add(&batch(vec![]));
        assert_eq!(length(&lengths), "1");
        lengths.add(&batch(vec![None, Some("é")]));
        assert_eq!(length(&lengths), "4");
        lengths.add(&batch(vec![Some("éééééé"), Some("")]));
        assert_eq!(length(&lengths), "6");
    }
}
