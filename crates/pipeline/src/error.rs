//! Everything that can go wrong in a run, by the name under which Step Functions sees it.
//!
//! The name decides what happens next: `statemachine/redshift.asl.json` retries the transient ones and
//! lets the permanent ones fail at once, because no retry mends a corrupt file. A test keeps the two in step.

use crate::storage::{BoxError, StorageError};

/// A failure with the key or field that caused it and what to do about it. What it says is completed by its causes:
/// print it with [`explain`](crate::storage::explain).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The execution input is not one we can run.
    #[error("bad payload: {0}")]
    BadPayload(String),
    /// Nothing to do lies under the prefix. `location` is the folder that was listed.
    #[error(
        "no .pt file (or .pth, or .npz) under {location}: check `prefix` (or `data_prefix`), and that the partitions \
         were uploaded"
    )]
    EmptyPrefix { location: String },
    /// Storage did not do what it was asked to.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A data file is not what the model needs. The cause names the file.
    #[error("bad partition")]
    BadPartition(#[source] BoxError),
    /// The model file cannot be used, or is not the one that was planned.
    #[error("bad model {location}")]
    BadModel { location: String, source: BoxError },
    /// There is no such engine in this binary, or it failed to start.
    #[error("bad engine")]
    BadEngine(#[source] BoxError),
    /// A run with another payload has left the result path.
    #[error(
        "result path {location} holds the run of execution {owner}, whose payload differs in {}: choose another `result_path`, or set `overwrite` to true to replace that run's results",
        differences.join(", ")
    )]
    ResultPathTaken { location: String, owner: String, differences: Vec<String> },
    /// Another execution is at work under the result path.
    #[error(
        "result path {location} belongs to execution {owner}, which is still running: wait for it (`cosmic run --attach {owner_arn}` follows it) or stop it (`aws stepfunctions stop-execution --execution-arn {owner_arn}`), then start again; or choose another `result_path`"
    )]
    ResultPathBusy { location: String, owner: String, owner_arn: String },
    /// The execution was stopped while this step of it lived on.
    #[error("execution {execution} has ended, and claims no result path any more")]
    ExecutionEnded { execution: String },
    /// The plan in storage is not the one that this step belongs to.
    #[error("{location} is the plan of {found}, and this step belongs to {expected}, which has lost the result path")]
    PlanMismatch { location: String, expected: String, found: String },
    /// Another process of this machine is putting its results there.
    #[error("another run is putting its results into {folder}: wait for it, or choose another folder")]
    FolderBusy { folder: String },
    /// Others kept writing the same file.
    #[error("{location} was written by others again and again: start the execution again once they have ended")]
    Contended { location: String },
    /// The function's time would have run out.
    #[error("{0}")]
    DeadlineExceeded(String),
    /// A fault of ours, or of the machine.
    #[error("internal error: {what}")]
    Internal { what: String, source: Option<BoxError> },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Names that no retry mends: the input or the set-up is wrong.
    pub const PERMANENT: [&str; 13] = [
        "BadPayload",
        "EmptyPrefix",
        "NotFound",
        "AccessDenied",
        "StoreRefused",
        "BadPartition",
        "BadModel",
        "BadEngine",
        "ResultPathTaken",
        "ResultPathBusy",
        "ExecutionEnded",
        "PlanMismatch",
        "DeadlineExceeded",
    ];
    /// Names that a retry may mend.
    pub const TRANSIENT: [&str; 2] = ["StoreUnavailable", "Internal"];

    /// The Lambda `errorType`, and so the error's name in the state machine.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BadPayload(_) => "BadPayload",
            Self::EmptyPrefix { .. } => "EmptyPrefix",
            Self::Storage(StorageError::NotFound { .. }) => "NotFound",
            Self::Storage(StorageError::AccessDenied { .. }) => "AccessDenied",
            Self::Storage(StorageError::Refused { .. } | StorageError::TooManyParts { .. }) => "StoreRefused",
            Self::Storage(StorageError::Changed { .. }) | Self::BadPartition(_) => "BadPartition",
            Self::Storage(StorageError::Unavailable { .. }) => "StoreUnavailable",
            Self::BadModel { .. } => "BadModel",
            Self::BadEngine(_) => "BadEngine",
            Self::ResultPathTaken { .. } => "ResultPathTaken",
            Self::ResultPathBusy { .. } | Self::FolderBusy { .. } => "ResultPathBusy",
            Self::ExecutionEnded { .. } => "ExecutionEnded",
            Self::PlanMismatch { .. } => "PlanMismatch",
            Self::DeadlineExceeded(_) => "DeadlineExceeded",
            Self::Contended { .. } | Self::Internal { .. } => "Internal",
        }
    }

    /// Whether no retry mends it.
    pub(crate) fn is_permanent(&self) -> bool {
        Self::PERMANENT.contains(&self.name())
    }

    /// A fault of ours that has a cause.
    pub fn internal(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Internal { what: what.into(), source: Some(source.into()) }
    }

    /// A fault of ours that says all there is to say.
    pub fn fault(what: impl Into<String>) -> Self {
        Self::Internal { what: what.into(), source: None }
    }
}

/// What a data set says, with storage's own failures as what they are.
impl From<galaxies::Error<StorageError>> for Error {
    fn from(error: galaxies::Error<StorageError>) -> Self {
        match error {
            galaxies::Error::File(torch_file::Error::Open { source, .. } | torch_file::Error::Read { source, .. }) => {
                Self::Storage(source)
            }
            other => Self::BadPartition(other.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_either_permanent_or_transient() {
        let text = String::new;
        let location = text;
        let source = || BoxError::from("cause");
        for error in [
            Error::BadPayload(text()),
            Error::EmptyPrefix { location: location() },
            StorageError::NotFound { location: location(), hint: "" }.into(),
            StorageError::AccessDenied { location: location(), action: "", source: source() }.into(),
            StorageError::Refused {
                action: "",
                location: location(),
                status: 301,
                code: None,
                hint: None,
                source: source(),
            }
            .into(),
            StorageError::Changed { location: location() }.into(),
            StorageError::TooManyParts { location: location(), parts: 0, bytes: 0 }.into(),
            StorageError::Unavailable { action: "", location: location(), status: None, source: source() }.into(),
            Error::BadPartition(source()),
            Error::BadModel { location: location(), source: source() },
            Error::BadEngine(source()),
            Error::ResultPathTaken { location: location(), owner: text(), differences: Vec::new() },
            Error::ResultPathBusy { location: location(), owner: text(), owner_arn: text() },
            Error::ExecutionEnded { execution: text() },
            Error::FolderBusy { folder: text() },
            Error::Contended { location: location() },
            Error::PlanMismatch { location: location(), expected: text(), found: text() },
            Error::DeadlineExceeded(text()),
            Error::fault(""),
        ] {
            let name = error.name();
            assert!(Error::PERMANENT.contains(&name) != Error::TRANSIENT.contains(&name), "{name}");
        }
    }
}
