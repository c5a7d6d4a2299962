//! A folder as an object store: keys are relative paths with `/`.

use std::{
    fs::Metadata,
    io::{ErrorKind, Read, Write as _},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::NamedTempFile;
use walkdir::WalkDir;

use crate::storage::{
    error::StorageError,
    object::{Object, ObjectInfo, ObjectStore, Stores, Write},
};

/// A folder on this machine.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// The store under `root`, which need not exist before the first write.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Runs blocking file work off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &str,
        work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let path = self.path(key);
        let outcome = tokio::task::spawn_blocking(move || work(&path)).await.unwrap_or_else(|join| Err(join.into()));
        outcome.map_err(|error| StorageError::of_io(action, self.location(key), error))
    }
}

/// A folder with a folder per bucket: a whole run on this machine, for tests and measurements.
impl Stores for LocalStore {
    fn bucket(&self, bucket: &str) -> Arc<dyn ObjectStore> {
        Arc::new(Self::new(self.path(bucket)))
    }
}

fn info(key: String, metadata: &Metadata) -> ObjectInfo {
    ObjectInfo { key, size: metadata.len(), etag: tag(metadata) }
}

/// Size and modification time stand in for S3's content hash: what changes a file changes one of them.
fn tag(metadata: &Metadata) -> String {
    format!("{:x}-{:x}.{:x}", metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// Every file below `folder` that has a UTF-8 name, under `prefix`.
fn walk(folder: &Path, prefix: &str) -> std::io::Result<Vec<ObjectInfo>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true) {
        let entry = entry?;
        if entry.file_type().is_dir() {
            continue;
        }
        let Some(name) = entry.path().strip_prefix(folder).ok().and_then(Path::to_str) else { continue };
        // What should be the folder is a file.
        if name.is_empty() {
            return Err(ErrorKind::NotADirectory.into());
        }
        found.push(info(format!("{prefix}{name}"), &entry.metadata()?));
    }
    Ok(found)
}

/// Writes beside `path` and moves into place what was written, so that a reader never sees half an object.
fn write_beside(
    path: &Path,
    write: &Condition,
    fill: impl FnOnce(&mut NamedTempFile) -> std::io::Result<()>,
) -> std::io::Result<Option<Metadata>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder)?;
    let mut part = tempfile::Builder::new().permissions(readable_by_others()).tempfile_in(folder)?;
    fill(&mut part)?;
    let metadata = part.as_file().metadata()?;
    match write {
        Condition::None => {
            part.persist(path).map_err(|failed| failed.error)?;
        }
        Condition::Absent => match part.persist_noclobber(path) {
            Ok(_) => {}
            Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => return Ok(None),
            Err(failed) => return Err(failed.error),
        },
        Condition::Tag(etag) => {
            // A folder has no such operation: the lock makes it one within this process.
            let _one_at_a_time = UPDATES.lock().unwrap_or_else(PoisonError::into_inner);
            match std::fs::metadata(path) {
                Ok(there) if tag(&there) == *etag => {
                    part.persist(path).map_err(|failed| failed.error)?;
                }
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Some(metadata))
}

/// Held from looking at a file to replacing it.
static UPDATES: Mutex<()> = Mutex::new(());

/// A [`Write`] that can be handed to another thread.
enum Condition {
    None,
    Absent,
    Tag(String),
}

impl From<Write<'_>> for Condition {
    fn from(write: Write<'_>) -> Self {
        match write {
            Write::Replace => Self::None,
            Write::Create => Self::Absent,
            Write::Update(etag) => Self::Tag(etag.to_owned()),
        }
    }
}

/// What a file that is simply created gets, less the user's umask; a temporary file is private otherwise.
fn readable_by_others() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn location(&self, key: &str) -> String {
        self.path(key).display().to_string()
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        // Only the folder part of the prefix is walked: the rest filters names.
        let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]).to_owned();
        let under = folder.clone();
        let listing = self.blocking("list", &folder, move |path| walk(path, &under)).await;
        match listing {
            Ok(mut found) => {
                found.retain(|object| object.key.starts_with(prefix));
                Ok(found)
            }
            Err(StorageError::NotFound { .. }) if self.root.is_dir() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StorageError> {
        let metadata = self.blocking("read", key, |path| std::fs::metadata(path)).await?;
        Ok(info(key.to_owned(), &metadata))
    }

    async fn get(&self, key: &str) -> Result<Object, StorageError> {
        let (metadata, bytes) = self
            .blocking("read", key, |path| {
                let mut file = std::fs::File::open(path)?;
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                Ok((file.metadata()?, bytes))
            })
            .await?;
        Ok(Object { info: info(key.to_owned(), &metadata), bytes: bytes.into() })
    }

    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes, StorageError> {
        let planned = object.clone();
        let bytes = self
            .blocking("read", &object.key, move |path| {
                let file = std::fs::File::open(path)?;
                if info(planned.key, &file.metadata()?).etag != planned.etag {
                    return Ok(None);
                }
                let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(std::io::Error::other)?];
                file.read_exact_at(&mut bytes, range.start)?;
                Ok(Some(bytes))
            })
            .await?;
        bytes.map(Bytes::from).ok_or_else(|| StorageError::Changed { location: self.location(&object.key) })
    }

    async fn put(&self, key: &str, bytes: Bytes, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        let condition = Condition::from(write);
        let write = move |path: &Path| write_beside(path, &condition, |part| part.write_all(&bytes));
        let written = self.blocking("write", key, write).await?;
        Ok(written.map(|metadata| info(key.to_owned(), &metadata)))
    }

    async fn put_file(&self, key: &str, file: &Path) -> Result<(), StorageError> {
        let mut source = std::fs::File::open(file)
            .map_err(|error| StorageError::of_io("read", file.display().to_string(), error))?;
        let copy = move |path: &Path| {
            write_beside(path, &Condition::None, |part| std::io::copy(&mut source, part).map(drop)).map(drop)
        };
        self.blocking("write", key, copy).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        for key in keys {
            match self.blocking("delete", key, |path| std::fs::remove_file(path)).await {
                Ok(()) | Err(StorageError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
