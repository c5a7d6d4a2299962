//! The model as a whole: what it says of a run, and what it finds in the records of one.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bill::{
    Architecture, Prices, Requests,
    estimate::{Estimate, Place, RankShare, RunWork, Setup, estimate},
    figures::{Figures, Origin},
    fit::{RunRecord, fit},
    records::RankRecord,
};
use pipeline::{
    payload::Precision,
    phases::{Phases, Spent},
    ran_on::RanOn,
};

const ROW: u64 = 20_548;

fn setup() -> Setup {
    Setup {
        place: Place::Lambda,
        architecture: Architecture::X86_64,
        memory_mb: 3008,
        timeout_seconds: 900,
        temporary_mb: 512,
        summarizer_memory_mb: 2048,
        concurrency_limit: 1000,
        max_concurrency: 0,
        warm: false,
    }
}

/// Ranks of one file each.
fn work(ranks: usize, rows: u64) -> RunWork {
    let share = RankShare { rows, bytes: rows * ROW, files: 1 };
    RunWork {
        ranks: vec![share; ranks],
        files: ranks as u64,
        headers: 0,
        batch_size: 512,
        precision: Precision::F32,
        model_bytes: 0,
    }
}

fn found(work: &RunWork, setup: &Setup) -> Estimate {
    let figures = Figures::shipped().unwrap();
    estimate(&figures, work, setup, &Prices::of("us-east-1").unwrap(), figures.slowdown().likely)
}

#[test]
fn parts_add_up_to_the_whole() {
    for setup in [setup(), Setup { place: Place::Machine { cores: 2 }, concurrency_limit: 2, ..setup() }] {
        let Estimate { wall_seconds, parts, rank_parts, mean_rank_seconds, billed_rank_seconds, cost, .. } =
            found(&work(40, 1276), &setup);
        let sum = parts.initialize + parts.orchestration + parts.ranks + parts.merge;
        assert!((sum - wall_seconds).abs() < 1e-9);
        assert!(rank_parts.compute > rank_parts.cold_start + rank_parts.requests + rank_parts.download);
        assert!((rank_parts.total() - mean_rank_seconds).abs() < 1e-9);
        let environments = 40.0 * mean_rank_seconds - billed_rank_seconds;
        assert!((-1e-6..40.0).contains(&environments), "what is not billed is making environments: {environments}");
        let sum = cost.lambda_usd() + cost.step_functions_usd + cost.s3_usd;
        assert!((sum - cost.total_usd).abs() < 1e-12);
        // Initialize, AnythingToRun, Ranks, Summarize, Accepted, Done and the end; each rank's state and end.
        assert_eq!((cost.state_transitions, cost.invocations), (7 + 2 * 40, 42));
    }
}

#[test]
fn memory_gives_processors_until_the_engine_has_no_more_threads() {
    let rank = |memory_mb| found(&work(1, 1276), &Setup { memory_mb, ..setup() });
    let (one, two, six) = (rank(1769), rank(3538), rank(10_240));
    assert!(one.mean_recorded_seconds > 1.6 * two.mean_recorded_seconds, "{one:?} {two:?}");
    assert!(two.mean_recorded_seconds > 2.0 * six.mean_recorded_seconds);
    // CPU time costs the same however it is shared; what does not compute costs more with more memory.
    assert!(one.cost.total_usd < two.cost.total_usd && two.cost.total_usd < six.cost.total_usd);
    assert!(six.cost.total_usd < 1.4 * one.cost.total_usd);
}

#[test]
fn smaller_shares_are_faster_and_pay_more_for_starting() {
    let (few, many) = (found(&work(50, 10_000), &setup()), found(&work(500, 1000), &setup()));
    assert!(many.slowest_rank_seconds < few.slowest_rank_seconds / 5.0);
    assert!(many.cost.total_usd > few.cost.total_usd);
    assert!(many.parts.orchestration > few.parts.orchestration);
}

#[test]
fn ranks_that_miss_their_deadline_are_counted() {
    let late = found(&work(3, 1_000_000), &setup());
    assert_eq!(late.late_ranks, 3);
    let mut mixed = work(3, 1276);
    mixed.ranks[1].rows = 1_000_000;
    assert_eq!(found(&mixed, &setup()).late_ranks, 1);
    assert_eq!(found(&work(3, 1276), &setup()).late_ranks, 0);
}

#[test]
fn above_the_concurrency_limit_ranks_are_turned_away_and_that_is_paid() {
    let tight = Setup { concurrency_limit: 10, ..setup() };
    let throttled = found(&work(517, 1276), &tight);
    assert!(throttled.throttled_attempts > 1000);
    assert_eq!(throttled.cost.state_transitions, 7 + 2 * 517 + throttled.throttled_attempts);
    let held = found(&work(517, 1276), &Setup { max_concurrency: 10, ..tight });
    assert_eq!(held.throttled_attempts, 0);
    assert!(held.cost.total_usd < throttled.cost.total_usd);
    assert!(held.wall_seconds < 1.1 * throttled.wall_seconds);
}

#[test]
fn warm_environments_save_the_cold_start() {
    let (cold, warm) = (found(&work(10, 1276), &setup()), found(&work(10, 1276), &Setup { warm: true, ..setup() }));
    assert_eq!(warm.rank_parts.cold_start, 0.0);
    assert!(cold.rank_parts.cold_start > 0.0 && warm.cost.total_usd < cold.cost.total_usd);
}

/// Bytes of the published data set, 12.6 GB of 2³⁰ bytes: about 658,000 galaxies.
const PUBLISHED_BYTES: u64 = 12_600 * (1 << 30) / 1000;

/// By hand, with 517 partitions of 25 MB and functions of 3008 MB: a rank computes its galaxies at the assumed rate of a
/// vCPU, and 1769 MB are one. Besides, a rank has 0.19 CPU seconds (of which the model is 0.15) of one thread, and waits
/// 0.36 s: for seven answers of 0.03 s, and for 512 galaxies at 75 MB/s. The map has two transitions for each rank, and
/// a rank makes about 19 reads and a write.
#[test]
fn the_published_data_set_costs_what_was_computed_by_hand() {
    let figures = Figures::shipped().unwrap();
    let (slowdown, rate) = (figures.slowdown(), figures.lambda_galaxies_per_second);
    let galaxies = (PUBLISHED_BYTES / ROW) as f64;
    for (slowdown, galaxies_per_second) in
        [(slowdown.low, rate.high), (slowdown.likely, rate.likely), (slowdown.high, rate.low)]
    {
        let gb_second = 0.000_016_666_7;
        let computing = galaxies / galaxies_per_second * 1769.0 / 1024.0 * gb_second;
        let rest_of_ranks = 517.0 * (0.36 + 0.19 * slowdown) * 3008.0 / 1024.0 * gb_second;
        let transitions = f64::from(2 * 517 + 7) * 0.000_025;
        let requests = 517.0 * (19.0 * 0.000_000_4 + 0.000_005);
        let by_hand = computing + rest_of_ranks + transitions + requests;
        let work = work(517, PUBLISHED_BYTES / ROW / 517);
        let found = estimate(&figures, &work, &setup(), &Prices::of("us-east-1").unwrap(), slowdown).cost.total_usd;
        assert!((found / by_hand - 1.0).abs() < 0.05, "${found}, by hand ${by_hand}");
    }
}

/// The record of a rank that computes so many rows in `wall` seconds with two threads.
fn record(rank: u64, started_at: f64, rows: u64, share: f64, cold: bool) -> RankRecord {
    let spent = |wall_seconds, cpu_seconds| Spent { wall_seconds, cpu_seconds };
    let cpu = rows as f64 * 0.002;
    let model = if cold { spent(0.3, 0.2) } else { Spent::default() };
    let phases = Phases {
        start: spent(0.02, 0.005),
        model,
        waiting: spent(0.05, 0.01),
        inference: spent(cpu / share, cpu),
        warm_up: Spent::default(),
        post_processing: spent(0.01, 0.01),
    };
    let parts = [phases.start, phases.model, phases.waiting, phases.inference, phases.post_processing];
    RankRecord {
        rank,
        rows,
        bytes: rows * ROW,
        files: Some(1),
        batch_size: 512,
        num_batches: rows.div_ceil(512),
        started_at,
        wall_seconds: parts.iter().map(|part| part.wall_seconds).sum(),
        phases,
        first_of_process: cold,
        ran_on: None,
        cores: 2,
        memory_mb: Some(3008),
        requests: Requests::default(),
        peak_memory_mb: 150.0,
        engine: "native".into(),
        precision: Precision::F32,
    }
}

/// Two ranks at a time on two cores, and the last of three alone.
fn run(rows: u64, cold: bool) -> RunRecord {
    let first = record(0, 0.0, rows, 0.9, cold);
    let second = record(1, 0.0, rows, 0.9, cold);
    let third = record(2, first.wall_seconds + 0.01, rows, 1.8, false);
    let ranks = vec![first, second, third];
    let walls: f64 = ranks.iter().map(|rank| rank.wall_seconds).sum();
    RunRecord { seconds: Some(10.0), billed_seconds: Some(walls + 0.3 + 3.0 * 0.02), ranks }
}

fn origin(on_lambda: bool) -> Origin {
    Origin {
        of: "test".into(),
        command: "test".into(),
        machine: "test".into(),
        date: "2026-11-25".into(),
        engine: "native".into(),
        on_lambda,
    }
}

#[test]
fn a_run_is_predicted_from_others_of_another_size() {
    let place = Place::Machine { cores: 2 };
    let known = [run(500, true), run(1000, false), run(2000, false)];
    let figures = fit(&Figures::shipped().unwrap(), &known, place, origin(false)).unwrap();
    assert!((figures.rank.inference_of_galaxy(512, Precision::F32) - 0.002).abs() < 1e-9);
    assert!((figures.rank.model.cpu_seconds - 0.2).abs() < 1e-9);
    assert!((figures.machine.cores_left - 0.9).abs() < 0.02, "{}", figures.machine.cores_left);
    assert!((figures.rank.parallel_efficiency - 0.9).abs() < 1e-9);

    let measured = run(4000, false);
    let walls: Vec<f64> = measured.ranks.iter().map(|rank| rank.wall_seconds).collect();
    let mean = walls.iter().sum::<f64>() / 3.0;
    let setup = Setup { place, concurrency_limit: 2, warm: true, ..setup() };
    let predicted = estimate(&figures, &work(3, 4000), &setup, &Prices::of("us-east-1").unwrap(), 1.0);
    assert!((predicted.mean_recorded_seconds / mean - 1.0).abs() < 0.05, "{} {mean}", predicted.mean_recorded_seconds);
    let billed = measured.billed_seconds.unwrap();
    assert!((predicted.billed_seconds / billed - 1.0).abs() < 0.05, "{} {billed}", predicted.billed_seconds);
    assert!((predicted.slowest_rank_seconds / walls[0] - 1.0).abs() < 0.05);
}

#[test]
fn runs_of_both_precisions_give_the_figures_of_each_and_their_ratio() {
    let place = Place::Machine { cores: 2 };
    let shipped = Figures::shipped().unwrap();
    let in_int8 = |run: RunRecord| {
        let ranks = run.ranks.into_iter().map(|mut rank| {
            let spent = &mut rank.phases.inference;
            (spent.wall_seconds, spent.cpu_seconds) = (spent.wall_seconds * 0.4, spent.cpu_seconds * 0.4);
            RankRecord { precision: Precision::Int8, ..rank }
        });
        RunRecord { ranks: ranks.collect(), ..RunRecord::default() }
    };
    let one = fit(&shipped, &[in_int8(run(1000, false))], place, origin(false)).unwrap();
    assert_eq!((one.rank.inference.len(), one.rank.int8_of_f32), (1, shipped.rank.int8_of_f32));
    let both = [run(1000, false), in_int8(run(1000, false))];
    let figures = fit(&shipped, &both, place, origin(false)).unwrap();
    assert!((figures.rank.int8_of_f32 - 0.4).abs() < 1e-9 && !figures.assumed.contains_key("rank.int8_of_f32"));
    assert!((figures.rank.inference_of_galaxy(512, Precision::Int8) - 0.0008).abs() < 1e-9);
    assert!((figures.rank.inference_of_galaxy(512, Precision::F32) - 0.002).abs() < 1e-9);

    let compute = |precision| {
        let work = RunWork { precision, ..work(3, 4000) };
        let prices = Prices::of("us-east-1").unwrap();
        estimate(&figures, &work, &Setup { place, ..setup() }, &prices, 1.0).rank_parts.compute
    };
    assert!((compute(Precision::Int8) / compute(Precision::F32) - 0.4).abs() < 0.01);
}

/// Figures of Lambda, and a cold run of so many ranks that takes and costs what they say.
fn run_by_figures(ranks: u16) -> (Figures, RunRecord) {
    let figures = Figures::shipped().unwrap();
    let mut known = Figures { origin: origin(true), ..figures };
    known.others.initialize = 0.4;
    known.others.summarize = 0.8;
    known.lambda.begin_seconds = 2.0;
    known.lambda.end_seconds = 2.0;
    known.lambda.starts_per_second = 1e6;
    let setup = Setup { memory_mb: 1769, ..setup() };
    let told = estimate(&known, &work(usize::from(ranks), 1000), &setup, &Prices::of("us-east-1").unwrap(), 1.0);
    let (rank, around) = (&known.rank, &known.lambda);
    let start_of = around.environment_seconds + rank.init.wall_seconds + told.parts.initialize + around.begin_seconds;
    let (cpu, requests) = (1000.0 * rank.inference_of_galaxy(512, Precision::F32), around.request_seconds);
    let spent = |cpu_seconds: f64, latency| Spent { wall_seconds: cpu_seconds + latency, cpu_seconds };
    let transfer = |rows: f64| rows * rank.bytes_per_galaxy / around.download_bytes_per_second;
    let first_rows = rank.chunk_rows(512).min(1000.0);
    let phases = Phases {
        start: spent(rank.start.cpu_seconds, rank.requests.waits_of_rank * requests),
        model: rank.model,
        waiting: spent(rank.first_rows.cpu_seconds, rank.requests.waits_of_file * requests + transfer(first_rows)),
        inference: spent(cpu + rank.warm_up.cpu_seconds, 0.0),
        warm_up: rank.warm_up,
        post_processing: spent(rank.post_processing.of_rank.cpu_seconds + 1000.0 * rank.post_processing.of_galaxy, 0.0),
    };
    let record = |number| RankRecord {
        phases,
        cores: 2,
        memory_mb: Some(1769),
        wall_seconds: told.mean_recorded_seconds,
        ..record(number, start_of, 1000, 1.0, true)
    };
    let ranks: Vec<RankRecord> = (0..u64::from(ranks)).map(record).collect();
    let run = RunRecord { seconds: Some(told.wall_seconds), billed_seconds: Some(told.billed_seconds), ranks };
    (known, run)
}

#[test]
fn on_lambda_a_fit_finds_what_the_other_functions_and_the_orchestration_took() {
    let shipped = Figures::shipped().unwrap();
    // Runs of one number of ranks, and of two.
    for counts in [&[40][..], &[40, 10]] {
        let runs: Vec<RunRecord> = counts.iter().map(|ranks| run_by_figures(*ranks).1).collect();
        let known = run_by_figures(40).0;
        let figures = fit(&shipped, &runs, Place::Lambda, origin(true)).unwrap();
        // What was measured is no longer assumed.
        assert!(!figures.assumed.contains_key("lambda.begin_seconds"));
        assert!(figures.assumed.contains_key("lambda.starts_per_second"));
        let is_near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.05, "{found} {expected}");
        let others = |figures: &Figures| figures.others.initialize + figures.others.summarize;
        is_near(others(&figures), others(&known));
        is_near(figures.lambda.begin_seconds + figures.lambda.end_seconds, 4.0);
        let setup = Setup { memory_mb: 1769, ..setup() };
        for ranks in [40, 100] {
            let found = |figures| estimate(figures, &work(ranks, 1000), &setup, &Prices::of("us-east-1").unwrap(), 1.0);
            is_near(found(&figures).billed_seconds, found(&known).billed_seconds);
            is_near(found(&figures).parts.merge, found(&known).parts.merge);
        }
    }
}

#[test]
fn ranks_that_never_run_are_not_billed() {
    let tight = Setup { concurrency_limit: 10, ..setup() };
    let failing = found(&work(1700, 5000), &tight);
    let held = found(&work(1700, 5000), &Setup { max_concurrency: 10, ..tight });
    assert!(failing.failed_ranks > 0 && held.failed_ranks == 0);
    // All but the first ten of the held ones are warm.
    let share = 1.0 - failing.failed_ranks as f64 / 1700.0;
    assert!((failing.billed_rank_seconds / held.billed_rank_seconds / share - 1.0).abs() < 1e-3, "{failing:?}");
    assert!((failing.cost.requests.reads as f64 / held.cost.requests.reads as f64 / share - 1.0).abs() < 1e-2);
}

#[test]
fn records_without_rows_give_no_figures() {
    let origin = Figures::shipped().unwrap().origin;
    assert!(fit(&Figures::shipped().unwrap(), &[RunRecord::default()], Place::Lambda, origin).is_none());
}

#[test]
fn a_record_is_read_as_combined_data_has_it() {
    let json = r#"{"rank": 3, "rows": 510, "bytes": 10479480, "files": [{"key": "1.pt", "from": 0, "to": 510}],
        "batch_size": 512, "num_batches": 1, "started_at": 1795649562.3, "wall_seconds": 2.6, "first_of_process": true,
        "phases": {"start": {"wall_seconds": 0.02, "cpu_seconds": 0.01}, "model": {"wall_seconds": 0.0, "cpu_seconds": 0.0},
        "waiting": {"wall_seconds": 0.05, "cpu_seconds": 0.01}, "inference": {"wall_seconds": 2.5, "cpu_seconds": 1.3},
        "warm_up": {"wall_seconds": 0.0, "cpu_seconds": 0.0}, "post_processing": {"wall_seconds": 0.01, "cpu_seconds": 0.01}},
        "cores": 2, "memory_mb": null,
        "requests": {"reads": 11, "writes": 1}, "total_cpu_memory (MB)": 150.5, "engine": "native", "device": "cpu"}"#;
    let record: RankRecord = serde_json::from_str(json).unwrap();
    assert_eq!((record.files, record.memory_mb, record.ran_on), (Some(1), None, None));
    let there = json.replace(r#""cores": 2"#, r#""ran_on": "local stack", "cores": 2"#);
    assert_eq!(serde_json::from_str::<RankRecord>(&there).unwrap().ran_on, Some(RanOn::LocalStack));
    assert_eq!(record.phases.inference.cpu_seconds, 1.3);
    let without = json.replace(r#""files": [{"key": "1.pt", "from": 0, "to": 510}],"#, "");
    assert_eq!(serde_json::from_str::<RankRecord>(&without).unwrap().files, None);
}
