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
    run_files::CATALOGUE,
    storage::{LocalStore, ObjectReader, ObjectStore, S3Store, aws_config, is_in_s3, printable, split_address},
};
use torch_file::RangeRead;

use crate::global::Global;

/// A place in a store.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Key of a file or folder, no slash at its ends; empty for the root.
    pub(crate) key: String,
    /// The root of a store on this machine.
    pub(crate) root: Option<PathBuf>,
}

impl Location {
    /// A file or folder, which may not exist yet.
    pub(crate) async fn parse(text: &str, global: &Global) -> Result<Self> {
        if let Some((bucket, key)) = bucket_and_key(text)? {
            let client = S3Store::client(&aws_config(global.endpoint_url.as_deref()).await);
            let store = Arc::new(S3Store::new(client, bucket).at_own_cost(global.requester_pays));
            return Ok(Self { store, key: key.to_owned(), root: None });
        }
        if text.is_empty() {
            bail!("a path is empty");
        }
        let path = Path::new(text);
        if path.is_dir() || text.ends_with('/') {
            return Ok(Self::local(path, String::new()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            bail!("{} is neither a file nor a folder", printable(text));
        };
        Ok(Self::local(folder.unwrap_or(Path::new(".")), name.to_owned()))
    }

    /// A folder, whether it is there yet or not.
    pub(crate) async fn parse_folder(text: &str, global: &Global) -> Result<Self> {
        match bucket_and_key(text)? {
            Some(_) => Self::parse(text, global).await,
            None => Ok(Self::local(Path::new(text), String::new())),
        }
    }

    /// A catalogue: the given place, or the catalogue in it where it is a folder.
    pub(crate) async fn parse_catalogue(text: &str, global: &Global) -> Result<Self> {
        let mut location = Self::parse(text, global).await?;
        if location.key.is_empty() {
            location.key = CATALOGUE.to_owned();
        } else if location.root.is_none() && !location.key.ends_with(".parquet") {
            location.key = format!("{}/{CATALOGUE}", location.key);
        }
        Ok(location)
    }

    fn local(root: &Path, key: String) -> Self {
        Self { store: Arc::new(LocalStore::new(root)), key, root: Some(root.to_owned()) }
    }

    /// The path on this machine, where it is one.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.root.as_ref().map(|root| if self.key.is_empty() { root.clone() } else { root.join(&self.key) })
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

    /// The one data file that is here, or those in the folder in natural order: all, or the first so many.
    pub(crate) async fn partitions(&self, limit: Option<u64>) -> Result<Partitions> {
        if is_partition(&self.key) {
            let file = PlannedFile::listed(self.store.head(&self.key).await?);
            return Ok(Partitions { files: vec![file], unreadable: Vec::new() });
        }
        // A folder of this machine is a store's root.
        if let Some(path) = self.path().filter(|_| !self.key.is_empty()) {
            let shown = printable(&path.display().to_string());
            match path.symlink_metadata() {
                Ok(_) => {
                    bail!("{shown} is no data set: it is no folder, and its name ends in none of .pt, .pth and .npz")
                }
                Err(_) => bail!("{shown} does not exist: check the path"),
            }
        }
        Ok(list_partitions(&self.store, &self.key, limit).await?)
    }

    /// The address for a person.
    pub(crate) fn name(&self) -> String {
        self.store.location(&self.key)
    }
}

/// A path to write to that no command takes in S3, as clap parses it: a folder `s3:` would be made of an address.
pub(crate) fn on_this_machine(text: &str) -> Result<PathBuf, String> {
    if is_in_s3(text) {
        return Err(
            "this is written on this machine: name a local path, and copy it with `aws s3 cp` afterwards".into()
        );
    }
    Ok(PathBuf::from(text))
}

/// The bucket and key of an address in S3; `None` for a path on this machine.
fn bucket_and_key(text: &str) -> Result<Option<(&str, &str)>> {
    if !is_in_s3(text) {
        return Ok(None);
    }
    match split_address(text) {
        Ok((bucket, key)) => Ok(Some((bucket, key.trim_matches('/')))),
        Err(said) => bail!("{} {said}", printable(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_s3_are_taken_apart_in_each_of_their_forms() {
        for text in ["s3://sky/25MB/", "S3://sky//25MB", "arn:aws:s3:::sky/25MB", "arn:aws-cn:s3:::sky/25MB"] {
            assert_eq!(bucket_and_key(text).unwrap(), Some(("sky", "25MB")), "{text}");
        }
        assert_eq!(bucket_and_key("s3://sky").unwrap(), Some(("sky", "")));
        assert_eq!(bucket_and_key("sky/25MB").unwrap(), None);
        let access_point = "arn:aws:s3:eu-west-1:123456789012:accesspoint/sky";
        for text in ["s3://", "s3:///25MB", access_point, "s3://arn:aws:s3:::sky/1.pt", "https://sky.s3.amazonaws.com"]
        {
            assert!(bucket_and_key(text).unwrap_err().to_string().starts_with(text), "{text}");
        }
    }
}
