//! What can be wrong with a file: one variant per malformation, each with the file's name and the member it is in.

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes could not be had.
    #[error("failed to read bytes {start}..{end} of {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// What the reader said.
        source: std::io::Error,
    },
    /// Writing failed.
    #[error("failed to write {file}: {source}")]
    Write {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Neither of the two forms of torch.save.
    #[error("{file} is not a torch.save file: {reason}")]
    NotTorch {
        /// The file.
        file: String,
        /// What it looks like instead.
        reason: String,
    },
    /// A form or feature this reader leaves out on purpose.
    #[error("{file}: {what} is not supported: {instead}")]
    Unsupported {
        /// The file.
        file: String,
        /// What was met.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// The file ends before what it promises.
    #[error("{file} is truncated: {member} ends at byte {expected}, the file at {size}")]
    Truncated {
        /// The file.
        file: String,
        /// The part that is cut off.
        member: String,
        /// Where it should end.
        expected: u64,
        /// The file's size.
        size: u64,
    },
    /// The zip structure contradicts itself.
    #[error("{file}: the zip entry {member} is malformed: {reason}")]
    Zip {
        /// The file.
        file: String,
        /// The entry, or "the directory".
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// The pickle contradicts itself, or asks for something no saved tensor needs.
    #[error("{file}: {member} is not a pickle this reader accepts: {reason} at byte {at}")]
    Pickle {
        /// The file.
        file: String,
        /// The member.
        member: String,
        /// What is wrong.
        reason: String,
        /// Offset of the opcode.
        at: usize,
    },
    /// A size beyond what any real file needs.
    #[error("{file}: {what} is {found}, at most {limit} is read")]
    TooLarge {
        /// The file.
        file: String,
        /// What is too large.
        what: String,
        /// Its size.
        found: u64,
        /// The cap.
        limit: u64,
    },
    /// A tensor reaches outside its storage, or names one that is not there.
    #[error("{file}: tensor {tensor}: {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// Which tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// The file holds something else than was asked for.
    #[error("{file} does not hold {expected}: found {found}")]
    Content {
        /// The file.
        file: String,
        /// What was asked for.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A dataset's tensor has the wrong shape or element type.
    #[error("{file}: the {tensor} are {found}, expected {expected}")]
    Shape {
        /// The file.
        file: String,
        /// images, magnitudes or redshifts.
        tensor: &'static str,
        /// Element type and shape found.
        found: String,
        /// Element type and shape needed.
        expected: String,
    },
    /// Rows were asked for that are not there.
    #[error("{file}: rows {start}..{end} were asked for, there are {rows}")]
    Rows {
        /// The file.
        file: String,
        /// First row.
        start: u64,
        /// One past the last row.
        end: u64,
        /// Rows there are.
        rows: u64,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
