//! The first step: from the execution's input to a plan in the bucket.
//!
//! A result path belongs to a payload. The same payload again takes over what is finished; another one is refused,
//! unless it overwrites; and while the execution that owns the path still runs, every other is refused.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use catalogue::OwnColumns;
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use crate::{
    concurrency::{Quotas, RanksAtOnce},
    engine_cache::check_model_size,
    error::{Error, Result},
    events::{InitializeEvent, Run, Task},
    own_columns,
    partitions::{self, Partitions, list_partitions},
    payload::Payload,
    plan::{Owner, Plan, PlannedFile, PlannedModel, shares_files},
    run_files::{ATTEMPTS, Claim, Claimant, FoundPlan, FoundRanks, Leftover, RunFiles, Step, to_lines},
    storage::{ObjectStore, Stores, explain},
};

/// Headers that are read at the same time.
pub const CONCURRENT_READS: usize = 32;

/// A model is hashed in pieces of this size, so that planning needs no memory for it.
const HASH_PIECE: u64 = 8 << 20;

/// An execution that claimed its path longer ago is known to Step Functions, if it is not forgotten: what it says of
/// executions is said to be eventually consistent, and takes seconds.
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html>
const NOT_VISIBLE_YET: Duration = Duration::from_secs(300);

/// Knows executions of state machines.
#[async_trait]
pub trait Executions: Send + Sync {
    /// How the execution of this ARN is.
    async fn state(&self, execution_arn: &str) -> Result<ExecutionState>;
}

/// How an execution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionState {
    Running,
    Ended,
    /// Step Functions does not know it: not yet, or not any more.
    Unknown,
}

/// Plans a run and claims its result path.
///
/// Ranks that an earlier execution of the same payload has finished are left out of the tasks.
///
/// # Errors
/// Named errors for a bad payload, missing objects and a result path that belongs to another run.
pub async fn initialize(
    stores: &dyn Stores,
    executions: &dyn Executions,
    quotas: &Quotas,
    event: &InitializeEvent,
    packaged_model: Option<&PlannedModel>,
) -> Result<Run> {
    let (payload, warnings) = Payload::parse(&event.payload, &event.owner.execution)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let at_once = RanksAtOnce::resolve(payload.max_concurrency, quotas);
    tracing::info!(max_concurrency = at_once.max_concurrency, reason = at_once.reason, "ranks at once");
    if let Some(warning) = &at_once.warning {
        tracing::warn!("{warning}");
    }
    let results = stores.bucket(&payload.bucket);
    let data = payload.data_store(stores);

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
            let reason = "no model was packaged with the functions: run scripts/package.sh, then scripts/deploy.sh, or name a model \
                          of the bucket in the payload's `model`";
            Error::BadModel { location: "model.json".into(), source: reason.into() }
        })?,
    };
    let run_files = RunFiles::new(results, &payload.result_path);
    let claimant = Claimant { step: Step::Initialize, attempt: event.attempt };
    for _ in 0..ATTEMPTS {
        let found = run_files.find_plan().await?;
        let generation = admit(&run_files, executions, &event.owner, &payload, found.as_ref()).await?;
        let plan = Plan {
            at_once: Some(at_once.clone()),
            ..Plan::new(payload.clone(), event.owner.clone(), generation, &files, model.clone())?
        };
        // Both are looked up before the claim: what a successor leaves is not among them.
        let ranks = run_files.find_ranks().await?;
        let starts_anew = plan.generation == event.owner.execution_arn;
        let leftovers = if starts_anew && payload.overwrite { run_files.find_leftovers().await? } else { Vec::new() };
        if let Some(claim) = run_files.claim(plan.clone(), claimant, found.as_ref()).await? {
            return write_plan(&run_files, &claim, plan, &files, &ranks, leftovers).await;
        }
    }
    Err(run_files.contended())
}

/// Decides whether an execution may have a result path, and which generation it goes on with.
async fn admit(
    run_files: &RunFiles,
    executions: &dyn Executions,
    owner: &Owner,
    payload: &Payload,
    found: Option<&FoundPlan>,
) -> Result<String> {
    // This is asked after the plan was read: an initializer whose execution was stopped, and that lives on, must not
    // take the path over once its successor has ended.
    if executions.state(&owner.execution_arn).await? == ExecutionState::Ended {
        return Err(Error::ExecutionEnded { execution: owner.execution.clone() });
    }
    let Some(FoundPlan { plan: theirs, age, .. }) = found else { return Ok(owner.execution_arn.clone()) };
    if theirs.owner == *owner {
        // An earlier attempt of this function got as far as this.
        return Ok(theirs.generation.clone());
    }
    let location = run_files.location("");
    let runs = match executions.state(&theirs.owner.execution_arn).await? {
        ExecutionState::Running => true,
        ExecutionState::Ended => false,
        ExecutionState::Unknown => *age < NOT_VISIBLE_YET,
    };
    if runs {
        let Owner { execution, execution_arn } = theirs.owner.clone();
        return Err(Error::ResultPathBusy { location, owner: execution, owner_arn: execution_arn });
    }
    let differences = payload.differences(&theirs.payload);
    if payload.overwrite {
        tracing::info!(execution = theirs.owner.execution, "overwrites the run of this execution");
        Ok(owner.execution_arn.clone())
    } else if differences.is_empty() {
        tracing::info!(execution = theirs.owner.execution, "goes on with the run of this execution");
        Ok(theirs.generation.clone())
    } else {
        Err(Error::ResultPathTaken { location, owner: theirs.owner.execution.clone(), differences })
    }
}

/// Writes down what is to be done under a result path that has been claimed.
async fn write_plan(
    run_files: &RunFiles,
    claim: &Claim,
    plan: Plan,
    files: &[PlannedFile],
    ranks: &FoundRanks,
    leftovers: Vec<Leftover>,
) -> Result<Run> {
    let (lines, starts) = to_lines(files)?;
    let tasks = plan.shares(files).into_iter().zip(0..).map(|(share, rank)| Task {
        rank,
        object: plan.object_name(&share.slices(&files[share.files.clone()])),
        lines: (starts[share.files.start], starts[share.files.end]),
        rows: share.rows.map(|rows| (rows.start, rows.end)),
    });
    let (finished, pending): (Vec<Task>, Vec<Task>) = tasks.partition(|task| ranks.complete.contains_key(&task.object));
    tracing::info!(
        fingerprint = plan.fingerprint,
        world_size = plan.world_size,
        rows = plan.rows,
        finished = finished.len(),
        pending = pending.len(),
        "planned"
    );
    let files = run_files.write_files(claim, &lines).await?;
    let tasks = run_files.write_tasks(claim, &pending).await?;
    // Ranks of an earlier attempt of this execution may be among what was there.
    let own: HashSet<&str> = finished.iter().chain(&pending).map(|task| task.object.as_str()).collect();
    let is_own = |leftover: &Leftover| leftover.hash.as_deref().is_some_and(|hash| own.contains(hash));
    let of_others = leftovers.into_iter().filter(|leftover| !is_own(leftover));
    run_files.delete(&of_others.map(|leftover| leftover.key).collect::<Vec<_>>()).await?;
    Ok(Run {
        owner: plan.owner,
        bucket: plan.payload.bucket,
        result_path: plan.payload.result_path,
        fingerprint: plan.fingerprint,
        world_size: plan.world_size,
        pending: pending.len() as u64,
        tasks,
        files,
        max_concurrency: plan.at_once.map_or(plan.payload.max_concurrency, |at_once| at_once.max_concurrency),
    })
}

/// Reads the number of rows of all files. A file that cannot be read keeps the reason instead.
///
/// # Errors
/// Those of storage that a retry may mend; the reason of the first file where none can be read; files whose columns do
/// not fit each other, which the ranks would find out too late.
pub async fn count_rows(store: &Arc<dyn ObjectStore>, files: Vec<PlannedFile>) -> Result<Vec<PlannedFile>> {
    let counted: Vec<_> = stream::iter(files)
        .map(async |file| match partitions::open(store, &file).await {
            Ok(dataset) => {
                // A file without galaxies says nothing of any.
                let columns = if dataset.rows() > 0 { dataset.columns().to_vec() } else { Vec::new() };
                Ok((PlannedFile { rows: Some(dataset.rows()), ..file }, Ok(columns)))
            }
            Err(error) if error.is_permanent() => {
                let reason = explain(&error);
                tracing::warn!(key = file.object.key, reason, "a file cannot be read: its rows will be missing");
                Ok((PlannedFile { unreadable: Some(reason), ..file }, Err(error)))
            }
            Err(error) => Err(error),
        })
        .buffered(CONCURRENT_READS)
        .try_collect()
        .await?;
    let mut own = OwnColumns::default();
    let (mut files, mut first_failure, mut readable) = (Vec::new(), None, false);
    for (file, columns) in counted {
        match columns {
            Ok(columns) => {
                readable = true;
                own_columns::admit(&mut own, &file.object.key, &columns)?;
            }
            Err(error) => _ = first_failure.get_or_insert(error),
        }
        files.push(file);
    }
    match first_failure {
        Some(first) if !readable => Err(first),
        _ => Ok(files),
    }
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
