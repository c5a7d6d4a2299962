//! The legacy form (PyTorch 0.1.10 to 1.5): five pickles in a row, then the storages one after the other.

use std::{collections::HashMap, ops::Range};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    dtype::DType,
    edges::Edges,
    error::{Error, FormatError},
    pickle::{MAX_PICKLE, Parsed, Stop, parse},
    range::{RangeRead, read},
    value::{Node, Pickle},
};

/// The first pickle of a legacy file: `LONG1` of ten bytes, torch's magic number.
pub(crate) const MAGIC: [u8; 14] = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;
/// A file has at most this many storages.
const MAX_STORAGES: usize = 100_000;
/// Bytes in front of a storage: its number of elements.
const COUNT: u64 = 8;
/// Counts that are read at the same time.
const CONCURRENT_READS: usize = 16;

/// A legacy file's object, and where its storages lie.
#[derive(Debug)]
pub(crate) struct Legacy {
    pub(crate) pickle: Pickle,
    pub(crate) storages: HashMap<String, Range<u64>>,
}

/// Reads the pickles, and checks the sizes of the storages behind them.
pub(crate) async fn open<R: RangeRead>(reader: &R, edges: &Edges) -> Result<Legacy, Error<R::Error>> {
    let file = reader.name();
    let mut source = Source { reader, bytes: edges.head().clone(), at: 0 };
    // The caller has seen the magic number already.
    source.pickle("the magic number").await?;
    let protocol = source.pickle("the protocol").await?;
    if protocol.root().as_int() != Some(PROTOCOL) {
        return Err(FormatError::Unsupported {
            file: file.to_owned(),
            what: format!("a legacy file of protocol {}", protocol.root().describe()),
            instead: "load it with the PyTorch that wrote it and save it again",
        }
        .into());
    }
    let system = source.pickle("the system info").await?;
    if system.root().get("little_endian").and_then(|value| value.as_bool()) == Some(false) {
        return Err(big_endian(file).into());
    }
    let pickle = source.pickle("the object").await?;
    let keys = source.pickle("the storage keys").await?;
    let placed = place(file, reader.size(), &pickle, &keys, source.at)?;
    let check = async |(key, storage): &(String, Storage)| {
        let member = format!("storage {key}");
        let count = edges.get_or_read(reader, &member, storage.count.clone()).await?;
        let found = i64::from_le_bytes(count.as_ref().try_into().unwrap_or_default());
        if u64::try_from(found) != Ok(storage.elements) {
            let reason = format!("it has {found} elements, its tensors were promised {}", storage.elements);
            return Err(Error::from(FormatError::Tensor { file: file.to_owned(), tensor: member, reason }));
        }
        Ok(())
    };
    stream::iter(&placed).map(check).buffered(CONCURRENT_READS).try_collect::<()>().await?;
    let storages = placed.into_iter().map(|(key, storage)| (key, storage.bytes)).collect();
    Ok(Legacy { pickle, storages })
}

/// Where a storage lies, and how many elements it should have.
struct Storage {
    elements: u64,
    /// Its number of elements as the file has it.
    count: Range<u64>,
    bytes: Range<u64>,
}

/// Lays the storages out one after the other from `at`, by the sizes that the object's tensors name.
fn place(
    file: &str,
    size: u64,
    pickle: &Pickle,
    keys: &Pickle,
    mut at: u64,
) -> Result<Vec<(String, Storage)>, FormatError> {
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
    let mut placed = Vec::with_capacity(keys.len());
    for key in keys {
        let key = key.as_str().map(str::to_owned).or_else(|| key.as_int().map(|key| key.to_string()));
        let key = key.ok_or_else(not_keys)?;
        let member = format!("storage {key}");
        let (dtype, elements) = declared.get(&key).copied().ok_or_else(|| FormatError::Tensor {
            file: file.to_owned(),
            tensor: member.clone(),
            reason: "no tensor uses it, so its type is not known".into(),
        })?;
        let start = at.saturating_add(COUNT);
        let end = elements.checked_mul(dtype.size()).and_then(|bytes| start.checked_add(bytes));
        let end = end.filter(|end| *end <= size).ok_or_else(|| FormatError::Truncated {
            file: file.to_owned(),
            member,
            expected: end.unwrap_or(u64::MAX),
            size,
        })?;
        placed.push((key, Storage { elements, count: at..start, bytes: start..end }));
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
fn declared_storages(pickle: &Pickle) -> HashMap<String, (DType, u64)> {
    pickle
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Storage(storage) => Some((storage.key.clone(), (storage.dtype, storage.elements))),
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
    async fn pickle(&mut self, member: &str) -> Result<Pickle, Error<R::Error>> {
        loop {
            match parse(&self.bytes[self.at as usize..]) {
                Ok(Parsed { pickle, length }) => {
                    self.at += length as u64;
                    return Ok(pickle);
                }
                Err(Stop::Short) if (self.bytes.len() as u64) < self.reader.size() => {
                    let wanted = (2 * self.bytes.len() as u64).min(self.reader.size());
                    if wanted > 2 * MAX_PICKLE {
                        return Err(FormatError::TooLarge {
                            file: self.reader.name().to_owned(),
                            what: member.to_owned(),
                            found: wanted,
                            limit: MAX_PICKLE,
                        }
                        .into());
                    }
                    self.bytes = read(self.reader, member, 0..wanted).await?;
                }
                Err(stop) => {
                    return Err(stop.into_error(self.reader.name(), member, self.bytes.len()).into());
                }
            }
        }
    }
}
