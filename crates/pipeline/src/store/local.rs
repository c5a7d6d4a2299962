//! A folder as an object store: keys are relative paths with `/`.

use std::{
    io::{ErrorKind, Write as _},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{ObjectInfo, ObjectStore, Stores, Write};
use crate::{Error, Result};

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
    ) -> Result<T> {
        let path = self.path(key);
        let location = self.location(key);
        match tokio::task::spawn_blocking(move || work(&path)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(io_error(action, location, &error)),
            Err(join) => Err(Error::Internal(format!("{action} {location}: {join}"))),
        }
    }
}

/// A folder with a folder per bucket: a whole run on this machine, for tests and measurements.
impl Stores for LocalStore {
    fn bucket(&self, bucket: &str) -> Arc<dyn ObjectStore> {
        Arc::new(Self::new(self.path(bucket)))
    }
}

fn io_error(action: &'static str, location: String, error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Error::NotFound { location, hint: "check the path" },
        ErrorKind::PermissionDenied => Error::AccessDenied { location, action, reason: error.to_string() },
        _ => Error::StoreUnavailable { action, location, reason: error.to_string() },
    }
}

/// Size and modification time stand in for S3's content hash: what changes a file changes one of them.
fn info(key: String, metadata: &std::fs::Metadata) -> ObjectInfo {
    ObjectInfo {
        key,
        size: metadata.len(),
        etag: format!("{:x}-{:x}.{:x}", metadata.len(), metadata.mtime(), metadata.mtime_nsec()),
    }
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<ObjectInfo>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let key = format!("{prefix}{name}");
        let metadata = std::fs::metadata(entry.path())?;
        if metadata.is_dir() {
            walk(&entry.path(), &format!("{key}/"), found)?;
        } else {
            found.push(info(key, &metadata));
        }
    }
    Ok(())
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn location(&self, key: &str) -> String {
        self.path(key).display().to_string()
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        // Only the folder part of the prefix is walked: the rest filters names.
        let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]).to_owned();
        let under = folder.clone();
        let listing = self
            .blocking("list", &folder, move |path| {
                let mut found = Vec::new();
                walk(path, &under, &mut found)?;
                Ok(found)
            })
            .await;
        match listing {
            Ok(mut found) => {
                found.retain(|object| object.key.starts_with(prefix));
                Ok(found)
            }
            Err(Error::NotFound { .. }) if self.root.is_dir() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo> {
        let metadata = self.blocking("read", key, |path| std::fs::metadata(path)).await?;
        Ok(info(key.to_owned(), &metadata))
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        let bytes = self.blocking("read", key, |path| std::fs::read(path)).await?;
        Ok(bytes.into())
    }

    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes> {
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
        bytes.map(Bytes::from).ok_or_else(|| changed(self.location(&object.key)))
    }

    async fn put(&self, key: &str, bytes: Bytes, write: Write) -> Result<bool> {
        // Written beside and linked or renamed into place: a reader never sees half an object.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let suffix = format!(".{}-{}.part", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.blocking("write", key, move |path| {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut part = path.as_os_str().to_owned();
            part.push(suffix);
            let outcome = (|| {
                let mut file = std::fs::File::create(&part)?;
                file.write_all(&bytes)?;
                drop(file);
                match write {
                    Write::Replace => std::fs::rename(&part, path).map(|()| true),
                    Write::Create => match std::fs::hard_link(&part, path) {
                        Ok(()) => Ok(true),
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
                        Err(error) => Err(error),
                    },
                }
            })();
            // Gone already after a rename; a left-over otherwise.
            let _ = std::fs::remove_file(&part);
            outcome
        })
        .await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        for key in keys {
            match self.blocking("delete", key, |path| std::fs::remove_file(path)).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The object is not the one that was planned.
pub(super) fn changed(location: String) -> Error {
    Error::bad_partition(location, "the file changed after the run was planned: start a new execution to plan it again")
}
