//! `cosmic sweep` on this machine, with a small network. With executions it is tested against the local stack, in
//! infra/tests.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use assert_cmd::cargo::CommandCargoExt;
use command::{cosmic, json, network, text};
use serde_json::{Value, json};

mod command;

/// A sweep over 16 galaxies in two files of eight.
struct Sweep {
    folder: tempfile::TempDir,
    model: PathBuf,
}

impl Sweep {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model.pt");
        fs::copy(network("module.pt"), &model).unwrap();
        Self { folder, model }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn file(&self, grids: &Value) -> PathBuf {
        let file = self.folder.path().join("sky.json");
        let data = json!({"simulate": {"count": 16, "seed": 3}});
        let sweep = json!({"place": "infer", "data": data, "model": text(&self.model), "grids": grids});
        fs::write(&file, sweep.to_string()).unwrap();
        file
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.out().join("sweep.json")).unwrap()).unwrap()
    }

    fn start(&self, file: &Path) -> Child {
        let mut command = std::process::Command::cargo_bin("cosmic").unwrap();
        let command = command.args(["sweep", text(file), "--out", text(&self.out())]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

#[test]
fn each_repeat_is_a_process_and_what_cannot_be_run_leaves_its_reason() {
    let sweep = Sweep::new();
    let whole = json!({"partition_sizes": ["164kB"], "batch_sizes": [4, 16], "repeats": 1});
    let too_much = json!({"partition_sizes": ["164kB"], "data_sizes": ["1MB"], "batch_sizes": [16], "repeats": 1});
    let file = sweep.file(&json!([too_much, whole]));
    let out = sweep.out();

    let listed = json(&["sweep", text(&file), "--dry-run", "--json"]);
    assert_eq!((&listed[1]["files"], &listed[1]["repeats"]), (&2.into(), &1.into()), "{listed}");
    assert!(!out.exists(), "a dry run leaves nothing");

    let (code, printed, said) = cosmic(&["sweep", text(&file), "--out", text(&out), "--json"]);
    assert_eq!(code, 3, "{said}");
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&printed["done"], &printed["failed"], &printed["runs"]), (&2.into(), &1.into(), &3.into()));
    assert_eq!(printed["redshifts_agree"], true, "{printed}");
    for line in ["[1/3] 164kB of 1MB, batch 16, repeat 1: FAILED", "[3/3] 164kB, batch 16, repeat 1: ", "left"] {
        assert!(said.contains(line), "{said}");
    }
    let record = sweep.record();
    let repeat = |cell: usize| &record["cells"][cell]["repeats"][0];
    assert!(repeat(0)["reason"].as_str().unwrap().contains("7 partitions of 164kB, and the data set has 2"));
    let (small, large) = (repeat(1), repeat(2));
    assert_eq!(
        (&small["rows"], &small["status"], &record["place"]),
        (&16.into(), &"done".into(), &"this machine".into())
    );
    assert_eq!(small["redshifts_sha256"], large["redshifts_sha256"]);
    assert_eq!((&small["ranks"][0]["num_batches"], &large["ranks"][0]["num_batches"]), (&4.into(), &2.into()));
    let seconds = |repeat: &Value, phase: &str| repeat["phases"][phase]["wall_seconds"].as_f64().unwrap();
    let phases = ["start", "model", "waiting", "inference", "post_processing"].map(|phase| seconds(small, phase));
    let all = small["seconds"].as_f64().unwrap();
    assert!(phases.iter().sum::<f64>() <= all, "{phases:?} of {all}");
    assert!(seconds(small, "inference") > 0.0 && small["phases"]["inference"]["cpu_seconds"].as_f64() > Some(0.0));
    assert!(small["peak_memory_mb"].as_f64() > Some(1.0));

    let table = fs::read_to_string(out.join("sweep.csv")).unwrap();
    assert_eq!(table.lines().count(), 4, "{table}");
    for name in ["time", "throughput", "memory", "phases"] {
        assert!(fs::read(out.join(name).with_extension("png")).unwrap().starts_with(b"\x89PNG"), "{name}");
    }
    assert!(!out.join("cost.png").exists());
    let published = out.join("published/result-partition-164kB/total/Batches/16/1/combined_data.json");
    let ranks: Value = serde_json::from_slice(&fs::read(published).unwrap()).unwrap();
    assert_eq!((&ranks[0]["batch_size"], ranks[0]["files"].as_array().unwrap().len()), (&16.into(), 2));

    // What has results stays as it is; what has failed is tried again.
    let (code, printed, said) = cosmic(&["sweep", text(&file), "--out", text(&out)]);
    assert_eq!(code, 3, "{said}");
    assert!(said.lines().count() == 1 && said.contains("[3/3]"), "{said}");
    assert!(printed.contains("NOT DONE 164kB of 1MB, batch 16: 1MB are 7 partitions"), "{printed}");
    assert_eq!(sweep.record()["cells"][1], record["cells"][1]);

    fs::copy(network("module-legacy.pt"), &sweep.model).unwrap();
    let (code, _, said) = cosmic(&["sweep", text(&file), "--out", text(&out)]);
    assert!(code == 1 && said.contains("its model had the SHA-256"), "{said}");
}

#[test]
fn a_sweep_that_was_killed_goes_on_where_it_was() {
    let sweep = Sweep::new();
    let file = sweep.file(&json!([{"partition_sizes": ["164kB"], "batch_sizes": [16], "repeats": 3}]));
    let mut process = sweep.start(&file);
    let done = || {
        let record = fs::read(sweep.out().join("sweep.json")).unwrap_or_default();
        let record: Value = serde_json::from_slice(&record).unwrap_or_default();
        record["cells"][0]["repeats"].as_array().map_or(0, Vec::len)
    };
    while done() == 0 {
        assert!(process.try_wait().unwrap().is_none(), "it ended before anything was done");
        std::thread::sleep(Duration::from_millis(20));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let first = sweep.record()["cells"][0]["repeats"][0].clone();
    // The run that was under way goes on for a while in its folder, as a process of its own, and the sweep waits for it.
    let printed = loop {
        let (code, printed, said) = cosmic(&["sweep", text(&file), "--out", text(&sweep.out()), "--json"]);
        match code {
            0 => break printed,
            _ => assert!(said.contains("the last run of one that was killed has not ended yet"), "{said}"),
        }
    };
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap()["done"], 3);
    let record = sweep.record();
    let repeats = record["cells"][0]["repeats"].as_array().unwrap();
    assert_eq!(repeats[0], first);
    let numbers: Vec<_> = repeats.iter().map(|repeat| repeat["repeat"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(record["ended_at"].is_number());
}

#[test]
fn a_data_set_that_has_become_another_one_is_not_measured_beside_the_first() {
    let sweep = Sweep::new();
    let data = sweep.folder.path().join("galaxies.pt");
    let write = |seed: &str| {
        let (code, _, said) = cosmic(&["simulate", "--count", "16", "--seed", seed, "--out", text(&data)]);
        assert_eq!(code, 0, "{said}");
    };
    let run = |repeats: u64| {
        let file = sweep.folder.path().join("own.json");
        let grids = json!([{"partition_sizes": ["164kB"], "batch_sizes": [16], "repeats": repeats}]);
        let asked = json!({"place": "infer", "data": text(&data), "model": text(&sweep.model), "grids": grids});
        fs::write(&file, asked.to_string()).unwrap();
        cosmic(&["sweep", text(&file), "--out", text(&sweep.out())])
    };
    write("3");
    assert_eq!(run(1).0, 0);
    fs::remove_file(&data).unwrap();
    write("4");
    assert_eq!(run(2).0, 3);
    let repeats = &sweep.record()["cells"][0]["repeats"];
    assert_eq!(repeats[0]["status"], "done");
    assert!(repeats[1]["reason"].as_str().unwrap().contains("the data set has become another one"), "{repeats}");
}

#[test]
fn wrong_files_and_folders_are_named() {
    let sweep = Sweep::new();
    let file = sweep.file(&json!([{"batch_size": [16]}]));
    let (code, _, said) = cosmic(&["sweep", text(&file)]);
    assert!(
        code == 1 && said.contains("sky.json: unknown field `grids[0].batch_size`: did you mean `batch_sizes`?"),
        "{said}"
    );
    let file = sweep.file(&json!([{"batch_sizes": [16]}]));
    let (code, _, said) = cosmic(&["sweep", text(&file), "--set", "model=absent.pt"]);
    assert!(code == 1 && said.contains("absent.pt"), "{said}");
    let (code, _, said) = cosmic(&["sweep", text(&file), "--set", "threads=many"]);
    assert!(code == 1 && said.contains("`threads` must be a whole number"), "{said}");
    let (code, _, said) = cosmic(&["sweep", text(&file), "--out", text(&sweep.model)]);
    assert!(code == 1 && said.contains("model.pt"), "{said}");
}
