//! What the state machine and the three functions say to each other. It is small at any scale: lists lie in the bucket.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Input of the initializer.
#[derive(Debug, Clone, Deserialize)]
pub struct InitializeEvent {
    /// The execution's input, before it is checked.
    pub payload: Value,
    /// Name of the execution.
    pub execution: String,
}

/// Answer of the initializer: the run that the other states carry along.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Name of the execution.
    pub execution: String,
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
    /// Ranks that the Distributed Map runs at once; 0 is as many as Lambda gives.
    pub max_concurrency: u64,
}

/// An item of the list of ranks still to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub rank: u64,
}

/// Input of the inference function: a task, with what it needs of the [`Run`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankEvent {
    pub execution: String,
    pub bucket: String,
    pub result_path: String,
    pub fingerprint: String,
    pub rank: u64,
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
    /// Wall time of the whole rank.
    pub milliseconds: u64,
    /// Whether an earlier attempt had finished it already.
    pub skipped: bool,
}

/// Input of the summarizer: what it needs of the [`Run`], and how the map ended.
#[derive(Debug, Clone, Deserialize)]
pub struct SummarizeEvent {
    pub execution: String,
    pub bucket: String,
    pub result_path: String,
    pub fingerprint: String,
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
    /// Whether no more ranks are missing than the payload tolerates.
    pub accepted: bool,
    pub rows: u64,
    /// Ranks of which the catalogue has nothing.
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
