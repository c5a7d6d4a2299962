//! Sweeps: one run after another over partition sizes, batch sizes, world sizes and memory sizes, each repeated. What a
//! sweep file asks for ([`SweepFile`]), what came of it ([`Sweep`], which is sweep.json), and how that is summed up and
//! shown. Nothing here runs anything, nor does any I/O but reading and writing these files.

mod cells;
mod error;
mod fields;
mod phases;
mod record;
mod size;
mod sweep_file;

pub use cells::{Cell, PlannedCell};
pub use error::Error;
pub use phases::{Phases, Spent};
pub use record::{CellRuns, FORMAT, Machine, MemoryToRestore, Repeat, Status, Sweep};
pub use size::Size;
pub use sweep_file::{DataSet, Grid, Place, SweepFile};
