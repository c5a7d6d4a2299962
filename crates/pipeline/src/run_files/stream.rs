//! A result that is written piece by piece, so that memory does not grow with it: in one request where it stays small,
//! and in parts otherwise.

use std::{io::Write, sync::Arc};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::{
    error::Result,
    storage::{ObjectInfo, ObjectStore, StorageError, Upload, explain},
};

/// The bytes that were written and not sent yet, and the SHA-256 of all that were written.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: BytesMut,
    hash: Sha256,
}

impl Outbox {
    /// The SHA-256 of all that was written so far, in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }

    /// What is left once all full parts were taken.
    pub(super) fn into_rest(self) -> Bytes {
        self.bytes.freeze()
    }
}

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.hash.update(bytes);
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A file under a result path of which only the beginning is known, and nothing shows.
pub(crate) struct FileStream {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) key: String,
    /// Once there was more than a part.
    pub(super) upload: Option<Box<dyn Upload>>,
}

impl FileStream {
    pub(super) fn new(store: Arc<dyn ObjectStore>, key: String) -> Self {
        Self { store, key, upload: None }
    }

    /// Sends what was written, as far as it fills parts.
    pub(crate) async fn send(&mut self, outbox: &mut Outbox) -> Result<()> {
        let part_bytes = self.store.part_bytes();
        // Of a file of one part, all of it goes into one request.
        while outbox.bytes.len() > part_bytes {
            self.send_part(outbox.bytes.split_to(part_bytes).freeze()).await?;
        }
        Ok(())
    }

    async fn send_part(&mut self, part: Bytes) -> Result<(), StorageError> {
        let upload = match self.upload.take() {
            Some(upload) => upload,
            None => self.store.start_upload(&self.key).await?,
        };
        self.upload.insert(upload).send(part).await
    }

    /// Gives up what was sent.
    pub(crate) async fn abort(&mut self) {
        let Some(mut upload) = self.upload.take() else { return };
        if let Err(error) = upload.abort().await {
            let (location, reason) = (self.store.location(&self.key), explain(&error));
            tracing::warn!(
                location,
                reason,
                "an upload could not be given up: it stays until a rule of the bucket, if it has one, deletes it"
            );
        }
    }

    /// Sends the rest of an upload that has begun, and says what there is to be written in one request otherwise.
    pub(super) async fn finish(&mut self, outbox: Outbox) -> Result<Content<'_>> {
        let rest = outbox.into_rest();
        if self.upload.is_some() && !rest.is_empty() {
            self.send_part(rest.clone()).await?;
        }
        Ok(match &mut self.upload {
            Some(upload) => Content::Sent(upload.as_mut()),
            None => Content::Whole(rest),
        })
    }
}

/// What a file is made of, once all of it is known.
pub(super) enum Content<'a> {
    Whole(Bytes),
    Sent(&'a mut dyn Upload),
}

impl Content<'_> {
    /// Writes it, under a condition: `None` says that it does not hold.
    pub(super) async fn write(
        &mut self,
        store: &dyn ObjectStore,
        key: &str,
        write: crate::storage::Write<'_>,
    ) -> Result<Option<ObjectInfo>, StorageError> {
        match self {
            Self::Whole(bytes) => store.put(key, bytes.clone(), write).await,
            Self::Sent(upload) => upload.complete(write).await,
        }
    }
}
