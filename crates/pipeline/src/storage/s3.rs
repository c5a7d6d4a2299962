//! S3, or anything that speaks its protocol.

use std::{ops::Range, path::Path, sync::Arc};

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::{
    Client,
    config::ResponseChecksumValidation,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{Delete, ObjectIdentifier},
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::Bytes;

use crate::storage::{
    error::{BoxError, StorageError},
    object::{Object, ObjectInfo, ObjectStore, Stores, Write},
};

/// `DeleteObjects` takes this many keys a request.
const KEYS_PER_DELETE: usize = 1000;

/// The standard AWS environment (profile, variables, role), with an endpoint that wins over it where one is given.
pub async fn aws_config(endpoint_url: Option<&str>) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let config = loader.load().await;
    if config.region().is_some() {
        return config;
    }
    // S3 refuses to sign without a region; every AWS tool has this default for it.
    config.into_builder().region(Region::new("us-east-1")).build()
}

#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
}

impl S3Store {
    /// The client for all buckets of an account. An endpoint that is not AWS's is addressed by path:
    /// `http://host/bucket/key`.
    ///
    /// Checksums of answers are validated only where S3 requires it: parts of objects have none, and the SDK would
    /// warn of each. Models, and the parts of a catalogue, are checked by their SHA-256.
    pub fn client(config: &SdkConfig) -> Client {
        let path_style = config.endpoint_url().is_some()
            || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some()
            || std::env::var_os("AWS_ENDPOINT_URL").is_some();
        let config = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(path_style)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Client::from_conf(config)
    }

    /// The store of a bucket, which is no proof that it exists.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }

    fn error<E, R>(&self, action: &'static str, key: &str, error: SdkError<E, R>) -> StorageError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: HttpStatus + std::fmt::Debug + Send + Sync + 'static,
    {
        let location = self.location(key);
        let status = error.raw_response().map(HttpStatus::status);
        match (error.code(), status) {
            (Some("NoSuchBucket"), _) => StorageError::NotFound {
                location: format!("s3://{}", self.bucket),
                hint: "there is no such bucket: check the payload's `bucket` (and `data_bucket`) and the region",
            },
            (Some("NoSuchKey" | "NotFound"), _) | (None, Some(404)) => {
                StorageError::NotFound { location, hint: "there is no such object: check the bucket and the key" }
            }
            (Some("AccessDenied" | "Forbidden"), _) | (_, Some(403)) => {
                StorageError::AccessDenied { location, action, source: error.into() }
            }
            (Some("PreconditionFailed"), _) | (_, Some(412)) => StorageError::Changed { location },
            _ => StorageError::Unavailable { action, location, status, source: error.into() },
        }
    }

    fn unavailable(&self, action: &'static str, key: &str, source: impl Into<BoxError>) -> StorageError {
        StorageError::Unavailable { action, location: self.location(key), status: None, source: source.into() }
    }

    /// A body that broke off: the request was fine, the connection was not.
    fn body_error(&self, key: &str, source: impl Into<BoxError>) -> StorageError {
        self.unavailable("read the whole of", key, source)
    }
}

/// The status of whichever response type the SDK hands out.
trait HttpStatus {
    fn status(&self) -> u16;
}

impl HttpStatus for aws_sdk_s3::config::http::HttpResponse {
    fn status(&self) -> u16 {
        self.status().as_u16()
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn location(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StorageError> {
        let mut pages = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error("list", prefix, error))?;
            found.extend(page.contents.unwrap_or_default().into_iter().filter_map(|object| {
                Some(ObjectInfo { key: object.key?, size: u64::try_from(object.size?).ok()?, etag: object.e_tag? })
            }));
        }
        Ok(found)
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StorageError> {
        let head = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(|error| self.error("read", key, error))?;
        Ok(ObjectInfo {
            key: key.to_owned(),
            size: head.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            etag: head.e_tag.unwrap_or_default(),
        })
    }

    async fn get(&self, key: &str) -> Result<Object, StorageError> {
        let object = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(|error| self.error("read", key, error))?;
        let etag = object.e_tag.unwrap_or_default();
        let body = object.body.collect().await.map_err(|error| self.body_error(key, error))?;
        let bytes = body.into_bytes();
        Ok(Object { info: ObjectInfo { key: key.to_owned(), size: bytes.len() as u64, etag }, bytes })
    }

    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes, StorageError> {
        let expected = range.end.saturating_sub(range.start);
        if expected == 0 {
            return Ok(Bytes::new());
        }
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(&object.key)
            .if_match(&object.etag)
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .send()
            .await
            .map_err(|error| self.error("read", &object.key, error))?;
        let body = answer.body.collect().await.map_err(|error| self.body_error(&object.key, error))?;
        let bytes = body.into_bytes();
        if bytes.len() as u64 != expected {
            return Err(self.body_error(&object.key, format!("{} of {expected} bytes came", bytes.len())));
        }
        Ok(bytes)
    }

    async fn put(&self, key: &str, bytes: Bytes, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        let size = bytes.len() as u64;
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes));
        let request = match write {
            Write::Replace => request,
            Write::Create => request.if_none_match("*"),
            Write::Update(etag) => request.if_match(etag),
        };
        match request.send().await {
            Ok(put) => Ok(Some(ObjectInfo { key: key.to_owned(), size, etag: put.e_tag.unwrap_or_default() })),
            // 412: something else is there. 404: what should be replaced is gone. 409: another conditional write to the
            // key was under way, and wins.
            Err(error)
                if write != Write::Replace
                    && matches!(error.raw_response().map(HttpStatus::status), Some(404 | 409 | 412))
                    && error.code() != Some("NoSuchBucket") =>
            {
                Ok(None)
            }
            Err(error) => Err(self.error("write", key, error)),
        }
    }

    async fn put_file(&self, key: &str, file: &Path) -> Result<(), StorageError> {
        let body = ByteStream::from_path(file).await.map_err(|error| self.unavailable("write", key, error))?;
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(body).send().await;
        put.map(drop).map_err(|error| self.error("write", key, error))
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        for chunk in keys.chunks(KEYS_PER_DELETE) {
            let objects = chunk
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key).build())
                .collect::<Result<Vec<_>, _>>()
                .and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build())
                .map_err(|error| self.unavailable("delete", &chunk[0], error))?;
            let answer = self
                .client
                .delete_objects()
                .bucket(&self.bucket)
                .delete(objects)
                .send()
                .await
                .map_err(|error| self.error("delete", &chunk[0], error))?;
            if let Some(failed) = answer.errors().first() {
                let location = self.location(failed.key().unwrap_or_default());
                let (code, message) = (failed.code().unwrap_or("?"), failed.message().unwrap_or("?"));
                let source = format!("{code}: {message}").into();
                return Err(match code {
                    "AccessDenied" => StorageError::AccessDenied { location, action: "delete", source },
                    _ => StorageError::Unavailable { action: "delete", location, status: None, source },
                });
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
}
