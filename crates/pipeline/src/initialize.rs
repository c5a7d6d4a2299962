//! The first step: from the execution's input to a plan in the bucket.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    Error, Result,
    events::{InitializeEvent, Run, Task},
    layout::Layout,
    payload::Payload,
    plan::{Plan, PlannedFile, PlannedModel, hex, shares_files, sort},
    predict,
    results::RankRecord,
    store::{ObjectInfo, ObjectStore, Stores, Write, as_folder, get_if_present},
};

/// Headers read and marks checked at once.
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

    let files = list_partitions(&data, &payload.data_prefix, payload.file_limit).await?;
    tracing::info!(files = files.len(), "listed");
    let files = match payload.world_size {
        Some(world_size) if shares_files(world_size, files.len()) => count_rows(&data, files).await?,
        _ => files,
    };
    let model = match &payload.model {
        Some(key) => hash_model(&results, key).await?,
        None => packaged_model.cloned().ok_or_else(|| {
            Error::BadModel {
                location: "model.json".into(),
                reason: "no model was packaged with the functions: name one in the payload's `model`, or deploy again with a model".into(),
            }
        })?,
    };
    let plan = Plan::new(payload, &event.execution, files, model)?;
    if plan.world_size == 0 {
        return Err(Error::bad_partition(
            data.location(&as_folder(&plan.payload.data_prefix)),
            "the files there hold no rows at all",
        ));
    }
    let layout = Layout::new(&plan.payload.result_path);
    let pending = claim(&results, &layout, &plan).await?;
    tracing::info!(
        fingerprint = plan.fingerprint,
        world_size = plan.world_size,
        rows = plan.rows(),
        pending = pending.len(),
        "planned"
    );
    results.put(&layout.tasks(), json(&pending)?.into(), Write::Replace).await?;
    Ok(Run {
        execution: event.execution.clone(),
        bucket: plan.payload.bucket,
        result_path: plan.payload.result_path,
        fingerprint: plan.fingerprint,
        world_size: plan.world_size,
        pending: pending.len() as u64,
        tasks: layout.tasks(),
        max_concurrency: plan.payload.max_concurrency,
    })
}

/// The `.pt` and `.pth` files under a folder, in natural order, the first `limit` of them.
///
/// # Errors
/// [`Error::EmptyPrefix`] where there is none.
pub async fn list_partitions(
    store: &Arc<dyn ObjectStore>,
    folder: &str,
    limit: Option<u64>,
) -> Result<Vec<PlannedFile>> {
    let folder = as_folder(folder);
    let listed = store.list(&folder).await?;
    let (partitions, others): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .filter(|object| !object.key.ends_with('/'))
        .partition(|object| object.key.ends_with(".pt") || object.key.ends_with(".pth"));
    if let Some(first) = others.first() {
        tracing::warn!(
            objects = others.len(),
            first = first.key,
            "objects that are neither .pt nor .pth lie under the prefix and are left out"
        );
    }
    if partitions.is_empty() {
        return Err(Error::EmptyPrefix { location: store.location(&folder) });
    }
    let mut files: Vec<_> = partitions.into_iter().map(|object| PlannedFile { object, rows: None }).collect();
    sort(&mut files);
    files.truncate(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
    Ok(files)
}

/// Reads the headers of all files.
async fn count_rows(store: &Arc<dyn ObjectStore>, files: Vec<PlannedFile>) -> Result<Vec<PlannedFile>> {
    stream::iter(files)
        .map(async |file| {
            let rows = predict::open(store, &file).await?.rows();
            Ok(PlannedFile { rows: Some(rows), ..file })
        })
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await
}

/// Finds a model in the bucket and hashes it.
async fn hash_model(store: &Arc<dyn ObjectStore>, key: &str) -> Result<PlannedModel> {
    let object = store.head(key).await?;
    let mut hash = Sha256::new();
    let mut from = 0;
    while from < object.size {
        let to = object.size.min(from + HASH_PIECE);
        hash.update(store.get_range(&object, from..to).await?);
        from = to;
    }
    Ok(PlannedModel { name: key.to_owned(), sha256: hex(&hash.finalize()), object: Some(object) })
}

/// Makes the result path this run's, and says which ranks are still to run.
async fn claim(store: &Arc<dyn ObjectStore>, layout: &Layout, plan: &Plan) -> Result<Vec<Task>> {
    let all = || (0..plan.world_size).map(|rank| Task { rank }).collect();
    if plan.payload.overwrite {
        let old = store.list(layout.root()).await;
        // A local result folder need not exist yet.
        let old = match old {
            Err(Error::NotFound { .. }) => Vec::new(),
            old => old?,
        };
        let keys: Vec<_> = old.into_iter().map(|object| object.key).filter(|key| layout.is_ours(key)).collect();
        store.delete(&keys).await?;
    }
    if store.put(&layout.plan(), json(plan)?.into(), Write::Create).await? {
        return Ok(all());
    }
    let there = read_plan(store, layout).await?;
    if there.fingerprint != plan.fingerprint {
        return Err(Error::ResultPathTaken {
            location: store.location(layout.root()),
            theirs: there.fingerprint,
            ours: plan.fingerprint.clone(),
        });
    }
    let finished = finished_ranks(store, layout, plan).await?;
    tracing::info!(finished = finished.len(), "the plan was there already: only the other ranks run");
    let tasks: Vec<Task> = all();
    Ok(tasks.into_iter().filter(|task| !finished.contains(&task.rank)).collect())
}

/// Ranks whose mark belongs to this plan and whose part is there. A mark without its part is deleted: it would keep the
/// rank from running again.
async fn finished_ranks(
    store: &Arc<dyn ObjectStore>,
    layout: &Layout,
    plan: &Plan,
) -> Result<std::collections::BTreeSet<u64>> {
    let there: std::collections::HashSet<String> =
        store.list(layout.root()).await?.into_iter().map(|object: ObjectInfo| object.key).collect();
    let (marked, widowed): (Vec<u64>, Vec<u64>) = (0..plan.world_size)
        .filter(|rank| there.contains(&layout.mark(*rank)))
        .partition(|rank| there.contains(&layout.part(*rank)));
    let widowed: Vec<String> = widowed.into_iter().map(|rank| layout.mark(rank)).collect();
    store.delete(&widowed).await?;
    let ours = stream::iter(marked)
        .map(async |rank| {
            let record = read_mark(store, layout, &plan.fingerprint, rank).await?;
            Ok::<_, Error>(record.map(|record| record.rank))
        })
        .buffer_unordered(CONCURRENT_READS)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(ours.into_iter().flatten().collect())
}

/// The plan that lies under a result path.
pub async fn read_plan(store: &Arc<dyn ObjectStore>, layout: &Layout) -> Result<Plan> {
    let key = layout.plan();
    let bytes = store.get(&key).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Error::Internal(format!("{} is not a plan of this version of Cosmic: {error}", store.location(&key)))
    })
}

/// The mark of one rank, where it is there and belongs to the plan.
pub async fn read_mark(
    store: &Arc<dyn ObjectStore>,
    layout: &Layout,
    fingerprint: &str,
    rank: u64,
) -> Result<Option<RankRecord>> {
    let Some(bytes) = get_if_present(store.as_ref(), &layout.mark(rank)).await? else {
        return Ok(None);
    };
    let record: Option<RankRecord> = serde_json::from_slice(&bytes).ok();
    Ok(record.filter(|record| record.rank == rank && record.made_by.fingerprint.as_deref() == Some(fingerprint)))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| Error::Internal(error.to_string()))
}
