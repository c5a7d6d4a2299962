//! The model of a rank: the stages that it goes through, and how long they take.

use serde::Serialize;

use crate::{
    figures::{Figures, Surroundings},
    records::Spent,
    setup::{Place, RankShare, RunWork, Setup},
    shared_machine::{self, Stage},
};

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

/// A rank as the model sees it.
#[derive(Debug, Clone)]
struct ModelledRank {
    /// Before the function's time counts: making the environment.
    environment: f64,
    /// Starting the process, in wall seconds.
    init: Stage,
    /// From the event to the record.
    stages: Vec<Stage>,
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
fn model_rank(
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

pub(crate) fn surroundings<'a>(figures: &'a Figures, setup: &Setup) -> &'a Surroundings {
    match setup.place {
        Place::Lambda => &figures.lambda,
        Place::Machine { .. } => &figures.machine,
    }
}

/// What the ranks take: from the event to the record, and what is billed.
pub(crate) struct RankTimes {
    /// From the event to the record, in wall seconds.
    pub(crate) walls: Vec<f64>,
    /// Billed seconds.
    pub(crate) billed: Vec<f64>,
    /// The time in which a slot is taken.
    pub(crate) taken: Vec<f64>,
    pub(crate) parts: RankParts,
    /// From the first rank's start to the last one's end, where they share a machine.
    pub(crate) together: Option<f64>,
}

/// How long the ranks of a run take.
pub(crate) fn rank_times(figures: &Figures, work: &RunWork, setup: &Setup, at_once: u64, slowdown: f64) -> RankTimes {
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
    let mut parts = RankParts::default();
    // Ranks that share a machine take longer than each would alone, all their parts alike.
    let stretched = walls.iter().sum::<f64>() / modelled.iter().map(alone).sum::<f64>().max(f64::MIN_POSITIVE);
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
            *part += stage.alone(cores) * stretched * of_ranks;
        }
    }
    let billed: Vec<f64> = modelled
        .iter()
        .zip(&walls)
        .map(|(rank, wall)| rank.init.alone(cores) + wall + rank.after_record.alone(cores))
        .collect();
    let taken = modelled.iter().zip(&billed).map(|(rank, billed)| rank.environment + billed).collect();
    RankTimes { walls, billed, taken, parts, together }
}
