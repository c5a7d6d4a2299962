//! An object that is written in parts: S3's multipart upload.
//!
//! The conditions of a write are those of its last request, `CompleteMultipartUpload`. Where that request's answer is
//! lost, another one finds the upload gone, or the condition no longer met: whether the object there is this upload's
//! own is told by a number of its own, which the object has among its metadata.

use async_trait::async_trait;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use crate::storage::{
    error::StorageError,
    limits::{Attempts, Failure},
    object::{ObjectInfo, ObjectStore, Upload, Write},
    s3::{
        body::BodyError,
        client::{S3Store, content_type},
    },
};

/// The name of an upload's own number among an object's metadata.
const NUMBER: &str = "cosmic-upload";

/// The code of an answer that the upload is not there: it was completed or aborted.
const GONE: &str = "NoSuchUpload";

/// The most parts of an upload: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
const MAX_PARTS: i32 = 10_000;

/// An upload that was started.
pub(super) struct S3Upload {
    store: S3Store,
    key: String,
    id: String,
    number: String,
    /// What S3 has answered to each part so far.
    parts: Vec<CompletedPart>,
    /// The number of the last of them; S3 counts from 1.
    sent: i32,
    size: u64,
}

impl S3Upload {
    pub(super) async fn start(store: &S3Store, key: &str) -> Result<Self, StorageError> {
        let location = store.location(key);
        let mut attempts = Attempts::new(&store.limits, "write", &location, 0);
        let number = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        loop {
            let request = store
                .client
                .create_multipart_upload()
                .bucket(&store.bucket)
                .key(key)
                // Named, because parts must have checksums of the upload's kind:
                // https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .metadata(NUMBER, &number)
                .set_content_type(content_type(key).map(str::to_owned));
            let place = store.place("write", &location);
            let failure = match store.send(&attempts, place, store.limits.answer, request.send()).await {
                Ok(created) => match created.upload_id {
                    Some(id) => {
                        let (store, key) = (store.clone(), key.to_owned());
                        return Ok(Self { store, key, id, number, parts: Vec::new(), sent: 0, size: 0 });
                    }
                    None => attempts.passing(BodyError::Headless("UploadId")),
                },
                Err(failure) => failure,
            };
            attempts.again(failure).await?;
        }
    }

    /// The object under the key, where it is this upload's.
    async fn find_own(&self, location: &str) -> Result<Option<ObjectInfo>, StorageError> {
        let mut attempts = Attempts::new(&self.store.limits, "read", location, 0);
        loop {
            let request = self.store.client.head_object().bucket(&self.store.bucket).key(&self.key).send();
            let place = self.store.place("read", location);
            let failure = match self.store.send(&attempts, place, self.store.limits.answer, request).await {
                Ok(head) => {
                    let number = head.metadata().and_then(|metadata| metadata.get(NUMBER));
                    if number != Some(&self.number) {
                        return Ok(None);
                    }
                    match head.e_tag {
                        Some(etag) => return Ok(Some(ObjectInfo { key: self.key.clone(), size: self.size, etag })),
                        None => attempts.passing(BodyError::Headless("ETag")),
                    }
                }
                Err(failure) => failure,
            };
            match attempts.again(failure).await {
                Err(StorageError::NotFound { .. }) => return Ok(None),
                again => again?,
            }
        }
    }
}

/// Whether S3 says that the upload is not there.
fn is_gone(failure: &Failure) -> bool {
    matches!(&failure.error, StorageError::Refused { code: Some(code), .. } if code == GONE)
}

#[async_trait]
impl Upload for S3Upload {
    async fn send(&mut self, part: Bytes) -> Result<(), StorageError> {
        let location = self.store.location(&self.key);
        let size = part.len() as u64;
        if self.sent == MAX_PARTS {
            return Err(StorageError::TooManyParts { location, parts: MAX_PARTS, bytes: self.size });
        }
        let number = self.sent + 1;
        let mut attempts = Attempts::new(&self.store.limits, "write", &location, size);
        loop {
            let request = self
                .store
                .client
                .upload_part()
                .bucket(&self.store.bucket)
                .key(&self.key)
                .upload_id(&self.id)
                .part_number(number)
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .body(part.clone().into());
            let (place, limit) = (self.store.place("write", &location), attempts.upload_limit(size));
            let failure = match self.store.send(&attempts, place, limit, request.send()).await {
                Ok(answer) if answer.e_tag.is_some() => {
                    let part = CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag);
                    self.parts.push(part.set_checksum_crc32(answer.checksum_crc32).build());
                    self.sent = number;
                    self.size += size;
                    return Ok(());
                }
                Ok(_) => attempts.passing(BodyError::Headless("ETag")),
                Err(failure) => failure,
            };
            attempts.again(failure).await?;
        }
    }

    async fn complete(&mut self, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        let location = self.store.location(&self.key);
        let mut attempts = Attempts::new(&self.store.limits, "write", &location, self.size);
        // As with `put`: an attempt whose answer did not come may have written all the same.
        let mut may_be_ours = false;
        loop {
            let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone())).build();
            let request = self
                .store
                .client
                .complete_multipart_upload()
                .bucket(&self.store.bucket)
                .key(&self.key)
                .upload_id(&self.id)
                .multipart_upload(parts);
            let request = match write {
                Write::Replace => request,
                Write::Create => request.if_none_match("*"),
                Write::Update(etag) => request.if_match(etag),
            };
            // S3 puts the parts together before it answers.
            let (place, limit) = (self.store.place("write", &location), attempts.upload_limit(self.size));
            match self.store.send(&attempts, place, limit, request.send()).await {
                Ok(completed) => {
                    if let Some(etag) = completed.e_tag {
                        return Ok(Some(ObjectInfo { key: self.key.clone(), size: self.size, etag }));
                    }
                    may_be_ours = true;
                    attempts.again(attempts.passing(BodyError::Headless("ETag"))).await?;
                }
                // After a conflict, S3 wants the upload started anew:
                // https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
                Err(failure) if is_gone(&failure) || failure.status == Some(409) => {
                    let own = if may_be_ours { self.find_own(&location).await? } else { None };
                    // Another attempt of the whole may end otherwise.
                    return own.map(Some).ok_or_else(|| match failure.passing {
                        true => failure.error,
                        false => attempts.passing(failure.error).error,
                    });
                }
                Err(Failure { status: Some(412), .. }) if write != Write::Replace => {
                    return if may_be_ours { self.find_own(&location).await } else { Ok(None) };
                }
                // What should be replaced is gone.
                Err(Failure { status: Some(404), error: StorageError::NotFound { location: missing, .. }, .. })
                    if matches!(write, Write::Update(_)) && missing == location =>
                {
                    return Ok(None);
                }
                Err(failure) => {
                    may_be_ours = true;
                    attempts.again(failure).await?;
                }
            }
        }
    }

    async fn abort(&mut self) -> Result<(), StorageError> {
        let location = self.store.location(&self.key);
        let mut attempts = Attempts::new(&self.store.limits, "delete", &location, 0);
        loop {
            let request = self.store.client.abort_multipart_upload().bucket(&self.store.bucket).key(&self.key);
            let request = request.upload_id(&self.id).send();
            let place = self.store.place("delete", &location);
            match self.store.send(&attempts, place, self.store.limits.answer, request).await {
                Ok(_) => return Ok(()),
                Err(failure) if is_gone(&failure) => return Ok(()),
                Err(failure) => attempts.again(failure).await?,
            }
        }
    }
}
