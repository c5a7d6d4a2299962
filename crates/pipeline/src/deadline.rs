//! A rank's deadline: it stops in time to say how far it came, and what to change, instead of being killed.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Kept free before a deadline to write the part and the record.
const WRITE_RESERVE: Duration = Duration::from_secs(3);

/// When a function's time ends.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    pub at: Instant,
    /// Memory that the function is configured with, in MB: it could be raised.
    pub memory_mb: u64,
}

impl Deadline {
    /// The last moment at which rows may still come.
    pub(crate) fn to_stop_waiting(self) -> Instant {
        self.at.checked_sub(WRITE_RESERVE).unwrap_or(self.at)
    }
}

/// What was opened so far.
pub(crate) struct Opened {
    pub(crate) files: usize,
    pub(crate) rows: u64,
}

/// How fast the work goes, and whether it will be done in time.
pub(crate) struct Pace {
    deadline: Option<Deadline>,
    started: Instant,
    slowest_batch: Duration,
    files: usize,
    planned_rows: Option<u64>,
}

impl Pace {
    /// Starts the clock for so many files. `planned_rows` is given where it is known before they are opened.
    pub(crate) fn new(deadline: Option<Deadline>, files: usize, planned_rows: Option<u64>) -> Self {
        Self { deadline, started: Instant::now(), slowest_batch: Duration::ZERO, files, planned_rows }
    }

    pub(crate) fn batch_took(&mut self, time: Duration) {
        self.slowest_batch = self.slowest_batch.max(time);
    }

    /// Refuses to start a batch that might not end before the deadline.
    pub(crate) fn check_deadline(&self, rows_done: u64, opened: &Opened) -> Result<()> {
        match self.deadline {
            Some(deadline) if Instant::now() + self.slowest_batch + WRITE_RESERVE > deadline.at => {
                Err(self.too_late(rows_done, opened))
            }
            _ => Ok(()),
        }
    }

    /// The error that says how far the work came, and what to change.
    pub(crate) fn too_late(&self, rows_done: u64, opened: &Opened) -> Error {
        let of = match self.planned_rows {
            Some(rows) => format!("{rows}"),
            None if opened.files == self.files => format!("{}", opened.rows),
            None => format!("more than {}", opened.rows),
        };
        let seconds = self.started.elapsed().as_secs_f64();
        let memory = self.deadline.map_or(0, |deadline| deadline.memory_mb);
        Error::DeadlineExceeded(format!(
            "stopped before the function's timeout with {} of {of} rows done in {seconds:.0} s ({:.0} galaxies/s with \
             {memory} MB): give the function more memory (InferenceMemory; CPU grows with it) or time \
             (InferenceTimeout), or make the shares smaller with a larger `world_size`",
            rows_done,
            rows_done as f64 / seconds.max(1e-3),
        ))
    }
}
