//! What can be wrong with a sweep's files.

use std::path::PathBuf;

/// A sweep file or sweep.json that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A sweep file that asks for what cannot be; the text names the field.
    #[error("{file}: {problem}")]
    BadSweep { file: String, problem: String },
    /// sweep.json is not of this version, or is no sweep.json.
    #[error("{} is not a sweep.json of this version of Cosmic", path.display())]
    NotARecord { path: PathBuf, source: serde_json::Error },
    /// A file that cannot be read or written.
    #[error("failed to {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
}

/// The outcome of reading or writing a sweep's files.
pub(crate) type Result<T> = std::result::Result<T, Error>;
