//! The legacy form (PyTorch 0.1.10 to 1.5): five pickles in a row, then the storages one after the other.

use std::{collections::HashMap, ops::Range};

use bytes::Bytes;

use crate::{
    Error, Result,
    pickle::{MAX_PICKLE, Parsed, Stop, parse},
    range::{RangeRead, read},
    tensor::DType,
    value::{Node, Pickle},
};

/// `LONG1` of ten bytes, torch's magic number.
pub(crate) const MAGIC: [u8; 14] = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;
/// Bytes fetched first: enough for every dataset and most modules.
const FIRST_READ: u64 = 64 << 10;
/// Largest number of storages.
const MAX_STORAGES: usize = 100_000;

/// A legacy file's object, and where its storages lie.
#[derive(Debug)]
pub(crate) struct Legacy {
    pub(crate) pickle: Pickle,
    pub(crate) storages: HashMap<String, Range<u64>>,
}

/// Reads the pickles, and the sizes of the storages behind them.
pub(crate) async fn open(reader: &dyn RangeRead) -> Result<Legacy> {
    let file = reader.name();
    let mut source = Source { reader, bytes: Bytes::new(), at: 0 };
    // The magic number was seen already, by the one who called.
    source.pickle("the magic number").await?;
    let protocol = source.pickle("the protocol").await?;
    if protocol.root().as_int() != Some(PROTOCOL) {
        return Err(Error::Unsupported {
            file: file.to_owned(),
            what: format!("a legacy file of protocol {}", protocol.root().describe()),
            instead: "load it with the PyTorch that wrote it and save it again",
        });
    }
    let system = source.pickle("the system info").await?;
    if system.root().get("little_endian").and_then(|value| value.as_bool()) == Some(false) {
        return Err(big_endian(file));
    }
    let pickle = source.pickle("the object").await?;
    let keys = source.pickle("the storage keys").await?;

    let declared = declared_storages(&pickle);
    let not_keys = || Error::Pickle {
        file: file.to_owned(),
        member: "the storage keys".to_owned(),
        reason: "it is not a list of keys".to_owned(),
        at: 0,
    };
    let keys = keys.root().elements().ok_or_else(not_keys)?;
    if keys.len() > MAX_STORAGES {
        return Err(Error::TooLarge {
            file: file.to_owned(),
            what: "the number of storages".into(),
            found: keys.len() as u64,
            limit: MAX_STORAGES as u64,
        });
    }
    let mut storages = HashMap::new();
    let mut at = source.at;
    for key in keys {
        let key = key.as_str().map(str::to_owned).or_else(|| key.as_int().map(|key| key.to_string()));
        let key = key.ok_or_else(not_keys)?;
        let member = format!("storage {key}");
        let count = source.slice(&member, at..at.saturating_add(8)).await?;
        let mut wide = [0; 8];
        wide.copy_from_slice(&count);
        let found = i64::from_le_bytes(wide);
        let tensor = |reason| Error::Tensor { file: file.to_owned(), tensor: member.clone(), reason };
        let (dtype, elements) =
            declared.get(&key).copied().ok_or_else(|| tensor("no tensor uses it, so its type is not known".into()))?;
        if u64::try_from(found) != Ok(elements) {
            return Err(tensor(format!("it has {found} elements, its tensors were promised {elements}")));
        }
        let start = at + 8;
        let end = elements.checked_mul(dtype.size()).and_then(|bytes| start.checked_add(bytes));
        let end = end.filter(|end| *end <= reader.size()).ok_or_else(|| Error::Truncated {
            file: file.to_owned(),
            member,
            expected: end.unwrap_or(u64::MAX),
            size: reader.size(),
        })?;
        storages.insert(key, start..end);
        at = end;
    }
    Ok(Legacy { pickle, storages })
}

/// The error for files from big-endian machines, of either form.
pub(crate) fn big_endian(file: &str) -> Error {
    Error::Unsupported {
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

/// The file's start, fetched as far as it is needed.
struct Source<'a> {
    reader: &'a dyn RangeRead,
    bytes: Bytes,
    at: u64,
}

impl Source<'_> {
    /// Reads the next pickle, fetching twice as much as long as it is not whole.
    async fn pickle(&mut self, member: &str) -> Result<Pickle> {
        loop {
            match parse(&self.bytes[self.at as usize..]) {
                Ok(Parsed { pickle, length }) => {
                    self.at += length as u64;
                    return Ok(pickle);
                }
                Err(Stop::Short) if (self.bytes.len() as u64) < self.reader.size() => {
                    let wanted = (2 * self.bytes.len() as u64).max(FIRST_READ).min(self.reader.size());
                    if wanted > 2 * MAX_PICKLE {
                        return Err(Error::TooLarge {
                            file: self.reader.name().to_owned(),
                            what: member.to_owned(),
                            found: wanted,
                            limit: MAX_PICKLE,
                        });
                    }
                    self.bytes = read(self.reader, member, 0..wanted).await?;
                }
                Err(stop) => {
                    return Err(stop.into_error(self.reader.name(), member, self.bytes.len()));
                }
            }
        }
    }

    /// A small range, from what was fetched where it lies there.
    async fn slice(&self, member: &str, range: Range<u64>) -> Result<Bytes> {
        if range.end <= self.bytes.len() as u64 {
            return Ok(self.bytes.slice(range.start as usize..range.end as usize));
        }
        read(self.reader, member, range).await
    }
}
