//! The types that a catalogue's columns may have, and their values one by one.

use arrow_array::{
    Array, ArrowPrimitiveType, FixedSizeListArray,
    cast::AsArray,
    types::{
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
        UInt64Type,
    },
};
use arrow_schema::{DataType, Field};

use crate::error::Error;

/// What a column's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Bool,
    Integer { bits: u32, signed: bool },
    Float32,
    Float64,
    Text,
}

/// A column's type: one value a row, or a vector of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ColumnType {
    pub(crate) element: Element,
    /// The length of the vectors; `None` where a row has one value.
    pub(crate) vector: Option<usize>,
    /// Whether a value may be null.
    pub(crate) nullable: bool,
}

impl ColumnType {
    /// The type of a column.
    ///
    /// # Errors
    /// [`Error::Type`] where no export has a place for it.
    pub(crate) fn of(field: &Field) -> Result<Self, Error> {
        let refused = || Error::Type { column: field.name().clone(), found: field.data_type().to_string() };
        match field.data_type() {
            DataType::FixedSizeList(item, length) => {
                let element = element(item.data_type()).filter(|element| *element != Element::Text);
                let length = usize::try_from(*length).ok().filter(|length| *length > 0);
                Ok(Self {
                    element: element.ok_or_else(refused)?,
                    vector: Some(length.ok_or_else(refused)?),
                    nullable: field.is_nullable() || item.is_nullable(),
                })
            }
            scalar => {
                Ok(Self { element: element(scalar).ok_or_else(refused)?, vector: None, nullable: field.is_nullable() })
            }
        }
    }

    /// How many values a row has.
    pub(crate) fn per_row(self) -> usize {
        self.vector.unwrap_or(1)
    }
}

fn element(data_type: &DataType) -> Option<Element> {
    let integer = |bits, signed| Some(Element::Integer { bits, signed });
    match data_type {
        DataType::Boolean => Some(Element::Bool),
        DataType::Int8 => integer(8, true),
        DataType::Int16 => integer(16, true),
        DataType::Int32 => integer(32, true),
        DataType::Int64 => integer(64, true),
        DataType::UInt8 => integer(8, false),
        DataType::UInt16 => integer(16, false),
        DataType::UInt32 => integer(32, false),
        DataType::UInt64 => integer(64, false),
        DataType::Float32 => Some(Element::Float32),
        DataType::Float64 => Some(Element::Float64),
        DataType::Utf8 | DataType::LargeUtf8 => Some(Element::Text),
        _ => None,
    }
}

/// A column of a batch, as one array of values and where each row's lie in it.
pub(crate) struct Values<'a> {
    /// All values, those of vectors one after the other.
    array: &'a dyn Array,
    lists: Option<&'a FixedSizeListArray>,
}

impl<'a> Values<'a> {
    pub(crate) fn of(column: &'a dyn Array) -> Self {
        match column.as_fixed_size_list_opt() {
            Some(lists) => Self { array: lists.values().as_ref(), lists: Some(lists) },
            None => Self { array: column, lists: None },
        }
    }

    /// The indices of a row's values, for the functions below. `None` stands for null; a vector that is null is one of
    /// nulls.
    pub(crate) fn of_row(&self, row: usize) -> impl Iterator<Item = Option<usize>> + use<'a> {
        let (array, first, count, is_null) = match self.lists {
            Some(lists) => {
                // Arrow has the length as a signed number, which `ColumnType::of` has found to be positive.
                let (first, count) = (lists.value_offset_at(row), lists.value_length() as usize);
                (self.array, first, count, lists.is_null(row))
            }
            None => (self.array, row, 1, false),
        };
        (first..first + count).map(move |index| (!is_null && array.is_valid(index)).then_some(index))
    }

    pub(crate) fn bool(&self, index: usize) -> bool {
        self.array.as_boolean().value(index)
    }

    pub(crate) fn float32(&self, index: usize) -> f32 {
        self.array.as_primitive::<Float32Type>().value(index)
    }

    pub(crate) fn float64(&self, index: usize) -> f64 {
        self.array.as_primitive::<Float64Type>().value(index)
    }

    /// An integer of any of the types, in one that has room for all of them.
    pub(crate) fn integer(&self, index: usize) -> i128 {
        fn value<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &dyn Array, index: usize) -> i128 {
            array.as_primitive::<T>().value(index).into()
        }
        match self.array.data_type() {
            DataType::Int8 => value::<Int8Type>(self.array, index),
            DataType::Int16 => value::<Int16Type>(self.array, index),
            DataType::Int32 => value::<Int32Type>(self.array, index),
            DataType::UInt8 => value::<UInt8Type>(self.array, index),
            DataType::UInt16 => value::<UInt16Type>(self.array, index),
            DataType::UInt32 => value::<UInt32Type>(self.array, index),
            DataType::UInt64 => value::<UInt64Type>(self.array, index),
            _ => value::<Int64Type>(self.array, index),
        }
    }

    pub(crate) fn text(&self, index: usize) -> &'a str {
        match self.array.as_string_opt::<i32>() {
            Some(texts) => texts.value(index),
            None => self.array.as_string::<i64>().value(index),
        }
    }
}
