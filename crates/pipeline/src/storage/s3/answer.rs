//! What an answer of S3 that is no success means: its status and code (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>)
//! as an error that says what to do, and whether another attempt may end otherwise.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

use crate::storage::{
    error::{BoxError, StorageError},
    limits::Failure,
};

/// Answers with this header name the region that the bucket lies in.
const REGION_HEADER: &str = "x-amz-bucket-region";

/// Codes among the answers of status 400 that speak of the connection and not of the request.
const PASSING_CODES: [&str; 6] = [
    "RequestTimeout",
    "IncompleteBody",
    "BadDigest",
    "InvalidDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
];

/// The hint of an answer that the bucket lies in another region, and not in which.
pub(super) const ELSEWHERE: &str =
    "the bucket lies in another region than the one that was asked: set AWS_REGION to it, or deploy a stack there";

/// What a request was about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) action: &'static str,
    pub(super) bucket: &'a str,
    /// Address of the object for a person.
    pub(super) location: &'a str,
}

/// What S3 said of a failure.
#[derive(Debug, Default)]
pub(super) struct Reason {
    pub(super) status: Option<u16>,
    pub(super) code: Option<String>,
    /// The region of the bucket, where the answer names it.
    pub(super) region: Option<String>,
}

/// Reads the bucket's region in the head of an answer.
pub(super) fn region(answer: &HttpResponse) -> Option<String> {
    answer.headers().get(REGION_HEADER).map(str::to_owned)
}

/// The failure of an attempt that the SDK returned an error for.
pub(super) fn failure<E>(place: Place<'_>, error: SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let passing = match &error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::DispatchFailure(failure) => !failure.is_user() && !lacks_credentials(&error),
        SdkError::ServiceError(answer) => {
            let reason = Reason { status, code: answer.err().code().map(str::to_owned), region: region(answer.raw()) };
            let source = explain_answer(&reason, answer.err());
            return of_reason(place, reason, source.into());
        }
        // The answer was late, or cannot be read.
        _ => true,
    };
    let error = StorageError::Unavailable {
        action: place.action,
        location: place.location.to_owned(),
        status,
        source: error.into(),
    };
    Failure { error, passing, status }
}

/// Whether a request was not sent because there is nothing to sign it with.
fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.filter_map(|cause| cause.downcast_ref()).any(|cause| {
        matches!(cause, CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_))
    })
}

/// S3's own words, with what its support asks for.
fn explain_answer(reason: &Reason, error: &(impl ProvideErrorMetadata + ?Sized)) -> String {
    let words = [reason.code.as_deref(), error.message()].into_iter().flatten().collect::<Vec<_>>().join(": ");
    let request = error.meta().request_id().map(|id| format!("request {id}"));
    match (words.as_str(), request) {
        ("", None) => "the answer gives no reason".to_owned(),
        ("", Some(request)) => format!("the answer gives no reason ({request})"),
        (words, None) => words.to_owned(),
        (words, Some(request)) => format!("{words} ({request})"),
    }
}

/// The failure that an answer of this status and code is.
pub(super) fn of_reason(place: Place<'_>, reason: Reason, source: BoxError) -> Failure {
    let Place { action, bucket, location } = place;
    let status = reason.status;
    let location = location.to_owned();
    let (error, passing) = match (reason.code.as_deref(), status) {
        (Some("NoSuchBucket"), _) => {
            let hint = match bucket.chars().any(char::is_uppercase) {
                true => "there is no such bucket: names of buckets are in lower case, but for some of before 2018",
                false => "there is no such bucket: check the payload's `bucket` (and `data_bucket`)",
            };
            (StorageError::NotFound { location: format!("s3://{bucket}"), hint }, false)
        }
        (Some("NoSuchKey" | "NotFound"), _) | (None, Some(404)) => {
            (StorageError::NotFound { location, hint: "there is no such object: check the bucket and the key" }, false)
        }
        (Some("AccessDenied" | "Forbidden" | "AllAccessDisabled"), _) | (None, Some(403)) => {
            (StorageError::AccessDenied { location, action, source }, false)
        }
        (Some("PreconditionFailed"), _) | (_, Some(412)) => (StorageError::Changed { location }, false),
        (code, Some(status)) if !is_passing(code, status) => {
            let hint = hint(code, status, bucket, reason.region.as_deref());
            (StorageError::Refused { action, location, status, code: reason.code, hint, source }, false)
        }
        _ => (StorageError::Unavailable { action, location, status, source }, true),
    };
    Failure { error, passing, status }
}

/// Whether the same request may be answered otherwise in a moment. 307 is that of a bucket so new that its name does
/// not lead to its region yet; 409 says that another request to the same key is under way.
fn is_passing(code: Option<&str>, status: u16) -> bool {
    let throttled = code.is_some_and(|code| code == "SlowDown" || code.contains("Throttl"));
    throttled
        || matches!(status, 200..=299 | 307 | 408 | 409 | 425 | 429)
        || (status >= 500 && status != 501)
        || code.is_some_and(|code| PASSING_CODES.contains(&code))
}

fn hint(code: Option<&str>, status: u16, bucket: &str, region: Option<&str>) -> Option<String> {
    let elsewhere = status == 301
        || matches!(
            code,
            Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
        );
    let hint = match (code, region) {
        (_, Some(region)) if elsewhere => {
            return Some(format!(
                "the bucket {bucket} lies in the region {region}, and the request went to another. On this machine, set \
                 AWS_REGION to {region}. Functions read buckets of their own region alone: deploy a stack in {region}, or \
                 copy the data into a bucket of this region"
            ));
        }
        _ if elsewhere => ELSEWHERE,
        (Some("ExpiredToken" | "TokenRefreshRequired"), _) => "the credentials have expired: sign in again",
        (Some("InvalidAccessKeyId" | "InvalidToken" | "SignatureDoesNotMatch"), _) => {
            "the credentials are not valid there: check AWS_PROFILE and the AWS_ variables"
        }
        (Some("RequestTimeTooSkewed"), _) => "the clock of this machine is wrong",
        (Some("InvalidObjectState"), _) => {
            "the object is archived (S3 Glacier or a tier of Intelligent-Tiering): restore it with `aws s3api \
             restore-object`, wait until that is done, and start again"
        }
        (Some(code), _) if code.starts_with("KMS.") => {
            "the KMS key of the object cannot be used: check that it is enabled, and that the role may use it (kms:Decrypt)"
        }
        (Some("EntityTooLarge"), _) => "an object that is written in one request has at most 5 GB",
        (Some("KeyTooLongError"), _) => "a key has at most 1024 bytes",
        (Some("InvalidBucketName"), _) => "check the bucket's name",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::explain;

    fn of(status: u16, code: Option<&str>, region: Option<&str>) -> Failure {
        let place = Place { action: "read", bucket: "sky", location: "s3://sky/1.pt" };
        let [code, region] = [code, region].map(|text| text.map(str::to_owned));
        of_reason(place, Reason { status: Some(status), code, region }, "S3's words".into())
    }

    #[test]
    fn answers_that_would_come_again_are_told_from_those_that_may_pass() {
        for (status, code, passing) in [
            (500, Some("InternalError"), true),
            (503, Some("SlowDown"), true),
            (503, None, true),
            (409, Some("ConditionalRequestConflict"), true),
            (400, Some("RequestTimeout"), true),
            (400, Some("BadDigest"), true),
            (429, None, true),
            (301, Some("PermanentRedirect"), false),
            (400, Some("ExpiredToken"), false),
            (400, None, false),
            (403, Some("InvalidObjectState"), false),
            (403, None, false),
            (404, None, false),
            (412, None, false),
            (501, Some("NotImplemented"), false),
        ] {
            assert_eq!(of(status, code, None).passing, passing, "{status} {code:?}");
        }
    }

    #[test]
    fn a_refusal_is_one_sentence_with_status_code_and_region() {
        let said = explain(&of(301, Some("PermanentRedirect"), Some("eu-west-1")).error);
        assert!(said.starts_with("S3 refused to read s3://sky/1.pt (status 301, PermanentRedirect): "), "{said}");
        assert!(said.contains("lies in the region eu-west-1"), "{said}");
        assert!(said.contains("deploy a stack in eu-west-1, or copy the data"), "{said}");
        for (status, code, named) in [
            (400, "ExpiredToken", "expired"),
            (403, "InvalidObjectState", "restore-object"),
            (400, "KMS.DisabledException", "kms:Decrypt"),
            (403, "RequestTimeTooSkewed", "clock"),
        ] {
            let said = explain(&of(status, Some(code), None).error);
            assert!(said.contains(named) && said.contains(code) && !said.contains('\n'), "{said}");
        }
    }
}
