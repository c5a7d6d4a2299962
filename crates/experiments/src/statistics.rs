//! Repeats, summed up: the median, the least and the most of each figure over the repeats of a cell that are done.

use pipeline::{
    payload::Precision,
    phases::{Phases, Spent},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cells::Cell,
    record::{CellRuns, CostOf, Repeat, Status, Sweep},
};

/// A figure over repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// The spread of some values; `None` of none. Of an even number of values the median is the mean of the two in the
    /// middle. What is not finite counts for nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: low + (high - low) / 2.0, min, max })
    }
}

/// A cell in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellSummary {
    #[serde(flatten)]
    pub cell: Cell,
    /// Repeats that are done, whose figures the others are of.
    pub done: usize,
    pub incomplete: usize,
    pub failed: usize,
    /// Why the last one that is not done is not.
    pub reason: Option<String>,
    pub wall_seconds: Option<Spread>,
    /// Galaxies over wall seconds.
    pub galaxies_per_second: Option<Spread>,
    /// Bits of data over wall seconds.
    pub bits_per_second: Option<Spread>,
    /// The most that any rank has used.
    pub peak_memory_mb: Option<Spread>,
    /// Of the repeats whose bill is whole, as is the cost.
    pub billed_ms: Option<Spread>,
    pub cost_usd: Option<Spread>,
    /// The invocations that were found of the first repeat whose bill is not whole, if there is one.
    pub cost_missing: Option<CostOf>,
    /// The median of each phase, summed over ranks.
    pub phases: Phases,
}

impl CellSummary {
    /// Sums up a cell.
    pub fn of(runs: &CellRuns) -> Self {
        let count = |status| runs.repeats.iter().filter(|repeat| repeat.status == status).count();
        let done = || runs.repeats.iter().filter(|repeat| repeat.status == Status::Done);
        let spread = |figure: fn(&Repeat) -> Option<f64>| Spread::of(done().filter_map(figure));
        let median = |phase: fn(&Phases) -> Spent| {
            let of = |part: fn(Spent) -> f64| {
                Spread::of(done().map(|repeat| part(phase(&repeat.phases)))).map_or(0.0, |spread| spread.median)
            };
            Spent { wall_seconds: of(|spent| spent.wall_seconds), cpu_seconds: of(|spent| spent.cpu_seconds) }
        };
        Self {
            cell: runs.cell.clone(),
            done: count(Status::Done),
            incomplete: count(Status::Incomplete),
            failed: count(Status::Failed),
            reason: runs.repeats.iter().rev().find_map(|repeat| repeat.reason.clone()),
            wall_seconds: spread(|repeat| Some(repeat.seconds)),
            galaxies_per_second: spread(Repeat::galaxies_per_second),
            bits_per_second: spread(Repeat::bits_per_second),
            peak_memory_mb: spread(|repeat| repeat.peak_memory_mb),
            billed_ms: spread(|repeat| repeat.billed_ms),
            cost_usd: spread(|repeat| repeat.cost_usd),
            cost_missing: done().filter_map(|repeat| repeat.cost_of).find(|found| !found.is_whole()),
            phases: Phases {
                start: median(|phases| phases.start),
                model: median(|phases| phases.model),
                warm_up: median(|phases| phases.warm_up),
                waiting: median(|phases| phases.waiting),
                inference: median(|phases| phases.inference),
                post_processing: median(|phases| phases.post_processing),
            },
        }
    }
}

impl Sweep {
    /// All cells in figures.
    pub fn summary(&self) -> Vec<CellSummary> {
        self.cells.iter().map(CellSummary::of).collect()
    }

    /// What a reader of its figures should know of how they came to be.
    pub fn warnings(&self) -> Vec<String> {
        let distinct = |figure: fn(&Repeat) -> Option<&String>| {
            let mut found: Vec<&String> = self.cells.iter().flat_map(|runs| &runs.repeats).filter_map(figure).collect();
            found.sort();
            found.dedup();
            found
        };
        let mut warnings = Vec::new();
        let programs = distinct(|repeat| repeat.made_by.as_ref());
        if programs.len() > 1 {
            let list: Vec<&str> = programs.iter().map(|program| program.as_str()).collect();
            warnings.push(format!(
                "the repeats were made by {} programs ({}): sweep.csv says which by which",
                programs.len(),
                list.join("; ")
            ));
        }
        let repeats = self.cells.iter().flat_map(|runs| runs.repeats.iter().map(move |repeat| (&runs.cell, repeat)));
        let mut not_billed = repeats.filter_map(|(cell, repeat)| {
            let found = repeat.cost_of.filter(|found| !found.is_whole())?;
            Some(format!("{}, repeat {}: the logs have {found} invocations", cell.title(), repeat.repeat))
        });
        if let Some(first) = not_billed.next() {
            let others = match not_billed.count() {
                0 => String::new(),
                others => format!(", and {others} more, for which see cost_of_invocations in sweep.csv"),
            };
            warnings.push(format!("the cost is not known of {first}{others}"));
        }
        warnings
    }

    /// Whether all complete catalogues of the same galaxies have the same redshifts, to the last bit; `None` where
    /// there are not two to compare. Cells that take another part of the data are compared among themselves, and so are
    /// those of another precision.
    pub fn redshifts_agree(&self) -> Option<bool> {
        let mut hashes = std::collections::HashMap::<(u64, Precision), Vec<&String>>::new();
        for CellRuns { cell, repeats } in &self.cells {
            for repeat in repeats.iter().filter(|repeat| repeat.status == Status::Done) {
                if let Some(hash) = &repeat.redshifts_sha256 {
                    hashes.entry((repeat.rows, cell.precision)).or_default().push(hash);
                }
            }
        }
        let mut compared = hashes.values().filter(|hashes| hashes.len() > 1).peekable();
        compared.peek()?;
        Some(compared.all(|hashes| hashes.iter().all(|hash| *hash == hashes[0])))
    }
}

impl Repeat {
    /// Galaxies over wall seconds.
    pub fn galaxies_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.rows as f64 / self.seconds)
    }

    /// Bits of data over wall seconds.
    pub fn bits_per_second(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| 8.0 * self.bytes as f64 / self.seconds)
    }

    /// Ranks that were the first of their process, and paid for its start and for loading the model.
    pub fn cold_ranks(&self) -> usize {
        let cold = |rank: &&Value| rank.get("first_of_process").and_then(Value::as_bool) == Some(true);
        self.ranks.iter().filter(cold).count()
    }
}
