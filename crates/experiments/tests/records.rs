//! sweep.json and what is made of it: figures, the table, the published files, and the pictures.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use experiments::{
    CellRuns, CostOf, FORMAT, Machine, Repeat, Spread, Status, Sweep, SweepFile, pictures::figures, published_files,
};
use pipeline::phases::{Phases, Spent};
use proptest::prelude::*;
use serde_json::json;

fn asked(grids: &serde_json::Value) -> SweepFile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made-up.json");
    let sweep = json!({"place": "executions", "data": "sky.pt", "bucket": "b", "grids": grids});
    std::fs::write(&path, sweep.to_string()).unwrap();
    SweepFile::read(&path, &BTreeMap::new()).unwrap()
}

fn repeat(number: u64, status: Status, seconds: f64) -> Repeat {
    let spent = |wall_seconds| Spent { wall_seconds, cpu_seconds: 2.0 * wall_seconds };
    let done = status == Status::Done;
    Repeat {
        repeat: number,
        status,
        reason: (!done).then(|| "it said \"no\",\nand ended".to_owned()),
        execution: Some(format!("made-up-{number}")),
        started_at: 1_764_000_000.0,
        seconds,
        map_seconds: Some(seconds / 2.0),
        rows: if done { 1000 } else { 0 },
        bytes: if done { 20_520_000 } else { 0 },
        ranks: vec![json!({"rank": 0, "num_batches": 2, "first_of_process": true}), json!({"rank": 1})],
        phases: Phases { inference: spent(seconds), warm_up: spent(seconds / 10.0), ..Phases::default() },
        peak_memory_mb: Some(145.5),
        billed_ms: Some(seconds * 1e3),
        cost_usd: Some(seconds * 1e-5),
        cost_of: Some(CostOf { invocations: 4, expected_invocations: 4, at_least: false }),
        metrics: None,
        catalogue_sha256: None,
        redshifts_sha256: done.then(|| "ab".to_owned()),
        engine: None,
        model_sha256: None,
        made_by: Some("0.1.0, x".to_owned()),
    }
}

fn sweep(grids: &serde_json::Value, repeats: impl Fn(usize) -> Vec<Repeat>) -> Sweep {
    let asked = asked(grids);
    let cells = asked.cells();
    let cells =
        cells.into_iter().enumerate().map(|(at, planned)| CellRuns { cell: planned.cell, repeats: repeats(at) });
    Sweep {
        format: FORMAT,
        name: asked.name.clone(),
        cells: cells.collect(),
        asked,
        machine: Machine {
            cpu: "a processor".to_owned(),
            cores: 2,
            memory_mb: 1000,
            os: "Linux".to_owned(),
            kernel: "6".to_owned(),
        },
        version: "0.1.0".to_owned(),
        engine: None,
        model: None,
        model_sha256: None,
        place: "this machine".to_owned(),
        region: None,
        started_at: 1.0,
        ended_at: None,
        partitions: Default::default(),
        memory_to_restore: None,
        running: None,
    }
}

fn grids() -> serde_json::Value {
    json!([{"partition_sizes": ["25MiB", "50MiB"], "batch_sizes": [32, 512], "memory_sizes": [null, 2048], "repeats": 3}])
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sweep.json");
    assert!(Sweep::read(&path).unwrap().is_none());
    let written = sweep(&grids(), |at| vec![repeat(1, Status::Done, 0.1 + at as f64), repeat(2, Status::Failed, 0.3)]);
    written.write(&path).unwrap();
    assert_eq!(Sweep::read(&path).unwrap(), Some(written));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else stays");
    std::fs::write(&path, "{}").unwrap();
    let error = Sweep::read(&path).unwrap_err().to_string();
    assert!(error.contains("sweep.json") && error.contains("this version"), "{error}");
}

#[test]
fn figures_are_of_the_repeats_that_are_done() {
    let sweep = sweep(&json!([{"partition_sizes": ["25MiB"], "batch_sizes": [32]}]), |_| {
        vec![repeat(1, Status::Done, 4.0), repeat(2, Status::Failed, 0.5), repeat(3, Status::Done, 2.0)]
    });
    let cell = &sweep.summary()[0];
    assert_eq!((cell.done, cell.failed, cell.incomplete), (2, 1, 0));
    assert_eq!(cell.wall_seconds, Some(Spread { median: 3.0, min: 2.0, max: 4.0 }));
    assert_eq!(cell.galaxies_per_second, Some(Spread { median: 375.0, min: 250.0, max: 500.0 }));
    assert_eq!(cell.phases.inference, Spent { wall_seconds: 3.0, cpu_seconds: 6.0 });
    assert!(cell.reason.as_deref().unwrap().contains("it said"));
    assert_eq!(sweep.redshifts_agree(), Some(true));
}

#[test]
fn a_bill_with_invocations_missing_is_in_no_figure_and_is_said() {
    let found = CostOf { invocations: 3, expected_invocations: 5, at_least: true };
    let partly = Repeat { billed_ms: None, cost_usd: None, cost_of: Some(found), ..repeat(2, Status::Done, 2.0) };
    let grids = json!([{"partition_sizes": ["25MiB"], "batch_sizes": [32]}]);
    let sweep = sweep(&grids, |_| vec![repeat(1, Status::Done, 4.0), partly.clone()]);
    let cell = &sweep.summary()[0];
    assert_eq!((cell.wall_seconds.unwrap().min, cell.cost_usd.unwrap().min), (2.0, 4e-5));
    assert_eq!((cell.billed_ms.unwrap().min, cell.cost_missing), (4e3, Some(found)));
    let warnings = sweep.warnings();
    assert_eq!(
        warnings,
        ["the cost is not known of 25MiB, batch 32, repeat 2: the logs have 3 of at least 5 invocations"]
    );
    let table = sweep.csv().unwrap();
    assert_eq!(reader_column(&table, "billed_ms"), ["4000", ""]);
    assert_eq!(reader_column(&table, "cost_of_invocations"), ["4 of 4", "3 of at least 5"]);
}

#[test]
fn redshifts_that_differ_are_seen_and_one_alone_is_no_comparison() {
    let differing = |at: usize| {
        let hash = Some(at.to_string());
        vec![Repeat { redshifts_sha256: hash, ..repeat(1, Status::Done, 1.0) }]
    };
    assert_eq!(sweep(&grids(), differing).redshifts_agree(), Some(false));
    let other_data = |at: usize| vec![Repeat { rows: at as u64, ..differing(at).remove(0) }];
    assert_eq!(sweep(&grids(), other_data).redshifts_agree(), None);
    // Cells of another precision have other redshifts.
    let precisions =
        json!([{"partition_sizes": ["25MiB", "50MiB"], "batch_sizes": [32], "precisions": ["f32", "int8"]}]);
    assert_eq!(sweep(&precisions, |at| differing(at % 2)).redshifts_agree(), Some(true));
    assert_eq!(sweep(&precisions, differing).redshifts_agree(), Some(false));
}

#[test]
fn the_table_has_a_row_for_each_repeat_and_keeps_any_text() {
    let sweep = sweep(&grids(), |_| vec![repeat(1, Status::Done, 2.0), repeat(2, Status::Failed, 1.0)]);
    let table = sweep.csv().unwrap();
    let mut reader = csv::Reader::from_reader(table.as_slice());
    let column = |name: &str| reader_column(&table, name);
    assert_eq!(reader.records().count(), 16);
    assert_eq!(column("reason")[1], "it said \"no\",\nand ended");
    assert_eq!((column("galaxies_per_second")[0].as_str(), column("cold_ranks")[0].as_str()), ("500", "1"));
    assert_eq!((column("inference_cpu_seconds")[0].as_str(), column("warm_up_wall_seconds")[0].as_str()), ("4", "0.2"));
}

fn reader_column(table: &[u8], name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(table);
    let at = reader.headers().unwrap().iter().position(|header| header == name).unwrap();
    reader.records().map(|record| record.unwrap()[at].to_owned()).collect()
}

#[test]
fn trees_with_memory_sizes_stand_beside_the_published_one() {
    let sweep = sweep(&grids(), |_| vec![repeat(1, Status::Done, 2.0)]);
    let planned = sweep.asked.cells();
    let files = published_files(&sweep, &planned).unwrap();
    let names: Vec<String> = files.iter().map(|(name, _)| name.display().to_string()).collect();
    assert_eq!(
        names,
        ["results/state_machine_logs.csv", "memory-2048/results/state_machine_logs.csv", "cpu/total.json"]
    );
    assert_eq!(reader_column(&files[0].1, "batch_varying"), ["True"; 4]);
    assert_eq!(reader_column(&files[0].1, "partition (MB)"), ["25", "25", "50", "50"]);
    assert_eq!(reader_column(&files[0].1, "inference_duration (s)"), ["1"; 4]);
    let folders =
        planned.iter().flat_map(|planned| planned.published_folders(1)).map(|folder| folder.display().to_string());
    assert!(folders.into_iter().any(|folder| folder == "memory-2048/result-partition-50MB/total/Batches/512/1"));
}

#[test]
fn every_measure_that_is_known_has_a_picture() {
    let with_cost = sweep(&grids(), |at| vec![repeat(1, Status::Done, 1.0 + at as f64), repeat(2, Status::Done, 3.0)]);
    let names: Vec<&str> = figures(&with_cost).iter().map(|figure| figure.name).collect();
    assert_eq!(names, ["time", "throughput", "memory", "cost", "phases"]);
    let without = sweep(&grids(), |_| vec![Repeat { cost_usd: None, ..repeat(1, Status::Done, 1.0) }]);
    assert!(figures(&without).iter().all(|figure| figure.name != "cost"));
    assert!(figures(&sweep(&grids(), |_| vec![repeat(1, Status::Failed, 1.0)])).is_empty());
}

#[test]
fn any_figures_can_be_drawn() {
    let grids = json!([{"partition_sizes": ["25MiB"], "batch_sizes": [32, 512], "repeats": 1}]);
    for seconds in [[0.0, 0.0], [f64::NAN, 2.0], [f64::INFINITY, -1.0], [1e-300, 1e300]] {
        for figure in figures(&sweep(&grids, |at| vec![repeat(1, Status::Done, seconds[at])])) {
            assert!(figure.png().unwrap().starts_with(b"\x89PNG"), "{} of {seconds:?}", figure.name);
        }
    }
}

proptest! {
    #[test]
    fn a_median_lies_between_the_extremes_whatever_the_order(mut values in proptest::collection::vec(-1e9..1e9_f64, 1..9)) {
        let spread = Spread::of(values.clone()).unwrap();
        prop_assert!(spread.min <= spread.median && spread.median <= spread.max);
        let below = values.iter().filter(|value| **value < spread.median).count();
        let above = values.iter().filter(|value| **value > spread.median).count();
        prop_assert!(below <= values.len() / 2 && above <= values.len() / 2);
        values.reverse();
        prop_assert_eq!(Spread::of(values), Some(spread));
    }
}
