//! Why storage did not do what it was asked to: with the location, S3's status and code, and the cause as it came.

use std::{error::Error, io::ErrorKind};

/// A failure of one request, after the retries of the client.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A bucket, key or file does not exist.
    #[error("not found: {location}: {hint}")]
    NotFound { location: String, hint: &'static str },
    /// The role or user may not do this.
    #[error("access denied to {location} ({action}): {}", what_to_allow(action, source.as_ref()))]
    AccessDenied { location: String, action: &'static str, source: BoxError },
    /// The object is not the one that was asked for by its ETag.
    #[error("the file {location} changed after the run was planned: start a new execution to plan it again")]
    Changed { location: String },
    /// An object is larger than an upload in parts may be. `bytes` is what was sent of it.
    #[error(
        "{location} has more than the {parts} parts of an upload, with {bytes} bytes in them: make several runs of the data"
    )]
    TooManyParts { location: String, parts: i32, bytes: u64 },
    /// S3 answered that it will not do this, and would answer so again. `code` is S3's name for the reason.
    #[error(
        "S3 refused to {action} {location} (status {status}{}){}",
        code.as_ref().map(|code| format!(", {code}")).unwrap_or_default(),
        hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default()
    )]
    Refused {
        action: &'static str,
        location: String,
        status: u16,
        code: Option<String>,
        /// What the reason means, and what to do about it.
        hint: Option<String>,
        source: BoxError,
    },
    /// Storage did not answer, or not properly. `status` is the HTTP status, where one came.
    #[error("failed to {action} {location}{}", status.map(|status| format!(" (status {status})")).unwrap_or_default())]
    Unavailable { action: &'static str, location: String, status: Option<u16>, source: BoxError },
}

/// What to do where access is denied. S3 names the action of KMS that it was refused, of which
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshoot-403-errors.html> tells.
fn what_to_allow(action: &str, source: &(dyn Error + Send + Sync)) -> &'static str {
    match action {
        _ if source.to_string().contains("kms:") => {
            "what is there is encrypted with a KMS key that the role or user may not use. For the functions, deploy with the \
             key's ARN as KmsKeyArn (of a source bucket: SourceKmsKeyArn); a user needs kms:Decrypt to read and \
             kms:GenerateDataKey to write. A key of another account must allow it in its own policy, too"
        }
        "read" | "list" => {
            "check the credentials, and that their role or user may do this there; where the bucket's readers have to pay, \
             say so with requester_pays (--requester-pays)"
        }
        _ => "check the credentials, and that their role or user may do this there",
    }
}

/// The cause of a failure, as it came.
pub type BoxError = Box<dyn Error + Send + Sync>;

impl StorageError {
    /// The failure of a system call on a local file.
    pub fn of_io(action: &'static str, location: String, error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory if action != "write" => {
                Self::NotFound { location, hint: "check the path" }
            }
            ErrorKind::PermissionDenied => Self::AccessDenied { location, action, source: error.into() },
            _ => Self::Unavailable { action, location, status: None, source: error.into() },
        }
    }
}

/// An error with all its causes in one line. A cause that repeats what was said before is left out, as those of AWS's
/// SDK often do.
pub fn explain(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !more.is_empty() && !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_access_says_what_to_allow() {
        let said = |action, source: &str| {
            explain(&StorageError::AccessDenied { location: "s3://sky/1.pt".into(), action, source: source.into() })
        };
        let kms = said("read", "AccessDenied: User: r is not authorized to perform: kms:Decrypt on resource: k");
        assert!(
            kms.contains("deploy with the key's ARN as KmsKeyArn") && kms.contains("perform: kms:Decrypt"),
            "{kms}"
        );
        assert!(said("list", "AccessDenied: Access Denied").contains("requester_pays"));
        assert!(!said("write", "AccessDenied: Access Denied").contains("requester_pays"));
    }

    #[test]
    fn a_failure_says_what_was_tried_where_and_why() {
        let cause = std::io::Error::new(ErrorKind::ConnectionReset, "connection reset by peer");
        let error = StorageError::Unavailable {
            action: "read",
            location: "s3://sky/1.pt".into(),
            status: Some(503),
            source: cause.into(),
        };
        assert_eq!(explain(&error), "failed to read s3://sky/1.pt (status 503): connection reset by peer");
    }
}
