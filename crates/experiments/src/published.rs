//! The folders and files that the published system's `stats.py` and notebooks read.
//!
//! `stats.py` reads `result-partition-<25>MB/<1GB>/<run>/combined_data.json` for each partition and data size at one batch
//! size, `result-partition-25MB/1GB/Batches/<batch size>/<run>/combined_data.json` for the batch sizes, and, for
//! throughput over wall time, `results/state_machine_logs.csv`, which a notebook made of the executions' histories.
//! `plot.ipynb` reads `cpu/total.json`. All data are called `total`. They know neither world sizes nor memory sizes
//! nor precisions: cells that name one have a tree of their own.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    cells::{Cell, PlannedCell},
    record::{Repeat, Status, Sweep},
    size::Size,
};

/// What they call 12.6 GB, which is all that they had.
const ALL: &str = "total";
/// What `stats.py` takes it for, in GB.
const ALL_GB: f64 = 12.6;

impl PlannedCell {
    /// The folders for a repeat's combined_data.json. Whole data sets that are not cut have none.
    pub fn published_folders(&self, repeat: u64) -> Vec<PathBuf> {
        let Some(partition) = size(self.cell.partition.as_ref()) else { return Vec::new() };
        let data = size(self.cell.data.as_ref()).map_or_else(|| ALL.to_owned(), |data| data.published_name());
        let root = tree(&self.cell).join(format!("result-partition-{}", partition.published_name())).join(data);
        let run = repeat.to_string();
        let mut folders = Vec::new();
        if self.in_data_sizes {
            folders.push(root.join(&run));
        }
        if self.in_batches {
            folders.push(root.join("Batches").join(self.cell.batch_size.to_string()).join(&run));
        }
        folders
    }
}

fn size(text: Option<&String>) -> Option<Size> {
    text.and_then(|text| text.parse().ok())
}

/// The tree that a cell belongs to.
fn tree(cell: &Cell) -> PathBuf {
    let world = cell.world_size.map(|ranks| format!("world-{ranks}"));
    let memory = cell.memory_mb.map(|mb| format!("memory-{mb}"));
    let precision = cell.named_precision().map(str::to_owned);
    let parts: Vec<String> = [world, memory, precision].into_iter().flatten().collect();
    if parts.is_empty() { PathBuf::new() } else { Path::new(&parts.join("-")).to_owned() }
}

/// The files beside the folders, by their paths: `state_machine_logs.csv` of each tree, and `cpu/total.json` of runs on
/// one machine.
///
/// # Errors
/// None that is known: they are written into memory.
pub fn published_files(sweep: &Sweep, planned: &[PlannedCell]) -> Result<Vec<(PathBuf, Vec<u8>)>, csv::Error> {
    let mut trees: Vec<(PathBuf, csv::Writer<Vec<u8>>)> = Vec::new();
    let mut totals = Vec::new();
    for (planned, runs) in planned.iter().zip(&sweep.cells) {
        for repeat in runs.repeats.iter().filter(|repeat| repeat.status != Status::Failed) {
            if sweep.place == "this machine" {
                totals.push(total(&runs.cell, repeat));
            }
            let Some(partition) = size(runs.cell.partition.as_ref()) else { continue };
            let root = tree(&runs.cell);
            let at = match trees.iter().position(|(tree, _)| *tree == root) {
                Some(at) => at,
                None => {
                    let mut writer = csv::Writer::from_writer(Vec::new());
                    writer.write_record([
                        "data (GB)",
                        "batch_size",
                        "run",
                        "partition (MB)",
                        "total_duration (s)",
                        "inference_duration (s)",
                        "batch_varying",
                    ])?;
                    trees.push((root, writer));
                    trees.len() - 1
                }
            };
            // Numbers without units: what `stats.py` does with units depends on the version of pandas.
            let data = size(runs.cell.data.as_ref()).map_or(ALL_GB, |data| data.published_gb());
            for (varying, _) in
                [("False", planned.in_data_sizes), ("True", planned.in_batches)].into_iter().filter(|(_, has)| *has)
            {
                trees[at].1.write_record([
                    data.to_string(),
                    runs.cell.batch_size.to_string(),
                    repeat.repeat.to_string(),
                    partition.published_mb().to_string(),
                    repeat.seconds.to_string(),
                    repeat.map_seconds.unwrap_or(repeat.seconds).to_string(),
                    varying.to_owned(),
                ])?;
            }
        }
    }
    let mut files = Vec::new();
    for (tree, writer) in trees {
        let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        files.push((tree.join("results").join("state_machine_logs.csv"), bytes));
    }
    if !totals.is_empty() {
        let bytes =
            serde_json::to_vec_pretty(&totals).map_err(|error| csv::Error::from(std::io::Error::from(error)))?;
        files.push((Path::new("cpu").join("total.json"), bytes));
    }
    Ok(files)
}

/// An entry of `total.json`.
fn total(cell: &Cell, repeat: &Repeat) -> Value {
    let seconds = repeat.phases.inference.wall_seconds;
    let rate = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
    let batches: u64 = repeat.ranks.iter().filter_map(|rank| rank.get("num_batches").and_then(Value::as_u64)).sum();
    json!({
        "total_execution_time (seconds)": seconds,
        "total_process_memory (MB)": repeat.peak_memory_mb,
        "num_batches": batches,
        "batch_size": cell.batch_size,
        "device": "cpu",
        "GB_processed": repeat.bytes as f64 / f64::from(1 << 30),
        "execution_time_per_batch": seconds / batches.max(1) as f64,
        "throughput_bps": rate(8.0 * repeat.bytes as f64),
        "sample_persec": [rate(repeat.rows as f64)],
        "run": repeat.repeat,
    })
}
