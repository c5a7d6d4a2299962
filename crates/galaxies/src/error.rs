//! Why the rows of a data set cannot be read.

/// What is wrong with a data set. `E` is the reader's own error, as in [`torch_file::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The file cannot be read, or not as torch.save wrote it.
    #[error(transparent)]
    File(torch_file::Error<E>),
    /// The file holds something else than a data set.
    #[error(
        "{file} does not hold a data set (a TensorDataset, tuple or dictionary of images, magnitudes and redshifts): \
         found {found}"
    )]
    Content {
        /// Path or key of the file.
        file: String,
        /// What is there instead.
        found: String,
    },
    /// A tensor has another shape or element type than a data set's.
    #[error("{file}: the {tensor} are {found}, expected {expected}")]
    Shape {
        /// Path or key of the file.
        file: String,
        /// Images, magnitudes or redshifts.
        tensor: &'static str,
        /// Element type and shape found.
        found: String,
        /// Element type and shape expected.
        expected: String,
    },
    /// There are more columns of the data set's own than are carried.
    #[error(
        "{file} says too much of each galaxy: at most {columns} columns of its own are carried, and {bytes} bytes of them all \
         together for each galaxy: leave some out, or keep them in a table of their own that has the object_id"
    )]
    TooManyColumns {
        /// Path or key of the file.
        file: String,
        /// The most columns that are carried.
        columns: usize,
        /// The most bytes that they may take for a galaxy.
        bytes: u64,
    },
    /// A column of the data set's own has the name of one that the catalogue has.
    #[error("{file}: its column {column} has the name of a column of the catalogue: save it under another name")]
    ColumnName {
        /// Path or key of the file.
        file: String,
        /// The column's name, fit to be printed.
        column: String,
    },
}

impl<E: std::error::Error + 'static, T: Into<torch_file::Error<E>>> From<T> for Error<E> {
    fn from(error: T) -> Self {
        Self::File(error.into())
    }
}
