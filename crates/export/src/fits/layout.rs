//! How each column of a catalogue lies in a row of a FITS table.

use arrow_schema::Schema;

use crate::{
    columns::{ColumnType, Element},
    distinct_names::distinct_names,
    error::Error,
    fits::{
        plain_text::plain,
        survey::{Found, FoundIntegers},
    },
};

/// FITS numbers columns with three digits.
const MAX_COLUMNS: usize = 999;

/// The longest name, in characters, of which quotes count twice: it stands in one card of 80, and may get a number.
const MAX_NAME: usize = 60;

/// A column of the table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) unit: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) cell: Cell,
    /// How many values a row has.
    per_row: usize,
}

/// How one value lies in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    Logical,
    /// The number less `zero` (TZERO), in `bytes` bytes.
    Integer {
        bytes: usize,
        zero: i128,
        /// What stands for null where there is one (TNULL), from which `zero` is taken already.
        null: Option<i64>,
    },
    Float32,
    Float64,
    Text {
        width: usize,
        encoded: bool,
    },
}

impl Cell {
    /// Bytes that a value takes. A text has one at least.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Logical => 1,
            Self::Integer { bytes, .. } => bytes,
            Self::Float32 => 4,
            Self::Float64 => 8,
            Self::Text { width, .. } => width.max(1),
        }
    }
}

impl Column {
    /// Bytes that a row takes.
    pub(crate) fn width(&self) -> usize {
        self.per_row * self.cell.size()
    }

    /// The value of TFORM.
    pub(crate) fn form(&self) -> String {
        let (count, letter) = match self.cell {
            Cell::Logical => (self.per_row, 'L'),
            Cell::Integer { bytes: 1, .. } => (self.per_row, 'B'),
            Cell::Integer { bytes: 2, .. } => (self.per_row, 'I'),
            Cell::Integer { bytes: 4, .. } => (self.per_row, 'J'),
            Cell::Integer { .. } => (self.per_row, 'K'),
            Cell::Float32 => (self.per_row, 'E'),
            Cell::Float64 => (self.per_row, 'D'),
            Cell::Text { .. } => (self.cell.size(), 'A'),
        };
        format!("{count}{letter}")
    }

    /// The value of TZERO, where there is one.
    pub(crate) fn zero(&self) -> Option<i128> {
        match self.cell {
            Cell::Integer { zero, .. } => (zero != 0).then_some(zero),
            _ => None,
        }
    }

    /// The value of TNULL, where there is one.
    pub(crate) fn null(&self) -> Option<i64> {
        match self.cell {
            Cell::Integer { null, .. } => null,
            _ => None,
        }
    }
}

/// The columns of the table, and what a person should know of them.
pub(crate) fn columns(schema: &Schema, found: &[Found]) -> Result<(Vec<Column>, Vec<String>), Error> {
    if schema.fields().len() > MAX_COLUMNS {
        return Err(Error::TooManyColumns(schema.fields().len()));
    }
    let mut notices = Vec::new();
    let plain_names: Vec<String> = schema.fields().iter().map(|field| shortened(&plain(field.name()))).collect();
    let names = distinct_names(&plain_names, str::to_ascii_lowercase);
    let mut columns = Vec::new();
    for ((field, name), found) in schema.fields().iter().zip(names).zip(found) {
        if *field.name() != name {
            notices.push(format!(
                "column `{}` is called `{name}`: FITS has short names of ASCII alone, and does not tell upper from lower \
                 case",
                field.name()
            ));
        }
        let column_type = ColumnType::of(field)?;
        let cell = cell(column_type.element, found).ok_or_else(|| Error::NoFreeNumber(field.name().clone()))?;
        if let (Found::Texts(texts), Cell::Text { encoded: true, .. }) = (found, cell) {
            notices.push(format!(
                "column `{name}` is percent-encoded (urllib.parse.unquote reads it): {} of its texts are not the plain \
                 ASCII that FITS has",
                texts.not_plain
            ));
        }
        match (found, cell) {
            (Found::Logicals(nulls @ 1..), _) => notices.push(format!(
                "column `{name}` has {nulls} nulls among its truth values: FITS has them, and astropy reads them as False"
            )),
            (_, Cell::Integer { zero: 1.., null: Some(_), .. }) => notices.push(format!(
                "column `{name}` has nulls beside numbers of 2^63 and more: they are TNULL by the standard, and astropy \
                 does not mask them"
            )),
            _ => {}
        }
        let description = catalogue::descriptions::of_column(field.name());
        columns.push(Column {
            name,
            unit: description.as_ref().and_then(|description| description.unit).map(str::to_owned),
            description: description.map(|description| description.text),
            cell,
            per_row: column_type.per_row(),
        });
    }
    Ok((columns, notices))
}

/// The start of a name of ASCII that has room in its card.
fn shortened(name: &str) -> String {
    let mut length = 0;
    let fits = |character: &char| {
        length += if *character == '\'' { 2 } else { 1 };
        length <= MAX_NAME
    };
    name.chars().take_while(fits).collect()
}

/// How values lie; `None` where no number is free to stand for null.
fn cell(element: Element, found: &Found) -> Option<Cell> {
    Some(match (element, found) {
        (Element::Bool, _) => Cell::Logical,
        (Element::Float32, _) => Cell::Float32,
        (Element::Float64, _) => Cell::Float64,
        (Element::Integer { bits, signed }, Found::Integers(found)) if found.nulls > 0 => {
            nullable(bits, signed, found)?
        }
        (Element::Integer { bits, signed }, _) => full(bits, signed),
        (Element::Text, Found::Texts(found)) if found.not_plain > 0 => {
            Cell::Text { width: found.encoded_width, encoded: true }
        }
        (Element::Text, Found::Texts(found)) => Cell::Text { width: found.width, encoded: false },
        (Element::Text, _) => Cell::Text { width: 0, encoded: false },
    })
}

/// Integers of which none is null.
fn full(bits: u32, signed: bool) -> Cell {
    let (bytes, zero) = match (bits, signed) {
        (8, true) => (2, 0),
        (8, false) => (1, 0),
        (_, true) => (bits as usize / 8, 0),
        (_, false) => (bits as usize / 8, 1 << (bits - 1)),
    };
    Cell::Integer { bytes, zero, null: None }
}

/// Integers of which some are null; `None` where no number is free to stand for it.
fn nullable(bits: u32, signed: bool, found: &FoundIntegers) -> Option<Cell> {
    // The types that FITS has without TZERO, in which the lowest number of a wider type is always free.
    let cell = |bits: u32, null: i128| {
        let null = i64::try_from(null).ok()?;
        Some(Cell::Integer { bytes: bits as usize / 8, zero: 0, null: Some(null) })
    };
    let lowest = |bits: u32| -(1_i128 << (bits - 1));
    match (bits, signed) {
        (8, true) => cell(16, lowest(16)),
        (8, false) => found.free(8, false).map_or_else(|| cell(16, lowest(16)), |free| cell(8, free)),
        (16 | 32, false) => cell(2 * bits, lowest(2 * bits)),
        (16 | 32, true) => {
            found.free(bits, true).map_or_else(|| cell(2 * bits, lowest(2 * bits)), |free| cell(bits, free))
        }
        (_, true) => cell(64, found.free(64, true)?),
        (_, false) if found.largest <= i64::MAX.into() => cell(64, lowest(64)),
        (_, false) => {
            let zero = 1 << 63;
            let null = i64::try_from(found.free(64, false)? - zero).ok()?;
            Some(Cell::Integer { bytes: 8, zero, null: Some(null) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(bytes: usize, zero: i128, null: Option<i64>) -> Cell {
        Cell::Integer { bytes, zero, null }
    }

    #[test]
    fn integers_lie_in_the_types_that_every_reader_takes_for_integers() {
        assert_eq!([8, 16, 32, 64].map(|bits| full(bits, true)), [2, 2, 4, 8].map(|bytes| integer(bytes, 0, None)));
        assert_eq!(full(8, false), integer(1, 0, None));
        assert_eq!(full(64, false), integer(8, 1 << 63, None));
    }

    #[test]
    fn names_have_room_in_their_cards() {
        assert_eq!((shortened("ra"), shortened(&"n".repeat(69))), ("ra".to_owned(), "n".repeat(60)));
        assert_eq!(shortened(&"n'".repeat(34)), "n'".repeat(20));
    }

    #[test]
    fn nulls_get_a_free_number_or_a_wider_type() {
        let none = FoundIntegers { nulls: 1, ..FoundIntegers::default() };
        let all = FoundIntegers { taken: u64::MAX, largest: u64::MAX.into(), nulls: 1 };
        assert_eq!(nullable(8, false, &none), Some(integer(1, 0, Some(255))));
        assert_eq!(nullable(8, false, &all), Some(integer(2, 0, Some(-32_768))));
        assert_eq!(nullable(16, false, &none), Some(integer(4, 0, Some(i32::MIN.into()))));
        assert_eq!(nullable(32, true, &all), Some(integer(8, 0, Some(i64::MIN))));
        assert_eq!(nullable(64, false, &none), Some(integer(8, 0, Some(i64::MIN))));
        let large = FoundIntegers { taken: 1, ..all };
        assert_eq!(nullable(64, false, &large), Some(integer(8, 1 << 63, Some(i64::MAX - 1))));
        assert_eq!((nullable(64, true, &all), nullable(64, false, &all)), (None, None));
    }
}
