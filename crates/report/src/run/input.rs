//! What the page of a run is made of, and what is read off it in several places.

use std::collections::BTreeMap;

use bill::{Cost, Invocation};
use catalogue::Comparison;
use pipeline::run_files::Results;

use crate::rank::RankRecord;

/// What the logs of an execution say of it.
pub struct Logs {
    pub invocations: Vec<Invocation>,
    pub cost: Cost,
    /// What the cost lacks, and what of it is estimated: a sentence each.
    pub cost_remarks: Vec<String>,
}

/// Pictures of galaxies as PNG, by their file and row.
pub type Stamps = BTreeMap<(String, u64), Vec<u8>>;

/// The most galaxies whose pictures are shown.
pub const PICTURED: usize = 12;

/// What the page of a run is made of.
pub struct Run<'a> {
    pub results: &'a Results,
    pub ranks: &'a [RankRecord],
    pub comparison: &'a Comparison,
    /// inference.png.
    pub picture: Option<&'a [u8]>,
    pub logs: Option<&'a Logs>,
    pub stamps: &'a Stamps,
    /// What whoever gathered these found wrong with them: a sentence each.
    pub notes: &'a [String],
}

impl Run<'_> {
    /// The ranks that this execution computed, not an earlier one that it resumed.
    pub(crate) fn own_ranks(&self) -> Vec<&RankRecord> {
        self.ranks.iter().filter(|rank| rank.execution == self.results.execution).collect()
    }

    /// Seconds of the cold start of each rank that had one. A rank that was tried again has several invocations: that
    /// which ran when its record says that it began is meant.
    pub(crate) fn cold_starts(&self) -> BTreeMap<u64, f64> {
        let mut by_rank: BTreeMap<u64, Vec<&Invocation>> = BTreeMap::new();
        for invocation in self.logs.iter().flat_map(|logs| &logs.invocations) {
            if let Some(rank) = invocation.rank {
                by_rank.entry(rank).or_default().push(invocation);
            }
        }
        let cold_start = |rank: &RankRecord| {
            let started_at = rank.started_at?;
            let distance = |invocation: &Invocation| (invocation.started_at - started_at).abs();
            let own = by_rank.get(&rank.rank)?.iter().filter(|invocation| spans(invocation, started_at));
            let own = own.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
            Some((rank.rank, own.report.init_ms? / 1e3))
        };
        self.own_ranks().into_iter().filter_map(cold_start).collect()
    }

    /// When the first rank began, in seconds since 1970.
    pub(crate) fn began(&self) -> Option<f64> {
        self.own_ranks().iter().filter_map(|rank| rank.started_at).min_by(f64::total_cmp)
    }
}

/// How far the clock of a function and that of the logs may be apart, in seconds.
const CLOCKS_APART: f64 = 1.0;

/// Whether an invocation ran at a moment, given in seconds since 1970.
fn spans(invocation: &Invocation, moment: f64) -> bool {
    let ended_at = invocation.started_at + invocation.report.duration_ms / 1e3;
    (invocation.started_at - CLOCKS_APART..=ended_at + CLOCKS_APART).contains(&moment)
}
