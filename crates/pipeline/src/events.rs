//! What the state machine and the three functions say to each other. It is small at any scale: lists lie in the bucket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{plan::Owner, storage::ObjectInfo};

/// Input of the initializer.
#[derive(Debug, Clone, Deserialize)]
pub struct InitializeEvent {
    /// The execution's input, before it is checked.
    pub payload: Value,
    /// The execution whose input it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// How often the state machine has tried this step before.
    pub attempt: u64,
}

/// Answer of the initializer: the run that the other states carry along.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    #[serde(flatten)]
    pub owner: Owner,
    /// Bucket of the results.
    pub bucket: String,
    /// Folder of the results.
    pub result_path: String,
    /// Fingerprint of the plan.
    pub fingerprint: String,
    /// Number of ranks of the run.
    pub world_size: u64,
    /// Number of ranks still to run; fewer than `world_size` where a run is resumed.
    pub pending: u64,
    /// Key of the list of ranks still to run.
    pub tasks: String,
    /// The list of files, as this run's initializer wrote it.
    pub files: ObjectInfo,
    /// Ranks that the Distributed Map runs at once, as they were resolved; 0 is as many as it starts.
    pub max_concurrency: u64,
}

/// An item of the list of ranks still to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub rank: u64,
    /// The name of what it leaves: see [`Plan::object_name`](crate::plan::Plan::object_name).
    pub object: String,
    /// The bytes `[from, to)` of the list of files that name its own.
    pub lines: (u64, u64),
    /// Its rows `[from, to)`, counted from the first row of the first of them; null for all.
    pub rows: Option<(u64, u64)>,
}

/// Input of the inference function: a task, with what it needs of the [`Run`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankEvent {
    #[serde(flatten)]
    pub owner: Owner,
    pub bucket: String,
    pub result_path: String,
    pub fingerprint: String,
    pub files: ObjectInfo,
    #[serde(flatten)]
    pub task: Task,
}

impl RankEvent {
    /// The input of a task, as the state machine makes it.
    pub fn new(run: &Run, task: Task) -> Self {
        Self {
            owner: run.owner.clone(),
            bucket: run.bucket.clone(),
            result_path: run.result_path.clone(),
            fingerprint: run.fingerprint.clone(),
            files: run.files.clone(),
            task,
        }
    }
}

/// Answer of the inference function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankAnswer {
    pub rank: u64,
    /// Rows in its part of the catalogue.
    pub rows: u64,
    /// Rows of it that have no predicted redshift.
    pub flagged: u64,
    /// Bytes read from the data files.
    pub bytes: u64,
    /// Files of its share that could not be read, and whose rows are missing.
    pub unreadable_files: u64,
    /// Wall time of the whole rank.
    pub milliseconds: u64,
    /// Wall seconds that the engine waited for rows.
    pub waiting_seconds: f64,
    /// Wall seconds that the engine computed.
    pub inference_seconds: f64,
    /// Whether an earlier attempt had finished it already.
    pub skipped: bool,
}

/// Input of the summarizer: what it needs of the [`Run`], and how the map ended.
#[derive(Debug, Clone, Deserialize)]
pub struct SummarizeEvent {
    #[serde(flatten)]
    pub owner: Owner,
    pub bucket: String,
    pub result_path: String,
    pub fingerprint: String,
    pub files: ObjectInfo,
    /// How often the state machine has tried this step before.
    pub attempt: u64,
    /// When the execution started, RFC 3339.
    pub start_time: String,
    /// Where the map wrote its results, if it ended.
    #[serde(default)]
    pub map: Option<ResultWriterDetails>,
    /// Why the map as a whole failed, if it did.
    #[serde(default)]
    pub error: Option<MapError>,
}

/// Step Functions' address of a map run's result files.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResultWriterDetails {
    /// Key of `manifest.json`, in the bucket of the results.
    pub key: String,
}

/// A failure as Step Functions' `Catch` hands it on.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MapError {
    pub error: String,
    #[serde(default)]
    pub cause: String,
}

/// Answer of the summarizer, and output of the execution.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// Whether every planned row is in the catalogue.
    pub complete: bool,
    /// Whether no more files are missing than the payload tolerates.
    pub accepted: bool,
    pub rows: u64,
    /// Ranks whose share is not whole in the catalogue.
    pub missing_ranks: u64,
    /// Rows that they own; null where only they would have counted them.
    pub missing_rows: Option<u64>,
    /// What is missing and why, for a person; null where nothing is.
    pub reason: Option<String>,
    /// Key of Results.json.
    pub results: String,
}

/// The message of a cause: Lambda's are an object with the message in it, others are plain text.
pub fn plain_cause(cause: &str) -> String {
    serde_json::from_str::<Value>(cause)
        .ok()
        .and_then(|cause| cause["errorMessage"].as_str().map(str::to_owned))
        .unwrap_or_else(|| cause.to_owned())
}
