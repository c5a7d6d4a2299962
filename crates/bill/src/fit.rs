//! Figures from the records of earlier runs.
//!
//! What the records do not tell stays as in the figures that are given. Where ranks shared a machine, their phases were
//! stretched by each other. What is kept is the CPU time, and of the wall time what the share of the cores that a rank had
//! does not explain.

use pipeline::{payload::Precision, phases::Spent};

use crate::{
    figures::{Figures, Inference, Memory, Origin, PerRank, RankFigures, Surroundings},
    other_functions::{OtherSetup, OtherTime, OtherWork, other_times},
    rank_model::surroundings,
    records::{RankRecord, at_once},
    setup::{Place, vcpus},
};

/// What is known of an earlier run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunRecord {
    pub ranks: Vec<RankRecord>,
    /// Wall seconds of the execution.
    pub seconds: Option<f64>,
    /// Billed seconds of all its invocations, where all are known.
    pub billed_seconds: Option<f64>,
}

/// A rank with how many ran at once with it.
struct Observed<'a> {
    record: &'a RankRecord,
    at_once: f64,
    /// The share of a core that a single thread of it had.
    share: f64,
}

/// Ranks that are alone for at least so much of their time count as such.
const ALONE: f64 = 1.05;
/// Ranks that share the machine with at least so many others' time count as contended.
const CONTENDED: f64 = 1.8;

/// The given figures with all that the records of runs tell. `None` where there is no record of a rank with rows.
pub fn fit(base: &Figures, runs: &[RunRecord], place: Place, origin: Origin) -> Option<Figures> {
    let found = match place {
        Place::Lambda => None,
        Place::Machine { cores } => cores_left(runs, cores),
    };
    let cores_left = found.unwrap_or(base.machine.cores_left);
    let observed: Vec<Observed<'_>> = runs.iter().flat_map(|run| observe(run, place, cores_left)).collect();
    if observed.is_empty() {
        return None;
    }
    let mut figures = base.clone();
    figures.origin = origin;
    figures.machine.cores_left = cores_left;
    if found.is_some() {
        figures.measured("machine.cores_left");
    }
    if place == Place::Lambda {
        for name in ["lambda.request_seconds", "lambda.download_bytes_per_second", "lambda_galaxies_per_second"] {
            figures.measured(name);
        }
    }
    let (cold, warm): (Vec<&Observed<'_>>, Vec<&Observed<'_>>) =
        observed.iter().partition(|rank| rank.record.first_of_process);
    let all: Vec<&Observed<'_>> = observed.iter().collect();
    // What a process does once is in the first rank's phases, and not in those of the others.
    let usual = if warm.is_empty() { &all } else { &warm };

    let rank = &mut figures.rank;
    let (rows, bytes) = totals(&all);
    rank.bytes_per_galaxy = bytes / rows;
    let start = median_spent(usual, |rank| rank.unstretched(rank.record.phases.start))?;
    rank.start = Spent { wall_seconds: start.cpu_seconds, ..start };
    let around = match place {
        Place::Lambda => &mut figures.lambda,
        Place::Machine { .. } => &mut figures.machine,
    };
    around.request_seconds = (start.wall_seconds - start.cpu_seconds) / rank.requests.waits_of_rank.max(1.0);
    if let Some(model) = median_spent(&cold, |rank| rank.unstretched(rank.record.phases.model)) {
        rank.model = model;
    }
    let several_batches: Vec<_> = cold.iter().copied().filter(|rank| rank.record.num_batches > 1).collect();
    if let Some(warm_up) = median_spent(&several_batches, |rank| rank.record.phases.warm_up) {
        rank.warm_up = Spent { wall_seconds: warm_up.cpu_seconds, ..warm_up };
    }
    rank.inference = inference(usual);
    let both = [Precision::F32, Precision::Int8].map(|precision| rank.has_measured(precision));
    if both == [true, true] {
        rank.int8_of_f32 = int8_of_f32(rank);
        figures.assumed.remove("rank.int8_of_f32");
    }
    let alone: Vec<_> = usual.iter().copied().filter(|rank| rank.at_once < ALONE && rank.record.cores > 1).collect();
    if let (Place::Machine { .. }, Some(efficiency)) = (place, busy(&alone)) {
        rank.parallel_efficiency = efficiency.clamp(0.1, 1.0);
    }
    rank.memory = memory(&all);
    post_processing(&mut rank.post_processing, usual)?;

    waiting(rank, around, usual)?;
    billed_beyond_records(&mut figures, runs, place);
    orchestration(&mut figures, runs, place);
    Some(figures)
}

/// Waiting is for the first rows of each file: for the answers to requests, and the rest for their transfer.
fn waiting(rank: &mut RankFigures, around: &mut Surroundings, ranks: &[&Observed<'_>]) -> Option<()> {
    let of_file = |observed: &Observed<'_>| {
        let Spent { wall_seconds, cpu_seconds } = observed.unstretched(observed.record.phases.waiting);
        let files = observed.record.file_count();
        Spent { wall_seconds: wall_seconds / files, cpu_seconds: cpu_seconds / files }
    };
    let waited = median_spent(ranks, of_file)?;
    rank.first_rows = Spent { wall_seconds: waited.cpu_seconds, ..waited };
    let answers = rank.requests.waits_of_file * around.request_seconds;
    let speeds = ranks.iter().filter_map(|observed| {
        let record = observed.record;
        let first = rank.chunk_rows(record.batch_size).min(record.rows as f64 / record.file_count());
        let Spent { wall_seconds, cpu_seconds } = of_file(observed);
        let seconds = wall_seconds - cpu_seconds - answers;
        (seconds > 0.0).then_some(first * rank.bytes_per_galaxy / seconds)
    });
    if let Some(speed) = median(&speeds.collect::<Vec<_>>()) {
        around.download_bytes_per_second = speed;
    }
    Some(())
}

impl Observed<'_> {
    /// A phase of one thread as if it had a core for itself.
    fn unstretched(&self, spent: Spent) -> Spent {
        let stretched = spent.cpu_seconds / self.share;
        let latency = (spent.wall_seconds - stretched).max(0.0);
        Spent { wall_seconds: latency + spent.cpu_seconds, cpu_seconds: spent.cpu_seconds }
    }
}

fn observe(run: &RunRecord, place: Place, cores_left: f64) -> impl Iterator<Item = Observed<'_>> {
    // On Lambda each has its own share of a processor.
    let numbers = match place {
        Place::Lambda => vec![1.0; run.ranks.len()],
        Place::Machine { .. } => at_once(&run.ranks),
    };
    let ran = |(record, _): &(&RankRecord, f64)| record.rows > 0 && record.wall_seconds > 0.0;
    run.ranks.iter().zip(numbers).filter(ran).map(move |(record, at_once)| {
        let share = match place {
            Place::Lambda => record.memory_mb.map_or(1.0, |mb| vcpus(mb).min(1.0)),
            Place::Machine { cores } => {
                // Its one thread beside all threads of the others.
                let threads = 1.0 + (at_once - 1.0) * record.cores.max(1) as f64;
                (cores as f64 * cores_left / threads).min(1.0)
            }
        };
        Observed { record, at_once, share: share.max(0.05) }
    })
}

/// The share of the cores that ranks kept busy while several ran.
fn cores_left(runs: &[RunRecord], cores: u64) -> Option<f64> {
    let (mut busy, mut could) = (0.0, 0.0);
    for run in runs {
        for (record, at_once) in run.ranks.iter().zip(at_once(&run.ranks)) {
            if at_once >= CONTENDED {
                busy += record.phases.inference.cpu_seconds;
                could += record.phases.inference.wall_seconds * cores as f64 / at_once;
            }
        }
    }
    (could > 0.0).then(|| (busy / could).clamp(0.1, 1.0))
}

fn totals(ranks: &[&Observed<'_>]) -> (f64, f64) {
    let sum = |of: fn(&RankRecord) -> u64| ranks.iter().map(|rank| of(rank.record) as f64).sum::<f64>();
    (sum(|record| record.rows), sum(|record| record.bytes))
}

/// CPU seconds of the engine for a galaxy, by precision and batch size, without what the first batch of a process takes longer.
fn inference(ranks: &[&Observed<'_>]) -> Vec<Inference> {
    let of = |record: &RankRecord| (record.precision.name(), record.batch_size);
    let mut kinds: Vec<&RankRecord> = ranks.iter().map(|rank| rank.record).collect();
    kinds.sort_by_key(|record| of(record));
    kinds.dedup_by_key(|record| of(record));
    kinds
        .into_iter()
        .map(|kind| {
            let (mut cpu, mut rows) = (0.0, 0.0);
            for record in ranks.iter().map(|rank| rank.record).filter(|record| of(record) == of(kind)) {
                let warm_up = if record.first_of_process { record.phases.warm_up } else { Spent::default() };
                cpu += (record.phases.inference - warm_up).cpu_seconds;
                rows += record.rows as f64;
            }
            let RankRecord { batch_size, precision, .. } = *kind;
            Inference { batch_size, precision, cpu_seconds_per_galaxy: cpu / rows }
        })
        .collect()
}

/// The engine's time in int8 over that in f32, of the largest batch in int8, where both were measured.
fn int8_of_f32(rank: &RankFigures) -> f64 {
    let in_int8 = rank.inference.iter().filter(|inference| inference.precision == Precision::Int8);
    in_int8.max_by_key(|inference| inference.batch_size).map_or(rank.int8_of_f32, |int8| {
        int8.cpu_seconds_per_galaxy / rank.inference_of_galaxy(int8.batch_size, Precision::F32)
    })
}

/// The share of its threads that the engine keeps busy where it runs alone: the largest that was seen, since whatever else
/// a machine does only lowers it.
fn busy(ranks: &[&Observed<'_>]) -> Option<f64> {
    let busy = |record: &RankRecord| {
        let Spent { wall_seconds, cpu_seconds } = record.phases.inference;
        cpu_seconds / (wall_seconds * record.cores.max(1) as f64)
    };
    ranks.iter().map(|rank| busy(rank.record)).filter(|busy| busy.is_finite()).reduce(f64::max)
}

fn memory(ranks: &[&Observed<'_>]) -> Vec<Memory> {
    let mut found: Vec<Memory> = Vec::new();
    for record in ranks.iter().map(|rank| rank.record) {
        match found.iter_mut().find(|memory| memory.batch_size == record.batch_size) {
            Some(memory) => memory.peak_mb = memory.peak_mb.max(record.peak_memory_mb),
            None => found.push(Memory { batch_size: record.batch_size, peak_mb: record.peak_memory_mb }),
        }
    }
    found.sort_by_key(|memory| memory.batch_size);
    found
}

fn post_processing(post: &mut PerRank, ranks: &[&Observed<'_>]) -> Option<()> {
    let points: Vec<(f64, f64)> =
        ranks.iter().map(|rank| (rank.record.rows as f64, rank.record.phases.post_processing.cpu_seconds)).collect();
    let line = Line::through(&points);
    let latency = median_spent(ranks, |rank| {
        let spent = rank.unstretched(rank.record.phases.post_processing);
        Spent { wall_seconds: spent.wall_seconds - spent.cpu_seconds, cpu_seconds: 0.0 }
    })?;
    post.of_galaxy = line.slope;
    post.of_rank = Spent { wall_seconds: latency.wall_seconds + line.at_zero, cpu_seconds: line.at_zero };
    Some(())
}

/// The figures of a place are of its own processor: a CPU second of theirs is one there.
const SLOWDOWN: f64 = 1.0;
/// What infra/template.yaml gives the summarizer, in MB, which no record tells.
const SUMMARIZER_MB: u64 = 2048;

/// What the initializer and the summarizer would take for a run, by the figures as they are so far.
fn others_of(figures: &Figures, run: &RunRecord, place: Place) -> (OtherTime, OtherTime) {
    let sum = |of: &dyn Fn(&RankRecord) -> f64| run.ranks.iter().map(of).sum::<f64>();
    // Files count by their parts, and headers not at all: where ranks share files, no record says so.
    let work = OtherWork {
        files: sum(&RankRecord::file_count),
        headers: 0.0,
        ranks: run.ranks.len() as f64,
        galaxies: sum(&|rank| rank.rows as f64),
        model_bytes: 0.0,
    };
    let setup = OtherSetup { place, summarizer_memory_mb: SUMMARIZER_MB, slowdown: SLOWDOWN };
    other_times(figures, &work, &setup)
}

/// What starting its process takes a rank, and what is billed after its record, by the figures as they are so far.
fn around_record(figures: &Figures, rank: &RankRecord, place: Place) -> (f64, f64) {
    let share = match place {
        Place::Lambda => rank.memory_mb.map_or(1.0, |mb| vcpus(mb).min(1.0)),
        Place::Machine { .. } => 1.0,
    };
    let wall = |spent: Spent| (spent.wall_seconds - spent.cpu_seconds).max(0.0) + spent.cpu_seconds / share;
    let init = if rank.first_of_process { wall(figures.rank.init) } else { 0.0 };
    let request = surroundings(figures, place).request_seconds;
    (init, wall(figures.rank.after_record) + request)
}

/// What is billed beyond the ranks' records is starting their processes, the other functions' time, and for each rank what
/// comes after its record. How the others' time grows with ranks and galaxies stays as it is, because two of many small
/// figures cannot be told apart, and so does what comes after a record where all runs have the same number of ranks.
fn billed_beyond_records(figures: &mut Figures, runs: &[RunRecord], place: Place) {
    let known: Vec<(&RunRecord, f64)> = runs.iter().filter_map(|run| Some((run, run.billed_seconds?))).collect();
    let Some((first, _)) = known.first() else { return };
    let several_counts = known.iter().any(|(run, _)| run.ranks.len() != first.ranks.len());
    let request = surroundings(figures, place).request_seconds;
    let points: Vec<(f64, f64)> = known
        .iter()
        .map(|(run, billed)| {
            let (initializer, summarizer) = others_of(figures, run, place);
            let mut modelled = 0.0;
            for time in [initializer, summarizer] {
                modelled += time.growing + time.waiting;
            }
            for rank in &run.ranks {
                let (init, after) = around_record(figures, rank, place);
                modelled += rank.wall_seconds + init + if several_counts { request } else { after };
            }
            (run.ranks.len() as f64, (billed - modelled).max(0.0))
        })
        .collect();
    let line = Line::through(&points);
    let (initializer, summarizer) = others_of(figures, first, place);
    let fixed = initializer.fixed + summarizer.fixed;
    // Wall seconds are as many times the CPU seconds after this as before.
    let scale = if fixed > 0.0 { line.at_zero / fixed } else { 1.0 };
    figures.others.initialize *= scale;
    figures.others.summarize *= scale;
    if several_counts {
        figures.rank.after_record = Spent { wall_seconds: line.slope, cpu_seconds: 0.0 };
    }
}

/// What an execution takes beyond its functions: its time without the initializer's, the summarizer's, and that from the
/// first rank's environment to the end of the last rank's invocation.
fn orchestration(figures: &mut Figures, runs: &[RunRecord], place: Place) {
    let environment = surroundings(figures, place).environment_seconds;
    let gaps: Vec<f64> = runs
        .iter()
        .filter_map(|run| {
            let first = run.ranks.iter().min_by(|a, b| a.started_at.total_cmp(&b.started_at))?;
            let last = run.ranks.iter().map(|rank| rank.started_at + rank.wall_seconds).reduce(f64::max)?;
            let (init, after) = around_record(figures, first, place);
            let environment = if first.first_of_process { environment } else { 0.0 };
            let ranks = environment + init + (last - first.started_at) + after;
            let (initializer, summarizer) = others_of(figures, run, place);
            Some((run.seconds? - ranks - initializer.total() - summarizer.total()).max(0.0))
        })
        .collect();
    let Some(gap) = median(&gaps) else { return };
    let around = match place {
        Place::Lambda => &mut figures.lambda,
        Place::Machine { .. } => &mut figures.machine,
    };
    (around.begin_seconds, around.end_seconds) = (gap / 2.0, gap / 2.0);
    if place == Place::Lambda {
        figures.measured("lambda.begin_seconds");
        figures.measured("lambda.end_seconds");
    }
}

/// A line through points, by least squares; neither its slope nor its value at zero is negative.
struct Line {
    at_zero: f64,
    slope: f64,
}

impl Line {
    fn through(points: &[(f64, f64)]) -> Self {
        let n = points.len().max(1) as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x, y) = (mean(|(x, _)| *x), mean(|(_, y)| *y));
        let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let steepest = if x > 0.0 { y / x } else { 0.0 };
        let slope = if spread > 0.0 { (together / spread).clamp(0.0, steepest) } else { 0.0 };
        Self { at_zero: (y - slope * x).max(0.0), slope }
    }
}

/// The median: of an even number of values, the mean of the middle two.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[half]),
        _ => Some((values[half - 1] + values[half]) / 2.0),
    }
}

fn median_spent<'a>(ranks: &[&Observed<'a>], of: impl Fn(&Observed<'a>) -> Spent) -> Option<Spent> {
    let spent: Vec<Spent> = ranks.iter().map(|rank| of(rank)).collect();
    Some(Spent {
        wall_seconds: median(&spent.iter().map(|spent| spent.wall_seconds).collect::<Vec<_>>())?,
        cpu_seconds: median(&spent.iter().map(|spent| spent.cpu_seconds).collect::<Vec<_>>())?,
    })
}
