//! What a run leaves beside its catalogue: the mark of each rank, Results.json and combined_data.json.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{catalogue::Provenance, metrics::Metrics, payload::Payload, predict::Work};

/// The mark of a finished rank, `ranks/00007.json`: written last, so that where it is, the part is whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankRecord {
    /// The rank.
    pub rank: u64,
    /// Ranks of the run.
    pub world_size: u64,
    /// The execution that computed it.
    pub execution: String,
    /// What computed it.
    pub made_by: Provenance,
    /// Key of its part of the catalogue.
    pub part: String,
    /// SHA-256 of the part, in hexadecimal.
    pub part_sha256: String,
    /// Galaxies per prediction.
    pub batch_size: u64,
    /// Rows, batches, times.
    pub work: Work,
    /// Wall seconds to load model and engine; 0 where an earlier rank of the same process had done it.
    pub model_seconds: f64,
    /// Wall seconds of everything, from the event to this mark.
    pub wall_seconds: f64,
    /// Largest resident memory of the process so far, in MB.
    pub peak_memory_mb: f64,
}

impl RankRecord {
    /// The published system's keys, and ours beside them.
    ///
    /// Theirs mean what they meant, but for two: the memory is the process's peak, not the profiler's sum of
    /// allocations, and rates are per wall second of inference, not per profiled CPU second.
    pub fn combined(&self, result_path: &str) -> Value {
        let work = &self.work;
        let per_inference_second = |amount: u64| match work.inference_seconds {
            seconds if seconds > 0.0 => amount as f64 / seconds,
            _ => 0.0,
        };
        let batches = work.batches.max(1) as f64;
        json!({
            "total_cpu_time (seconds)": work.cpu_seconds,
            "total_cpu_memory (MB)": self.peak_memory_mb,
            "execution_time (seconds/batch)": work.inference_seconds / batches,
            "num_batches": work.batches,
            "batch_size": self.batch_size,
            "device": "cpu",
            "throughput_bps": per_inference_second(8 * work.bytes),
            "sample_persec": per_inference_second(work.rows),
            "result_path": result_path,
            "data_path": work.files.first().map(|file| &file.key),
            "rank": self.rank,
            "world_size": self.world_size,
            "execution": self.execution,
            "rows": work.rows,
            "flagged": work.flagged,
            "bytes": work.bytes,
            "files": work.files,
            "wall_seconds": self.wall_seconds,
            "inference_wall_seconds": work.inference_seconds,
            "waiting_wall_seconds": work.waiting_seconds,
            "model_wall_seconds": self.model_seconds,
            "engine": self.made_by.engine,
        })
    }
}

/// Results.json. The metrics stand at the top level under the published names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// Over rows that have both redshifts; absent where there is none.
    #[serde(flatten)]
    pub metrics: Option<Metrics>,
    /// How much of what.
    pub counts: Counts,
    /// Every planned row is in the catalogue.
    pub complete: bool,
    /// What is not, and why.
    pub missing: Vec<Missing>,
    /// Where the time went.
    pub timings: Timings,
    /// How fast it went.
    pub throughput: Throughput,
    /// What made it.
    pub made_by: Provenance,
    /// The execution, or "local".
    pub execution: String,
    /// The input, with every default filled in; absent for local inference.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub payload: Option<Payload>,
}

/// How much of what is in a catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Files planned.
    pub files: u64,
    /// Ranks planned.
    pub ranks: u64,
    /// Rows in the catalogue.
    pub rows: u64,
    /// Rows with a predicted redshift.
    pub predicted: u64,
    /// Rows flagged, without one.
    pub flagged: u64,
    /// Rows with both a spectroscopic and a predicted redshift: those the metrics are over.
    pub compared: u64,
}

/// A rank (or, in local inference, a file) that is not in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The rank; absent in local inference.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rank: Option<u64>,
    /// What it should have read: keys, with `[from, to)` where it owns part of a file.
    pub files: Vec<String>,
    /// Rows missing; null where only the rank would have counted them.
    pub rows: Option<u64>,
    /// Why.
    pub reason: String,
}

/// Where the time went, in seconds. "Wall" is what a clock shows; sums run over ranks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// From the start of the execution to the merge.
    pub wall_seconds: f64,
    /// The slowest rank.
    pub slowest_rank_seconds: f64,
    /// All ranks, whole.
    pub rank_seconds: f64,
    /// All ranks, in the engine.
    pub inference_seconds: f64,
    /// All ranks, waiting for data.
    pub waiting_seconds: f64,
    /// All ranks, loading model and engine.
    pub model_seconds: f64,
    /// All ranks, CPU time of all threads.
    pub cpu_seconds: f64,
}

/// How fast it went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Rows this execution computed, over its wall time.
    pub galaxies_per_second: f64,
    /// Bytes of data this execution read, over its wall time.
    pub bytes_per_second: f64,
    /// Rows over seconds in the engine: the speed of one rank.
    pub galaxies_per_second_per_rank: f64,
    /// Rows an earlier execution had computed already: not part of the rates above.
    pub resumed_rows: u64,
}

impl Timings {
    /// Adds one rank.
    pub fn add(&mut self, record: &RankRecord) {
        self.slowest_rank_seconds = self.slowest_rank_seconds.max(record.wall_seconds);
        self.rank_seconds += record.wall_seconds;
        self.inference_seconds += record.work.inference_seconds;
        self.waiting_seconds += record.work.waiting_seconds;
        self.model_seconds += record.model_seconds;
        self.cpu_seconds += record.work.cpu_seconds;
    }
}
