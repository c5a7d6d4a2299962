//! The product: one row per galaxy with its predicted redshift, in the input's order, or with the reason why there is none.
//!
//! - [`CatalogueRows`] are rows as columns, [`flags`] says why a redshift is missing, [`Provenance`] what made a catalogue.
//! - [`CatalogueWriter`] and [`read()`] are its form as Parquet.
//! - [`Comparison`] collects redshifts, of which [`Metrics`] are computed and inference.png is drawn.
#![warn(missing_docs)]

mod comparison;
pub mod flags;
mod metrics;
mod parquet_file;
mod picture;
mod provenance;
mod rows;

pub use canvas::DrawError;
pub use comparison::Comparison;
pub use metrics::{Metrics, Rail};
pub use parquet::errors::ParquetError;
pub use parquet_file::{CatalogueWriter, read, read_metadata};
pub use provenance::Provenance;
pub use rows::CatalogueRows;
