//! Other ways to do the same work: world sizes, memory sizes and numbers of ranks at once, each with what it would cost
//! and take.

use bill::{
    choices::{Notable, Outcome, notable},
    estimate::{Place, RunWork, Setup, in_lambda_mb},
};
use pipeline::payload::MAX_WORLD_SIZE;
use serde::Serialize;

use crate::plan::planned::Planned;

/// Memory sizes of the inference function that are compared, in MB: one, two, three, four and nearly six vCPUs, and what
/// infra/template.yaml has.
const MEMORY_SIZES: [u64; 6] = [1769, 3008, 3538, 5307, 7076, 10_240];
/// Ranks per file that are compared. Like the others this is a grid, which figures.json names among what is assumed.
const RANKS_PER_FILE: [f64; 7] = [0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0];
/// Numbers of ranks at once that are compared, as far as the account has them.
const AT_ONCE: [u64; 5] = [10, 50, 100, 500, 1000];

/// A way to do the work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Choice {
    pub(crate) world_size: u64,
    pub(crate) memory_mb: u64,
    pub(crate) max_concurrency: u64,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
    pub(crate) rank_seconds: f64,
    /// Whether all ranks would be done in time and none turned away too often.
    pub(crate) possible: bool,
    /// Whether the payload and the deployed function say so.
    pub(crate) as_asked: bool,
}

/// The ways that were compared, and which of them are of note.
pub(crate) struct Compared {
    pub(crate) choices: Vec<Choice>,
    pub(crate) notable: Option<Notable>,
    place: Place,
}

impl Compared {
    /// What to set so that a run is this choice: options of `cosmic run` and of `scripts/deploy.sh`.
    pub(crate) fn settings(&self, choice: &Choice) -> (String, Option<String>) {
        let payload =
            format!("--set world_size={} --set max_concurrency={}", choice.world_size, choice.max_concurrency);
        let deployed = self.choices.iter().find(|choice| choice.as_asked).map(|asked| asked.memory_mb);
        let template = (self.place == Place::Lambda && deployed != Some(choice.memory_mb))
            .then(|| format!("--parameter InferenceMemory={}", choice.memory_mb));
        (payload, template)
    }

    /// The Pareto set with its names, from the cheapest to the fastest, by places in [`Compared::choices`].
    pub(crate) fn names(&self, index: usize) -> Vec<&'static str> {
        let Some(notable) = &self.notable else { return Vec::new() };
        [(notable.cheapest, "cheapest"), (notable.knee, "knee"), (notable.fastest, "fastest")]
            .into_iter()
            .filter_map(|(at, name)| (at == index).then_some(name))
            .collect()
    }
}

/// Compares ways to do the work. That of the payload comes first.
pub(crate) fn compare(planned: &Planned) -> Compared {
    let setup = planned.setup.setup;
    let slowdown = planned.slowdown().likely;
    let enough_memory = planned.figures.rank.peak_mb(planned.work.run.batch_size);
    let choose = |run: &RunWork, setup: &Setup, as_asked: bool| {
        let estimate = planned.estimate(run, setup, slowdown);
        Choice {
            world_size: run.ranks.len() as u64,
            memory_mb: setup.memory_mb,
            max_concurrency: setup.max_concurrency,
            outcome: Outcome { usd: estimate.cost.total_usd, seconds: estimate.wall_seconds },
            rank_seconds: estimate.slowest_rank_seconds,
            possible: estimate.late_ranks == 0
                && estimate.failed_ranks == 0
                && in_lambda_mb(enough_memory) < setup.memory_mb as f64,
            as_asked,
        }
    };
    let mut choices = vec![choose(&planned.work.run, &setup, true)];
    for world_size in world_sizes(planned) {
        let Ok(run) = planned.work.divided(world_size) else { continue };
        for memory_mb in memory_sizes(&setup) {
            for max_concurrency in at_once(planned.setup.sure_at_once, run.ranks.len() as u64) {
                choices.push(choose(&run, &Setup { memory_mb, max_concurrency, ..setup }, false));
            }
        }
    }
    let possible: Vec<usize> = (0..choices.len()).filter(|index| choices[*index].possible).collect();
    let outcomes: Vec<Outcome> = possible.iter().map(|index| choices[*index].outcome).collect();
    let notable = notable(&outcomes).map(|found| Notable {
        pareto: found.pareto.iter().map(|at| possible[*at]).collect(),
        cheapest: possible[found.cheapest],
        fastest: possible[found.fastest],
        knee: possible[found.knee],
    });
    Compared { choices, notable, place: setup.place }
}

fn world_sizes(planned: &Planned) -> Vec<u64> {
    let files = planned.work.files.len() as f64;
    let most = planned.work.rows.clamp(1, MAX_WORLD_SIZE);
    let mut sizes: Vec<u64> =
        RANKS_PER_FILE.iter().map(|ranks| ((files * ranks).ceil() as u64).clamp(1, most)).collect();
    sizes.push(planned.work.run.ranks.len() as u64);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn memory_sizes(setup: &Setup) -> Vec<u64> {
    let mut sizes = vec![setup.memory_mb];
    // On one machine memory gives no processor.
    if setup.place == Place::Lambda {
        sizes.extend(MEMORY_SIZES);
    }
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Numbers of ranks at once, up to as many as are sure not to be turned away.
fn at_once(sure: u64, ranks: u64) -> Vec<u64> {
    let most = sure.min(ranks).max(1);
    let mut numbers: Vec<u64> = AT_ONCE.into_iter().filter(|number| *number < most).collect();
    numbers.push(most);
    numbers
}
