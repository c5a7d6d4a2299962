//! Why a catalogue could not be exported.

/// Why a catalogue could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read as Parquet.
    #[error("the catalogue cannot be read as Parquet")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A batch of its rows cannot be read.
    #[error("the catalogue's rows cannot be read")]
    Rows(#[from] arrow_schema::ArrowError),
    /// A column has a type for which the form has no place.
    #[error("column `{column}` is of the type {found}, which cannot be exported")]
    Type { column: String, found: String },
    /// FITS numbers its columns with three digits.
    #[error("a FITS table has at most 999 columns, and the catalogue has {0}: export it as .csv")]
    TooManyColumns(usize),
    /// No number is free to stand for null.
    #[error("column `{0}` has nulls, and each of the 64 numbers that could stand for them is taken: export it as .csv")]
    NoFreeNumber(String),
    /// The footer says another number of rows than there are.
    #[error("the catalogue has {found} rows, where its footer says {expected}")]
    RowCount { expected: u64, found: u64 },
    /// The export cannot be written.
    #[error("the export cannot be written")]
    Write(#[from] std::io::Error),
    /// The export cannot be written as CSV.
    #[error("the export cannot be written")]
    Csv(#[from] csv::Error),
}
