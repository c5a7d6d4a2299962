//! The columns that data sets bring along, such as identifiers and positions, in the catalogue under their own names.

use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::{DataType, Field, FieldRef};
use serde::{Deserialize, Serialize};

use crate::rows::{CatalogueRows, OwnColumn};

/// The longest list of numbers that a galaxy may have in a column.
const MAX_LENGTH: i32 = 64;

/// Whether columns of this type are known.
pub(crate) fn is_known(data_type: &DataType) -> bool {
    match data_type {
        DataType::FixedSizeList(item, length) => {
            (2..=MAX_LENGTH).contains(length)
                && (item.data_type().is_numeric() || *item.data_type() == DataType::Boolean)
                && is_known(item.data_type())
        }
        DataType::Boolean | DataType::Utf8 | DataType::Float32 | DataType::Float64 => true,
        other => other.is_integer(),
    }
}

/// A short name of a column's type, as torch would say it: `int64`, `text`, `float32 [3]`.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::FixedSizeList(item, length) => format!("{} [{length}]", type_name(item.data_type())),
        DataType::Boolean => "bool".to_owned(),
        DataType::Utf8 => "text".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// Two files have a column of the same name with different types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the column {column} is {first_type} in {first_file} and {second_type} in {second_file}: save it with one type in \
     all files"
)]
pub struct ColumnConflict {
    /// The column's name.
    pub column: String,
    /// A file that has it.
    pub first_file: String,
    /// Its type there.
    pub first_type: String,
    /// Another file that has it.
    pub second_file: String,
    /// Its type there.
    pub second_type: String,
}

/// The columns that the files of a catalogue bring along, each with one type and the first file that has it.
#[derive(Debug, Clone, Default)]
pub struct OwnColumns {
    columns: Vec<(FieldRef, String)>,
}

impl OwnColumns {
    /// Takes in a column of a file.
    ///
    /// # Errors
    /// [`ColumnConflict`] where an earlier file has it with another type.
    pub fn admit(&mut self, file: &str, name: &str, data_type: &DataType) -> Result<(), ColumnConflict> {
        let Some((known, first_file)) = self.columns.iter().find(|(field, _)| field.name() == name) else {
            let field = Field::new(name, data_type.clone(), true);
            self.columns.push((Arc::new(field), file.to_owned()));
            return Ok(());
        };
        match known.data_type() == data_type {
            true => Ok(()),
            false => Err(ColumnConflict {
                column: name.to_owned(),
                first_file: first_file.clone(),
                first_type: type_name(known.data_type()),
                second_file: file.to_owned(),
                second_type: type_name(data_type),
            }),
        }
    }

    /// Takes in the columns of some rows, and says whether there was a new one among them.
    pub(crate) fn admit_rows(&mut self, rows: &CatalogueRows) -> Result<bool, ColumnConflict> {
        let known = self.columns.len();
        for OwnColumn { name, values } in &rows.columns {
            self.admit(&rows.source_file, name, values.data_type())?;
        }
        Ok(self.columns.len() > known)
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.columns.iter().map(|(field, _)| field)
    }
}

/// What a catalogue says of a column that data sets brought along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// The column's name.
    pub name: String,
    /// Its type, such as `int64`, `float32 [3]` or `text`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Number of files in which no galaxy has a value in it: it is null there.
    pub files_without: u64,
    /// The first of these files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_without: Option<String>,
}

/// Counts in how many files the columns have values, while a catalogue is written in the order of its files.
#[derive(Debug, Default)]
pub struct ColumnCounts {
    /// The files before the current one, and the first of all.
    files_before: u64,
    first_file: Option<String>,
    current_file: Option<String>,
    columns: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    summary: ColumnSummary,
    /// Whether the current file has a value in it.
    is_in_current: bool,
}

impl ColumnCounts {
    /// Takes in some rows.
    pub fn add(&mut self, rows: &CatalogueRows) {
        if rows.is_empty() {
            return;
        }
        if self.current_file.as_ref() != Some(&rows.source_file) {
            self.end_file();
            self.first_file.get_or_insert_with(|| rows.source_file.clone());
            self.current_file = Some(rows.source_file.clone());
        }
        for OwnColumn { name, values } in &rows.columns {
            let known = self.columns.iter().position(|counted| *counted.summary.name == **name);
            let place = known.unwrap_or_else(|| {
                let summary = ColumnSummary {
                    name: name.to_string(),
                    kind: type_name(values.data_type()),
                    files_without: self.files_before,
                    first_without: self.first_file.clone().filter(|_| self.files_before > 0),
                };
                self.columns.push(Counted { summary, is_in_current: false });
                self.columns.len() - 1
            });
            self.columns[place].is_in_current |= values.null_count() < values.len();
        }
    }

    fn end_file(&mut self) {
        let Some(ended) = self.current_file.take() else { return };
        self.files_before += 1;
        for Counted { summary, is_in_current } in &mut self.columns {
            if !std::mem::take(is_in_current) {
                summary.files_without += 1;
                summary.first_without.get_or_insert_with(|| ended.clone());
            }
        }
    }

    /// What there is to say once all rows were taken in.
    pub fn summaries(mut self) -> Vec<ColumnSummary> {
        self.end_file();
        self.columns.into_iter().map(|counted| counted.summary).collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Float32Array, Int64Array};

    use super::*;

    fn rows(file: &str, columns: Vec<(&str, ArrayRef)>) -> CatalogueRows {
        CatalogueRows {
            source_file: file.into(),
            columns: columns.into_iter().map(|(name, values)| OwnColumn { name: name.into(), values }).collect(),
            z_spec: vec![None; 2],
            z_phot: vec![None; 2],
            quantiles: None,
            flags: vec![1; 2],
            ..CatalogueRows::default()
        }
    }

    fn ids() -> ArrayRef {
        Arc::new(Int64Array::from(vec![7, 8]))
    }

    #[test]
    fn a_column_of_two_types_names_the_files_that_differ() {
        let mut columns = OwnColumns::default();
        assert_eq!(columns.admit_rows(&rows("1.pt", vec![("id", ids())])), Ok(true));
        assert_eq!(columns.admit_rows(&rows("2.pt", vec![("id", ids())])), Ok(false));
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![7.0, 8.0]));
        let error = columns.admit_rows(&rows("3.pt", vec![("id", floats)])).unwrap_err().to_string();
        assert_eq!(error, "the column id is int64 in 1.pt and float32 in 3.pt: save it with one type in all files");
    }

    #[test]
    fn files_without_a_column_are_counted_wherever_they_are() {
        let mut counts = ColumnCounts::default();
        let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None, None]));
        for (file, columns) in [
            ("1.pt", vec![]),
            ("2.pt", vec![("id", ids())]),
            ("2.pt", vec![("id", nulls.clone())]),
            ("3.pt", vec![("id", nulls), ("all", ids())]),
            ("4.pt", vec![("id", ids())]),
        ] {
            counts.add(&rows(file, columns));
        }
        let [id, all] = counts.summaries().try_into().unwrap();
        assert_eq!((id.files_without, id.first_without.as_deref()), (2, Some("1.pt")));
        assert_eq!((all.kind.as_str(), all.files_without, all.first_without.as_deref()), ("int64", 3, Some("1.pt")));
    }
}
