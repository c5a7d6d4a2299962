//! What a store is asked for, whichever it is.

use std::{ops::Range, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::storage::error::StorageError;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// The key, from the bucket's or folder's root.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// A tag that changes when the content does.
    pub etag: String,
}

/// An object with its bytes.
#[derive(Debug, Clone)]
pub struct Object {
    pub info: ObjectInfo,
    pub bytes: Bytes,
}

impl ObjectInfo {
    /// Checks that a range lies within the object.
    pub(crate) fn check_range(
        &self,
        range: &Range<u64>,
        location: impl FnOnce() -> String,
    ) -> Result<(), StorageError> {
        if range.start <= range.end && range.end <= self.size {
            return Ok(());
        }
        let source = format!("bytes {}..{} were asked for, and it has {}", range.start, range.end, self.size);
        Err(StorageError::Unavailable { action: "read", location: location(), status: None, source: source.into() })
    }
}

/// What lies under a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// What can be read, in no particular order.
    pub objects: Vec<ObjectInfo>,
    /// What is there and cannot be read; S3 has none.
    pub unreadable: Vec<Unreadable>,
}

/// A file or folder that is there and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its key, or what stands for one where the name is not UTF-8.
    pub name: String,
    pub reason: String,
}

/// What a write may replace. Of two writes that are not [`Replace`](Self::Replace), at the same time, one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write<'a> {
    /// Whatever is there.
    Replace,
    /// Nothing: the key must be free.
    Create,
    /// The object of this ETag, and no other.
    Update(&'a str),
}

impl<'a> Write<'a> {
    /// A write over what was seen under the key, and over nothing that came later.
    pub fn over(seen: Option<&'a ObjectInfo>) -> Self {
        seen.map_or(Self::Create, |seen| Self::Update(&seen.etag))
    }
}

/// A flat set of keyed objects.
#[async_trait]
pub trait ObjectStore: Send + Sync + std::fmt::Debug {
    /// The address of a key for a person: `s3://bucket/key`, or a path.
    fn location(&self, key: &str) -> String;

    /// Every object whose key starts with `prefix`, however many there are.
    async fn list(&self, prefix: &str) -> Result<Listing, StorageError>;

    /// Size and ETag of an object; [`StorageError::NotFound`] where there is none.
    async fn head(&self, key: &str) -> Result<ObjectInfo, StorageError>;

    /// Gets a whole object: all of one state of it, even where it is written meanwhile.
    async fn get(&self, key: &str) -> Result<Object, StorageError>;

    /// Exactly the bytes of `range`, if the object still has this ETag; else [`StorageError::Changed`].
    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes, StorageError>;

    /// What a store keeps an object of this ETag under, where it keeps versions, and where the current object of that key
    /// is another or none: a VersionId of S3.
    async fn find_version(&self, _: &ObjectInfo) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    /// As [`get_range`](Self::get_range), of a version that was found.
    async fn get_version_range(
        &self,
        object: &ObjectInfo,
        _version: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        self.get_range(object, range).await
    }

    /// Writes a whole object, and says what is there now. `None` says that nothing was written, because what was there
    /// is not what `write` may replace. A write whose answer was lost counts as done where
    /// the object is found to be its own.
    async fn put(&self, key: &str, bytes: Bytes, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError>;

    /// Starts an object that is written in parts: nothing shows under the key before it is whole.
    async fn start_upload(&self, key: &str) -> Result<Box<dyn Upload>, StorageError>;

    /// The size of the parts of an upload, but for the last. S3 takes none below 5 MiB, and 10,000 of them:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
    fn part_bytes(&self) -> usize {
        8 << 20
    }

    /// Writes a file of this machine as an object, in memory for a part of it.
    async fn put_file(&self, key: &str, file: &Path) -> Result<(), StorageError>;

    /// Deletes objects; those that are not there do not matter.
    async fn delete(&self, keys: &[String]) -> Result<(), StorageError>;
}

/// An object that is written in parts. Whoever starts one completes or aborts it: what was sent is stored, and paid
/// for, until then.
#[async_trait]
pub trait Upload: Send {
    /// Sends the next part.
    async fn send(&mut self, part: Bytes) -> Result<(), StorageError>;

    /// Makes the object of the parts that were sent, as [`ObjectStore::put`] writes one: `None` says that nothing was
    /// written, and that it may be tried again under another condition.
    async fn complete(&mut self, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError>;

    /// Gives up what was sent. Where that fails it stays until a rule of the bucket, if it has one, deletes it.
    async fn abort(&mut self) -> Result<(), StorageError>;
}

/// What a read found, where absence is an answer and not an error.
///
/// # Errors
/// Those of the read but [`StorageError::NotFound`].
pub fn if_present<T>(read: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(StorageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens stores by the names of their buckets.
pub trait Stores: Send + Sync {
    /// The store of a bucket. This is cheap, and no proof that the bucket is there.
    fn bucket(&self, bucket: &str) -> Arc<dyn ObjectStore>;

    /// The same of a bucket that whoever reads it pays for: S3's requester pays.
    fn bucket_at_own_cost(&self, bucket: &str) -> Arc<dyn ObjectStore> {
        self.bucket(bucket)
    }
}

/// `prefix` as a folder: no leading slash, one trailing slash, and empty for the root.
pub fn as_folder(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        trimmed => format!("{trimmed}/"),
    }
}
