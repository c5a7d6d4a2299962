//! Everything that can go wrong in a run, by the name under which Step Functions sees it.
//!
//! The name decides what happens next: `statemachine/redshift.asl.json` retries the transient ones and
//! lets the permanent ones fail at once, because no retry mends a corrupt file. A test keeps the two in step.

/// A failure with the key or field that caused it and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The execution input is not one we can run.
    #[error("bad payload: {0}")]
    BadPayload(String),
    /// Nothing to do lies under the prefix.
    #[error("no .pt file under {location}: check `prefix` (or `data_prefix`), and that the partitions were uploaded")]
    EmptyPrefix {
        /// The folder that was listed, as `s3://bucket/prefix/` or a path.
        location: String,
    },
    /// A bucket, key or file does not exist.
    #[error("not found: {location}: {hint}")]
    NotFound {
        /// What was looked for.
        location: String,
        /// What to check.
        hint: &'static str,
    },
    /// The role or user may not read or write this.
    #[error(
        "access denied to {location} ({action}): {reason}: check the credentials, and that their role or user may do this there"
    )]
    AccessDenied {
        /// The bucket or key.
        location: String,
        /// What was tried.
        action: &'static str,
        /// What the store said.
        reason: String,
    },
    /// A data file is not what the model needs, or changed while the run went on.
    #[error("bad partition {location}: {reason}")]
    BadPartition {
        /// The file.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model file cannot be used, or is not the one that was planned.
    #[error("bad model {location}: {reason}")]
    BadModel {
        /// The file.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No such engine in this binary, or it failed to start.
    #[error("bad engine: {0}")]
    BadEngine(String),
    /// Another, different run owns the result path.
    #[error(
        "result path {location} holds another run (plan {theirs}, this run is {ours}): choose another `result_path`, or set `overwrite` to true to delete that run's results"
    )]
    ResultPathTaken {
        /// The result path.
        location: String,
        /// Fingerprint of the plan that lies there.
        theirs: String,
        /// Fingerprint of the plan of this run.
        ours: String,
    },
    /// The plan in the store is not the one this task belongs to.
    #[error(
        "plan {location} has fingerprint {found}, this task belongs to {expected}: another run took the result path meanwhile"
    )]
    PlanMismatch {
        /// The plan.
        location: String,
        /// The task's fingerprint.
        expected: String,
        /// The stored one.
        found: String,
    },
    /// The function's time would have run out.
    #[error("{0}")]
    DeadlineExceeded(String),
    /// The object store did not answer, or not properly, after the SDK's own retries.
    #[error("failed to {action} {location}: {reason}")]
    StoreUnavailable {
        /// What was tried.
        action: &'static str,
        /// On what.
        location: String,
        /// What came back.
        reason: String,
    },
    /// A fault of ours, or of the machine.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Names that no retry mends: the input or the set-up is wrong.
    pub const PERMANENT: [&str; 10] = [
        "BadPayload",
        "EmptyPrefix",
        "NotFound",
        "AccessDenied",
        "BadPartition",
        "BadModel",
        "BadEngine",
        "ResultPathTaken",
        "PlanMismatch",
        "DeadlineExceeded",
    ];
    /// Names that a retry may mend.
    pub const TRANSIENT: [&str; 2] = ["StoreUnavailable", "Internal"];

    /// The Lambda `errorType`, and so the error name in the state machine.
    pub fn name(&self) -> &'static str {
        match self {
            Self::BadPayload(_) => "BadPayload",
            Self::EmptyPrefix { .. } => "EmptyPrefix",
            Self::NotFound { .. } => "NotFound",
            Self::AccessDenied { .. } => "AccessDenied",
            Self::BadPartition { .. } => "BadPartition",
            Self::BadModel { .. } => "BadModel",
            Self::BadEngine(_) => "BadEngine",
            Self::ResultPathTaken { .. } => "ResultPathTaken",
            Self::PlanMismatch { .. } => "PlanMismatch",
            Self::DeadlineExceeded(_) => "DeadlineExceeded",
            Self::StoreUnavailable { .. } => "StoreUnavailable",
            Self::Internal(_) => "Internal",
        }
    }

    /// What the torch reader says, with the store's own error taken out where that is the cause.
    pub(crate) fn from_torch(location: &str, error: torch_file::Error) -> Self {
        Self::from_store(&error).unwrap_or_else(|| Self::bad_partition(location, error))
    }

    /// The store's error that travelled through a reader as an `io::Error`.
    pub(crate) fn from_store(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
            if let Some(ours) = inner.and_then(|inner| inner.downcast_ref::<Self>()) {
                return Some(ours.clone());
            }
            cause = error.source();
        }
        None
    }

    pub(crate) fn bad_partition(location: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::BadPartition { location: location.into(), reason: reason.to_string() }
    }

    pub(crate) fn bad_model(location: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::BadModel { location: location.into(), reason: reason.to_string() }
    }
}
