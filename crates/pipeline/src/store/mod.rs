//! Where files lie: S3, or a local folder with the same keys.
//!
//! One trait, two stores, one conformance suite (`tests/store.rs`) over the local one and, in the end-to-end
//! tests, S3. Why not the `object_store` crate: the Lambda's SDK is `aws-sdk-s3` anyway (credentials, retries and
//! endpoint settings exactly as the AWS tools have them), and six operations do not pay for a second one.

mod local;
mod s3;

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use torch_file::RangeRead;

use crate::{Error, Result};
pub use local::LocalStore;
pub use s3::{S3Store, aws_config, explain};

/// One object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// The key, from the bucket's (or folder's) root.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// The version tag: changes when the content does.
    pub etag: String,
}

/// Whether a write may replace what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Replace what is there.
    Replace,
    /// Only where nothing is: of two that race, one wins.
    Create,
}

/// A flat set of keyed, immutable-by-ETag objects.
#[async_trait]
pub trait ObjectStore: Send + Sync + std::fmt::Debug {
    /// The address of a key for a person: `s3://bucket/key`, or a path.
    fn location(&self, key: &str) -> String;

    /// Every object whose key starts with `prefix`, in no particular order, however many there are.
    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>>;

    /// Size and ETag of one object; [`Error::NotFound`] where there is none.
    async fn head(&self, key: &str) -> Result<ObjectInfo>;

    /// A whole object.
    async fn get(&self, key: &str) -> Result<Bytes>;

    /// Exactly the bytes of `range`, if the object still has this ETag; else [`Error::BadPartition`].
    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes>;

    /// Writes a whole object. With [`Write::Create`], `false` says that the key was taken and nothing was written.
    async fn put(&self, key: &str, bytes: Bytes, write: Write) -> Result<bool>;

    /// Deletes objects; those that are not there do not matter.
    async fn delete(&self, keys: &[String]) -> Result<()>;
}

/// [`get`](ObjectStore::get) where absence is an answer, not an error.
pub async fn get_if_present(store: &dyn ObjectStore, key: &str) -> Result<Option<Bytes>> {
    match store.get(key).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the store that holds `bucket`.
pub trait Stores: Send + Sync {
    /// The store for a bucket; cheap, and no proof that the bucket is there.
    fn bucket(&self, bucket: &str) -> Arc<dyn ObjectStore>;
}

/// One object of a store as the torch reader wants it.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    object: ObjectInfo,
    name: String,
}

impl ObjectReader {
    /// Reads `object` by ranges, each under its ETag.
    pub fn new(store: Arc<dyn ObjectStore>, object: ObjectInfo) -> Self {
        let name = store.location(&object.key);
        Self { store, object, name }
    }
}

impl RangeRead for ObjectReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.object.size
    }

    fn read(&self, range: Range<u64>) -> BoxFuture<'_, std::io::Result<Bytes>> {
        // The store's own error travels inside the io::Error, and `Error::from_torch` takes it out again.
        Box::pin(async move { self.store.get_range(&self.object, range).await.map_err(std::io::Error::other) })
    }
}

/// `prefix` as a folder: no leading slash, one trailing slash, empty for the root.
pub fn as_folder(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        trimmed => format!("{trimmed}/"),
    }
}
