//! The model as a whole: what it says of a run, and what it finds in the records of one.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bill::{
    Architecture, Prices, Requests,
    estimate::{Estimate, Place, RankShare, RunWork, Setup, estimate},
    figures::{Figures, Origin},
    fit::{RunRecord, fit},
    records::{Phases, RankRecord, Spent},
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
    RunWork { ranks: vec![share; ranks], files: ranks as u64, headers: 0, batch_size: 512, model_bytes: 0 }
}

fn found(work: &RunWork, setup: &Setup) -> Estimate {
    let figures = Figures::shipped().unwrap();
    estimate(&figures, work, setup, &Prices::of("us-east-1"), figures.slowdown().likely)
}

#[test]
fn parts_add_up_to_the_whole() {
    for setup in [setup(), Setup { place: Place::Machine { cores: 2 }, concurrency_limit: 2, ..setup() }] {
        let Estimate { wall_seconds, parts, rank_parts, billed_rank_seconds, cost, .. } =
            found(&work(40, 1276), &setup);
        let sum = parts.initialize + parts.orchestration + parts.ranks + parts.merge;
        assert!((sum - wall_seconds).abs() < 1e-9);
        assert!(rank_parts.compute > rank_parts.cold_start + rank_parts.requests + rank_parts.download);
        let billed = rank_parts.cold_start + rank_parts.requests + rank_parts.download + rank_parts.compute;
        let environments = 40.0 * (billed + rank_parts.post_processing) - billed_rank_seconds;
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
    assert!(one.mean_rank_seconds > 1.6 * two.mean_rank_seconds, "{one:?} {two:?}");
    assert!(two.mean_rank_seconds > 2.0 * six.mean_rank_seconds);
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

/// The published data set, in partitions of 25 MB: by hand, $0.15 to $0.22 with this engine.
#[test]
fn the_published_data_set_costs_what_was_computed_by_hand() {
    let figures = Figures::shipped().unwrap();
    let slowdown = figures.slowdown();
    let usd = |slowdown| {
        let work = work(517, 613_000 / 517);
        estimate(&figures, &work, &setup(), &Prices::of("us-east-1"), slowdown).cost.total_usd
    };
    let (low, high) = (usd(slowdown.low), usd(slowdown.high));
    assert!((0.12..0.18).contains(&low) && (0.18..0.28).contains(&high), "{low} {high}");
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
        cores: 2,
        memory_mb: Some(3008),
        requests: Requests::default(),
        peak_memory_mb: 150.0,
        engine: "native".into(),
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

#[test]
fn a_run_is_predicted_from_others_of_another_size() {
    let place = Place::Machine { cores: 2 };
    let origin = Origin {
        of: "test".into(),
        command: "test".into(),
        machine: "test".into(),
        date: "2026-11-25".into(),
        engine: "native".into(),
        on_lambda: false,
    };
    let known = [run(500, true), run(1000, false), run(2000, false)];
    let figures = fit(&Figures::shipped().unwrap(), &known, place, origin).unwrap();
    assert!((figures.rank.inference_of_galaxy(512) - 0.002).abs() < 1e-9);
    assert!((figures.rank.model.cpu_seconds - 0.2).abs() < 1e-9);
    assert!((figures.machine.cores_left - 0.9).abs() < 0.02, "{}", figures.machine.cores_left);
    assert!((figures.rank.parallel_efficiency - 0.9).abs() < 1e-9);

    let measured = run(4000, false);
    let walls: Vec<f64> = measured.ranks.iter().map(|rank| rank.wall_seconds).collect();
    let mean = walls.iter().sum::<f64>() / 3.0;
    let setup = Setup { place, concurrency_limit: 2, warm: true, ..setup() };
    let predicted = estimate(&figures, &work(3, 4000), &setup, &Prices::of("us-east-1"), 1.0);
    assert!((predicted.mean_rank_seconds / mean - 1.0).abs() < 0.05, "{} {mean}", predicted.mean_rank_seconds);
    let billed = measured.billed_seconds.unwrap();
    assert!((predicted.billed_seconds / billed - 1.0).abs() < 0.05, "{} {billed}", predicted.billed_seconds);
    assert!((predicted.slowest_rank_seconds / walls[0] - 1.0).abs() < 0.05);
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
        "phases": {"inference": {"wall_seconds": 2.5, "cpu_seconds": 1.3}}, "cores": 2, "memory_mb": null,
        "requests": {"reads": 11, "writes": 1}, "total_cpu_memory (MB)": 150.5, "engine": "native", "device": "cpu"}"#;
    let record: RankRecord = serde_json::from_str(json).unwrap();
    assert_eq!((record.files, record.memory_mb), (Some(1), None));
    assert_eq!(record.phases.inference.cpu_seconds, 1.3);
    let without = json.replace(r#""files": [{"key": "1.pt", "from": 0, "to": 510}],"#, "");
    assert_eq!(serde_json::from_str::<RankRecord>(&without).unwrap().files, None);
}
