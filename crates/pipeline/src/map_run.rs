//! Step Functions' records of a map run: why ranks failed.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    error::Error,
    events::{SummarizeEvent, plain_cause},
    run_files::RunFiles,
    storage::explain,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    result_files: BTreeMap<String, Vec<ResultFile>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultFile {
    key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FailedItem {
    /// The item's input, as JSON in a string.
    input: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    cause: String,
}

/// Why ranks failed, by the map run's result files. Reasons are worth having but not worth failing for.
pub(crate) async fn failure_reasons(files: &RunFiles, event: &SummarizeEvent) -> BTreeMap<u64, String> {
    let mut reasons = BTreeMap::new();
    let Some(map) = &event.map else { return reasons };
    let read = async {
        let manifest: Manifest = files.read_json(&map.key).await?;
        for file in manifest.result_files.get("FAILED").into_iter().flatten() {
            let items: Vec<FailedItem> = files.read_json(&file.key).await?;
            for item in items {
                let rank = serde_json::from_str::<Value>(&item.input).ok().and_then(|input| input["rank"].as_u64());
                if let Some(rank) = rank {
                    reasons.insert(rank, format!("{}: {}", item.error, plain_cause(&item.cause)));
                }
            }
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = read.await {
        let error = explain(&error);
        tracing::warn!(error, "the map run's result files could not be read: missing ranks are named without reasons");
    }
    reasons
}

/// Why a rank did not run, where the map run's result files do not name it.
pub(crate) fn not_run_reason(event: &SummarizeEvent) -> String {
    match &event.error {
        Some(error) => format!("it did not finish: the map failed with {}: {}", error.error, plain_cause(&error.cause)),
        None => "it left nothing, and the map run names no failure for it".into(),
    }
}
