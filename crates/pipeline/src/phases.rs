//! Where the time of a rank goes, in wall and in CPU seconds.

use std::{
    ops::{AddAssign, Sub},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::resource_usage::cpu_seconds;

/// What a phase took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    pub wall_seconds: f64,
    /// CPU seconds of all threads of the process meanwhile, those that read ahead among them.
    pub cpu_seconds: f64,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.wall_seconds += other.wall_seconds;
        self.cpu_seconds += other.cpu_seconds;
    }
}

/// Never below zero: the operating system counts CPU time in steps.
impl Sub for Spent {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            wall_seconds: (self.wall_seconds - other.wall_seconds).max(0.0),
            cpu_seconds: (self.cpu_seconds - other.cpu_seconds).max(0.0),
        }
    }
}

/// Now, in seconds since 1970 by the clock of this machine.
pub fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Measures a phase from its start.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started: Instant,
    cpu_before: f64,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self { started: Instant::now(), cpu_before: cpu_seconds() }
    }

    /// Measures a command from the start of its process, as far as its CPU time goes.
    pub fn start_of_process() -> Self {
        Self { started: Instant::now(), cpu_before: 0.0 }
    }

    /// Wall time alone, which costs no look at the process.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn spent(&self) -> Spent {
        Spent { wall_seconds: self.elapsed().as_secs_f64(), cpu_seconds: (cpu_seconds() - self.cpu_before).max(0.0) }
    }
}

/// What the phases of a rank took, or of several ranks together. They do not overlap, but for `warm_up`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// Everything before the model is asked for: the plan, and in a run on this machine the list of files and their
    /// headers.
    pub start: Spent,
    /// Loading model and engine; nothing where an earlier rank of the same process had done it.
    pub model: Spent,
    /// The engine waited for rows.
    pub waiting: Spent,
    /// The engine computed.
    pub inference: Spent,
    /// What the first batch took longer than the mean of the others, as part of `inference`; nothing where there is one
    /// batch.
    pub warm_up: Spent,
    /// The rest: flags, quantiles, encoding the rows, and in a run on this machine the picture and the metrics.
    pub post_processing: Spent,
}

impl Phases {
    /// All phases in their order, with their names.
    pub fn named(&self) -> [(&'static str, Spent); 6] {
        let Self { start, model, waiting, inference, warm_up, post_processing } = *self;
        [
            ("start", start),
            ("model", model),
            ("waiting", waiting),
            ("inference", inference),
            ("warm_up", warm_up),
            ("post_processing", post_processing),
        ]
    }

    /// Counts what no other phase has taken of the `total` as post-processing.
    pub(crate) fn with_total(mut self, total: Spent) -> Self {
        let mut others = Spent::default();
        for phase in [self.start, self.model, self.waiting, self.inference] {
            others += phase;
        }
        self.post_processing = total - others;
        self
    }

    /// CPU seconds of all phases.
    pub fn cpu_seconds(&self) -> f64 {
        let Self { start, model, waiting, inference, post_processing, .. } = self;
        [start, model, waiting, inference, post_processing].iter().map(|phase| phase.cpu_seconds).sum()
    }
}

impl AddAssign for Phases {
    fn add_assign(&mut self, other: Self) {
        self.start += other.start;
        self.model += other.model;
        self.waiting += other.waiting;
        self.inference += other.inference;
        self.warm_up += other.warm_up;
        self.post_processing += other.post_processing;
    }
}

/// Adds up the engine's batches, and what the first of them took longer than the others.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    pub(crate) count: u64,
    pub(crate) all: Spent,
    rows: u64,
    first: Option<(u64, Spent)>,
    /// Rows of the batch that is being predicted, and what they took.
    begun: Option<(u64, Spent)>,
}

impl Batches {
    /// Adds a part of a batch of `size` rows, or all of it; the batch ends with its last row.
    pub(crate) fn add_part(&mut self, size: u64, rows: u64, spent: Spent) {
        let begun = self.begun.get_or_insert_default();
        begun.0 += rows;
        begun.1 += spent;
        if begun.0 >= size {
            self.end_batch();
        }
    }

    /// Ends the batch that has begun, where one has: a file's last one may be smaller.
    pub(crate) fn end_batch(&mut self) {
        if let Some((rows, spent)) = self.begun.take() {
            self.add(rows, spent);
        }
    }

    fn add(&mut self, rows: u64, spent: Spent) {
        self.count += 1;
        self.all += spent;
        self.rows += rows;
        self.first.get_or_insert((rows, spent));
    }

    /// What the first batch took longer than as many rows of the others did in the mean.
    pub(crate) fn warm_up(&self) -> Spent {
        let Some((rows, first)) = self.first.filter(|(rows, _)| self.rows > *rows) else { return Spent::default() };
        let others = self.all - first;
        let share = rows as f64 / (self.rows - rows) as f64;
        first - Spent { wall_seconds: others.wall_seconds * share, cpu_seconds: others.cpu_seconds * share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(wall_seconds: f64) -> Spent {
        Spent { wall_seconds, cpu_seconds: 2.0 * wall_seconds }
    }

    #[test]
    fn phases_add_up_to_the_whole() {
        let phases = Phases { start: spent(1.0), model: spent(2.0), inference: spent(3.0), ..Phases::default() };
        let phases = phases.with_total(spent(10.0));
        assert_eq!(phases.post_processing, spent(4.0));
        assert_eq!(phases.cpu_seconds(), 20.0);
    }

    #[test]
    fn the_first_batch_is_compared_with_as_many_rows_of_the_others() {
        let mut batches = Batches::default();
        assert_eq!(batches.warm_up(), Spent::default());
        batches.add(512, spent(1.5));
        assert_eq!(batches.warm_up(), Spent::default(), "there is nothing to compare it with");
        batches.add(512, spent(1.0));
        batches.add(256, spent(0.5));
        assert_eq!(batches.warm_up(), spent(0.5));
        assert_eq!(batches.all, spent(3.0));
    }

    #[test]
    fn a_batch_in_parts_is_one_batch() {
        let mut batches = Batches::default();
        for (rows, seconds) in [(400, 1.0), (400, 0.5), (200, 0.25), (400, 0.5)] {
            batches.add_part(1000, rows, spent(seconds));
        }
        assert_eq!(batches.count, 1);
        batches.end_batch();
        batches.end_batch();
        assert_eq!((batches.count, batches.all), (2, spent(2.25)));
        assert_eq!(batches.warm_up(), spent(0.5));
    }
}
