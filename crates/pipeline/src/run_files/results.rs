//! `Results.json`: metrics, counts, timings, what is missing, and what made it.

use std::collections::BTreeMap;

use catalogue::{
    CatalogueRows, ColumnSummary, Flag, FlagCounts, Metrics, Provenance, intervals::IntervalMetrics,
    plausible::REDSHIFTS,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{payload::Payload, phases::Phases, run_files::record::RankRun, storage::printable};

/// What a run has to say of itself. The metrics stand at the top level, under the published names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// Of the rows that have both redshifts.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Whether the quantiles hold for these rows; absent where the model is not calibrated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub intervals: Option<IntervalMetrics>,
    pub counts: Counts,
    /// The columns that the data set brought along.
    pub columns: Vec<ColumnSummary>,
    /// Whether every planned row is in the catalogue.
    pub complete: bool,
    pub missing: Vec<Missing>,
    pub timings: Timings,
    pub throughput: Throughput,
    pub made_by: Provenance,
    /// Name of the execution, or `local`.
    pub execution: String,
    /// SHA-256 of the other results, in hexadecimal, by their names.
    pub sha256: BTreeMap<String, String>,
    /// The input, with every default filled in; absent for local inference.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payload: Option<Payload>,
}

/// Columns of which it is said, each by itself, that some files lack them.
const COLUMNS_SHOWN: usize = 5;

impl Results {
    /// What of a run's data a person should look at, if anything: a sentence each, with the number of galaxies or
    /// files.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.counts.warnings();
        if self.intervals.is_none() && self.payload.as_ref().is_some_and(|payload| payload.levels) {
            warnings.push("the model is not calibrated, so that there are no quantiles at any level".to_owned());
        }
        let partial: Vec<_> =
            self.columns.iter().filter_map(|column| Some((column, column.first_without.as_ref()?))).collect();
        warnings.extend(partial.iter().take(COLUMNS_SHOWN).map(|(column, first)| {
            format!(
                "{} of {} files have no value in the column {}, which is null there; the first is {}",
                column.files_without,
                self.counts.files,
                printable(&column.name),
                printable(first)
            )
        }));
        if partial.len() > COLUMNS_SHOWN {
            warnings.push(format!(
                "{} more columns have no value in some files: Results.json names them",
                partial.len() - COLUMNS_SHOWN
            ));
        }
        warnings
    }
}

/// Files and ranks that were planned, and rows that are in the catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub files: u64,
    pub ranks: u64,
    pub rows: u64,
    /// Rows with a predicted redshift.
    pub predicted: u64,
    /// Rows with a flag that says why they have none.
    pub flagged: u64,
    /// Rows by their flags, of which one may have two; those of one flag have a redshift.
    pub flags: FlagCounts,
    /// Rows with both a spectroscopic and a predicted redshift: those the metrics are over.
    pub compared: u64,
    /// Rows whose spectroscopic redshift is a number that cannot be one, and is taken as unknown.
    pub implausible_redshifts: u64,
}

impl Counts {
    /// Counts some of the catalogue's rows.
    pub(crate) fn add(&mut self, rows: &CatalogueRows) {
        self.rows += rows.len() as u64;
        self.flagged += rows.flagged();
        self.flags.add(&rows.flags);
        self.predicted += rows.z_phot.iter().flatten().count() as u64;
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.implausible_redshifts > 0 {
            let (low, high) = REDSHIFTS.into_inner();
            warnings.push(format!(
                "{} of {} galaxies: the spectroscopic redshift is outside {low} to {high}, and taken as unknown",
                self.implausible_redshifts, self.rows
            ));
        }
        for flag in Flag::ALL {
            let flagged = self.flags.of(flag);
            if flagged > 0 {
                warnings.push(format!(
                    "{flagged} of {} galaxies: {} (flag {})",
                    self.rows,
                    flag.meaning(),
                    flag.name()
                ));
            }
        }
        warnings
    }
}

/// Files, or parts of files, that are not in the catalogue, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The rank that should have read them; absent in local inference, and for files that could not be planned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rank: Option<u64>,
    /// Keys, with `[from, to)` where only these rows of a file are missing.
    pub files: Vec<String>,
    /// Rows missing; null where only a rank would have counted them.
    pub rows: Option<u64>,
    pub reason: String,
}

/// Where the time went, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// From the start of the execution to the merge.
    pub wall_seconds: f64,
    pub slowest_rank_seconds: f64,
    /// The whole time of each rank. This and what follows are sums over all ranks of this execution.
    pub rank_seconds: f64,
    /// CPU time of all threads.
    pub cpu_seconds: f64,
    pub phases: Phases,
}

/// How fast the run was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Rows this execution computed, over its wall time.
    pub galaxies_per_second: f64,
    /// Bytes of data this execution read, over its wall time.
    pub bytes_per_second: f64,
    /// Rows over seconds in the engine: the speed of one rank.
    pub galaxies_per_second_per_rank: f64,
    /// Rows an earlier execution had computed already: not part of the rates above.
    pub resumed_rows: u64,
}

impl Throughput {
    /// The rates of this much work. Where no time was measured they are 0.
    pub(crate) fn of(rows: u64, bytes: u64, timings: &Timings) -> Self {
        let rate = |amount: u64, seconds: f64| if seconds > 0.0 { amount as f64 / seconds } else { 0.0 };
        Self {
            galaxies_per_second: rate(rows, timings.wall_seconds),
            bytes_per_second: rate(bytes, timings.wall_seconds),
            galaxies_per_second_per_rank: rate(rows, timings.phases.inference.wall_seconds),
            resumed_rows: 0,
        }
    }
}

impl Timings {
    /// Adds the times of a rank.
    pub fn add(&mut self, run: &RankRun) {
        self.slowest_rank_seconds = self.slowest_rank_seconds.max(run.wall_seconds);
        self.rank_seconds += run.wall_seconds;
        self.cpu_seconds += run.phases.cpu_seconds();
        self.phases += run.phases;
    }
}

/// The SHA-256 of a file's bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
