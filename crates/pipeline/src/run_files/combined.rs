//! `combined_data.json`: what ranks say of their work, under the published system's keys.

use serde_json::{Value, json};

use crate::run_files::record::RankRun;

/// A rank's entry: the published system's keys, for its analysis scripts, and ours beside them.
///
/// Theirs mean what they meant, but for two: the memory is the process's peak and not the profiler's sum of
/// allocations, and rates are per wall second of inference and not per profiled CPU second.
pub fn combined_entry(run: &RankRun, result_path: &str) -> Value {
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
