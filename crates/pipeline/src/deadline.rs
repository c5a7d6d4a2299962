//! A rank's deadline: it stops in time to say how far it came, and what to change, instead of being killed.

use std::time::{Duration, Instant};

use crate::{
    error::{Error, Result},
    storage::StorageError,
};

/// Rows that do not come for so long do not come because storage is slow, but because it does not answer.
const SILENCE: Duration = Duration::from_secs(30);

/// When a function's time ends.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    /// Kept free to write what there is, and to try that again.
    reserve: Duration,
    /// Memory that the function is configured with, in MB: it could be raised.
    memory_mb: u64,
}

impl Deadline {
    /// The end of a function that has so much time left.
    pub fn in_time(left: Duration, memory_mb: u64) -> Self {
        let reserve = (left / 10).clamp(Duration::from_secs(3), Duration::from_secs(30));
        Self { at: Instant::now() + left, reserve, memory_mb }
    }

    /// The last moment at which the function can still say what it has come to.
    pub fn to_answer(self) -> Instant {
        self.at.checked_sub(Duration::from_secs(1)).unwrap_or(self.at)
    }

    /// Memory that the function is configured with, in MB, if it says so.
    pub(crate) fn memory_mb(self) -> Option<u64> {
        Some(self.memory_mb).filter(|memory_mb| *memory_mb > 0)
    }

    /// The last moment at which rows may still come.
    pub(crate) fn to_stop_waiting(self) -> Instant {
        self.at.checked_sub(self.reserve).unwrap_or(self.at)
    }
}

/// How fast the work goes, and whether it will be done in time.
pub(crate) struct Pace {
    deadline: Option<Deadline>,
    started: Instant,
    slowest_batch: Duration,
    files: usize,
    planned_rows: Option<u64>,
    opened_files: usize,
    opened_rows: u64,
}

impl Pace {
    /// Starts the clock for so many files. `planned_rows` is given where it is known before they are opened.
    pub(crate) fn new(deadline: Option<Deadline>, files: usize, planned_rows: Option<u64>) -> Self {
        let (started, slowest_batch) = (Instant::now(), Duration::ZERO);
        Self { deadline, started, slowest_batch, files, planned_rows, opened_files: 0, opened_rows: 0 }
    }

    /// One more file is known, with so many rows to predict.
    pub(crate) fn opened(&mut self, rows: u64) {
        self.opened_files += 1;
        self.opened_rows += rows;
    }

    pub(crate) fn batch_took(&mut self, time: Duration) {
        self.slowest_batch = self.slowest_batch.max(time);
    }

    /// Refuses to start a batch that might not end before the deadline.
    pub(crate) fn check_deadline(&self, rows_done: u64) -> Result<()> {
        match self.deadline {
            Some(deadline) if Instant::now() + self.slowest_batch > deadline.to_stop_waiting() => {
                Err(self.too_late(rows_done))
            }
            _ => Ok(()),
        }
    }

    /// The error of a wait for rows that the deadline has ended. Where the rows had not come for a long time it is
    /// storage's, which a later attempt may find well again; else there was too much to do.
    pub(crate) fn ran_out_waiting(&self, waited: Duration, rows_done: u64) -> Error {
        let all = self.deadline.map_or(SILENCE, |deadline| deadline.at.saturating_duration_since(self.started));
        if waited < SILENCE.min(all / 3) {
            return self.too_late(rows_done);
        }
        Error::Storage(StorageError::Unavailable {
            action: "read",
            location: "the rank's files".into(),
            status: None,
            source: format!("no rows came for {:.0} s, until the function's time had run out", waited.as_secs_f64())
                .into(),
        })
    }

    fn too_late(&self, rows_done: u64) -> Error {
        let of = match self.planned_rows {
            Some(rows) => format!("{rows}"),
            None if self.opened_files == self.files => format!("{}", self.opened_rows),
            None => format!("more than {}", self.opened_rows),
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
