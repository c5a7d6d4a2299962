//! Paths that may be local or in S3: `folder/file.pt`, `s3://bucket/prefix`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Result, bail};
use astromae::MAX_MODEL;
use bytes::Bytes;
use pipeline::{
    partitions::{Partitions, is_partition, list_partitions},
    plan::PlannedFile,
    storage::{LocalStore, ObjectReader, ObjectStore, S3Store, aws_config},
};
use torch_file::RangeRead;

use crate::global::Global;

/// A place in a store.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Key of a file or folder, no slash at its ends; empty for the root.
    pub(crate) key: String,
}

impl Location {
    /// A file or folder, which may not exist yet.
    pub(crate) async fn parse(text: &str, global: &Global) -> Result<Self> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                bail!("{text} names no bucket: write s3://bucket/prefix");
            }
            let client = S3Store::client(&aws_config(global.endpoint_url.as_deref()).await);
            let store = Arc::new(S3Store::new(client, bucket));
            return Ok(Self { store, key: key.trim_matches('/').to_owned() });
        }
        let path = Path::new(text);
        if path.is_dir() || text.ends_with('/') {
            return Ok(Self { store: Arc::new(LocalStore::new(path)), key: String::new() });
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            bail!("{text} is neither a file nor a folder");
        };
        let root = folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        Ok(Self { store: Arc::new(LocalStore::new(root)), key: name.to_owned() })
    }

    /// The one file that is here.
    pub(crate) async fn reader(&self) -> Result<ObjectReader> {
        let object = self.store.head(&self.key).await?;
        Ok(ObjectReader::new(Arc::clone(&self.store), object))
    }

    /// The bytes of the model that is here.
    pub(crate) async fn read_model(&self) -> Result<Bytes> {
        let reader = self.reader().await?;
        let size = reader.size();
        if size > MAX_MODEL {
            return Err(astromae::Error::TooLarge { file: self.name(), size, limit: MAX_MODEL }.into());
        }
        Ok(reader.read_all().await?)
    }

    /// The one data file that is here, or all those in the folder, in natural order.
    pub(crate) async fn partitions(&self) -> Result<Partitions> {
        if is_partition(&self.key) {
            let file = PlannedFile::listed(self.store.head(&self.key).await?);
            return Ok(Partitions { files: vec![file], unreadable: Vec::new() });
        }
        Ok(list_partitions(&self.store, &self.key, None).await?)
    }

    /// The address for a person.
    pub(crate) fn name(&self) -> String {
        self.store.location(&self.key)
    }
}
