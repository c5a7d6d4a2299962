//! A data set's own columns: what it says of each galaxy beside image, magnitudes and redshift, such as an identifier
//! and a position. They are not looked into, and come out as they went in.

use std::{ops::Range, sync::Arc};

use torch_file::{DType, Item, RangeRead, StoredTensor, TensorRef, Value};

/// What a column has for a galaxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// A number of a tensor's type.
    Number(DType),
    /// So many numbers, at least two.
    Numbers(DType, u64),
    /// Text.
    Text,
}

impl ColumnType {
    /// A short name, such as `int64`, `float32 [3]` or `text`.
    pub fn describe(self) -> String {
        match self {
            Self::Number(dtype) => dtype.name().to_owned(),
            Self::Numbers(dtype, length) => format!("{} [{length}]", dtype.name()),
            Self::Text => "text".to_owned(),
        }
    }

    /// The size of a galaxy's value in bytes. That of text is not known, and taken as that of a pointer.
    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Number(dtype) => dtype.size(),
            Self::Numbers(dtype, length) => dtype.size() * length,
            Self::Text => 8,
        }
    }
}

/// A column of a data set, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its key in the data set's dictionary, or `column_3` by its place among the tensors.
    pub name: String,
    /// What it has for each galaxy.
    pub kind: ColumnType,
    /// Whether its values are those of a list of Python's: text, or numbers of which some are missing. A list of numbers
    /// alone is as good as a tensor.
    pub is_list: bool,
}

/// Values of a column for consecutive galaxies.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnValues {
    /// Of a tensor: the elements' bytes, little-endian and row-major.
    Bytes(Vec<u8>),
    /// Of a list, in which a value may be missing.
    Items(Vec<Item>),
}

/// The largest integer up to which a float64 has all of them.
const MAX_EXACT: u64 = 1 << 53;

/// The longest vector that a galaxy may have in a column.
const MAX_LENGTH: u64 = 64;

/// The most bytes that the items of all lists of a data set may take. A small pickle can name a long text, or a long
/// list, as often as it likes.
pub(crate) const MAX_LISTS: usize = 192 << 20;

/// The names of the columns that a catalogue has of its own, but for those of quantiles.
const CATALOGUE: [&str; 5] = ["source_file", "row_index", "z_spec", "z_phot", "flags"];

/// Whether a catalogue has a column of this name, which a data set's own column may not have therefore. Tables of FITS
/// do not tell upper from lower case.
pub fn is_a_catalogues(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let quantile = name.strip_prefix("z_phot_q").is_some_and(|level| level.bytes().all(|byte| byte.is_ascii_digit()));
    quantile || CATALOGUE.contains(&name.as_str())
}

/// Where a column's values lie.
pub(crate) enum Source<R> {
    Tensor(Box<StoredTensor<R>>),
    /// A list's, as a tensor would have them: so many bytes for each galaxy.
    Numbers(Arc<[u8]>, u64),
    List(Arc<[Item]>),
}

impl<R: RangeRead> Source<R> {
    /// The items of a list, which has this type.
    pub(crate) fn of_items(kind: ColumnType, items: Arc<[Item]>) -> Self {
        match as_bytes(kind, &items) {
            Some(bytes) => Self::Numbers(bytes.into(), kind.size()),
            None => Self::List(items),
        }
    }

    pub(crate) async fn read(&self, rows: Range<u64>) -> Result<ColumnValues, torch_file::Error<R::Error>> {
        Ok(match self {
            Self::Tensor(tensor) => ColumnValues::Bytes(tensor.read_row_bytes(rows).await?),
            Self::Numbers(bytes, size) => {
                let bytes = bytes.get((rows.start * size) as usize..(rows.end * size) as usize);
                ColumnValues::Bytes(bytes.unwrap_or_default().to_vec())
            }
            Self::List(_) => ColumnValues::Items(self.items(&rows).unwrap_or_default()),
        })
    }

    /// The items of a list, where it is one. Of rows that are not there it has none.
    pub(crate) fn items(&self, rows: &Range<u64>) -> Option<Vec<Item>> {
        match self {
            Self::Tensor(_) | Self::Numbers(..) => None,
            Self::List(items) => Some(items.get(rows.start as usize..rows.end as usize).unwrap_or_default().to_vec()),
        }
    }
}

/// The type of a column that is a tensor of `rows` rows. The error says why it is none.
pub(crate) fn of_tensor(tensor: &TensorRef, rows: u64) -> Result<ColumnType, String> {
    let dtype = tensor.dtype();
    let refused = |why: &str| Err(format!("{}: {why}", tensor.describe()));
    if matches!(dtype, DType::Complex64 | DType::Complex128 | DType::Float8(_)) {
        return refused("no column of a catalogue is of this type");
    }
    match tensor.shape[..] {
        [found] | [found, 1] if found == rows => Ok(ColumnType::Number(dtype)),
        [found, length @ 2..=MAX_LENGTH] if found == rows => Ok(ColumnType::Numbers(dtype, length)),
        [found, ..] if found == rows => refused("more than a short vector for each galaxy"),
        _ => refused("not one value for each galaxy"),
    }
}

/// The type of a column that is a list of Python's, or a NumPy array of text, with an item for each of `rows` rows, and
/// its items, which `room` is left for. The error says why it is none.
pub(crate) fn of_list(list: Value<'_>, rows: u64, room: &mut usize) -> Result<(ColumnType, Arc<[Item]>), String> {
    let refused = |why: &str| Err(format!("{}: {why}", list.describe()));
    let too_much = || refused("the lists of the file take too much memory");
    let mut fits = |item: &Item| {
        let text = if let Item::Str(text) = item { text.len() } else { 0 };
        let left = room.checked_sub(size_of::<Item>() + text);
        left.map(|left| *room = left).is_some()
    };
    let mut items = Vec::new();
    if let Some(texts) = list.texts().filter(|texts| texts.len() as u64 == rows && rows > 0) {
        for text in texts {
            let item = Item::Str(text.into_owned());
            if !fits(&item) {
                return too_much();
            }
            items.push(item);
        }
        return Ok((ColumnType::Text, items.into()));
    }
    let Some(values) = list.elements().filter(|values| values.len() as u64 == rows && !list.is_set()) else {
        return refused("not one value for each galaxy");
    };
    let (mut kind, mut negative) = (None, false);
    for value in values {
        let item = item(value);
        let found = match item {
            Some(Item::None) => kind,
            Some(Item::Bool(_)) => Some(ColumnType::Number(DType::Bool)),
            Some(Item::Int(value)) => {
                negative |= value < 0;
                Some(ColumnType::Number(DType::I64))
            }
            Some(Item::UInt(_)) => Some(ColumnType::Number(DType::U64)),
            Some(Item::Float(_)) => Some(ColumnType::Number(DType::F64)),
            Some(Item::Str(_)) => Some(ColumnType::Text),
            None => return refused(&format!("it has {}", value.describe())),
        };
        kind = match (kind, found) {
            (None, found) => found,
            (kind, found) if kind == found => kind,
            (Some(ColumnType::Number(one)), Some(ColumnType::Number(other))) => match (one, other) {
                (DType::I64 | DType::U64, DType::I64 | DType::U64) => Some(ColumnType::Number(DType::U64)),
                // As Python computes with them.
                (DType::I64 | DType::U64 | DType::F64, DType::I64 | DType::U64 | DType::F64) => {
                    Some(ColumnType::Number(DType::F64))
                }
                _ => return refused("its values are of different types"),
            },
            _ => return refused("its values are of different types"),
        };
        if !item.iter().all(&mut fits) {
            return too_much();
        }
        items.extend(item);
    }
    let is_large = |item: &Item| match item {
        Item::Int(value) => value.unsigned_abs() > MAX_EXACT,
        Item::UInt(_) => true,
        _ => false,
    };
    if kind == Some(ColumnType::Number(DType::F64)) && items.iter().any(is_large) {
        // An identifier or NaN. A float would have lost the identifier's last digits.
        return refused("integers above 2^53 among floats: save them as integers, with None where there is none");
    }
    if kind == Some(ColumnType::Number(DType::F64)) {
        // Whole numbers among others are floats in each partition that the list is cut into, even where they are alone.
        for item in &mut items {
            match item {
                Item::Int(value) => *item = Item::Float(*value as f64),
                Item::UInt(value) => *item = Item::Float(*value as f64),
                _ => {}
            }
        }
    }
    match kind {
        None => refused("no value in it"),
        Some(ColumnType::Number(DType::U64)) if negative => refused("no type has room for all of its integers"),
        Some(kind) => Ok((kind, items.into())),
    }
}

/// The bytes that a tensor of this type would have; `None` where a value is missing, or is none of numbers.
fn as_bytes(kind: ColumnType, items: &[Item]) -> Option<Vec<u8>> {
    let ColumnType::Number(dtype) = kind else { return None };
    let mut bytes = Vec::with_capacity(items.len() * dtype.size() as usize);
    for item in items {
        match (dtype, item) {
            (DType::Bool, Item::Bool(value)) => bytes.push(u8::from(*value)),
            // Integers of 64 bits have the same bytes with a sign as without, where they fit both.
            (DType::I64 | DType::U64, Item::Int(value)) => bytes.extend(value.to_le_bytes()),
            (DType::U64, Item::UInt(value)) => bytes.extend(value.to_le_bytes()),
            (DType::F64, Item::Float(value)) => bytes.extend(value.to_le_bytes()),
            _ => return None,
        }
    }
    Some(bytes)
}

fn item(value: Value<'_>) -> Option<Item> {
    if value.is_none() {
        return Some(Item::None);
    }
    let number = value.as_bool().map(Item::Bool).or_else(|| value.as_int().map(Item::Int));
    let number = number.or_else(|| value.as_u64().map(Item::UInt)).or_else(|| value.as_float().map(Item::Float));
    number.or_else(|| value.as_str().map(|text| Item::Str(text.to_owned())))
}
