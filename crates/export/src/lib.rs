//! A catalogue in the forms that other tools read, without Python: a FITS binary table ([`write_fits`]), or CSV
//! ([`write_csv`]).
//!
//! Both go by the types of the Parquet file's columns and know no column by its name, since a data set may bring any of
//! its own. Rows stream: memory does not grow with the catalogue.

mod columns;
mod csv_file;
mod distinct_names;
mod error;
mod fits;
mod parquet_file;

pub use csv_file::write_csv;
pub use error::Error;
pub use fits::write_fits;
pub use parquet_file::CatalogueFile;
