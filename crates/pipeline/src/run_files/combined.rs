//! `combined_data.json`: what ranks say of their work, under the published system's keys.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::run_files::record::RankRun;

/// A rank's entry: the published system's keys, for its analysis scripts, and ours beside them.
///
/// Theirs mean what they meant, but for two: the memory is the process's peak and not the profiler's sum of
/// allocations, and rates are per wall second of inference and not per profiled CPU second.
fn combined_entry(run: &RankRun, result_path: &str) -> Value {
    let work = &run.work;
    let inference_seconds = work.inference.wall_seconds;
    let per_inference_second = |amount: u64| match inference_seconds {
        seconds if seconds > 0.0 => amount as f64 / seconds,
        _ => 0.0,
    };
    let batches = work.batches.max(1) as f64;
    json!({
        "total_cpu_time (seconds)": work.all.cpu_seconds,
        "total_cpu_memory (MB)": run.peak_memory_mb,
        "execution_time (seconds/batch)": inference_seconds / batches,
        "num_batches": work.batches,
        "batch_size": run.batch_size,
        "device": "cpu",
        "throughput_bps": per_inference_second(8 * work.bytes),
        "sample_persec": per_inference_second(work.rows),
        "result_path": result_path,
        "data_path": work.files.first().map(|file| &file.key),
        "rank": run.rank,
        "world_size": run.world_size,
        "execution": run.execution,
        "rows": work.rows,
        "flagged": work.flagged,
        "bytes": work.bytes,
        "files": work.files,
        "started_at": run.started_at,
        "wall_seconds": run.wall_seconds,
        "phases": run.phases,
        "first_of_process": run.first_of_process,
        "ran_on": run.ran_on,
        "cores": run.cores,
        "memory_mb": run.memory_mb,
        "requests": run.requests,
        "engine": run.made_by.engine,
        "precision": run.made_by.precision,
    })
}

/// The entries of combined_data.json. They are made as they are asked for: a hundred thousand of them, each a map of thirty
/// keys, would take more memory than all else that a merge knows.
#[derive(Clone, Copy)]
pub struct CombinedEntries<'a> {
    runs: &'a [RankRun],
    result_path: &'a str,
}

impl<'a> CombinedEntries<'a> {
    /// The entries of ranks whose results lie under a path.
    pub fn new(runs: &'a [RankRun], result_path: &'a str) -> Self {
        Self { runs, result_path }
    }

    /// Number of ranks.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there is no rank.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Makes them in the order of the ranks.
    pub fn iter(&self) -> impl Iterator<Item = Value> + use<'a> {
        let result_path = self.result_path;
        self.runs.iter().map(move |run| combined_entry(run, result_path))
    }
}

impl Serialize for CombinedEntries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}
