//! S3, or anything that speaks its protocol.

mod answer;
mod body;
mod client;
mod listing;
mod upload;

use std::{collections::HashSet, ops::Range, path::Path, sync::Arc};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    primitives::ByteStream,
    types::{Delete, EncodingType, ObjectIdentifier, ObjectVersion},
};
use bytes::Bytes;
use tokio::time::Instant;

use crate::storage::{
    error::StorageError,
    limits::{Attempts, Failure},
    object::{Listing, Object, ObjectInfo, ObjectStore, Stores, Upload, Write, if_present},
    printable::printable,
    s3::{
        body::PartialBody,
        client::content_type,
        listing::{Page, decode},
        upload::S3Upload,
    },
};
pub use client::{S3Store, aws_config};

/// `DeleteObjects` takes this many keys a request.
const KEYS_PER_DELETE: usize = 1000;

impl S3Store {
    /// Gets the bytes that a body lacks, in as many attempts as it takes.
    async fn fetch(
        &self,
        key: &str,
        version: Option<&str>,
        mut body: PartialBody,
        size: u64,
    ) -> Result<(Bytes, String), StorageError> {
        let location = self.location(key);
        let mut attempts = Attempts::new(&self.limits, "read", &location, size);
        let mut known = size;
        loop {
            let outcome = self.fetch_more((key, version), &mut body, &mut attempts, &mut known, &location).await;
            let failure = match outcome {
                Ok(()) => return Ok(body.finish()),
                // A whole object is read in whichever state it is: in the new one, where it was written meanwhile.
                Err(Failure { error: StorageError::Changed { .. }, .. }) if body.start_in_new_state() => {
                    attempts.passing("the object was written while it was read")
                }
                Err(failure) => failure,
            };
            attempts.again(failure).await?;
        }
    }

    /// Gets a part of an object in the state of its ETag, from one of its versions where that is given.
    async fn fetch_range(
        &self,
        object: &ObjectInfo,
        version: Option<&str>,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        object.check_range(&range, || self.location(&object.key))?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let size = range.end - range.start;
        let body = PartialBody::part(&object.etag, object.size, range);
        Ok(self.fetch(&object.key, version, body, size).await?.0)
    }

    /// One request for what a body lacks. What came before a failure stays in the body.
    async fn fetch_more(
        &self,
        (key, version): (&str, Option<&str>),
        body: &mut PartialBody,
        attempts: &mut Attempts<'_>,
        known: &mut u64,
        location: &str,
    ) -> Result<(), Failure> {
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .set_version_id(version.map(str::to_owned))
            .set_request_payer(self.payer.clone())
            .set_if_match(body.etag().map(str::to_owned))
            .set_range(body.range_header())
            .customize();
        // The header alone, without the SDK's own validation: `body` sees to it, over all answers that the bytes come
        // in, and the SDK would warn of each checksum that is one of parts.
        let request = match body.asks_for_whole() {
            true => request.mutate_request(|request| {
                request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
            }),
            false => request,
        };
        let place = self.place("read", location);
        let mut answer = self.send(attempts, place, self.limits.answer, request.send()).await?;
        body.accept_head(&answer).map_err(|error| attempts.passing(error))?;
        let wanted = body.wanted();
        attempts.extend(wanted.saturating_sub(*known));
        *known = wanted.max(*known);
        let window = self.limits.stall;
        let enough = self.limits.slowest.saturating_mul(window.as_millis() as u64) / 1000;
        let (mut window_end, mut brought) = (Instant::now() + window, 0);
        loop {
            let limit = window_end.saturating_duration_since(Instant::now());
            let next = match attempts.in_time(limit, "the body stalled", answer.body.next()).await {
                Err(_) if brought >= enough => {
                    (window_end, brought) = (Instant::now() + window, 0);
                    continue;
                }
                next => next?,
            };
            match next {
                Some(Ok(bytes)) => {
                    brought += bytes.len() as u64;
                    body.push(&bytes).map_err(|error| attempts.passing(error))?;
                }
                // Of the two ends of a body the SDK's error says more, unless all bytes came and are wrong.
                Some(Err(error)) => match body.check_end() {
                    Err(broken @ body::BodyError::Checksum { .. }) => return Err(attempts.passing(broken)),
                    _ => return Err(attempts.passing(error)),
                },
                None => return body.check_end().map_err(|error| attempts.passing(error)),
            }
        }
    }

    /// The object, where it holds these bytes.
    async fn find_equal(&self, key: &str, bytes: &Bytes) -> Result<Option<ObjectInfo>, StorageError> {
        let there = if_present(self.get(key).await)?;
        Ok(there.filter(|there| there.bytes == *bytes).map(|there| there.info))
    }

    /// Why S3 does not answer a HEAD: its answers have no body that could say
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>), so that one byte is asked for as well.
    async fn reason(&self, key: &str, failure: Failure, attempts: &Attempts<'_>, location: &str) -> Failure {
        let nameless = matches!(
            failure.error,
            StorageError::AccessDenied { .. } | StorageError::Refused { code: None, status: 400 | 403, .. }
        );
        if !nameless {
            return failure;
        }
        let request = self.client.get_object().bucket(&self.bucket).key(key).range("bytes=0-0");
        let request = request.set_request_payer(self.payer.clone()).send();
        match self.send(attempts, self.place("read", location), self.limits.answer, request).await {
            Err(named) if !named.passing => named,
            _ => failure,
        }
    }

    /// One request for a page of a listing.
    async fn page(
        &self,
        prefix: &str,
        token: Option<&str>,
        attempts: &Attempts<'_>,
        location: &str,
    ) -> Result<Page, Failure> {
        let request = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            // Without it, a key with a control character makes an answer that is no XML.
            .encoding_type(EncodingType::Url)
            .set_request_payer(self.payer.clone())
            .set_continuation_token(token.map(str::to_owned));
        let answer = self.send(attempts, self.place("list", location), self.limits.answer, request.send()).await?;
        Page::of(answer).map_err(|error| attempts.passing(error))
    }

    /// One request that deletes up to [`KEYS_PER_DELETE`] objects. Keys that were deleted are taken off the list.
    async fn delete_once(
        &self,
        keys: &mut Vec<String>,
        attempts: &Attempts<'_>,
        location: &str,
    ) -> Result<(), Failure> {
        let objects = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(key).build())
            .collect::<Result<Vec<_>, _>>()
            .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build())
            .map_err(|error| Failure { passing: false, ..attempts.passing(error) })?;
        let request = self.client.delete_objects().bucket(&self.bucket).delete(objects).send();
        let place = self.place("delete", location);
        let answer = self.send(attempts, place, self.limits.answer, request).await?;
        let failed: HashSet<&str> = answer.errors().iter().filter_map(|error| error.key()).collect();
        let Some(first) = answer.errors().first() else { return Ok(()) };
        // An error that names no key may be of any.
        if answer.errors().iter().all(|error| error.key().is_some()) {
            keys.retain(|key| failed.contains(key.as_str()));
        }
        let code = first.code().unwrap_or_default();
        let location = self.location(first.key().unwrap_or_default());
        let source = [code, first.message().unwrap_or_default()].join(": ").into();
        let lasting = matches!(code, "AccessDenied" | "MethodNotAllowed" | "InvalidRequest");
        let error = match code {
            "AccessDenied" => StorageError::AccessDenied { location, action: "delete", source },
            _ => StorageError::Unavailable { action: "delete", location, status: None, source },
        };
        Err(Failure { error, passing: !lasting, status: None })
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn location(&self, key: &str) -> String {
        format!("s3://{}/{}", self.bucket, printable(key))
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StorageError> {
        let location = self.location(prefix);
        let mut listing = Listing::default();
        let mut token: Option<String> = None;
        loop {
            let mut attempts = Attempts::new(&self.limits, "list", &location, 0);
            let page = loop {
                match self.page(prefix, token.as_deref(), &attempts, &location).await {
                    Ok(page) => break page,
                    Err(failure) => attempts.again(failure).await?,
                }
            };
            listing.objects.extend(page.objects);
            match page.next {
                Some(next) if token.as_ref() == Some(&next) => {
                    let endless = attempts.passing("the listing goes on with the same page for ever");
                    return Err(endless.error);
                }
                Some(next) => token = Some(next),
                None => return Ok(listing),
            }
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StorageError> {
        let location = self.location(key);
        let mut attempts = Attempts::new(&self.limits, "read", &location, 0);
        loop {
            let request = self.client.head_object().bucket(&self.bucket).key(key);
            let request = request.set_request_payer(self.payer.clone()).send();
            let place = self.place("read", &location);
            let failure = match self.send(&attempts, place, self.limits.answer, request).await {
                Ok(head) => {
                    let size = head.content_length.and_then(|size| u64::try_from(size).ok());
                    match (size, head.e_tag) {
                        (Some(size), Some(etag)) => return Ok(ObjectInfo { key: key.to_owned(), size, etag }),
                        (None, _) => attempts.passing(body::BodyError::Headless("Content-Length")),
                        (_, None) => attempts.passing(body::BodyError::Headless("ETag")),
                    }
                }
                Err(failure) => self.reason(key, failure, &attempts, &location).await,
            };
            attempts.again(failure).await?;
        }
    }

    async fn get(&self, key: &str) -> Result<Object, StorageError> {
        let (bytes, etag) = self.fetch(key, None, PartialBody::whole(), 0).await?;
        Ok(Object { info: ObjectInfo { key: key.to_owned(), size: bytes.len() as u64, etag }, bytes })
    }

    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.fetch_range(object, None, range).await
    }

    async fn find_version(&self, object: &ObjectInfo) -> Result<Option<String>, StorageError> {
        let location = self.location(&object.key);
        // Versions come from the newest to the oldest, so that the first page has what was there a while ago.
        let mut attempts = Attempts::new(&self.limits, "list", &location, 0);
        let page = loop {
            let request = self.client.list_object_versions().bucket(&self.bucket).prefix(&object.key);
            let request = request.encoding_type(EncodingType::Url);
            let request = request.set_request_payer(self.payer.clone()).send();
            match self.send(&attempts, self.place("list", &location), self.limits.answer, request).await {
                Ok(page) => break page,
                Err(failure) => attempts.again(failure).await?,
            }
        };
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        let is_key = |key: &str| match encoded {
            true => decode(key).is_ok_and(|key| key == object.key),
            false => key == object.key,
        };
        let is_planned = |version: &&ObjectVersion| {
            version.key().is_some_and(is_key)
                && version.e_tag() == Some(object.etag.as_str())
                && version.size().and_then(|size| u64::try_from(size).ok()) == Some(object.size)
        };
        Ok(page.versions().iter().find(is_planned).and_then(|version| version.version_id()).map(str::to_owned))
    }

    async fn get_version_range(
        &self,
        object: &ObjectInfo,
        version: &str,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        self.fetch_range(object, Some(version), range).await
    }

    async fn put(&self, key: &str, bytes: Bytes, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        let location = self.location(key);
        let size = bytes.len() as u64;
        let mut attempts = Attempts::new(&self.limits, "write", &location, size);
        // An attempt whose answer did not come may have written all the same, and be what the next one finds there.
        let mut may_be_ours = false;
        loop {
            let request = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes.clone()));
            let request = request.set_content_type(content_type(key).map(str::to_owned));
            let request = match write {
                Write::Replace => request,
                Write::Create => request.if_none_match("*"),
                Write::Update(etag) => request.if_match(etag),
            };
            let limit = attempts.upload_limit(size);
            match self.send(&attempts, self.place("write", &location), limit, request.send()).await {
                Ok(put) => {
                    if let Some(etag) = put.e_tag {
                        return Ok(Some(ObjectInfo { key: key.to_owned(), size, etag }));
                    }
                    may_be_ours = true;
                    attempts.again(attempts.passing(body::BodyError::Headless("ETag"))).await?;
                }
                Err(Failure { status: Some(412), .. }) if write != Write::Replace => {
                    return if may_be_ours { self.find_equal(key, &bytes).await } else { Ok(None) };
                }
                // What should be replaced is gone.
                Err(Failure { status: Some(404), error: StorageError::NotFound { location: missing, .. }, .. })
                    if matches!(write, Write::Update(_)) && missing == location =>
                {
                    return Ok(None);
                }
                Err(failure) => {
                    may_be_ours |= failure.status != Some(409);
                    attempts.again(failure).await?;
                }
            }
        }
    }

    async fn start_upload(&self, key: &str) -> Result<Box<dyn Upload>, StorageError> {
        Ok(Box::new(S3Upload::start(self, key).await?))
    }

    async fn put_file(&self, key: &str, file: &Path) -> Result<(), StorageError> {
        let location = self.location(key);
        let unreadable = |error| StorageError::of_io("read", printable(&file.display().to_string()), error);
        let size = std::fs::metadata(file).map_err(unreadable)?.len();
        let mut attempts = Attempts::new(&self.limits, "write", &location, size);
        loop {
            let body = ByteStream::from_path(file).await.map_err(|error| attempts.passing(error).error)?;
            let request = self.client.put_object().bucket(&self.bucket).key(key).body(body).send();
            let limit = attempts.upload_limit(size);
            match self.send(&attempts, self.place("write", &location), limit, request).await {
                Ok(_) => return Ok(()),
                Err(failure) => attempts.again(failure).await?,
            }
        }
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        for chunk in keys.chunks(KEYS_PER_DELETE) {
            let location = self.location(&chunk[0]);
            let mut attempts = Attempts::new(&self.limits, "delete", &location, 0);
            let mut left = chunk.to_vec();
            while let Err(failure) = self.delete_once(&mut left, &attempts, &location).await {
                attempts.again(failure).await?;
            }
        }
        Ok(())
    }
}

/// Every bucket one set of credentials reaches.
impl Stores for Client {
    fn bucket(&self, bucket: &str) -> Arc<dyn ObjectStore> {
        Arc::new(S3Store::new(self.clone(), bucket))
    }

    fn bucket_at_own_cost(&self, bucket: &str) -> Arc<dyn ObjectStore> {
        Arc::new(S3Store::new(self.clone(), bucket).at_own_cost(true))
    }
}
