//! The client of S3, and how one request is sent to a bucket.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    Client,
    config::{ResponseChecksumValidation, StalledStreamProtectionConfig, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
    types::RequestPayer,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::storage::{
    error::StorageError,
    limits::{Attempts, Failure, Limits},
    requests::Counting,
    s3::answer::{self, Place, Reason},
};

/// To open a connection, of any client.
const CONNECT: Duration = Duration::from_secs(4);

/// The standard AWS environment (profile, variables, role), with an endpoint that wins over it where one is given.
///
/// Clients that are made of it give a request 30 s an attempt and 120 s in all; the one of S3 has [`Limits`] of its
/// own.
pub async fn aws_config(endpoint_url: Option<&str>) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(Duration::from_secs(30))
        .operation_timeout(Duration::from_secs(120))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts);
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
    }
    let config = loader.load().await;
    if config.region().is_some() {
        return config;
    }
    // No request can be signed without a region. For the local stack, infra/deploy.py takes the
    // same one where none is set.
    config.into_builder().region(Region::new("us-east-1")).build()
}

/// A bucket.
#[derive(Debug, Clone)]
pub struct S3Store {
    pub(super) client: Client,
    pub(super) bucket: String,
    pub(super) limits: Limits,
    /// Says that the reader pays, to buckets whose owners want that.
    pub(super) payer: Option<RequestPayer>,
}

impl S3Store {
    /// The client for all buckets of an account. An endpoint that is not AWS's is addressed by path:
    /// `http://host/bucket/key`.
    ///
    /// Time limits and retries of the SDK are off, but for connecting and for uploads that stall: [`Limits`] says what
    /// is in their place. Checksums of answers are validated only where a request asks for it: ranges of objects
    /// have none, and the SDK would warn of each.
    pub fn client(config: &SdkConfig) -> Client {
        let path_style = config.endpoint_url().is_some()
            || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some()
            || std::env::var_os("AWS_ENDPOINT_URL").is_some();
        let stalled = StalledStreamProtectionConfig::enabled().download_enabled(false);
        let config = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(path_style)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
            .interceptor(Counting)
            .stalled_stream_protection(stalled.grace_period(Limits::default().stall).build())
            .build();
        Client::from_conf(config)
    }

    /// The store of a bucket, which is no proof that it exists.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into(), limits: Limits::default(), payer: None }
    }

    /// The same store, where reading is to be paid by whoever reads. Of a bucket that its owner pays for it changes
    /// nothing. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html>
    pub fn at_own_cost(self, own: bool) -> Self {
        Self { payer: own.then_some(RequestPayer::Requester), ..self }
    }

    /// The same store with other limits.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    pub(super) fn place<'a>(&'a self, action: &'static str, location: &'a str) -> Place<'a> {
        Place { action, bucket: &self.bucket, location }
    }

    /// Sends a request once, within `limit`.
    pub(super) async fn send<T, E>(
        &self,
        attempts: &Attempts<'_>,
        place: Place<'_>,
        limit: Duration,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let answer = attempts.in_time(limit, "no answer came", request).await?;
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.with_region(place, answer::failure(place, error)).await),
        }
    }

    /// Adds the bucket's region to the refusal of a region that the bucket is not in, where the refusal does not name
    /// it.
    async fn with_region(&self, place: Place<'_>, failure: Failure) -> Failure {
        match failure.error {
            StorageError::Refused { status, ref code, hint: Some(ref hint), .. } if hint == answer::ELSEWHERE => {
                let asked = self.client.head_bucket().bucket(&self.bucket).send();
                let region = match tokio::time::timeout(self.limits.answer, asked).await {
                    Ok(Err(error)) => error.raw_response().and_then(answer::region),
                    Ok(Ok(head)) => head.bucket_region,
                    Err(_) => None,
                };
                let reason = Reason { status: Some(status), code: code.clone(), region };
                answer::of_reason(place, reason, "S3 follows no redirection to another region".into())
            }
            _ => failure,
        }
    }
}

/// What browsers need to show an object instead of saving it.
pub(super) fn content_type(key: &str) -> Option<&'static str> {
    match key.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "json" => Some("application/json"),
        "png" => Some("image/png"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};

    /// A certificate of `*.s3.amazonaws.com` is none of `my.sky.s3.amazonaws.com`.
    #[tokio::test]
    async fn buckets_that_cannot_be_a_part_of_a_host_are_addressed_by_path() {
        for (bucket, url) in [
            ("sky", "https://sky.s3.eu-west-1.amazonaws.com"),
            ("my.sky", "https://s3.eu-west-1.amazonaws.com/my.sky"),
            ("Old_Sky", "https://s3.eu-west-1.amazonaws.com/Old_Sky"),
        ] {
            let params = Params::builder().bucket(bucket).region("eu-west-1").build().unwrap();
            let endpoint = DefaultResolver::new().resolve_endpoint(&params).await.unwrap();
            assert_eq!(endpoint.url(), url);
        }
    }
}
