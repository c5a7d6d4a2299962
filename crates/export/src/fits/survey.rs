//! What must be known of a catalogue's values before its rows can be written.

use crate::{
    columns::{ColumnType, Element, Values},
    error::Error,
    fits::plain_text::{encode, is_plain},
    parquet_file::CatalogueFile,
};

/// Rows read at a time.
const ROWS_PER_BATCH: usize = 8192;

/// What was seen in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing needs to be known of such a column.
    Nothing,
    /// How many of a column's truth values are null.
    Logicals(u64),
    Integers(FoundIntegers),
    Texts(FoundTexts),
}

/// What was seen in a column of integers that may have nulls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FoundIntegers {
    pub(crate) nulls: u64,
    pub(crate) largest: i128,
    /// Of the 64 numbers at the end of the type, those that are taken: the lowest ones of a signed type, which count up
    /// from the first bit, the highest ones of an unsigned type, which count down.
    pub(crate) taken: u64,
}

/// What was seen in a column of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FoundTexts {
    /// The length of the longest text in bytes, as it is.
    pub(crate) width: usize,
    /// The same, percent-encoded.
    pub(crate) encoded_width: usize,
    /// How many texts FITS does not have.
    pub(crate) not_plain: u64,
}

/// Looks at all values of those columns of which something must be known.
pub(crate) fn survey(catalogue: &CatalogueFile) -> Result<Vec<Found>, Error> {
    let fields = catalogue.schema().fields();
    let types: Vec<ColumnType> = fields.iter().map(|field| ColumnType::of(field)).collect::<Result<_, _>>()?;
    let mut found: Vec<Found> = types
        .iter()
        .map(|column_type| match column_type.element {
            Element::Integer { .. } if column_type.nullable => Found::Integers(FoundIntegers::default()),
            Element::Bool if column_type.nullable => Found::Logicals(0),
            Element::Text => Found::Texts(FoundTexts::default()),
            _ => Found::Nothing,
        })
        .collect();
    let looked_at: Vec<usize> = (0..types.len()).filter(|index| found[*index] != Found::Nothing).collect();
    if looked_at.is_empty() {
        return Ok(found);
    }
    for batch in catalogue.batches(ROWS_PER_BATCH, looked_at.iter().copied())? {
        let batch = batch?;
        for (array, index) in std::iter::zip(batch.columns(), &looked_at) {
            let values = Values::of(array);
            let cells = (0..batch.num_rows()).flat_map(|row| values.of_row(row));
            match (&mut found[*index], types[*index].element) {
                (Found::Integers(found), Element::Integer { bits, signed }) => {
                    cells.for_each(|cell| found.add(cell.map(|index| values.integer(index)), bits, signed));
                }
                (Found::Logicals(nulls), _) => *nulls += cells.filter(Option::is_none).count() as u64,
                (Found::Texts(found), _) => cells.flatten().for_each(|index| found.add(values.text(index))),
                _ => {}
            }
        }
    }
    Ok(found)
}

impl FoundIntegers {
    fn add(&mut self, number: Option<i128>, bits: u32, signed: bool) {
        let Some(number) = number else {
            self.nulls += 1;
            return;
        };
        self.largest = self.largest.max(number);
        let place = match signed {
            true => number + (1 << (bits - 1)),
            false => (1 << bits) - 1 - number,
        };
        if let Ok(place @ 0..64) = u32::try_from(place) {
            self.taken |= 1 << place;
        }
    }

    /// A number of the type that no value has; `None` where the 64 at its end are taken.
    pub(crate) fn free(&self, bits: u32, signed: bool) -> Option<i128> {
        let place = (0..64).find(|place| self.taken & (1 << place) == 0)?;
        Some(match signed {
            true => place - (1 << (bits - 1)),
            false => (1 << bits) - 1 - place,
        })
    }
}

impl FoundTexts {
    fn add(&mut self, text: &str) {
        self.width = self.width.max(text.len());
        self.encoded_width = self.encoded_width.max(encode(text).len());
        self.not_plain += u64::from(!is_plain(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_for_null_is_one_that_no_value_has() {
        let mut found = FoundIntegers::default();
        found.add(None, 16, true);
        assert_eq!(found.free(16, true), Some(-32_768));
        for number in [-32_768, -32_767, 5, -32_765] {
            found.add(Some(number), 16, true);
        }
        assert_eq!(found.free(16, true), Some(-32_766));

        let mut found = FoundIntegers::default();
        found.add(Some(255), 8, false);
        assert_eq!((found.free(8, false), found.largest), (Some(254), 255));
        (0..=255).for_each(|number| found.add(Some(number), 8, false));
        assert_eq!(found.free(8, false), None);
        found.add(Some(u64::MAX.into()), 64, false);
        assert_eq!(found.free(64, false), None);
    }
}
