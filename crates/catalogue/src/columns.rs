//! The columns that data sets bring along, such as identifiers and positions, in the catalogue under their own names.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, FixedSizeListArray, cast::AsArray, new_null_array};
use arrow_schema::{DataType, Field, FieldRef};
use serde::{Deserialize, Serialize};

use crate::{
    intervals::LevelSet,
    rows::{CatalogueRows, OwnColumn},
};

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

/// A column of so many rows without a value. Vectors are there, and all of their numbers are null: astropy reads a column
/// of vectors only where none of them is missing.
pub(crate) fn missing(data_type: &DataType, rows: usize) -> ArrayRef {
    let nulls = |data_type: &DataType, rows| new_null_array(data_type, rows);
    match data_type {
        DataType::FixedSizeList(item, length) => {
            let numbers = nulls(item.data_type(), rows * usize::try_from(*length).unwrap_or(0));
            // The numbers are as many as the vectors have.
            let vectors = FixedSizeListArray::try_new(Arc::clone(item), *length, numbers, None);
            vectors.map_or_else(|_| nulls(data_type, rows), |vectors| Arc::new(vectors))
        }
        _ => nulls(data_type, rows),
    }
}

/// Whether a column has no value in any row.
pub(crate) fn is_missing(values: &ArrayRef) -> bool {
    let numbers = values.as_fixed_size_list_opt().map(|vectors| {
        let (first, length) = (vectors.value_offset_at(0), vectors.value_length());
        vectors.values().slice(first, vectors.len() * length as usize)
    });
    let values = numbers.as_ref().unwrap_or(values);
    values.null_count() == values.len()
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

/// The most columns that files may bring along, all together. A FITS table has room for 999.
const MAX_COLUMNS: usize = 900;

/// Why the columns of files do not make one catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnConflict {
    /// Two files have a column of the same name with different types.
    #[error(
        "the column {} is {first_type} in {} and {second_type} in {}: save it with one type in all files",
        column.escape_debug(), first_file.escape_debug(), second_file.escape_debug()
    )]
    Types {
        /// The column's name.
        column: String,
        /// A file that has it.
        first_file: String,
        /// Its type there.
        first_type: String,
        /// Another file that has it.
        second_file: String,
        /// Its type there.
        second_type: String,
    },
    /// There are more names than a catalogue may have columns.
    #[error(
        "the files have more than {MAX_COLUMNS} columns of their own, the first beyond in {}: leave some out, or save them \
         as vectors",
        file.escape_debug()
    )]
    TooMany {
        /// The file with the first column that there is no room for.
        file: String,
    },
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
    /// [`ColumnConflict`] where an earlier file has it with another type, or the files have too many columns.
    pub fn admit(&mut self, file: &str, name: &str, data_type: &DataType) -> Result<(), ColumnConflict> {
        let Some((known, first_file)) = self.columns.iter().find(|(field, _)| field.name() == name) else {
            if self.columns.len() == MAX_COLUMNS {
                return Err(ColumnConflict::TooMany { file: file.to_owned() });
            }
            let field = Field::new(name, data_type.clone(), true);
            self.columns.push((Arc::new(field), file.to_owned()));
            return Ok(());
        };
        match known.data_type() == data_type {
            true => Ok(()),
            false => Err(ColumnConflict::Types {
                column: name.to_owned(),
                first_file: first_file.clone(),
                first_type: type_name(known.data_type()),
                second_file: file.to_owned(),
                second_type: type_name(data_type),
            }),
        }
    }

    /// Takes in the columns of some rows, all or none, and says whether there was a new one among them.
    pub(crate) fn admit_rows(&mut self, rows: &CatalogueRows) -> Result<bool, ColumnConflict> {
        let known = self.columns.len();
        for OwnColumn { name, values } in &rows.columns {
            if let Err(conflict) = self.admit(&rows.source_file, name, values.data_type()) {
                self.columns.truncate(known);
                return Err(conflict);
            }
        }
        Ok(self.columns.len() > known)
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.columns.iter().map(|(field, _)| field)
    }
}

/// The columns of a catalogue that are not the same in all: those that its files bring along, and those of quantiles.
#[derive(Debug, Clone, Default)]
pub struct CatalogueColumns {
    pub(crate) own: OwnColumns,
    pub(crate) levels: Option<LevelSet>,
}

impl CatalogueColumns {
    /// The columns of files that are known beforehand.
    pub fn new(own: OwnColumns, levels: Option<LevelSet>) -> Self {
        Self { own, levels }
    }

    /// Takes in the columns of some rows, and says whether there was a new one among them.
    ///
    /// # Errors
    /// [`ColumnConflict`] where a column has had another type; then none of the rows' columns is taken in.
    pub fn admit(&mut self, rows: &CatalogueRows) -> Result<bool, ColumnConflict> {
        let levels = self.levels.or(rows.quantiles.as_ref().map(|quantiles| quantiles.levels));
        let is_new = self.own.admit_rows(rows)? || levels != self.levels;
        self.levels = levels;
        Ok(is_new)
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
            self.columns[place].is_in_current |= !is_missing(values);
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
    use arrow_array::{Float32Array, Int64Array};

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
    fn more_columns_than_a_table_has_are_refused() {
        let mut columns = OwnColumns::default();
        for column in 0..MAX_COLUMNS {
            columns.admit("1.pt", &format!("c{column}"), &DataType::Int64).unwrap();
        }
        assert_eq!(columns.admit("2.pt", "c0", &DataType::Int64), Ok(()));
        let error = columns.admit("2.pt", "d", &DataType::Int64).unwrap_err().to_string();
        assert!(error.contains("more than 900 columns of their own, the first beyond in 2.pt"), "{error}");
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
