//! What can be wrong with a file: one variant per malformation, each with the file's name and the member it is in.

/// Why something could not be read from a file.
///
/// `E` is the reader's own error ([`RangeRead::Error`](crate::RangeRead::Error)), which is kept as it is: a caller that
/// reads from object storage gets its status and its source back.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The reader gave no bytes.
    #[error("failed to read bytes {start}..{end} of {file}")]
    Read {
        /// Path or key of the file.
        file: String,
        /// First byte asked for.
        start: u64,
        /// One past the last byte asked for.
        end: u64,
        /// The reader's own error.
        source: E,
    },
    /// The file could not be opened.
    #[error("failed to open {file}")]
    Open {
        /// Path of the file.
        file: String,
        /// What the system said.
        source: E,
    },
    /// The bytes are not those of a file that this crate reads.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// What is wrong with the contents of a file. `file` is its path or key in each variant.
#[expect(missing_docs, reason = "the messages say what the fields are")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file has neither of the two forms of torch.save.
    #[error("{file} is not a torch.save file: {reason}")]
    NotTorch { file: String, reason: String },
    /// A form or feature that this reader leaves out on purpose.
    #[error("{file}: {what} is not supported: {instead}")]
    Unsupported { file: String, what: String, instead: &'static str },
    /// The file ends before what it promises.
    #[error("{file} is truncated: {member} ends at byte {expected}, the file at {size}")]
    Truncated { file: String, member: String, expected: u64, size: u64 },
    /// The zip structure contradicts itself.
    #[error("{file}: the zip entry {member} is malformed: {reason}")]
    Zip { file: String, member: String, reason: String },
    /// The pickle contradicts itself, or asks for something that no saved tensor needs. `at` is the opcode's offset.
    #[error("{file}: {member} is not a pickle this reader accepts: {reason} at byte {at}")]
    Pickle { file: String, member: String, reason: String, at: usize },
    /// A size beyond what any real file needs.
    #[error("{file}: {what} is {found}, at most {limit} is read")]
    TooLarge { file: String, what: String, found: u64, limit: u64 },
    /// A tensor reaches outside its storage, or names one that is not there.
    #[error("{file}: tensor {tensor}: {reason}")]
    Tensor { file: String, tensor: String, reason: String },
    /// The file holds something else than was asked for.
    #[error("{file} does not hold {expected}: found {found}")]
    Content { file: String, expected: &'static str, found: String },
    /// Rows were asked for that are not there.
    #[error("{file}: rows {start}..{end} were asked for, there are {rows}")]
    Rows { file: String, start: u64, end: u64, rows: u64 },
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system did not take the bytes.
    #[error("failed to write {file}")]
    Io {
        /// Path of the file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The rows are not those that the file was started for.
    #[error("failed to write {file}: {reason}")]
    Rows {
        /// Path of the file.
        file: String,
        /// How many rows were promised, and how many came.
        reason: String,
    },
}
