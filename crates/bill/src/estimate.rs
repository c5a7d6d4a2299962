//! What a run would take and cost, from measured [`Figures`]: a model whose parts have names.
//!
//! A rank starts cold or warm, asks for its plan (requests), waits for its first rows (download), computes, and ends with
//! what follows (post-processing). CPU seconds become wall seconds by the rank's share of a processor: on Lambda by the
//! function's memory, on one machine by what else runs there ([`shared_machine`](crate::shared_machine)). Later rows are
//! read while earlier ones are computed, so that their download shows only where it is the slower of the two. Around the
//! ranks are the orchestration (Step Functions, the map that starts ranks one after the other, ranks that Lambda turns
//! away) and the merge. Nothing here does any I/O.

use pipeline::storage::Requests;
use serde::Serialize;

use crate::{
    cost::{Cost, Usage},
    figures::Figures,
    other_functions::{INITIALIZER_MB, OtherSetup, OtherWork, PAGE, other_times},
    prices::Prices,
    rank_model::{rank_times, surroundings},
    throttling::{Concurrency, RETRY, Schedule, simulate, unthrottled},
};

pub use crate::{
    rank_model::RankParts,
    setup::{MB_OF_A_VCPU, Place, RankShare, RunWork, Setup, in_lambda_mb},
};

/// The temporary storage that each function has without paying for it, in MB.
const FREE_TEMPORARY_MB: u64 = 512;
/// States that an execution enters, and its end: Initialize, AnythingToRun, Ranks, Summarize, Accepted, Done.
const TRANSITIONS_OF_RUN: u64 = 7;
/// A rank's one state, and the end of its child execution.
const TRANSITIONS_OF_RANK: u64 = 2;
/// Chance has its own seed, so that the same plan has the same estimate.
const SEED: u64 = 1;

/// Where the time of a run goes, in wall seconds. They add up to the whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct RunParts {
    /// From the payload to the plan.
    pub initialize: f64,
    /// Step Functions: beginning, ending, starting ranks one after the other, and waiting for free concurrency.
    pub orchestration: f64,
    /// The ranks, as if all were started at once and as many ran as may.
    pub ranks: f64,
    /// The summarizer.
    pub merge: f64,
}

/// What a run would take and cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    pub wall_seconds: f64,
    pub parts: RunParts,
    /// Of the mean rank.
    pub rank_parts: RankParts,
    /// In which a rank takes one of those that run at once, from the making of its environment on: the sum of
    /// `rank_parts`.
    pub mean_rank_seconds: f64,
    /// From the event to the record, which the records of ranks call their wall time.
    pub mean_recorded_seconds: f64,
    /// The longest from an event to a record, which has to be within the deadline.
    pub slowest_rank_seconds: f64,
    /// Billed seconds of all ranks together.
    pub billed_rank_seconds: f64,
    /// Billed seconds of all functions together.
    pub billed_seconds: f64,
    pub cost: Cost,
    pub peak_memory_mb: f64,
    /// Ranks that would not be done before their function's timeout.
    pub late_ranks: u64,
    /// Attempts that Lambda turns away, each of which is a state transition.
    pub throttled_attempts: u64,
    /// Ranks that Lambda turns away too often.
    pub failed_ranks: u64,
}

/// What a run would take and cost. `slowdown` is how much slower the processor is than that of the figures.
pub fn estimate(figures: &Figures, work: &RunWork, setup: &Setup, prices: &Prices, slowdown: f64) -> Estimate {
    let around = surroundings(figures, setup.place);
    let count = work.ranks.len() as u64;
    let concurrency = Concurrency {
        limit: setup.concurrency_limit.max(1),
        max_concurrency: setup.max_concurrency,
        starts_per_second: around.starts_per_second,
    };
    let at_once = concurrency.at_once(count).min(concurrency.limit).max(1);
    let times = rank_times(figures, work, setup, at_once, slowdown);

    let throttles = concurrency.throttles(count) && matches!(setup.place, Place::Lambda);
    let schedule = if throttles {
        simulate(&times.taken, &concurrency, &RETRY, SEED)
    } else {
        let spread = unthrottled(&times.taken, &concurrency).wall_seconds;
        Schedule { wall_seconds: times.together.unwrap_or(0.0).max(spread), ..Schedule::default() }
    };
    let at_best = match times.together {
        Some(together) => together,
        None => {
            let held = Concurrency { max_concurrency: at_once, starts_per_second: 0.0, ..concurrency };
            unthrottled(&times.taken, &held).wall_seconds
        }
    };
    let galaxies: u64 = work.ranks.iter().map(|rank| rank.rows).sum();
    let other_work = OtherWork {
        files: work.files as f64,
        headers: work.headers as f64,
        ranks: count as f64,
        galaxies: galaxies as f64,
        model_bytes: work.model_bytes as f64,
    };
    let other_setup = OtherSetup { place: setup.place, summarizer_memory_mb: setup.summarizer_memory_mb, slowdown };
    let (initializer, summarizer) = other_times(figures, &other_work, &other_setup);
    let (initialize, merge) = (initializer.total(), summarizer.total());

    let parts = RunParts {
        initialize,
        orchestration: around.begin_seconds + (schedule.wall_seconds - at_best).max(0.0) + around.end_seconds,
        ranks: at_best.min(schedule.wall_seconds),
        merge,
    };
    // A rank that fails never ran.
    let ran = |rank: &usize| !schedule.failed_ranks.contains(rank);
    let billed_rank_seconds: f64 =
        times.billed.iter().enumerate().filter(|(rank, _)| ran(rank)).map(|(_, billed)| billed).sum();
    let usage = usage(figures, work, setup, &schedule, billed_rank_seconds, (initialize, merge));
    let deadline = setup.deadline_seconds();
    Estimate {
        wall_seconds: parts.initialize + parts.orchestration + parts.ranks + parts.merge,
        parts,
        rank_parts: times.parts,
        mean_rank_seconds: times.parts.total(),
        mean_recorded_seconds: times.recorded.iter().sum::<f64>() / count.max(1) as f64,
        slowest_rank_seconds: times.recorded.iter().copied().fold(0.0, f64::max),
        billed_rank_seconds,
        billed_seconds: billed_rank_seconds + initialize + merge,
        cost: Cost::of(&usage, prices),
        peak_memory_mb: figures.rank.peak_mb(work.batch_size),
        late_ranks: times.recorded.iter().filter(|wall| **wall > deadline).count() as u64,
        throttled_attempts: schedule.throttled_attempts,
        failed_ranks: schedule.failed_ranks.len() as u64,
    }
}

/// What AWS would ask money for.
fn usage(
    figures: &Figures,
    work: &RunWork,
    setup: &Setup,
    schedule: &Schedule,
    billed_rank_seconds: f64,
    (initialize, merge): (f64, f64),
) -> Usage {
    let count = work.ranks.len() as u64;
    let invocations = count - schedule.failed_ranks.len() as u64 + 2;
    let mut usage = Usage {
        invocations,
        expected_invocations: invocations,
        temporary_gb_seconds: billed_rank_seconds * setup.temporary_mb.saturating_sub(FREE_TEMPORARY_MB) as f64
            / 1024.0,
        state_transitions: TRANSITIONS_OF_RUN + TRANSITIONS_OF_RANK * count + schedule.throttled_attempts,
        requests: requests(figures, work, schedule),
        ..Usage::default()
    };
    for (seconds, memory_mb) in
        [(billed_rank_seconds, setup.memory_mb), (initialize, INITIALIZER_MB), (merge, setup.summarizer_memory_mb)]
    {
        usage.gb_seconds.add(setup.architecture, seconds * memory_mb as f64 / 1024.0);
    }
    usage
}

/// Requests to S3 of all functions.
fn requests(figures: &Figures, work: &RunWork, schedule: &Schedule) -> Requests {
    let (rank, others) = (&figures.rank, &figures.others);
    let per_chunk = rank.chunk_rows(work.batch_size);
    let mut reads = others.reads + work.headers as f64 * 2.0;
    let mut writes = others.writes + (work.files as f64 / PAGE).ceil() + (work.ranks.len() as f64 / PAGE).ceil();
    let ran = work.ranks.iter().enumerate().filter(|(rank, _)| !schedule.failed_ranks.contains(rank));
    for (_, share) in ran {
        // A file's rows are read by themselves, so that its last chunk may be a small one.
        let chunks = (share.rows as f64 / per_chunk / share.files.max(1) as f64).ceil() * share.files as f64;
        reads += rank.requests.reads_of_rank
            + rank.requests.reads_of_file * share.files as f64
            + rank.requests.reads_of_chunk * chunks
            + others.reads_of_rank;
        writes += rank.requests.writes_of_rank;
    }
    Requests { reads: reads.round() as u64, writes: writes.round() as u64 }
}
