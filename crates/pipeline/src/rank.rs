//! One rank: its share of the rows in, its part of the catalogue and its mark out.

use std::{path::PathBuf, sync::Arc, time::Instant};

use astromae::{Engine, Model};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::{
    Error, Result,
    catalogue::{CatalogueWriter, Provenance},
    events::{RankAnswer, RankEvent},
    initialize::{read_mark, read_plan},
    layout::Layout,
    plan::{PlannedModel, hex},
    predict::{Deadline, predict},
    results::RankRecord,
    store::{ObjectReader, ObjectStore, Stores, Write},
    usage,
};

/// Makes an engine of a model; the first argument is the name the payload asks for.
pub type LoadEngine = dyn Fn(Option<&str>, Model) -> Result<Arc<dyn Engine>> + Send + Sync;

/// The engine of the last run, kept while the process lives: a warm Lambda loads no model.
pub struct EngineCache {
    packaged_model: PathBuf,
    load: Box<LoadEngine>,
    last: Mutex<Option<Loaded>>,
}

#[derive(Clone)]
struct Loaded {
    sha256: String,
    asked: Option<String>,
    engine: Arc<dyn Engine>,
}

impl EngineCache {
    /// `packaged_model` is used where the plan names no object.
    pub fn new(packaged_model: PathBuf, load: Box<LoadEngine>) -> Self {
        Self { packaged_model, load, last: Mutex::new(None) }
    }

    /// The engine for a planned model.
    async fn get(
        &self,
        store: &Arc<dyn ObjectStore>,
        planned: &PlannedModel,
        asked: Option<&str>,
    ) -> Result<Arc<dyn Engine>> {
        let mut last = self.last.lock().await;
        if let Some(loaded) = last.as_ref()
            && loaded.sha256 == planned.sha256
            && loaded.asked.as_deref() == asked
        {
            return Ok(Arc::clone(&loaded.engine));
        }
        // The old model goes before the new one comes: a rank never holds two.
        *last = None;
        let (location, model) = match &planned.object {
            Some(object) => {
                let reader = ObjectReader::new(Arc::clone(store), object.clone());
                (store.location(&object.key), Model::read(Arc::new(reader)).await)
            }
            None => (self.packaged_model.display().to_string(), Model::open(&self.packaged_model).await),
        };
        let model =
            model.map_err(|error| Error::from_store(&error).unwrap_or_else(|| Error::bad_model(&location, error)))?;
        if model.sha256 != planned.sha256 {
            return Err(Error::bad_model(
                location,
                format!(
                    "its SHA-256 is {}, the plan says {}: the functions were deployed with different models, or it changed meanwhile; deploy both again, or start a new execution",
                    model.sha256, planned.sha256
                ),
            ));
        }
        let engine = (self.load)(asked, model)?;
        *last = Some(Loaded {
            sha256: planned.sha256.clone(),
            asked: asked.map(str::to_owned),
            engine: Arc::clone(&engine),
        });
        Ok(engine)
    }
}

/// Does the work of one rank.
///
/// Where an earlier attempt has finished it, it says so and does nothing. Run twice at once, both write the same
/// bytes to the same key.
///
/// # Errors
/// Named ones, and nothing is marked as finished.
pub async fn run(
    stores: &dyn Stores,
    engines: &EngineCache,
    event: &RankEvent,
    deadline: Option<Deadline>,
) -> Result<RankAnswer> {
    let started = Instant::now();
    let results = stores.bucket(&event.bucket);
    let layout = Layout::new(&event.result_path);
    if let Some(done) = read_mark(&results, &layout, &event.fingerprint, event.rank).await? {
        tracing::info!(
            rows = done.work.rows,
            bytes = done.work.bytes,
            milliseconds = milliseconds(started),
            "an earlier attempt had finished this rank"
        );
        return Ok(answer(&done, started, true));
    }
    let plan = read_plan(&results, &layout).await?;
    if plan.fingerprint != event.fingerprint {
        return Err(Error::PlanMismatch {
            location: results.location(&layout.plan()),
            expected: event.fingerprint.clone(),
            found: plan.fingerprint,
        });
    }
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
    let key = layout.part(event.rank);
    let unwritten = |error: parquet::errors::ParquetError| {
        Error::Internal(format!("failed to encode {}: {error}", results.location(&key)))
    };
    let mut part = CatalogueWriter::new(Vec::new()).map_err(unwritten)?;
    let data = stores.bucket(&payload.data_bucket);
    let work =
        predict(&data, &share, &engine, payload.batch_size, deadline, |rows| part.write(&rows).map_err(unwritten))
            .await?;
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
    let part = part.finish(&made_by).map_err(unwritten)?;
    let (part_sha256, part_bytes) = (hex(&Sha256::digest(&part)), part.len());
    results.put(&key, part.into(), Write::Replace).await?;
    let record = RankRecord {
        rank: event.rank,
        world_size: plan.world_size,
        execution: event.execution.clone(),
        made_by,
        part: key,
        part_sha256,
        batch_size: payload.batch_size,
        work,
        model_seconds,
        wall_seconds: started.elapsed().as_secs_f64(),
        peak_memory_mb: usage::peak_memory_mb(),
    };
    let mark = serde_json::to_vec_pretty(&record).map_err(|error| Error::Internal(error.to_string()))?;
    results.put(&layout.mark(event.rank), mark.into(), Write::Replace).await?;
    tracing::info!(
        rows = record.work.rows,
        bytes = part_bytes,
        milliseconds = milliseconds(writing),
        "part and mark written"
    );
    tracing::info!(
        rows = record.work.rows,
        bytes = record.work.bytes,
        milliseconds = milliseconds(started),
        cpu_milliseconds = seconds_to_milliseconds(record.work.cpu_seconds),
        peak_memory_mb = record.peak_memory_mb,
        "rank finished"
    );
    Ok(answer(&record, started, false))
}

fn answer(record: &RankRecord, started: Instant, skipped: bool) -> RankAnswer {
    RankAnswer {
        rank: record.rank,
        rows: record.work.rows,
        flagged: record.work.flagged,
        bytes: record.work.bytes,
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
