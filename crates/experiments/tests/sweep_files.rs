//! Sweep files: what they may say, the cells that follow, and the errors that name a field.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use experiments::{Error, PlannedCell, Size, SweepFile};
use pipeline::payload::Precision;
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(text: &str, set: &[(&str, Value)]) -> Result<SweepFile, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first.json");
    std::fs::write(&path, text).unwrap();
    let set = set.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect();
    SweepFile::read(&path, &set)
}

fn local(grid: &Value) -> Value {
    json!({"place": "infer", "data": "sky.pt", "model": "m.pt", "grids": [grid]})
}

fn executions(grid: &Value) -> Value {
    json!({"place": "executions", "data": "sky.pt", "bucket": "b", "grids": [grid]})
}

fn ready_made(name: &str) -> SweepFile {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../payloads");
    SweepFile::read(&folder.join(name), &BTreeMap::new()).unwrap()
}

#[test]
fn defaults_are_filled_in_and_read_back() {
    let text = format!("\u{feff}{}", local(&json!({"batch_sizes": 32})));
    let sweep = read(&text, &[("threads", json!(2)), ("model", json!("other.pt"))]).unwrap();
    assert_eq!((sweep.name.as_str(), sweep.threads, sweep.model.as_deref()), ("first", Some(2), Some("other.pt")));
    let grid = &sweep.grids[0];
    assert_eq!((&grid.batch_sizes, &grid.partition_sizes, grid.repeats), (&vec![32], &vec![None], 3));
    assert_eq!(grid.precisions, [Precision::F32]);
    let mut written = serde_json::to_value(&sweep).unwrap();
    assert_eq!(serde_json::from_value::<SweepFile>(written.clone()).unwrap(), sweep);
    // A record of a version without precisions goes on.
    written["grids"][0].as_object_mut().unwrap().remove("precisions").unwrap();
    assert_eq!(serde_json::from_value::<SweepFile>(written).unwrap(), sweep);
}

#[test]
fn errors_name_the_file_the_field_and_what_it_may_be() {
    let cut = json!({"partition_sizes": ["25MB"], "batch_sizes": [8]});
    let with = |base: Value, field: &str, value: Value| {
        let mut base = base;
        base[field] = value;
        base
    };
    let grid = |field: &str, value: Value| local(&with(cut.clone(), field, value));
    for (sweep, said) in [
        (json!([]), "the file must be an object"),
        (json!({"place": "infer"}), "`grids` is missing"),
        (with(local(&cut), "place", json!("here")), "`place` must be \"infer\" or \"executions\""),
        (with(local(&cut), "bach", json!(1)), "unknown field `bach`"),
        (with(local(&cut), "grid", json!([])), "did you mean `grids`?"),
        (with(local(&cut), "name", json!("a/b")), "`name` must be"),
        (with(local(&cut), "model", Value::Null), "`model` is missing"),
        (with(local(&cut), "bucket", json!("b")), "`bucket` means nothing where `place` is \"infer\""),
        (with(local(&cut), "threads", json!(0)), "`threads` must be a whole number from 1 to 1024"),
        (with(local(&cut), "data", json!(7)), "data must be an object"),
        (with(local(&cut), "data", json!({"simulate": {"seed": 1}})), "`data.simulate.count` is missing"),
        (with(local(&cut), "data", json!({"simulate": {"count": 0}})), "`data.simulate.count` must be"),
        (with(local(&cut), "grids", json!([])), "`grids` must be a list"),
        (with(local(&cut), "grids", json!([cut, {"repeats": 2}])), "`grids[1].batch_sizes` is missing"),
        (grid("batchsizes", json!([1])), "`grids[0].batchsizes`: did you mean `batch_sizes`?"),
        (grid("batch_sizes", json!([8, 4097])), "`grids[0].batch_sizes` must be a whole number from 1 to 4096"),
        (grid("batch_sizes", json!([])), "`grids[0].batch_sizes` is an empty list"),
        (grid("partition_sizes", json!(["25 parsec"])), "found the text \"25 parsec\""),
        (grid("partition_sizes", json!(["25MB", "25MiB"])), "have the same name in the published folders"),
        (grid("partition_sizes", json!([null])), ""),
        (grid("repeats", json!(0)), "`grids[0].repeats` must be"),
        (grid("world_sizes", json!([2])), "`grids[0].world_sizes` mean nothing"),
        (grid("memory_sizes", json!([2048])), "`grids[0].memory_sizes` mean nothing"),
        (local(&json!({"batch_sizes": [8], "data_sizes": ["1GB"]})), "need `partition_sizes`"),
        (executions(&json!({"batch_sizes": [8]})), "`data` must be s3://bucket/prefix"),
        (with(executions(&cut), "bucket", Value::Null), "`bucket` is missing"),
        (with(executions(&cut), "threads", json!(2)), "`threads` means nothing"),
        (with(executions(&cut), "prefix", json!("a/../b")), "`prefix` must be a folder"),
        (executions(&with(cut.clone(), "memory_sizes", json!([127]))), "from 128 to 10240"),
        (grid("precisions", json!(["f32", "fp16"])), "`grids[0].precisions` must be \"f32\" or \"int8\" each, found"),
        (grid("precisions", json!(["int8", null])), ""),
        (
            with(grid("precisions", json!("int8")), "engine", json!("tch")),
            "`grids[0].precisions` can have \"int8\" where",
        ),
        (with(grid("precisions", json!("int8")), "engine", json!("native")), ""),
    ] {
        match read(&sweep.to_string(), &[]) {
            Ok(_) => assert!(said.is_empty(), "{sweep} was taken"),
            Err(error) => {
                let error = error.to_string();
                assert!(!said.is_empty() && error.contains(said) && error.contains("first.json"), "{sweep}: {error}");
            }
        }
    }
    assert!(read("{", &[]).unwrap_err().to_string().contains("it is not JSON"));
}

/// The world sizes in the published table of times, by partition in MB and data in GB (12.6 is all).
const PUBLISHED: [(&str, [u64; 7]); 4] = [
    ("25MiB", [41, 82, 164, 246, 328, 410, 517]),
    ("50MiB", [21, 41, 82, 123, 164, 205, 259]),
    ("75MiB", [14, 28, 55, 82, 110, 137, 173]),
    ("100MiB", [11, 21, 41, 62, 82, 103, 130]),
];

#[test]
fn the_published_grid_takes_as_many_files_as_the_published_runs() {
    let sweep = ready_made("sweep-published.json");
    let experiments::DataSet::Simulated { simulate } = &sweep.data else { panic!("the data are not simulated") };
    // A galaxy of `cosmic simulate` has 20,548 bytes.
    let all = |partition: u64| simulate.count.div_ceil((partition as f64 / 20_548.0).round() as u64);
    let cells = sweep.cells();
    for (partition, files) in PUBLISHED {
        let found: Vec<u64> = cells
            .iter()
            .filter(|planned| planned.cell.partition.as_deref() == Some(partition) && planned.in_data_sizes)
            .map(|PlannedCell { cell, .. }| {
                cell.file_limit.unwrap_or_else(|| all(partition.parse::<Size>().unwrap().bytes))
            })
            .collect();
        assert_eq!(found, files, "{partition}");
    }
}

#[test]
fn the_published_grid_leaves_the_folders_that_the_published_script_reads() {
    let sweep = ready_made("sweep-published.json");
    let folders: BTreeSet<String> = sweep
        .cells()
        .iter()
        .flat_map(|planned| (1..=planned.repeats).flat_map(|run| planned.published_folders(run)))
        .map(|folder| folder.display().to_string())
        .collect();
    let mut read = BTreeSet::new();
    for run in 1..=3 {
        for partition in [25, 50, 75, 100] {
            for data in ["1GB", "2GB", "4GB", "6GB", "8GB", "10GB", "total"] {
                read.insert(format!("result-partition-{partition}MB/{data}/{run}"));
            }
        }
        for batch in [32, 64, 128, 256, 512] {
            read.insert(format!("result-partition-25MB/1GB/Batches/{batch}/{run}"));
        }
    }
    assert_eq!(folders, read);
}

#[test]
fn the_other_ready_made_sweeps_are_small() {
    for (name, most) in [("sweep.json", 20), ("sweep-local.json", 20), ("sweep-precisions.json", 40)] {
        let runs: u64 = ready_made(name).cells().iter().map(|planned| planned.repeats).sum();
        assert!(runs <= most, "{name} has {runs} runs");
    }
}

#[test]
fn a_precision_but_the_default_is_in_the_names_of_its_cell_and_in_a_tree_of_its_own() {
    let grid = json!({"partition_sizes": "25MiB", "batch_sizes": [512], "precisions": ["f32", "int8"]});
    let cells = read(&executions(&grid).to_string(), &[]).unwrap().cells();
    let titles: Vec<String> = cells.iter().map(|planned| planned.cell.title()).collect();
    assert_eq!(titles, ["25MiB, batch 512", "25MiB, batch 512, int8"]);
    let folders: Vec<String> = cells.iter().map(|planned| planned.cell.folder()).collect();
    assert_eq!(folders, ["25MiB-batch-512", "25MiB-batch-512-int8"]);
    let published = |at: usize| cells[at].published_folders(1)[0].display().to_string();
    assert_eq!(published(0), "result-partition-25MB/total/1");
    assert_eq!(published(1), "int8/result-partition-25MB/total/1");
}

proptest! {
    #[test]
    fn each_combination_is_one_cell_run_as_often_as_the_grid_with_the_most_repeats_says(
        grids in proptest::collection::vec(
            (
                proptest::collection::vec(1..6_u64, 1..4),
                proptest::collection::vec(1..6_u64, 1..4),
                proptest::collection::vec(proptest::option::of(128..131_u64), 1..3),
                1..5_u64,
            ),
            1..4,
        )
    ) {
        let as_json: Vec<Value> = grids
            .iter()
            .map(|(partitions, batches, memory, repeats)| {
                let sizes: Vec<String> = partitions.iter().map(|size| format!("{size}MB")).collect();
                json!({"partition_sizes": sizes, "batch_sizes": batches, "memory_sizes": memory, "repeats": repeats})
            })
            .collect();
        let mut sweep = executions(&json!({}));
        sweep["grids"] = as_json.into();
        let cells = read(&sweep.to_string(), &[]).unwrap().cells();
        let mut expected = BTreeMap::new();
        for (partitions, batches, memory, repeats) in &grids {
            for partition in partitions {
                for batch in batches {
                    for mb in memory {
                        let most = expected.entry((partition * 1_000_000, *batch, *mb)).or_insert(0);
                        *most = (*most).max(*repeats);
                    }
                }
            }
        }
        let found: BTreeMap<_, _> = cells
            .iter()
            .map(|PlannedCell { cell, repeats, .. }| {
                ((cell.partition_bytes.unwrap(), cell.batch_size, cell.memory_mb), *repeats)
            })
            .collect();
        prop_assert_eq!(found.len(), cells.len(), "a cell is there twice");
        prop_assert_eq!(found, expected);
        let names: BTreeSet<String> = cells.iter().map(|planned| planned.cell.folder()).collect();
        prop_assert_eq!(names.len(), cells.len(), "two cells share a folder");
    }
}
