//! An object of a store as the reader of torch files wants it.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use torch_file::RangeRead;

use crate::storage::{
    error::StorageError,
    object::{ObjectInfo, ObjectStore},
};

/// Reads an object by ranges, each under the ETag that it was planned with.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    object: ObjectInfo,
    location: String,
}

impl ObjectReader {
    pub fn new(store: Arc<dyn ObjectStore>, object: ObjectInfo) -> Self {
        let location = store.location(&object.key);
        Self { store, object, location }
    }

    /// Reads the whole object.
    ///
    /// # Errors
    /// Those of [`ObjectStore::get_range`].
    pub async fn read_all(&self) -> Result<Bytes, StorageError> {
        self.store.get_range(&self.object, 0..self.object.size).await
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
        self.store.get_range(&self.object, range).await
    }
}
