//! A folder as an object store: keys are relative paths with `/`.

use std::{
    fs::{File, Metadata},
    io::{ErrorKind, Read, Write as _},
    ops::Range,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::NamedTempFile;
use walkdir::WalkDir;

use crate::storage::{
    error::StorageError,
    object::{Listing, Object, ObjectInfo, ObjectStore, Stores, Unreadable, Upload, Write},
    printable::{printable, printable_bytes},
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

/// Size, modification time and inode stand in for S3's content hash: what changes a file changes one of them.
fn tag(metadata: &Metadata) -> String {
    format!("{:x}-{:x}.{:x}-{:x}", metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
}

/// Refuses what is no file before it is opened: a pipe that nobody writes into would be waited for without end.
fn check_is_file(metadata: &Metadata) -> std::io::Result<()> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(std::io::Error::other(format!("it is {what}, and no file")))
}

fn open(path: &Path) -> std::io::Result<(File, Metadata)> {
    check_is_file(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Every file below `folder`, under `prefix`. What cannot be looked at is named, and costs no other file.
fn walk(folder: &Path, prefix: &str) -> std::io::Result<Listing> {
    let mut listing = Listing::default();
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    // A name stands for its file where it is UTF-8, and can only be printed otherwise.
    let name = |path: &Path| {
        let name = path.strip_prefix(folder).unwrap_or(path);
        let printed = format!("{prefix}{}", printable_bytes(name.as_os_str().as_bytes()));
        (name.to_str().map(|name| format!("{prefix}{name}")), printed)
    };
    for entry in WalkDir::new(folder).follow_links(true) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let (key, printed) = name(error.path().unwrap_or(folder));
                listing.unreadable.push(Unreadable { name: key.unwrap_or(printed), reason: reason(&error) });
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        let found =
            entry.metadata().map_err(std::io::Error::from).and_then(|found| check_is_file(&found).map(|()| found));
        match (name(entry.path()), found) {
            ((Some(key), _), Ok(found)) => listing.objects.push(info(key, &found)),
            ((None, name), Ok(_)) => {
                let reason = "its name is not UTF-8, and the catalogue could not name it: rename it".to_owned();
                listing.unreadable.push(Unreadable { name, reason });
            }
            ((key, printed), Err(error)) => {
                listing.unreadable.push(Unreadable { name: key.unwrap_or(printed), reason: error.to_string() });
            }
        }
    }
    Ok(listing)
}

/// Why a walk could not go on at a name.
fn reason(error: &walkdir::Error) -> String {
    if error.loop_ancestor().is_some() {
        return "it is a link to a folder that it lies in".to_owned();
    }
    let link = error.path().and_then(|path| std::fs::read_link(path).ok());
    match (error.io_error(), link) {
        (Some(io), Some(target)) if io.kind() == ErrorKind::NotFound => {
            format!("it is a link to {}, where nothing is", printable_bytes(target.as_os_str().as_bytes()))
        }
        (Some(io), None) if io.kind() == ErrorKind::NotFound => "it vanished while the folder was listed".to_owned(),
        (Some(io), _) => io.to_string(),
        (None, _) => error.to_string(),
    }
}

/// Writes beside `path` and moves into place what was written, so that a reader never sees half an object, nor finds
/// one after a power cut.
fn write_beside(
    path: &Path,
    write: &Condition,
    fill: impl FnOnce(&mut NamedTempFile) -> std::io::Result<()>,
) -> std::io::Result<Option<Metadata>> {
    let mut part = create_beside(path)?;
    fill(&mut part)?;
    move_into_place(part, path, write).map(Result::ok)
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file in the folder of `path`, that is deleted unless it is moved there.
fn create_beside(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = folder_of(path);
    std::fs::create_dir_all(folder)?;
    tempfile::Builder::new().permissions(readable_by_others()).tempfile_in(folder)
}

/// Moves what was written to `path`, or gives it back where the condition does not hold.
fn move_into_place(
    part: NamedTempFile,
    path: &Path,
    write: &Condition,
) -> std::io::Result<Result<Metadata, NamedTempFile>> {
    let folder = folder_of(path);
    part.as_file().sync_all()?;
    let metadata = part.as_file().metadata()?;
    match write {
        Condition::None => {
            part.persist(path).map_err(|failed| failed.error)?;
        }
        Condition::Absent => match part.persist_noclobber(path) {
            Ok(_) => {}
            Err(failed) if failed.error.kind() == ErrorKind::AlreadyExists => return Ok(Err(failed.file)),
            Err(failed) => return Err(failed.error),
        },
        Condition::Tag(etag) => {
            // A folder has no such operation: the lock makes it one within this process.
            let _one_at_a_time = UPDATES.lock().unwrap_or_else(PoisonError::into_inner);
            match std::fs::metadata(path) {
                Ok(there) if tag(&there) == *etag => {
                    part.persist(path).map_err(|failed| failed.error)?;
                }
                Ok(_) => return Ok(Err(part)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(part)),
                Err(error) => return Err(error),
            }
        }
    }
    // Not every file system can sync a folder.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(Ok(metadata))
}

/// Held from looking at a file to replacing it. Other processes do not know of it: a folder is no bucket that several
/// machines write to.
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

/// A file that grows beside its place. It is deleted when it is dropped.
struct LocalUpload {
    store: LocalStore,
    key: String,
    /// Nothing once it was completed or aborted, or an operation on it failed.
    part: Option<NamedTempFile>,
}

impl LocalUpload {
    fn take(&mut self) -> Result<NamedTempFile, StorageError> {
        self.part.take().ok_or_else(|| StorageError::Unavailable {
            action: "write",
            location: self.store.location(&self.key),
            status: None,
            source: "the upload has ended".into(),
        })
    }
}

#[async_trait]
impl Upload for LocalUpload {
    async fn send(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        let mut part = self.take()?;
        let write = move |_: &Path| part.write_all(&bytes).map(|()| part);
        self.part = Some(self.store.blocking("write", &self.key, write).await?);
        Ok(())
    }

    async fn complete(&mut self, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        let (part, condition) = (self.take()?, Condition::from(write));
        let place = move |path: &Path| move_into_place(part, path, &condition);
        match self.store.blocking("write", &self.key, place).await? {
            Ok(metadata) => Ok(Some(info(self.key.clone(), &metadata))),
            Err(part) => {
                self.part = Some(part);
                Ok(None)
            }
        }
    }

    async fn abort(&mut self) -> Result<(), StorageError> {
        self.part = None;
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn location(&self, key: &str) -> String {
        printable_bytes(self.path(key).as_os_str().as_bytes())
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StorageError> {
        // Only the folder part of the prefix is walked: the rest filters names.
        let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]).to_owned();
        let under = folder.clone();
        let listing = self.blocking("list", &folder, move |path| walk(path, &under)).await;
        match listing {
            Ok(mut found) => {
                found.objects.retain(|object| object.key.starts_with(prefix));
                found.unreadable.retain(|unreadable| unreadable.name.starts_with(prefix));
                Ok(found)
            }
            Err(StorageError::NotFound { .. }) if self.root.is_dir() => Ok(Listing::default()),
            Err(error) => Err(error),
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StorageError> {
        let look = |path: &Path| {
            let metadata = std::fs::metadata(path)?;
            check_is_file(&metadata).map(|()| metadata)
        };
        let metadata = self.blocking("read", key, look).await?;
        Ok(info(key.to_owned(), &metadata))
    }

    async fn get(&self, key: &str) -> Result<Object, StorageError> {
        let read = |path: &Path| {
            let (mut file, metadata) = open(path)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| (metadata, bytes))
        };
        let (metadata, bytes) = self.blocking("read", key, read).await?;
        Ok(Object { info: info(key.to_owned(), &metadata), bytes: bytes.into() })
    }

    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes, StorageError> {
        object.check_range(&range, || self.location(&object.key))?;
        let planned = object.clone();
        let bytes = self
            .blocking("read", &object.key, move |path| {
                let (file, metadata) = open(path)?;
                if info(planned.key, &metadata).etag != planned.etag {
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

    async fn start_upload(&self, key: &str) -> Result<Box<dyn Upload>, StorageError> {
        let part = self.blocking("write", key, create_beside).await?;
        Ok(Box::new(LocalUpload { store: self.clone(), key: key.to_owned(), part: Some(part) }))
    }

    async fn put_file(&self, key: &str, file: &Path) -> Result<(), StorageError> {
        let (mut source, _) =
            open(file).map_err(|error| StorageError::of_io("read", printable(&file.display().to_string()), error))?;
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
