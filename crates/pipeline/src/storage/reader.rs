//! An object of a store as the reader of torch files wants it.
//!
//! An object is read under the ETag that it was planned with. Where it is replaced or deleted while a run reads it, a
//! bucket with versions still has the planned one, and it is read from there. It is looked for only then, by its ETag:
//! listings of S3 name no VersionId, and to plan with one would take a request for each file, or a listing of all
//! versions, in every run. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html>

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use torch_file::RangeRead;

use crate::storage::{
    error::{StorageError, explain},
    object::{ObjectInfo, ObjectStore},
};

/// Reads an object by ranges, each under the ETag that it was planned with.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    object: ObjectInfo,
    location: String,
    /// The version that it is read from, once the current object was found to be another.
    version: Arc<OnceLock<String>>,
}

impl ObjectReader {
    pub fn new(store: Arc<dyn ObjectStore>, object: ObjectInfo) -> Self {
        let location = store.location(&object.key);
        Self { store, object, location, version: Arc::default() }
    }

    /// Reads the whole object.
    ///
    /// # Errors
    /// Those of [`ObjectStore::get_range`].
    pub async fn read_all(&self) -> Result<Bytes, StorageError> {
        self.get(0..self.object.size).await
    }

    async fn get(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        if let Some(version) = self.version.get() {
            return self.store.get_version_range(&self.object, version, range).await;
        }
        match self.store.get_range(&self.object, range.clone()).await {
            Err(gone @ (StorageError::Changed { .. } | StorageError::NotFound { .. })) => {
                let Some(version) = self.find_version().await else { return Err(gone) };
                self.store.get_version_range(&self.object, version, range).await
            }
            read => read,
        }
    }

    async fn find_version(&self) -> Option<&str> {
        match self.store.find_version(&self.object).await {
            Ok(Some(version)) => {
                tracing::info!(
                    key = self.object.key,
                    version,
                    "it was replaced since it was planned: its version is read"
                );
                Some(self.version.get_or_init(|| version).as_str())
            }
            Ok(None) => None,
            Err(error) => {
                let reason = explain(&error);
                tracing::warn!(
                    key = self.object.key,
                    reason,
                    "whether the bucket keeps the planned version is not known"
                );
                None
            }
        }
    }
}

impl RangeRead for ObjectReader {
    type Error = StorageError;

    fn name(&self) -> &str {
        &self.location
    }

    fn size(&self) -> u64 {
        self.object.size
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.get(range).await
    }
}
