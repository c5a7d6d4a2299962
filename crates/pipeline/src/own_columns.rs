//! A data set's own columns as a catalogue's: numbers and text from a file of torch.save become arrays of Arrow.
//!
//! Every value stays what it is. The two half-precision types become float32, which holds them exactly, since few tools
//! read them from Parquet.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, FixedSizeListArray, Float32Array, PrimitiveArray, StringArray,
    types::{
        Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
        UInt64Type,
    },
};
use arrow_schema::{DataType, Field};
use catalogue::{OwnColumn, OwnColumns};
use galaxies::{Column, ColumnType, ColumnValues, DType, Item};
use torch_file::Element;

use crate::error::{Error, Result};

/// Takes in the columns of a file.
///
/// # Errors
/// [`Error::BadPartition`] where an earlier file has one of them with another type, or there are too many.
pub(crate) fn admit(known: &mut OwnColumns, file: &str, columns: &[Column]) -> Result<()> {
    for Column { name, kind, .. } in columns {
        let admitted = known.admit(file, name, &data_type(*kind)?);
        admitted.map_err(|conflict| Error::BadPartition(conflict.into()))?;
    }
    Ok(())
}

/// The values of consecutive galaxies, as they go into the catalogue.
pub(crate) fn catalogue_columns(columns: &[Column], values: Vec<ColumnValues>) -> Result<Vec<OwnColumn>> {
    let column = |(column, values): (&Column, ColumnValues)| {
        let values = match values {
            ColumnValues::Bytes(bytes) => of_bytes(column.kind, &bytes)?,
            ColumnValues::Items(items) => of_items(column.kind, &items)?,
        };
        Ok(OwnColumn { name: column.name.as_str().into(), values })
    };
    columns.iter().zip(values).map(column).collect()
}

fn data_type(kind: ColumnType) -> Result<DataType> {
    Ok(match kind {
        ColumnType::Text => DataType::Utf8,
        ColumnType::Number(dtype) => number_type(dtype)?,
        ColumnType::Numbers(dtype, length) => {
            DataType::FixedSizeList(Arc::new(Field::new_list_field(number_type(dtype)?, true)), list_length(length)?)
        }
    })
}

fn number_type(dtype: DType) -> Result<DataType> {
    Ok(match dtype {
        DType::F64 => DataType::Float64,
        DType::F32 | DType::F16 | DType::Bf16 => DataType::Float32,
        DType::I64 => DataType::Int64,
        DType::I32 => DataType::Int32,
        DType::I16 => DataType::Int16,
        DType::I8 => DataType::Int8,
        DType::U64 => DataType::UInt64,
        DType::U32 => DataType::UInt32,
        DType::U16 => DataType::UInt16,
        DType::U8 => DataType::UInt8,
        DType::Bool => DataType::Boolean,
        DType::Complex64 | DType::Complex128 | DType::Float8(_) => return Err(unfit(dtype.name())),
    })
}

fn list_length(length: u64) -> Result<i32> {
    i32::try_from(length).map_err(|_| unfit("a vector of this length"))
}

/// What the data set's reader lets through is of the types above.
fn unfit(what: &str) -> Error {
    Error::fault(format!("a column of a data set has {what}"))
}

fn of_bytes(kind: ColumnType, bytes: &[u8]) -> Result<ArrayRef> {
    match kind {
        ColumnType::Number(dtype) => numbers(dtype, bytes),
        ColumnType::Numbers(dtype, length) => {
            let item = Arc::new(Field::new_list_field(number_type(dtype)?, true));
            let values = numbers(dtype, bytes)?;
            let list = FixedSizeListArray::try_new(item, list_length(length)?, values, None);
            Ok(Arc::new(list.map_err(|error| Error::internal("failed to make a column of vectors", error))?))
        }
        ColumnType::Text => Err(unfit("text in a tensor")),
    }
}

fn numbers(dtype: DType, bytes: &[u8]) -> Result<ArrayRef> {
    fn array<const N: usize, T: ArrowPrimitiveType>(bytes: &[u8], decode: fn([u8; N]) -> T::Native) -> ArrayRef {
        let values = bytes.as_chunks::<N>().0.iter().map(|chunk| decode(*chunk));
        Arc::new(PrimitiveArray::<T>::from_iter_values(values))
    }
    Ok(match dtype {
        DType::F64 => array::<8, Float64Type>(bytes, f64::from_le_bytes),
        DType::F32 => array::<4, Float32Type>(bytes, f32::from_le_bytes),
        DType::F16 | DType::Bf16 => Arc::new(Float32Array::from(f32::decode(dtype, bytes).unwrap_or_default())),
        DType::I64 => array::<8, Int64Type>(bytes, i64::from_le_bytes),
        DType::I32 => array::<4, Int32Type>(bytes, i32::from_le_bytes),
        DType::I16 => array::<2, Int16Type>(bytes, i16::from_le_bytes),
        DType::I8 => array::<1, Int8Type>(bytes, i8::from_le_bytes),
        DType::U64 => array::<8, UInt64Type>(bytes, u64::from_le_bytes),
        DType::U32 => array::<4, UInt32Type>(bytes, u32::from_le_bytes),
        DType::U16 => array::<2, UInt16Type>(bytes, u16::from_le_bytes),
        DType::U8 => array::<1, UInt8Type>(bytes, u8::from_le_bytes),
        DType::Bool => Arc::new(bytes.iter().map(|byte| Some(*byte != 0)).collect::<BooleanArray>()),
        DType::Complex64 | DType::Complex128 | DType::Float8(_) => return Err(unfit(dtype.name())),
    })
}

fn of_items(kind: ColumnType, items: &[Item]) -> Result<ArrayRef> {
    let items = items.iter();
    Ok(match kind {
        ColumnType::Text => {
            let text = items.map(|item| if let Item::Str(text) = item { Some(text.as_str()) } else { None });
            Arc::new(text.collect::<StringArray>())
        }
        ColumnType::Number(DType::Bool) => {
            let truth = |item: &Item| if let Item::Bool(value) = item { Some(*value) } else { None };
            Arc::new(items.map(truth).collect::<BooleanArray>())
        }
        ColumnType::Number(DType::I64) => {
            let integer = |item: &Item| if let Item::Int(value) = item { Some(*value) } else { None };
            Arc::new(items.map(integer).collect::<PrimitiveArray<Int64Type>>())
        }
        ColumnType::Number(DType::U64) => {
            let integer = |item: &Item| match item {
                Item::UInt(value) => Some(*value),
                Item::Int(value) => u64::try_from(*value).ok(),
                _ => None,
            };
            Arc::new(items.map(integer).collect::<PrimitiveArray<UInt64Type>>())
        }
        ColumnType::Number(DType::F64) => {
            let float = |item: &Item| match item {
                Item::Float(value) => Some(*value),
                Item::Int(value) => Some(*value as f64),
                Item::UInt(value) => Some(*value as f64),
                _ => None,
            };
            Arc::new(items.map(float).collect::<PrimitiveArray<Float64Type>>())
        }
        ColumnType::Number(_) | ColumnType::Numbers(..) => return Err(unfit("a list of another type")),
    })
}
