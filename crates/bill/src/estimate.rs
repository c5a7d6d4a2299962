//! What a run would take and cost, from measured [`Figures`]: a model whose parts have names.
//!
//! A rank starts cold or warm, asks for its plan (requests), waits for its first rows (download), computes, and ends with
//! what follows (post-processing). CPU seconds become wall seconds by the rank's share of a processor: on Lambda by the
//! function's memory, on one machine by what else runs there ([`shared_machine`](crate::shared_machine)). Later rows are
//! read while earlier ones are computed, so that their download shows only where it is the slower of the two. Around the
//! ranks are the orchestration (Step Functions, the map that starts ranks one after the other, ranks that Lambda turns
//! away) and the merge. Nothing here does any I/O.

use serde::Serialize;

use crate::{
    cost::{Cost, Usage},
    figures::{Figures, Surroundings},
    invocations::{Architecture, Requests},
    prices::Prices,
    records::Spent,
    shared_machine::{self, Stage},
    throttling::{Concurrency, RETRY, Schedule, simulate, unthrottled},
};

/// Memory that gives one vCPU, in MB: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
pub const MB_OF_A_VCPU: f64 = 1769.0;
/// The temporary storage that each function has without paying for it, in MB.
const FREE_TEMPORARY_MB: u64 = 512;
/// What infra/template.yaml gives the initializer, in MB.
const INITIALIZER_MB: u64 = 1024;
/// States that an execution enters, and its end: Initialize, AnythingToRun, Ranks, Summarize, Accepted, Done.
const TRANSITIONS_OF_RUN: u64 = 7;
/// A rank's one state, and the end of its child execution.
const TRANSITIONS_OF_RANK: u64 = 2;
/// Objects of a page of a list.
const PAGE: f64 = 1000.0;
/// Requests of the initializer and of the summarizer that wait for each other's answers.
const WAITS_OF_INITIALIZER: f64 = 6.0;
const WAITS_OF_SUMMARIZER: f64 = 12.0;
/// Headers, and what ranks have left, are read so many at a time.
const CONCURRENT_READS: f64 = 32.0;
/// Chance has its own seed, so that the same plan has the same estimate.
const SEED: u64 = 1;

/// What one rank reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct RankShare {
    pub rows: u64,
    pub bytes: u64,
    /// Files, or parts of files.
    pub files: u64,
}

/// The work of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunWork {
    pub ranks: Vec<RankShare>,
    pub files: u64,
    /// Headers that the initializer reads: all, where ranks share files.
    pub headers: u64,
    pub batch_size: u64,
    /// Of a model in the bucket, which each new process fetches; 0 of the one that is packaged.
    pub model_bytes: u64,
}

/// Where ranks run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Each has its own share of a processor, by its memory.
    Lambda,
    /// They share this machine.
    Machine { cores: u64 },
}

/// How functions are configured and how many run at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Setup {
    pub place: Place,
    pub architecture: Architecture,
    /// Of the inference function, in MB.
    pub memory_mb: u64,
    /// Of the inference function.
    pub timeout_seconds: u64,
    pub temporary_mb: u64,
    pub summarizer_memory_mb: u64,
    /// Functions that run at once.
    pub concurrency_limit: u64,
    /// The payload's; 0 is as many as Lambda gives.
    pub max_concurrency: u64,
    /// Whether environments of an earlier run are still there.
    pub warm: bool,
}

impl Setup {
    /// The share of processors that memory gives on Lambda.
    pub fn vcpus(&self) -> f64 {
        vcpus(self.memory_mb)
    }

    /// Threads of the engine: one for each processor that it sees. Lambda shows at least two.
    fn threads(&self) -> f64 {
        match self.place {
            Place::Lambda => self.vcpus().ceil().max(2.0),
            Place::Machine { cores } => cores.max(1) as f64,
        }
    }

    /// A rank that is not done by then stops by itself and says so: see `pipeline::deadline`.
    pub fn deadline_seconds(&self) -> f64 {
        let timeout = self.timeout_seconds as f64;
        timeout - (timeout / 10.0).clamp(3.0, 30.0)
    }
}

fn vcpus(memory_mb: u64) -> f64 {
    memory_mb as f64 / MB_OF_A_VCPU
}

/// Where the time of a rank goes, in wall seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct RankParts {
    /// Making the environment, starting the process, loading the model, and what the first batch takes longer.
    pub cold_start: f64,
    /// Waiting for S3's answers.
    pub requests: f64,
    /// Rows on their way, as far as nothing is computed meanwhile.
    pub download: f64,
    pub compute: f64,
    /// Encoding and writing what the rank leaves.
    pub post_processing: f64,
}

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
    pub mean_rank_seconds: f64,
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

/// A rank as the model sees it.
#[derive(Debug, Clone)]
pub(crate) struct ModelledRank {
    /// Before the function's time counts: making the environment.
    environment: f64,
    /// Starting the process, in wall seconds.
    init: Stage,
    /// From the event to the record.
    pub(crate) stages: Vec<Stage>,
    /// What is billed after the record.
    after_record: Stage,
}

/// Which part of a rank a stage belongs to, in the order of [`ModelledRank::stages`].
const PARTS: [Part; 6] =
    [Part::Requests, Part::ColdStart, Part::Download, Part::ColdStart, Part::Compute, Part::PostProcessing];

#[derive(Debug, Clone, Copy)]
enum Part {
    ColdStart,
    Requests,
    Download,
    Compute,
    PostProcessing,
}

/// The model of a rank. `slowdown` multiplies CPU seconds.
pub(crate) fn model_rank(
    figures: &Figures,
    setup: &Setup,
    share: &RankShare,
    RunWork { batch_size, model_bytes, .. }: &RunWork,
    cold: bool,
    slowdown: f64,
) -> ModelledRank {
    let (rank, batch_size) = (&figures.rank, *batch_size);
    let around = surroundings(figures, setup);
    let stage = |spent: Spent| Stage {
        latency: (spent.wall_seconds - spent.cpu_seconds).max(0.0),
        cpu: spent.cpu_seconds * slowdown,
        parallelism: 1.0,
    };
    let nothing = Stage { latency: 0.0, cpu: 0.0, parallelism: 1.0 };
    let if_cold = |stage: Stage| if cold { stage } else { nothing };
    let threads = setup.threads();
    let busy = (threads * rank.parallel_efficiency).max(1.0);
    let cores = match setup.place {
        Place::Lambda => setup.vcpus(),
        Place::Machine { cores } => cores as f64,
    };
    let rows = share.rows as f64;
    let compute =
        Stage { latency: 0.0, cpu: rows * rank.inference_of_galaxy(batch_size) * slowdown, parallelism: busy };
    // Of each file the first rows are waited for. The others are read meanwhile, unless they come more slowly than they are
    // computed.
    let files = share.files.max(1) as f64;
    let first_rows = rank.chunk_rows(batch_size).min(rows / files);
    let transfer = |bytes: f64| bytes / around.download_bytes_per_second.max(1.0);
    let behind = (transfer((rows - files * first_rows) * rank.bytes_per_galaxy) - compute.alone(cores)).max(0.0);
    let wait = stage(rank.first_rows);
    let wait_of_file = wait.latency
        + rank.requests.waits_of_file * around.request_seconds
        + transfer(first_rows * rank.bytes_per_galaxy);
    let start = stage(rank.start);
    let model = stage(rank.model);
    let after = stage(rank.after_record);
    let post = rank.post_processing;
    ModelledRank {
        environment: if cold { around.environment_seconds } else { 0.0 },
        init: if_cold(stage(rank.init)),
        stages: vec![
            Stage { latency: start.latency + rank.requests.waits_of_rank * around.request_seconds, ..start },
            if_cold(Stage { latency: model.latency + transfer(*model_bytes as f64), ..model }),
            Stage { latency: files * wait_of_file + behind, cpu: files * wait.cpu, ..wait },
            Stage { parallelism: busy, ..if_cold(stage(rank.warm_up)) },
            compute,
            Stage { cpu: (post.of_rank.cpu_seconds + rows * post.of_galaxy) * slowdown, ..stage(post.of_rank) },
        ],
        after_record: Stage { latency: after.latency + around.request_seconds, ..after },
    }
}

fn surroundings<'a>(figures: &'a Figures, setup: &Setup) -> &'a Surroundings {
    match setup.place {
        Place::Lambda => &figures.lambda,
        Place::Machine { .. } => &figures.machine,
    }
}

/// What the ranks take: from the event to the record, and what is billed.
struct RankTimes {
    /// From the event to the record, in wall seconds.
    walls: Vec<f64>,
    /// Billed seconds.
    billed: Vec<f64>,
    /// The time in which a slot is taken.
    taken: Vec<f64>,
    parts: RankParts,
    /// From the first rank's start to the last one's end, where they share a machine.
    together: Option<f64>,
}

fn rank_times(figures: &Figures, work: &RunWork, setup: &Setup, at_once: u64, slowdown: f64) -> RankTimes {
    let cold = |rank: usize| !setup.warm && (rank as u64) < at_once;
    let modelled: Vec<ModelledRank> = work
        .ranks
        .iter()
        .enumerate()
        .map(|(rank, share)| model_rank(figures, setup, share, work, cold(rank), slowdown))
        .collect();
    let cores = match setup.place {
        Place::Lambda => setup.vcpus(),
        Place::Machine { cores } => cores as f64 * figures.machine.cores_left,
    };
    let mut parts = RankParts::default();
    let of_ranks = 1.0 / modelled.len().max(1) as f64;
    for rank in &modelled {
        parts.cold_start += (rank.environment + rank.init.alone(cores)) * of_ranks;
        parts.post_processing += rank.after_record.alone(cores) * of_ranks;
        for (stage, part) in rank.stages.iter().zip(PARTS) {
            let part = match part {
                Part::ColdStart => &mut parts.cold_start,
                Part::Requests => &mut parts.requests,
                Part::Download => &mut parts.download,
                Part::Compute => &mut parts.compute,
                Part::PostProcessing => &mut parts.post_processing,
            };
            *part += stage.alone(cores) * of_ranks;
        }
    }
    let alone = |rank: &ModelledRank| rank.stages.iter().map(|stage| stage.alone(cores)).sum::<f64>();
    let (walls, together): (Vec<f64>, _) = match setup.place {
        Place::Lambda => (modelled.iter().map(alone).collect(), None),
        Place::Machine { .. } => {
            let stages: Vec<Vec<Stage>> = modelled.iter().map(|rank| rank.stages.clone()).collect();
            let times = shared_machine::run(&stages, usize::try_from(at_once).unwrap_or(1), cores);
            let end = times.iter().map(|(_, to)| *to).fold(0.0, f64::max);
            (times.iter().map(|(from, to)| to - from).collect(), Some(end))
        }
    };
    let billed: Vec<f64> = modelled
        .iter()
        .zip(&walls)
        .map(|(rank, wall)| rank.init.alone(cores) + wall + rank.after_record.alone(cores))
        .collect();
    let taken = modelled.iter().zip(&billed).map(|(rank, billed)| rank.environment + billed).collect();
    RankTimes { walls, billed, taken, parts, together }
}

/// What a run would take and cost. `slowdown` is how much slower the processor is than that of the figures.
pub fn estimate(figures: &Figures, work: &RunWork, setup: &Setup, prices: &Prices, slowdown: f64) -> Estimate {
    let around = surroundings(figures, setup);
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
    let others = &figures.others;
    let on = |cpu_seconds: f64, memory_mb: u64| match setup.place {
        Place::Lambda => cpu_seconds * slowdown / vcpus(memory_mb).min(1.0),
        Place::Machine { .. } => cpu_seconds,
    };
    let pages = (work.files as f64 / PAGE).ceil();
    let initialize = on(
        others.initialize
            + others.initialize_of_file * work.files as f64
            + others.initialize_of_header * work.headers as f64,
        INITIALIZER_MB,
    ) + around.request_seconds
        * (WAITS_OF_INITIALIZER + pages + work.headers as f64 / CONCURRENT_READS)
        + work.model_bytes as f64 / around.download_bytes_per_second.max(1.0);
    let merge = on(
        others.summarize + others.summarize_of_rank * count as f64 + others.summarize_of_galaxy * galaxies as f64,
        setup.summarizer_memory_mb,
    ) + around.request_seconds * (WAITS_OF_SUMMARIZER + count as f64 / CONCURRENT_READS);

    let parts = RunParts {
        initialize,
        orchestration: around.begin_seconds + (schedule.wall_seconds - at_best).max(0.0) + around.end_seconds,
        ranks: at_best.min(schedule.wall_seconds),
        merge,
    };
    let billed_rank_seconds: f64 = times.billed.iter().sum();
    let usage = usage(figures, work, setup, &schedule, billed_rank_seconds, (initialize, merge));
    let deadline = setup.deadline_seconds();
    Estimate {
        wall_seconds: parts.initialize + parts.orchestration + parts.ranks + parts.merge,
        parts,
        rank_parts: times.parts,
        mean_rank_seconds: times.walls.iter().sum::<f64>() / times.walls.len().max(1) as f64,
        slowest_rank_seconds: times.walls.iter().copied().fold(0.0, f64::max),
        billed_rank_seconds,
        billed_seconds: billed_rank_seconds + initialize + merge,
        cost: Cost::of(&usage, prices),
        peak_memory_mb: figures.rank.peak_mb(work.batch_size),
        late_ranks: times.walls.iter().filter(|wall| **wall > deadline).count() as u64,
        throttled_attempts: schedule.throttled_attempts,
        failed_ranks: schedule.failed_ranks,
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
    let invocations = count - schedule.failed_ranks + 2;
    let mut usage = Usage {
        invocations,
        expected_invocations: invocations,
        temporary_gb_seconds: billed_rank_seconds * setup.temporary_mb.saturating_sub(FREE_TEMPORARY_MB) as f64
            / 1024.0,
        state_transitions: TRANSITIONS_OF_RUN + TRANSITIONS_OF_RANK * count + schedule.throttled_attempts,
        requests: requests(figures, work),
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
fn requests(figures: &Figures, work: &RunWork) -> Requests {
    let (rank, others) = (&figures.rank, &figures.others);
    let per_chunk = rank.chunk_rows(work.batch_size);
    let mut reads = others.reads + work.headers as f64 * 2.0;
    let mut writes = others.writes + (work.files as f64 / PAGE).ceil() + (work.ranks.len() as f64 / PAGE).ceil();
    for share in &work.ranks {
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
