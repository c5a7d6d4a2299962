//! The model of the initializer and the summarizer: how long the two run, besides the ranks.
//!
//! Their CPU seconds become wall seconds by each function's share of a processor, and they wait for S3's answers. What is
//! billed is both together, so that [`crate::fit`] has to take the waits away before it finds CPU seconds.

use pipeline::{initialize::CONCURRENT_READS, summarize::CONCURRENT_RANKS};

use crate::{
    figures::{Figures, OtherFunctions},
    rank_model::surroundings,
    setup::{Place, vcpus},
};

/// What infra/template.yaml gives the initializer, in MB.
pub(crate) const INITIALIZER_MB: u64 = 1024;
/// Objects of a page of a list.
pub(crate) const PAGE: f64 = 1000.0;
/// Requests of the initializer and of the summarizer that wait for each other's answers. They are counted in the code of
/// the two functions, and `data/figures.json` names them among what is assumed.
const WAITS_OF_INITIALIZER: f64 = 6.0;
const WAITS_OF_SUMMARIZER: f64 = 12.0;

/// What the two functions have to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OtherWork {
    pub(crate) files: f64,
    /// Headers that the initializer reads.
    pub(crate) headers: f64,
    pub(crate) ranks: f64,
    pub(crate) galaxies: f64,
    /// Of a model in the bucket, which the initializer reads for its hash.
    pub(crate) model_bytes: f64,
}

/// Where the two functions run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OtherSetup {
    pub(crate) place: Place,
    pub(crate) summarizer_memory_mb: u64,
    /// CPU seconds there for a CPU second of the figures.
    pub(crate) slowdown: f64,
}

/// Wall seconds of one of the functions, by what causes them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct OtherTime {
    /// Computing what every run has.
    pub(crate) fixed: f64,
    /// Computing what grows with the work.
    pub(crate) growing: f64,
    /// Waiting for S3.
    pub(crate) waiting: f64,
}

impl OtherTime {
    pub(crate) fn total(self) -> f64 {
        self.fixed + self.growing + self.waiting
    }
}

/// The initializer's time and the summarizer's.
pub(crate) fn other_times(figures: &Figures, work: &OtherWork, setup: &OtherSetup) -> (OtherTime, OtherTime) {
    let around = surroundings(figures, setup.place);
    let OtherFunctions {
        initialize,
        initialize_of_file,
        initialize_of_header,
        summarize,
        summarize_of_rank,
        summarize_of_galaxy,
        ..
    } = figures.others;
    let wall = |cpu_seconds: f64, memory_mb: u64| match setup.place {
        Place::Lambda => cpu_seconds * setup.slowdown / vcpus(memory_mb).min(1.0),
        Place::Machine { .. } => cpu_seconds * setup.slowdown,
    };
    let pages = (work.files / PAGE).ceil();
    let initializer = OtherTime {
        fixed: wall(initialize, INITIALIZER_MB),
        growing: wall(initialize_of_file * work.files + initialize_of_header * work.headers, INITIALIZER_MB),
        waiting: around.request_seconds * (WAITS_OF_INITIALIZER + pages + work.headers / CONCURRENT_READS as f64)
            + work.model_bytes / around.download_bytes_per_second.max(1.0),
    };
    let memory_mb = setup.summarizer_memory_mb;
    let summarizer = OtherTime {
        fixed: wall(summarize, memory_mb),
        growing: wall(summarize_of_rank * work.ranks + summarize_of_galaxy * work.galaxies, memory_mb),
        waiting: around.request_seconds * (WAITS_OF_SUMMARIZER + work.ranks / CONCURRENT_RANKS as f64),
    };
    (initializer, summarizer)
}
