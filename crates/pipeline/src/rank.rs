//! One rank: its share of the rows in, its part of the catalogue out, with its record in it.

use std::{sync::Arc, time::Instant};

use catalogue::{GrowingCatalogue, ParquetError, Provenance, WriteError};

use crate::{
    batch_loop::{BatchLoop, Output},
    calibration::Intervals,
    deadline::Deadline,
    engine_cache::{EngineCache, Ready},
    error::{Error, Result},
    events::{RankAnswer, RankEvent, Task},
    phases::{Phases, Stopwatch, seconds_since_1970},
    plan::{Plan, PlannedFile, Share},
    ran_on::RanOn,
    read_ahead::{Input, OnStorageFailure},
    resource_usage,
    run_files::{RankError, RankRun, RunFiles},
    storage::{ObjectInfo, Requests, Stores},
};

/// Reads of what does not fit the plan, before that is believed.
const READS: usize = 3;

/// Does the work of one rank.
///
/// Where an earlier attempt has finished it, it says so and does nothing. Of two attempts at the same time one writes
/// what it found out; the other would have written the same.
///
/// # Errors
/// Named ones, and the rank does not count as finished. A file that cannot be read is none, as long as another can: the
/// answer counts it, and the rank's object names it.
pub async fn run(
    stores: &dyn Stores,
    engines: &EngineCache,
    event: &RankEvent,
    deadline: Option<Deadline>,
) -> Result<RankAnswer> {
    let (started, started_at, watch) = (Instant::now(), seconds_since_1970(), Stopwatch::start());
    let requests = Requests::so_far();
    let results = stores.bucket(&event.bucket);
    let files = RunFiles::new(Arc::clone(&results), &event.result_path);
    let Task { rank, object: hash, .. } = &event.task;
    let there = files.head_rank(hash).await?;
    if let Some(object) = &there
        && let Some(done) = finished(&files, object).await?
    {
        tracing::info!(
            rows = done.work.rows,
            bytes = done.work.bytes,
            milliseconds = milliseconds(started),
            "an earlier attempt had finished this rank"
        );
        return Ok(answer(*rank, &done, started, true));
    }
    let plan = files.read_own_plan(&event.owner, &event.fingerprint).await?.plan;
    let own_files = read_own_files(&files, &plan, event).await?;
    let slices = share_of(&event.task, &own_files).slices(&own_files);
    let planned_bytes: u64 = slices.iter().map(|slice| slice.file.object.size).sum();
    tracing::info!(
        files = slices.len(),
        bytes = planned_bytes,
        milliseconds = milliseconds(started),
        "plan read: these files are this rank's, or parts of them"
    );

    let start = watch.spent();
    let loading = Stopwatch::start();
    let payload = &plan.payload;
    let Ready { first_of_process, engine, calibration } =
        engines.get(&results, &plan.model, &payload.engine, payload.precision).await?;
    let model = loading.spent();
    tracing::info!(
        engine = engine.description(),
        milliseconds = seconds_to_milliseconds(model.wall_seconds),
        "engine ready"
    );

    let made_by = Provenance {
        fingerprint: Some(plan.fingerprint.clone()),
        model: plan.model.name.clone(),
        model_sha256: plan.model.sha256.clone(),
        calibration: calibration.as_ref().map(|calibration| calibration.made_of.clone()),
        engine: engine.description(),
        precision: payload.precision.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let unencoded = |error: ParquetError| Error::internal(format!("failed to encode what rank {rank} leaves"), error);
    let mut part = GrowingCatalogue::new().map_err(unencoded)?;
    let intervals = calibration.map(|calibration| Intervals { calibration, levels: payload.level_set() });
    let batches = BatchLoop {
        store: &payload.data_store(stores),
        engine: &engine,
        intervals: intervals.as_ref(),
        batch_size: payload.batch_size,
        deadline,
        on_storage_failure: OnStorageFailure::Fail,
    };
    let inputs = slices.iter().map(Input::planned).collect();
    let work = batches
        .run(inputs, |output| match output {
            Output::Rows(rows) => part.write(&rows.catalogue).map_err(|error| match error {
                WriteError::Conflict(conflict) => Error::BadPartition(conflict.into()),
                WriteError::Parquet(error) => unencoded(error),
            }),
            Output::Predicted(_) => Ok(()),
        })
        .await?;
    tracing::info!(
        rows = work.rows,
        flagged = work.flagged,
        bytes = work.bytes,
        batches = work.batches,
        milliseconds = seconds_to_milliseconds(work.all.wall_seconds),
        inference_milliseconds = seconds_to_milliseconds(work.inference.wall_seconds),
        waiting_milliseconds = seconds_to_milliseconds(work.waiting.wall_seconds),
        "predicted"
    );

    let writing = Instant::now();
    let mut sent = Requests::so_far() - requests;
    sent.writes += 1;
    let total = watch.spent();
    let run = RankRun {
        rank: *rank,
        world_size: plan.world_size,
        execution: event.owner.execution.clone(),
        made_by,
        batch_size: payload.batch_size,
        phases: Phases { start, model, ..work.phases() }.with_total(total),
        work,
        started_at,
        wall_seconds: total.wall_seconds,
        first_of_process,
        ran_on: RanOn::of_this_process(),
        cores: resource_usage::cores(),
        memory_mb: deadline.and_then(Deadline::memory_mb),
        requests: sent,
        peak_memory_mb: resource_usage::peak_memory_mb(),
    };
    let object = run.finish(part).map_err(unencoded)?;
    let object_bytes = object.len();
    files.write_rank(hash, run.work.unreadable.is_empty(), object, there.as_ref()).await?;
    tracing::info!(
        rows = run.work.rows,
        bytes = object_bytes,
        milliseconds = milliseconds(writing),
        "rows and record written"
    );
    tracing::info!(
        rows = run.work.rows,
        bytes = run.work.bytes,
        milliseconds = milliseconds(started),
        cpu_milliseconds = seconds_to_milliseconds(run.phases.cpu_seconds()),
        peak_memory_mb = run.peak_memory_mb,
        "rank finished"
    );
    Ok(answer(*rank, &run, started, false))
}

/// The rank's lines of the list of files, proved by the name of what they make.
///
/// # Errors
/// [`Error::Internal`] where they make something else, which another attempt may mend: S3 has no checksum of a range.
async fn read_own_files(files: &RunFiles, plan: &Plan, event: &RankEvent) -> Result<Vec<PlannedFile>> {
    let mut found = String::new();
    for _ in 0..READS {
        let own_files = files.read_lines(&event.files, event.task.lines).await?;
        found = plan.object_name(&share_of(&event.task, &own_files).slices(&own_files));
        if found == event.task.object {
            return Ok(own_files);
        }
    }
    Err(Error::fault(format!("the task is to make {}, and its files make {found}", event.task.object)))
}

/// What the task is to read of its files.
fn share_of(task: &Task, own_files: &[PlannedFile]) -> Share {
    Share { files: 0..own_files.len(), rows: task.rows.map(|(from, to)| from..to) }
}

/// What an earlier attempt says of its work, if what it left is of use.
async fn finished(files: &RunFiles, object: &ObjectInfo) -> Result<Option<RankRun>> {
    match files.read_rank(object).await {
        Ok(left) => Ok(Some(left.run)),
        Err(RankError::Unusable(reason)) => {
            tracing::warn!(key = object.key, reason, "what an earlier attempt has left is of no use");
            Ok(None)
        }
        Err(RankError::Storage(error)) => Err(error.into()),
        Err(RankError::Fault(error)) => Err(error),
    }
}

fn answer(rank: u64, run: &RankRun, started: Instant, skipped: bool) -> RankAnswer {
    RankAnswer {
        rank,
        rows: run.work.rows,
        flagged: run.work.flagged,
        bytes: run.work.bytes,
        unreadable_files: run.work.unreadable.len() as u64,
        milliseconds: milliseconds(started),
        waiting_seconds: run.work.waiting.wall_seconds,
        inference_seconds: run.work.inference.wall_seconds,
        skipped,
    }
}

fn milliseconds(since: Instant) -> u64 {
    seconds_to_milliseconds(since.elapsed().as_secs_f64())
}

fn seconds_to_milliseconds(seconds: f64) -> u64 {
    (seconds * 1e3).round() as u64
}
