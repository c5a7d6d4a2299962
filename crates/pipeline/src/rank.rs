//! One rank: its share of the rows in, its part of the catalogue and its record out.

use std::{sync::Arc, time::Instant};

use catalogue::{CatalogueWriter, ParquetError, Provenance};
use sha2::{Digest, Sha256};

use crate::{
    batch_loop::{BatchLoop, Input},
    deadline::Deadline,
    engine_cache::EngineCache,
    error::{Error, Result},
    events::{RankAnswer, RankEvent},
    resource_usage,
    run_files::{RankRecord, RankRun, RunFiles},
    storage::Stores,
};

/// Does the work of one rank.
///
/// Where an earlier attempt has finished it, it says so and does nothing. Of two attempts at the same time the later one
/// wins; should it be killed between its part and its record, the two do not fit, and the rank counts as missing.
///
/// # Errors
/// Named ones, and the rank does not count as finished.
pub async fn run(
    stores: &dyn Stores,
    engines: &EngineCache,
    event: &RankEvent,
    deadline: Option<Deadline>,
) -> Result<RankAnswer> {
    let started = Instant::now();
    let results = stores.bucket(&event.bucket);
    let files = RunFiles::new(Arc::clone(&results), &event.result_path);
    if let Some(RankRecord { run: done, .. }) = files.read_record(&event.fingerprint, event.rank).await? {
        tracing::info!(
            rows = done.work.rows,
            bytes = done.work.bytes,
            milliseconds = milliseconds(started),
            "an earlier attempt had finished this rank"
        );
        return Ok(answer(&done, started, true));
    }
    let plan = files.read_own_plan(&event.fingerprint).await?;
    if event.rank >= plan.world_size {
        return Err(Error::BadPayload(format!("`rank` is {}, the plan has {} ranks", event.rank, plan.world_size)));
    }
    let share = plan.share(event.rank);
    let planned_bytes: u64 = share.iter().map(|slice| slice.file.object.size).sum();
    tracing::info!(
        files = share.len(),
        bytes = planned_bytes,
        milliseconds = milliseconds(started),
        "plan read: these files are this rank's, or parts of them"
    );

    let loading = Instant::now();
    let payload = &plan.payload;
    let engine = engines.get(&results, &plan.model, payload.engine.as_deref()).await?;
    let model_seconds = loading.elapsed().as_secs_f64();
    tracing::info!(engine = engine.description(), milliseconds = milliseconds(loading), "engine ready");

    let made_by = Provenance {
        fingerprint: Some(plan.fingerprint.clone()),
        model: plan.model.name.clone(),
        model_sha256: plan.model.sha256.clone(),
        engine: engine.description(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let key = files.part_key(event.rank);
    let unencoded =
        |error: ParquetError| Error::internal(format!("failed to encode {}", results.location(&key)), error);
    let mut part = CatalogueWriter::new(Vec::new()).map_err(unencoded)?;
    let batches = BatchLoop {
        store: &stores.bucket(&payload.data_bucket),
        engine: &engine,
        batch_size: payload.batch_size,
        deadline,
    };
    let inputs = share.iter().map(Input::planned).collect();
    let work = batches.run(inputs, |rows| part.write(&rows).map_err(unencoded)).await?;
    tracing::info!(
        rows = work.rows,
        flagged = work.flagged,
        bytes = work.bytes,
        batches = work.batches,
        milliseconds = seconds_to_milliseconds(work.wall_seconds),
        inference_milliseconds = seconds_to_milliseconds(work.inference_seconds),
        waiting_milliseconds = seconds_to_milliseconds(work.waiting_seconds),
        "predicted"
    );

    let writing = Instant::now();
    let part = part.finish(&made_by).map_err(unencoded)?;
    let (part_sha256, part_bytes) = (hex::encode(Sha256::digest(&part)), part.len());
    files.write_part(event.rank, part.into()).await?;
    let run = RankRun {
        rank: event.rank,
        world_size: plan.world_size,
        execution: event.execution.clone(),
        made_by,
        batch_size: payload.batch_size,
        work,
        model_seconds,
        wall_seconds: started.elapsed().as_secs_f64(),
        peak_memory_mb: resource_usage::peak_memory_mb(),
    };
    let record = RankRecord { part: key, part_sha256, run };
    files.write_record(&record).await?;
    let run = record.run;
    tracing::info!(
        rows = run.work.rows,
        bytes = part_bytes,
        milliseconds = milliseconds(writing),
        "part and record written"
    );
    tracing::info!(
        rows = run.work.rows,
        bytes = run.work.bytes,
        milliseconds = milliseconds(started),
        cpu_milliseconds = seconds_to_milliseconds(run.work.cpu_seconds),
        peak_memory_mb = run.peak_memory_mb,
        "rank finished"
    );
    Ok(answer(&run, started, false))
}

fn answer(run: &RankRun, started: Instant, skipped: bool) -> RankAnswer {
    RankAnswer {
        rank: run.rank,
        rows: run.work.rows,
        flagged: run.work.flagged,
        bytes: run.work.bytes,
        milliseconds: milliseconds(started),
        skipped,
    }
}

fn milliseconds(since: Instant) -> u64 {
    seconds_to_milliseconds(since.elapsed().as_secs_f64())
}

fn seconds_to_milliseconds(seconds: f64) -> u64 {
    (seconds * 1e3).round() as u64
}
