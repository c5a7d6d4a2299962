//! What can be wrong with a file: one variant per malformation, each with the file's name and the member it is in.

use crate::printable::Printable;

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

/// What is wrong with the contents of a file. `file` is its path or key in each variant. Names and texts that come from
/// the file itself are printed as [`Printable`] has them.
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
    #[error("{file} is truncated: {} ends at byte {expected}, the file at {size}", Printable(member))]
    Truncated { file: String, member: String, expected: u64, size: u64 },
    /// The zip structure contradicts itself.
    #[error("{file}: the zip entry {} is malformed: {reason}", Printable(member))]
    Zip { file: String, member: String, reason: String },
    /// A member's bytes are not those that the archive's checksum was computed of.
    #[error(
        "{file} is damaged: the bytes of {} do not have the checksum that the archive gives them; if they were changed \
         on purpose, save the file again with torch.save",
        Printable(member)
    )]
    Checksum { file: String, member: String },
    /// The pickle contradicts itself, or asks for something that no saved tensor needs. `at` is the opcode's offset.
    #[error("{file}: {} is not a pickle this reader accepts: {reason}; this is at byte {at}", Printable(member))]
    Pickle { file: String, member: String, reason: String, at: usize },
    /// A size beyond what any real file needs.
    #[error("{file}: {what} is {found}, at most {limit} is read")]
    TooLarge { file: String, what: String, found: u64, limit: u64 },
    /// A pickle that is too large because what it holds does not belong into one.
    #[error("{file}: {} has {found} bytes, at most {limit} are read: it holds {building}", Printable(member))]
    TooLargePickle { file: String, member: String, found: u64, limit: u64, building: String },
    /// A tensor reaches outside its storage, or names one that is not there.
    #[error("{file}: tensor {}: {reason}", Printable(tensor))]
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
