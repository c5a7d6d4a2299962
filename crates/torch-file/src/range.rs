//! Where the bytes come from: anything that can give a byte range of one immutable object.

use std::{convert::Infallible, fs::File, io, ops::Range, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::Bytes;

use crate::error::{Error, FormatError};

/// Gives byte ranges of one immutable object.
pub trait RangeRead: Send + Sync {
    /// Why bytes could not be had. It reaches the caller as it is, in [`Error::Read`].
    type Error: std::error::Error + Send + Sync + 'static;

    /// Path or key, as errors call the object.
    fn name(&self) -> &str;

    /// Size of the object in bytes.
    fn size(&self) -> u64;

    /// Reads exactly the bytes of `range`, which lies within the object.
    fn read(&self, range: Range<u64>) -> impl Future<Output = Result<Bytes, Self::Error>> + Send;
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
    /// [`Error::Open`] where the path cannot be opened or is a folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error<io::Error>> {
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
            Err(source) => Err(Error::Open { file: name, source }),
        }
    }
}

impl RangeRead for LocalFile {
    type Error = io::Error;

    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        })
        .await
        .map_err(io::Error::other)?
    }
}

/// An object that is in memory already, so that reading it cannot fail.
#[derive(Debug, Clone)]
pub struct InMemory {
    name: String,
    bytes: Bytes,
}

impl InMemory {
    /// Makes an object of bytes; `name` is what errors call it.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

impl RangeRead for InMemory {
    type Error = Infallible;

    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, Infallible> {
        let end = range.end.min(self.size());
        Ok(self.bytes.slice(range.start.min(end) as usize..end as usize))
    }
}

/// Reads `range` of what errors call `member`. A range beyond the object's end is refused before anything is asked for.
pub(crate) async fn read<R: RangeRead>(reader: &R, member: &str, range: Range<u64>) -> Result<Bytes, Error<R::Error>> {
    let truncated = |expected, size| FormatError::Truncated {
        file: reader.name().to_owned(),
        member: member.to_owned(),
        expected,
        size,
    };
    if range.end > reader.size() || range.start > range.end {
        return Err(truncated(range.end, reader.size()).into());
    }
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let bytes = reader.read(range.clone()).await.map_err(|source| Error::Read {
        file: reader.name().to_owned(),
        start: range.start,
        end: range.end,
        source,
    })?;
    match range.start + bytes.len() as u64 {
        end if end == range.end => Ok(bytes),
        end => Err(truncated(range.end, end).into()),
    }
}
