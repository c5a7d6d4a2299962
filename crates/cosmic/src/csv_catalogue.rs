//! A catalogue of galaxies as CSV: the photometry that `cosmic simulate` makes images for, and whatever else it says.

use std::path::Path;

use anyhow::{Context, Result, bail};
use galaxies::{Column, ColumnType, ColumnValues, DType, Item, is_a_catalogues};
use sky::{OwnColumns, Photometry};

/// Columns that a catalogue must have.
const COLUMNS: [&str; 6] = ["u", "g", "r", "i", "z", "redshift"];

/// The rows of a catalogue.
pub(crate) struct CsvCatalogue {
    pub(crate) photometry: Vec<Photometry>,
    /// Its other columns by name.
    pub(crate) columns: Vec<(String, Values)>,
}

/// The values of a column, as whole numbers where all are, else as numbers where all are, else as text. An identifier
/// that no number would give back as it is, such as 0042 or one of more than 63 bits, is text.
pub(crate) enum Values {
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<Item>),
}

impl Values {
    fn of(texts: Vec<String>) -> Self {
        let integer = |text: &String| text.parse::<i64>().ok().filter(|_| !has_leading_zero(text));
        if let Some(integers) = texts.iter().map(integer).collect() {
            return Self::Integers(integers);
        }
        // An empty field is a number that is not known.
        let float = |text: &String| match digits(text) {
            _ if text.is_empty() => Some(f64::NAN),
            Some(digits) if digits.len() > FLOAT_DIGITS || has_leading_zero(text) => None,
            _ => text.parse::<f64>().ok(),
        };
        match texts.iter().map(float).collect() {
            Some(floats) if texts.iter().any(|text| !text.is_empty()) => Self::Floats(floats),
            _ => Self::Texts(texts.into_iter().map(Item::Str).collect()),
        }
    }
}

/// Whole numbers of so many digits are all floats.
const FLOAT_DIGITS: usize = 15;

/// The digits of a whole number, without its sign.
fn digits(text: &str) -> Option<&str> {
    let digits = text.trim_start_matches(['+', '-']);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(digits)
}

fn has_leading_zero(text: &str) -> bool {
    digits(text).is_some_and(|digits| digits.len() > 1 && digits.starts_with('0'))
}

impl CsvCatalogue {
    /// Reads a file.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_path(file)
            .with_context(|| format!("failed to read {name}"))?;
        let header = reader.headers().with_context(|| format!("failed to read the header of {name}"))?.clone();
        let mut places = [0; COLUMNS.len()];
        for (place, column) in places.iter_mut().zip(COLUMNS) {
            let Some(found) = header.iter().position(|name| name == column) else {
                let found = header.iter().collect::<Vec<_>>().join(", ");
                bail!("{name} has no column {column}: its first line must name {}, and is {found}", COLUMNS.join(", "));
            };
            *place = found;
        }
        let mut others = Vec::new();
        for (place, column) in header.iter().enumerate().filter(|(place, _)| !places.contains(place)) {
            if is_a_catalogues(column) {
                bail!("{name}: its column {column} has the name of one of the results': rename it");
            }
            if ["images", "magnitudes", "redshifts"].contains(&column) {
                bail!("{name}: its column {column} has the name of one of the data set's tensors: rename it");
            }
            if column.is_empty() || others.iter().any(|(_, other, _)| other == column) {
                bail!("{name}: column {} has no name of its own: its first line must name each", place + 1);
            }
            others.push((place, column.to_owned(), Vec::new()));
        }
        let mut photometry = Vec::new();
        for record in reader.records() {
            let record = record.with_context(|| format!("failed to read {name}"))?;
            let line = record.position().map_or(0, csv::Position::line);
            let mut values = [0.0; COLUMNS.len()];
            for ((value, place), column) in values.iter_mut().zip(places).zip(COLUMNS) {
                let text = &record[place];
                *value =
                    text.parse().with_context(|| format!("{name}, line {line}: {column} is {text:?}, no number"))?;
            }
            let [u, g, r, i, z, redshift] = values;
            let row = Photometry::new([u, g, r, i, z], redshift).with_context(|| format!("{name}, line {line}"))?;
            photometry.push(row);
            for (place, _, values) in &mut others {
                values.push(record[*place].to_owned());
            }
        }
        if photometry.is_empty() {
            bail!("{name} has no rows");
        }
        let columns = others.into_iter().map(|(_, name, texts)| (name, Values::of(texts))).collect();
        Ok(Self { photometry, columns })
    }
}

/// The other columns of a catalogue, as those of a data set.
pub(crate) fn own_columns(columns: &[(String, Values)]) -> OwnColumns<'_> {
    let column = |(name, values): &(String, Values)| {
        let (kind, is_list) = match values {
            Values::Integers(_) => (ColumnType::Number(DType::I64), false),
            Values::Floats(_) => (ColumnType::Number(DType::F64), false),
            Values::Texts(_) => (ColumnType::Text, true),
        };
        Column { name: name.clone(), kind, is_list }
    };
    let items = |(_, values): &(String, Values)| match values {
        Values::Texts(items) => Some(items.clone()),
        Values::Integers(_) | Values::Floats(_) => None,
    };
    OwnColumns {
        columns: columns.iter().map(column).collect(),
        lists: columns.iter().filter_map(items).collect(),
        values: Box::new(|indices| {
            let rows = indices.start as usize..indices.end as usize;
            let bytes = columns.iter().filter_map(|(_, values)| match values {
                Values::Integers(values) => {
                    Some(values[rows.clone()].iter().flat_map(|value| value.to_le_bytes()).collect())
                }
                Values::Floats(values) => {
                    Some(values[rows.clone()].iter().flat_map(|value| value.to_le_bytes()).collect())
                }
                Values::Texts(_) => None,
            });
            bytes.map(ColumnValues::Bytes).collect()
        }),
    }
}
