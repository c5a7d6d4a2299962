//! The product: one row per galaxy with its predicted redshift, in the input's order, or with the reason why there is
//! none.
//!
//! - [`CatalogueRows`] are rows as columns, a [`Flag`] says why a redshift is missing, [`Provenance`] what made a
//!   catalogue.
//! - [`OwnColumn`]s are those that data sets bring along.
//! - [`plausible`] says which numbers can be a redshift, a magnitude or a pixel.
//! - [`CatalogueWriter`], [`GrowingCatalogue`] and [`read()`] are its form as Parquet.
//! - [`intervals`] says how sure a redshift is, where the model was calibrated.
//! - [`Matched`] are two catalogues galaxy by galaxy, and [`Changes`] what became of redshifts that were predicted twice.
//! - [`Comparison`] collects redshifts, of which [`Metrics`] are computed and inference.png is drawn.
#![warn(missing_docs)]

mod changes;
mod columns;
mod comparison;
pub mod descriptions;
mod distribution;
pub mod flags;
pub mod intervals;
mod matched;
mod metrics;
mod parquet_file;
mod picture;
pub mod plausible;
mod precision;
mod provenance;
mod rows;
mod worst;

pub use canvas::DrawError;
pub use changes::{BothMetrics, ChangeSummary, Changes, InOneAlone, Moved, Ratios, TwicePredicted};
pub use columns::{CatalogueColumns, ColumnConflict, ColumnCounts, ColumnSummary, OwnColumns};
pub use comparison::Comparison;
pub use flags::{Flag, FlagCounts};
pub use matched::{Matched, MatchedBy};
pub use metrics::{Metrics, Rail, quantile, quantile_f32};
pub use parquet::errors::ParquetError;
pub use parquet_file::{CatalogueWriter, GrowingCatalogue, WriteError, read, read_metadata, row_count};
pub use provenance::Provenance;
pub use rows::{CatalogueRows, OwnColumn};
pub use worst::{WorstGalaxy, value_text};
