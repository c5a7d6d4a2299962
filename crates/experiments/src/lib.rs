//! Sweeps: one run after another over partition sizes, batch sizes, world sizes and memory sizes, each repeated. What a
//! sweep file asks for ([`SweepFile`]), what came of it ([`Sweep`], which is sweep.json), and how that is summed up and
//! shown. Nothing here runs anything, nor does any I/O but reading and writing these files.

mod cells;
mod csv_rows;
mod error;
mod fields;
pub mod pictures;
mod published;
mod record;
mod size;
mod statistics;
mod sweep_file;

pub use cells::{Cell, PlannedCell};
pub use error::Error;
pub use published::published_files;
pub use record::{CellRuns, CostOf, FORMAT, Machine, MemoryToRestore, Repeat, Status, Sweep};
pub use size::Size;
pub use statistics::{CellSummary, Spread};
pub use sweep_file::{DataSet, Grid, Place, Simulated, SweepFile};
