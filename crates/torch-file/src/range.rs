//! Where the bytes come from: anything that can give a byte range of one immutable object.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{Error, Result};

/// Byte ranges of one immutable object.
pub trait RangeRead: Send + Sync {
    /// Path or key, for errors.
    fn name(&self) -> &str;

    /// Size in bytes.
    fn size(&self) -> u64;

    /// Exactly the bytes of `range`, which lies within the object.
    fn read(&self, range: Range<u64>) -> BoxFuture<'_, io::Result<Bytes>>;
}

/// A file on this machine.
#[derive(Debug)]
pub struct LocalFile {
    name: String,
    size: u64,
    file: Arc<File>,
}

impl LocalFile {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`Error::Read`] where it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let open = || {
            let file = File::open(&path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            Ok((file, metadata.len()))
        };
        match open() {
            Ok((file, size)) => Ok(Self { name, size, file: Arc::new(file) }),
            Err(source) => Err(Error::Read { file: name, start: 0, end: 0, source }),
        }
    }
}

impl RangeRead for LocalFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> BoxFuture<'_, io::Result<Bytes>> {
        let file = Arc::clone(&self.file);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, range.start)?;
                Ok(Bytes::from(bytes))
            })
            .await
            .map_err(io::Error::other)?
        })
    }
}

/// An object that is in memory already.
#[derive(Debug, Clone)]
pub struct InMemory {
    name: String,
    bytes: Bytes,
}

impl InMemory {
    /// `name` is what errors call it.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

impl RangeRead for InMemory {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, range: Range<u64>) -> BoxFuture<'_, io::Result<Bytes>> {
        let within = |range: Range<u64>| {
            let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            (start <= end && end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
        };
        let found = within(range).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof));
        Box::pin(std::future::ready(found))
    }
}

/// Reads `range`, refusing to go beyond the object's end before anything is asked for.
pub(crate) async fn read(reader: &dyn RangeRead, member: &str, range: Range<u64>) -> Result<Bytes> {
    if range.end > reader.size() || range.start > range.end {
        return Err(Error::Truncated {
            file: reader.name().to_owned(),
            member: member.to_owned(),
            expected: range.end,
            size: reader.size(),
        });
    }
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let failed = |source| Error::Read { file: reader.name().to_owned(), start: range.start, end: range.end, source };
    let bytes = reader.read(range.clone()).await.map_err(failed)?;
    if bytes.len() as u64 != range.end - range.start {
        return Err(failed(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(bytes)
}
