//! The model of a rank: the stages that it goes through, and how long they take.

use std::ops::{Range, RangeFrom};

use pipeline::phases::Spent;
use serde::Serialize;

use crate::{
    figures::{Figures, Surroundings},
    setup::{Place, RankShare, RunWork, Setup},
    shared_machine::{self, SharedTime, Stage},
};

/// Where the time of a rank goes, in wall seconds. They add up to the time in which its slot is taken, from the making of
/// its environment to the end of its invocation.
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

/// Which part of a rank each of its stages belongs to, in their order: making the environment, starting the process, the
/// plan, the model, the first rows, the first batch, the batches, what follows them up to the record, and what is billed
/// after it.
const PARTS: [Part; 9] = [
    Part::ColdStart,
    Part::ColdStart,
    Part::Requests,
    Part::ColdStart,
    Part::Download,
    Part::ColdStart,
    Part::Compute,
    Part::PostProcessing,
    Part::PostProcessing,
];
/// The stages that are billed: all but making the environment.
const BILLED: RangeFrom<usize> = 1..;
/// The stages whose time a rank's record tells: from the event to the record.
const RECORDED: Range<usize> = 2..8;

#[derive(Debug, Clone, Copy)]
enum Part {
    ColdStart,
    Requests,
    Download,
    Compute,
    PostProcessing,
}

/// The stages of a rank. `slowdown` multiplies CPU seconds.
fn stages_of_rank(
    figures: &Figures,
    setup: &Setup,
    share: &RankShare,
    RunWork { batch_size, precision, model_bytes, .. }: &RunWork,
    cold: bool,
    slowdown: f64,
) -> Vec<Stage> {
    let (rank, batch_size) = (&figures.rank, *batch_size);
    let around = surroundings(figures, setup.place);
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
    let inference = rank.inference_of_galaxy(batch_size, *precision);
    let compute = Stage { latency: 0.0, cpu: rows * inference * slowdown, parallelism: busy };
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
    vec![
        if_cold(Stage { latency: around.environment_seconds, ..nothing }),
        if_cold(stage(rank.init)),
        Stage { latency: start.latency + rank.requests.waits_of_rank * around.request_seconds, ..start },
        if_cold(Stage { latency: model.latency + transfer(*model_bytes as f64), ..model }),
        Stage { latency: files * wait_of_file + behind, cpu: files * wait.cpu, ..wait },
        Stage { parallelism: busy, ..if_cold(stage(rank.warm_up)) },
        compute,
        Stage { cpu: (post.of_rank.cpu_seconds + rows * post.of_galaxy) * slowdown, ..stage(post.of_rank) },
        Stage { latency: after.latency + around.request_seconds, ..after },
    ]
}

pub(crate) fn surroundings(figures: &Figures, place: Place) -> &Surroundings {
    match place {
        Place::Lambda => &figures.lambda,
        Place::Machine { .. } => &figures.machine,
    }
}

/// What the ranks of a run take, in seconds.
pub(crate) struct RankTimes {
    /// From the event to the record.
    pub(crate) recorded: Vec<f64>,
    pub(crate) billed: Vec<f64>,
    /// The time in which a slot is taken.
    pub(crate) taken: Vec<f64>,
    /// Of the mean rank. Their sum is the mean of `taken`.
    pub(crate) parts: RankParts,
    /// From the first rank's start to the last one's end, where they share a machine.
    pub(crate) together: Option<f64>,
}

/// How long the ranks of a run take.
pub(crate) fn rank_times(figures: &Figures, work: &RunWork, setup: &Setup, at_once: u64, slowdown: f64) -> RankTimes {
    let cold = |rank: usize| !setup.warm && (rank as u64) < at_once;
    let ranks: Vec<Vec<Stage>> = work
        .ranks
        .iter()
        .enumerate()
        .map(|(rank, share)| stages_of_rank(figures, setup, share, work, cold(rank), slowdown))
        .collect();
    // The wall seconds of each rank's stages.
    let (times, together): (Vec<Vec<f64>>, _) = match setup.place {
        Place::Lambda => {
            let alone = |stages: &Vec<Stage>| stages.iter().map(|stage| stage.alone(setup.vcpus())).collect();
            (ranks.iter().map(alone).collect(), None)
        }
        Place::Machine { cores } => {
            let cores = cores as f64 * figures.machine.cores_left;
            let times = shared_machine::run(&ranks, usize::try_from(at_once).unwrap_or(1), cores);
            let end = times.iter().map(|time| time.from + time.seconds()).fold(0.0, f64::max);
            (times.into_iter().map(|SharedTime { stages, .. }| stages).collect(), Some(end))
        }
    };
    let mut parts = RankParts::default();
    let of_ranks = 1.0 / times.len().max(1) as f64;
    for (seconds, part) in times.iter().flat_map(|stages| stages.iter().zip(PARTS)) {
        let part = match part {
            Part::ColdStart => &mut parts.cold_start,
            Part::Requests => &mut parts.requests,
            Part::Download => &mut parts.download,
            Part::Compute => &mut parts.compute,
            Part::PostProcessing => &mut parts.post_processing,
        };
        *part += seconds * of_ranks;
    }
    let sums = |of: &dyn Fn(&[f64]) -> f64| times.iter().map(|stages| of(stages)).collect();
    RankTimes {
        recorded: sums(&|stages| stages[RECORDED].iter().sum()),
        billed: sums(&|stages| stages[BILLED].iter().sum()),
        taken: sums(&|stages| stages.iter().sum()),
        parts,
        together,
    }
}

impl RankParts {
    pub fn total(&self) -> f64 {
        let Self { cold_start, requests, download, compute, post_processing } = self;
        cold_start + requests + download + compute + post_processing
    }
}
