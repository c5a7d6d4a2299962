//! The first step: from the execution's input to a plan in the bucket.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use crate::{
    engine_cache::check_model_size,
    error::{Error, Result},
    events::{InitializeEvent, Run, Task},
    partitions::{self, Partitions, list_partitions},
    payload::Payload,
    plan::{Plan, PlannedFile, PlannedModel, shares_files},
    run_files::{FoundRanks, RunFiles},
    storage::{ObjectStore, Stores, as_folder},
};

/// Headers that are read at the same time.
const CONCURRENT_READS: usize = 32;

/// A model is hashed in pieces of this size, so that planning needs no memory for it.
const HASH_PIECE: u64 = 8 << 20;

/// Plans a run and claims its result path.
///
/// Started again with an input that gives the same plan, it leaves finished ranks out of the tasks.
///
/// # Errors
/// Named errors for a bad payload, missing objects and a result path that belongs to another run.
pub async fn initialize(
    stores: &dyn Stores,
    event: &InitializeEvent,
    packaged_model: Option<&PlannedModel>,
) -> Result<Run> {
    let (payload, warnings) = Payload::parse(&event.payload, &event.execution)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let results = stores.bucket(&payload.bucket);
    let data = stores.bucket(&payload.data_bucket);

    let Partitions { files, unreadable } = list_partitions(&data, &payload.data_prefix, payload.file_limit).await?;
    if let Some(first) = unreadable.first() {
        let reason = format!("{} cannot be read: {}", data.location(&first.name), first.reason);
        return Err(Error::BadPartition(reason.into()));
    }
    tracing::info!(files = files.len(), "listed");
    let files = match payload.world_size {
        Some(world_size) if shares_files(world_size, files.len()) => count_rows(&data, files).await?,
        _ => files,
    };
    let model = match &payload.model {
        Some(key) => hash_model(&results, key).await?,
        None => packaged_model.cloned().ok_or_else(|| {
            let reason = "no model was packaged with the functions: name one in the payload's `model`, or deploy again with a model";
            Error::BadModel { location: "model.json".into(), source: reason.into() }
        })?,
    };
    let plan = Plan::new(payload, &event.execution, files, model)?;
    if plan.world_size == 0 {
        let location = data.location(&as_folder(&plan.payload.data_prefix));
        return Err(Error::BadPartition(format!("the files under {location} hold no rows at all").into()));
    }
    let run_files = RunFiles::new(results, &plan.payload.result_path);
    let pending = claim(&run_files, &plan).await?;
    tracing::info!(
        fingerprint = plan.fingerprint,
        world_size = plan.world_size,
        rows = plan.rows(),
        pending = pending.len(),
        "planned"
    );
    let tasks = run_files.write_tasks(&pending).await?;
    Ok(Run {
        execution: event.execution.clone(),
        bucket: plan.payload.bucket,
        result_path: plan.payload.result_path,
        fingerprint: plan.fingerprint,
        world_size: plan.world_size,
        pending: pending.len() as u64,
        tasks,
        max_concurrency: plan.payload.max_concurrency,
    })
}

/// Reads the number of rows of all files.
async fn count_rows(store: &Arc<dyn ObjectStore>, files: Vec<PlannedFile>) -> Result<Vec<PlannedFile>> {
    stream::iter(files)
        .map(async |file| {
            let rows = partitions::open(store, &file).await?.rows();
            Ok(PlannedFile { rows: Some(rows), ..file })
        })
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await
}

/// Finds a model in the bucket, and hashes its bytes.
async fn hash_model(store: &Arc<dyn ObjectStore>, key: &str) -> Result<PlannedModel> {
    let object = store.head(key).await?;
    check_model_size(&store.location(key), object.size)?;
    let mut hash = Sha256::new();
    let mut from = 0;
    while from < object.size {
        let to = object.size.min(from + HASH_PIECE);
        hash.update(store.get_range(&object, from..to).await?);
        from = to;
    }
    Ok(PlannedModel { name: key.to_owned(), sha256: hex::encode(hash.finalize()), object: Some(object) })
}

/// Makes the result path this run's, and says which ranks are still to run.
async fn claim(files: &RunFiles, plan: &Plan) -> Result<Vec<Task>> {
    let all = (0..plan.world_size).map(|rank| Task { rank });
    if plan.payload.overwrite {
        files.delete_all().await?;
    }
    if files.create_plan(plan).await? {
        return Ok(all.collect());
    }
    let there = files.read_plan().await?;
    if there.fingerprint != plan.fingerprint {
        return Err(Error::ResultPathTaken {
            location: files.location(""),
            theirs: there.fingerprint,
            ours: plan.fingerprint.clone(),
        });
    }
    let FoundRanks { finished, without_part } = files.find_ranks(plan).await?;
    files.delete_records(without_part).await?;
    tracing::info!(finished = finished.len(), "the plan was there already: only the other ranks run");
    Ok(all.filter(|task| !finished.contains(&task.rank)).collect())
}
