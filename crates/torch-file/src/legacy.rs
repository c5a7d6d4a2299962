//! The legacy form (PyTorch 0.1.10 to 1.5): five pickles in a row, then the storages one after the other.

use std::{collections::HashMap, ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    dtype::DType,
    edges::Edges,
    error::{Error, FormatError},
    pickle::{MAX_HELD, MAX_PICKLE, Parsed, Stop, parse},
    range::{RangeRead, read},
    value::{Node, Pickle},
};

/// torch's magic number, the integer that the first pickle of a legacy file holds: 0x1950a86a20f9469cfc6c, in the bytes
/// of protocol 2 and later, and in the digits of protocols 0 and 1.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const MAGIC_DIGITS: &[u8] = b"L119547037146038801333356L\n.";
const PROTOCOL: i64 = 1001;
/// A file has at most this many storages.
const MAX_STORAGES: usize = 100_000;
/// The bytes that the values of the pickles around the object may take, of which that of the storage keys is the
/// largest.
const MAX_SMALL: usize = 16 << 20;
/// Bytes in front of a storage: its number of elements.
const COUNT: u64 = 8;

/// A legacy file's object, and where its storages lie.
#[derive(Debug)]
pub(crate) struct Legacy {
    pub(crate) pickle: Pickle,
    pub(crate) storages: HashMap<Arc<str>, Storage>,
}

/// Whether a file starts with torch's magic number, pickled by any protocol.
pub(crate) fn is_legacy(head: &[u8]) -> bool {
    let opcodes = match head {
        // A frame, which protocols 4 and 5 put around longer values.
        [0x80, 4 | 5, 0x95, rest @ ..] => rest.get(8..),
        [0x80, 2..=5, rest @ ..] => Some(rest),
        _ => None,
    };
    let number = opcodes.and_then(|opcodes| opcodes.strip_prefix(&[0x8a, MAGIC.len() as u8]));
    number.is_some_and(|number| number.starts_with(&MAGIC)) || head.starts_with(MAGIC_DIGITS)
}

/// Reads the pickles, and checks the sizes of the storages behind them.
pub(crate) async fn open<R: RangeRead>(reader: &R, edges: &Edges) -> Result<Legacy, Error<R::Error>> {
    let file = reader.name();
    let mut source = Source { reader, bytes: edges.head().clone(), at: 0 };
    // The caller has seen the magic number already.
    source.pickle("the magic number", MAX_SMALL).await?;
    let protocol = source.pickle("the protocol", MAX_SMALL).await?;
    if protocol.root().as_int() != Some(PROTOCOL) {
        return Err(FormatError::Unsupported {
            file: file.to_owned(),
            what: format!("a legacy file of protocol {}", protocol.root().describe()),
            instead: "load it with the PyTorch that wrote it and save it again",
        }
        .into());
    }
    let system = source.pickle("the system info", MAX_SMALL).await?;
    if system.root().get("little_endian").and_then(|value| value.as_bool()) == Some(false) {
        return Err(big_endian(file).into());
    }
    let pickle = source.pickle("the object", MAX_HELD).await?;
    let keys = source.pickle("the storage keys", MAX_SMALL).await?;
    let storages = place(file, reader.size(), &pickle, &keys, source.at)?;
    Ok(Legacy { pickle, storages })
}

/// Where a storage lies, and how many elements its tensors say it has.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) elements: u64,
    /// Its number of elements as the file has it, in front of its bytes.
    pub(crate) count: Range<u64>,
    pub(crate) size: u64,
}

/// Lays the storages out one after the other from `at`, by the sizes that the object's tensors name.
fn place(
    file: &str,
    size: u64,
    pickle: &Pickle,
    keys: &Pickle,
    mut at: u64,
) -> Result<HashMap<Arc<str>, Storage>, FormatError> {
    let not_keys = || FormatError::Pickle {
        file: file.to_owned(),
        member: "the storage keys".to_owned(),
        reason: "it is not a list of keys".to_owned(),
        at: 0,
    };
    let keys = keys.root().elements().ok_or_else(not_keys)?;
    if keys.len() > MAX_STORAGES {
        return Err(FormatError::TooLarge {
            file: file.to_owned(),
            what: "the number of storages".into(),
            found: keys.len() as u64,
            limit: MAX_STORAGES as u64,
        });
    }
    let declared = declared_storages(pickle);
    let mut placed = HashMap::with_capacity(keys.len());
    for key in keys {
        let number = key.as_int().map(|key| key.to_string());
        let key = number.as_deref().or_else(|| key.as_str()).ok_or_else(not_keys)?;
        let (key, (dtype, elements)) = declared.get_key_value(key).ok_or_else(|| FormatError::Tensor {
            file: file.to_owned(),
            tensor: format!("storage {key}"),
            reason: "no tensor uses it, so its type is not known".into(),
        })?;
        let start = at.saturating_add(COUNT);
        let end = elements.checked_mul(dtype.size()).and_then(|bytes| start.checked_add(bytes));
        let end = end.filter(|end| *end <= size).ok_or_else(|| FormatError::Truncated {
            file: file.to_owned(),
            member: format!("storage {key}"),
            expected: end.unwrap_or(u64::MAX),
            size,
        })?;
        let storage = Storage { elements: *elements, count: at..start, size: end - start };
        if placed.insert(Arc::clone(key), storage).is_some() {
            return Err(not_keys());
        }
        at = end;
    }
    Ok(placed)
}

/// The error for a file of either form from a big-endian machine.
pub(crate) fn big_endian(file: &str) -> FormatError {
    FormatError::Unsupported {
        file: file.to_owned(),
        what: "big-endian data".into(),
        instead: "load it on the machine that wrote it and save it on one of today's",
    }
}

/// Type and size of the storages that the object's tensors name.
fn declared_storages(pickle: &Pickle) -> HashMap<Arc<str>, (DType, u64)> {
    pickle
        .arena
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Storage(storage) => Some((Arc::clone(&storage.key), (storage.dtype, storage.elements))),
            _ => None,
        })
        .collect()
}

/// The file's start, read as far as it is needed.
struct Source<'a, R> {
    reader: &'a R,
    bytes: Bytes,
    at: u64,
}

impl<R: RangeRead> Source<'_, R> {
    /// Reads the next pickle, and twice as much of the file for as long as the pickle is not whole.
    async fn pickle(&mut self, member: &str, most: usize) -> Result<Pickle, Error<R::Error>> {
        loop {
            match parse(&self.bytes.slice(self.at as usize..), most) {
                Ok(Parsed { pickle, length }) => {
                    self.at += length as u64;
                    return Ok(pickle);
                }
                Err(Stop::Short { building }) if (self.bytes.len() as u64) < self.reader.size() => {
                    let read_to = self.bytes.len() as u64;
                    if read_to >= MAX_PICKLE {
                        return Err(FormatError::TooLargePickle {
                            file: self.reader.name().to_owned(),
                            member: member.to_owned(),
                            found: self.reader.size(),
                            limit: MAX_PICKLE,
                            building: building.unwrap_or_else(|| "no tensors in the way of torch.save".to_owned()),
                        }
                        .into());
                    }
                    let wanted = (2 * read_to).min(self.reader.size()).min(MAX_PICKLE);
                    self.bytes = read(self.reader, member, 0..wanted).await?;
                }
                Err(stop) => {
                    return Err(stop.into_error(self.reader.name(), member, self.bytes.len()).into());
                }
            }
        }
    }
}
