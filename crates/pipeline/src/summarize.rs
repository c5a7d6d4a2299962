//! The last step: parts become one catalogue, proved complete row by row against the plan, or the gaps get names.
//!
//! A part counts only if its mark belongs to the plan, its bytes are those the mark names, and its rows are exactly
//! those of the rank's share, in order, each with a redshift or a flag that says why not. Everything else is
//! missing, with the reason, and the catalogue holds what is there.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Error, Result,
    catalogue::{self, CatalogueWriter, Provenance, Rows},
    events::{SummarizeEvent, Summary},
    initialize::{read_mark, read_plan},
    layout::Layout,
    metrics::Metrics,
    plan::{Plan, Slice, hex},
    plot,
    results::{Counts, Missing, RankRecord, Results, Throughput, Timings},
    store::{ObjectStore, Stores, Write, get_if_present},
};

/// Parts fetched ahead of the one being merged.
const CONCURRENT_PARTS: usize = 16;

/// Reasons given in full before the rest is counted.
const REASONS_SHOWN: usize = 5;

/// Merges what the ranks of an execution left, and reports.
///
/// # Errors
/// Storage failures, and a result path that another run has taken. Missing ranks are no error: the answer and
/// Results.json say so.
pub async fn summarize(stores: &dyn Stores, event: &SummarizeEvent, now: std::time::SystemTime) -> Result<Summary> {
    let started = Instant::now();
    let store = stores.bucket(&event.bucket);
    let layout = Layout::new(&event.result_path);
    let plan = read_plan(&store, &layout).await?;
    if plan.fingerprint != event.fingerprint {
        return Err(Error::PlanMismatch {
            location: store.location(&layout.plan()),
            expected: event.fingerprint.clone(),
            found: plan.fingerprint,
        });
    }
    let mut reasons = failure_reasons(&store, event).await;

    let mut merged = Merge::new(&plan)?;
    let mut parts = stream::iter(0..plan.world_size)
        .map(|rank| fetch(&store, &layout, &plan.fingerprint, rank))
        .buffered(CONCURRENT_PARTS);
    let mut rank = 0;
    while let Some(fetched) = parts.next().await {
        let share = plan.share(rank);
        let gap = match fetched? {
            Some((record, part)) => {
                let added = merged.add(&share, record, part)?;
                if added.is_err() {
                    // Without its mark the rank runs again when the same input is started again.
                    store.delete(&[layout.mark(rank)]).await?;
                }
                added.err()
            }
            None => Some(reasons.remove(&rank).unwrap_or_else(|| not_run(event))),
        };
        if let Some(reason) = gap {
            tracing::warn!(rank, reason, "missing");
            merged.missing.push(missing(rank, &share, reason));
        }
        rank += 1;
    }
    tracing::info!(
        rows = merged.catalogue.rows(),
        missing_ranks = merged.missing.len(),
        milliseconds = started.elapsed().as_millis() as u64,
        "merged"
    );

    let wall_seconds = seconds_since(&event.start_time, now);
    let (results, catalogue, combined, compared) = merged.finish(&plan, &event.execution, wall_seconds)?;
    store.put(&layout.catalogue(), catalogue, Write::Replace).await?;
    store.put(&layout.combined(), to_json(&combined)?, Write::Replace).await?;
    let picture = picture(&compared, results.metrics.as_ref(), &event.execution)?;
    store.put(&layout.picture(), picture, Write::Replace).await?;
    // Last, so that where Results.json is, everything it speaks of is.
    store.put(&layout.results(), to_json(&results)?, Write::Replace).await?;

    let summary = answer(&plan, &results, layout.results());
    tracing::info!(
        complete = summary.complete,
        rows = summary.rows,
        missing_ranks = summary.missing_ranks,
        milliseconds = started.elapsed().as_millis() as u64,
        "summarized"
    );
    Ok(summary)
}

/// The mark of one rank, where it is there, and the part that should be too.
async fn fetch(
    store: &Arc<dyn ObjectStore>,
    layout: &Layout,
    fingerprint: &str,
    rank: u64,
) -> Result<Option<(RankRecord, Option<Bytes>)>> {
    let Some(record) = read_mark(store, layout, fingerprint, rank).await? else { return Ok(None) };
    let part = get_if_present(store.as_ref(), &layout.part(rank)).await?;
    Ok(Some((record, part)))
}

/// A merge under way.
struct Merge {
    catalogue: CatalogueWriter<Vec<u8>>,
    compared: Compared,
    counts: Counts,
    missing: Vec<Missing>,
    records: Vec<RankRecord>,
}

/// The redshifts that both are there for, and the predictions alone.
#[derive(Default)]
pub(crate) struct Compared {
    z_spec: Vec<f64>,
    z_phot: Vec<f32>,
    z_phot_alone: Vec<f32>,
}

impl Compared {
    /// Takes the redshifts of some rows.
    pub(crate) fn add(&mut self, rows: &Rows) {
        for (z_spec, z_phot) in rows.z_spec.iter().zip(&rows.z_phot) {
            match (z_spec, z_phot) {
                (Some(z_spec), Some(z_phot)) => {
                    self.z_spec.push(*z_spec);
                    self.z_phot.push(*z_phot);
                }
                (None, Some(z_phot)) => self.z_phot_alone.push(*z_phot),
                (_, None) => {}
            }
        }
    }

    /// The metrics, where any row has both.
    pub(crate) fn metrics(&self) -> Option<Metrics> {
        Metrics::of(&self.z_spec, &self.z_phot)
    }

    /// Rows with both.
    pub(crate) fn len(&self) -> u64 {
        self.z_spec.len() as u64
    }
}

/// inference.png, of the rows with both redshifts, or of the predictions where there is no truth.
pub(crate) fn picture(compared: &Compared, metrics: Option<&Metrics>, title: &str) -> Result<Bytes> {
    match metrics {
        Some(metrics) => plot::draw(&compared.z_spec, &compared.z_phot, metrics, title),
        None => plot::draw_distribution(&compared.z_phot_alone, title),
    }
    .map(Bytes::from)
    .map_err(|error| Error::Internal(format!("failed to draw inference.png: {error}")))
}

impl Merge {
    fn new(plan: &Plan) -> Result<Self> {
        Ok(Self {
            catalogue: CatalogueWriter::new(Vec::new()).map_err(encode)?,
            compared: Compared::default(),
            counts: Counts { files: plan.files.len() as u64, ranks: plan.world_size, ..Counts::default() },
            missing: Vec::new(),
            records: Vec::new(),
        })
    }

    /// Proves one part against the rank's share and appends it. The inner error is what is wrong with the part.
    fn add(&mut self, share: &[Slice<'_>], record: RankRecord, part: Option<Bytes>) -> Result<Result<(), String>> {
        let Some(part) = part else { return Ok(Err(format!("its part {} is gone", record.part))) };
        let rows = match prove(share, &record, part) {
            Ok(rows) => rows,
            Err(reason) => return Ok(Err(format!("its part {} cannot be used: {reason}", record.part))),
        };
        for rows in &rows {
            self.catalogue.write(rows).map_err(encode)?;
            self.compared.add(rows);
            self.counts.rows += rows.len() as u64;
            self.counts.flagged += rows.flagged();
            self.counts.predicted += rows.z_phot.iter().flatten().count() as u64;
        }
        self.records.push(record);
        Ok(Ok(()))
    }

    fn finish(
        mut self,
        plan: &Plan,
        execution: &str,
        wall_seconds: f64,
    ) -> Result<(Results, Bytes, Vec<Value>, Compared)> {
        self.counts.compared = self.compared.len();
        let mut timings = Timings { wall_seconds, ..Timings::default() };
        let (mut own_rows, mut own_bytes) = (0, 0);
        for record in self.records.iter().filter(|record| record.execution == execution) {
            timings.add(record);
            own_rows += record.work.rows;
            own_bytes += record.work.bytes;
        }
        let rate = |amount: u64, seconds: f64| if seconds > 0.0 { amount as f64 / seconds } else { 0.0 };
        let throughput = Throughput {
            galaxies_per_second: rate(own_rows, wall_seconds),
            bytes_per_second: rate(own_bytes, wall_seconds),
            galaxies_per_second_per_rank: rate(own_rows, timings.inference_seconds),
            resumed_rows: self.counts.rows - own_rows,
        };
        let mut engines: Vec<&str> = self.records.iter().map(|record| record.made_by.engine.as_str()).collect();
        engines.sort_unstable();
        engines.dedup();
        let made_by = Provenance {
            fingerprint: Some(plan.fingerprint.clone()),
            model: plan.model.name.clone(),
            model_sha256: plan.model.sha256.clone(),
            engine: engines.join(" and "),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let catalogue = self.catalogue.finish(&made_by).map_err(encode)?;
        let results = Results {
            metrics: self.compared.metrics(),
            complete: self.missing.is_empty(),
            missing: self.missing,
            timings,
            throughput,
            made_by,
            counts: self.counts,
            execution: execution.to_owned(),
            payload: Some(plan.payload.clone()),
        };
        let combined = self.records.iter().map(|record| record.combined(&plan.payload.result_path)).collect();
        Ok((results, catalogue.into(), combined, self.compared))
    }
}

/// The rows of a part, if they are exactly the share's.
fn prove(share: &[Slice<'_>], record: &RankRecord, part: Bytes) -> Result<Vec<Rows>, String> {
    let sha256 = hex(&Sha256::digest(&part));
    if sha256 != record.part_sha256 {
        return Err(format!("its SHA-256 is {sha256}, the rank's mark says {}", record.part_sha256));
    }
    if record.work.files.len() != share.len() {
        return Err(format!("the rank read {} files, {} were planned", record.work.files.len(), share.len()));
    }
    let rows: Vec<Rows> = catalogue::read(part).and_then(Iterator::collect).map_err(|error| error.to_string())?;
    let mut found = rows.iter();
    for (slice, read) in share.iter().zip(&record.work.files) {
        let key = &slice.file.object.key;
        let expected = slice.rows.clone().unwrap_or(0..read.to);
        if *key != read.key || expected != (read.from..read.to) {
            return Err(format!(
                "the rank read rows {}..{} of {}, planned were rows {}..{} of {key}",
                read.from, read.to, read.key, expected.start, expected.end
            ));
        }
        let mut next = expected.start;
        while next < expected.end {
            let rows = found.next().ok_or_else(|| format!("row {next} of {key} is not in it"))?;
            if rows.source_file != *key || rows.first_row != next {
                return Err(format!(
                    "row {next} of {key} should come where row {} of {} stands",
                    rows.first_row, rows.source_file
                ));
            }
            next += rows.len() as u64;
        }
        if next > expected.end {
            return Err(format!("it goes on to row {next} of {key}, planned were {} rows", expected.end));
        }
    }
    if let Some(extra) = found.next() {
        return Err(format!("row {} of {} was not planned", extra.first_row, extra.source_file));
    }
    for rows in &rows {
        if rows.z_phot.iter().zip(&rows.flags).any(|(z_phot, flags)| z_phot.is_none() != (*flags != 0)) {
            return Err(format!("{} has a row with neither redshift nor flag, or with both", rows.source_file));
        }
    }
    Ok(rows)
}

fn missing(rank: u64, share: &[Slice<'_>], reason: String) -> Missing {
    let rows =
        share.iter().map(|slice| slice.rows.as_ref().map(|rows| rows.end - rows.start).or(slice.file.rows)).sum();
    let files = share
        .iter()
        .map(|slice| match &slice.rows {
            Some(rows) => format!("{} [{}, {})", slice.file.object.key, rows.start, rows.end),
            None => slice.file.object.key.clone(),
        })
        .collect();
    Missing { rank: Some(rank), files, rows, reason }
}

fn not_run(event: &SummarizeEvent) -> String {
    match &event.error {
        Some(error) => format!("it did not finish: the map failed with {}: {}", error.error, message(&error.cause)),
        None => "it left no mark, and the map run names no failure for it".into(),
    }
}

fn answer(plan: &Plan, results: &Results, key: String) -> Summary {
    let missing_ranks = results.missing.len() as u64;
    let missing_rows = results.missing.iter().map(|missing| missing.rows).sum();
    let percentage = 100.0 * missing_ranks as f64 / plan.world_size.max(1) as f64;
    Summary {
        complete: results.complete,
        accepted: results.complete || percentage <= plan.payload.tolerated_failure_percentage,
        rows: results.counts.rows,
        missing_ranks,
        missing_rows,
        reason: (!results.complete).then(|| reason(plan, results, missing_rows)),
        results: key,
    }
}

/// One paragraph on what is missing, short enough for the state machine.
fn reason(plan: &Plan, results: &Results, missing_rows: Option<u64>) -> String {
    let rows = missing_rows.map_or("a number of rows not known".into(), |rows| format!("{rows} rows"));
    let mut text = format!(
        "{} of {} ranks ({rows}) are missing from the catalogue, {} % of ranks may be.",
        results.missing.len(),
        plan.world_size,
        plan.payload.tolerated_failure_percentage,
    );
    for missing in results.missing.iter().take(REASONS_SHOWN) {
        let files = match missing.files.as_slice() {
            [] => "no file".into(),
            [file] => file.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        let cut: String = missing.reason.chars().take(600).collect();
        text.push_str(&format!(" Rank {} ({files}): {cut}.", missing.rank.unwrap_or_default()));
    }
    if results.missing.len() > REASONS_SHOWN {
        text.push_str(&format!(" And {} more, in Results.json.", results.missing.len() - REASONS_SHOWN));
    }
    text.push_str(" Start the same input again to run only what is missing.");
    text
}

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

/// Why ranks failed, as the map run's result files say it. Reasons are worth having but not worth failing for.
async fn failure_reasons(store: &Arc<dyn ObjectStore>, event: &SummarizeEvent) -> BTreeMap<u64, String> {
    let mut reasons = BTreeMap::new();
    let Some(map) = &event.map else { return reasons };
    let read = async {
        let manifest: Manifest = from_json(&store.get(&map.key).await?, &map.key)?;
        for file in manifest.result_files.get("FAILED").into_iter().flatten() {
            let items: Vec<FailedItem> = from_json(&store.get(&file.key).await?, &file.key)?;
            for item in items {
                let rank = serde_json::from_str::<Value>(&item.input).ok().and_then(|input| input["rank"].as_u64());
                if let Some(rank) = rank {
                    reasons.insert(rank, format!("{}: {}", item.error, message(&item.cause)));
                }
            }
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = read.await {
        tracing::warn!(%error, "the map run's result files could not be read: missing ranks are named without reasons");
    }
    reasons
}

fn from_json<T: serde::de::DeserializeOwned>(bytes: &[u8], key: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Internal(format!("{key}: {error}")))
}

/// Lambda's cause is an object with the message in it; other causes are plain text.
fn message(cause: &str) -> String {
    serde_json::from_str::<Value>(cause)
        .ok()
        .and_then(|cause| cause["errorMessage"].as_str().map(str::to_owned))
        .unwrap_or_else(|| cause.to_owned())
}

fn seconds_since(start: &str, now: std::time::SystemTime) -> f64 {
    let start =
        aws_sdk_s3::primitives::DateTime::from_str(start, aws_sdk_s3::primitives::DateTimeFormat::DateTimeWithOffset);
    let now = aws_sdk_s3::primitives::DateTime::from(now);
    start.map_or(0.0, |start| (now.as_secs_f64() - start.as_secs_f64()).max(0.0))
}

fn to_json(value: &impl serde::Serialize) -> Result<Bytes> {
    serde_json::to_vec_pretty(value).map(Bytes::from).map_err(|error| Error::Internal(error.to_string()))
}

fn encode(error: parquet::errors::ParquetError) -> Error {
    Error::Internal(format!("failed to encode the catalogue: {error}"))
}
