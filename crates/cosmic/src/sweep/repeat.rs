//! What a run's own results say of it, as a repeat of a sweep.

use anyhow::{Context, Result};
use bytes::Bytes;
use experiments::{Repeat, Status};
use pipeline::{phases::Phases, run_files::Results, storage::printable};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What is in a repeat whichever way it was run, and however it ended.
pub(super) fn failed(repeat: u64, started_at: f64, seconds: f64, reason: String) -> Repeat {
    Repeat {
        repeat,
        status: Status::Failed,
        reason: Some(reason),
        execution: None,
        started_at,
        seconds,
        map_seconds: None,
        rows: 0,
        bytes: 0,
        ranks: Vec::new(),
        phases: Phases::default(),
        peak_memory_mb: None,
        billed_ms: None,
        cost_usd: None,
        cost_of: None,
        metrics: None,
        catalogue_sha256: None,
        redshifts_sha256: None,
        engine: None,
        model_sha256: None,
        made_by: None,
    }
}

/// A run that has results. `combined` is its combined_data.json, and `catalogue` its predictions.parquet.
pub(super) fn with_results(repeat: Repeat, results: &Results, combined: &[u8], catalogue: Bytes) -> Result<Repeat> {
    let mut ranks: Vec<Value> = serde_json::from_slice(combined).context("combined_data.json is no list of ranks")?;
    for rank in &mut ranks {
        if let Value::Object(rank) = rank {
            // One line per file: at 10,000 files more than all else together.
            rank.remove("files");
        }
    }
    let number = |rank: &Value, key: &str| rank.get(key).and_then(Value::as_f64);
    let peak = ranks.iter().filter_map(|rank| number(rank, "total_cpu_memory (MB)")).reduce(f64::max);
    let bytes = ranks.iter().filter_map(|rank| rank.get("bytes").and_then(Value::as_u64)).sum();
    let status = if results.complete { Status::Done } else { Status::Incomplete };
    let reason = results.missing.first().map(|missing| {
        format!("{} of the catalogue missing: {}", printable(&missing.files.join(", ")), missing.reason)
    });
    Ok(Repeat {
        status,
        reason,
        rows: results.counts.rows,
        bytes,
        phases: results.timings.phases,
        peak_memory_mb: peak,
        metrics: Some(results.metrics),
        catalogue_sha256: Some(pipeline::run_files::sha256(&catalogue)),
        redshifts_sha256: Some(redshifts_sha256(catalogue)?),
        engine: Some(results.made_by.engine.clone()),
        model_sha256: Some(results.made_by.model_sha256.clone()),
        ranks,
        ..repeat
    })
}

/// The SHA-256 of redshifts and flags, galaxy by galaxy. A redshift that is missing counts as NaN's bits.
fn redshifts_sha256(catalogue: Bytes) -> Result<String> {
    let mut hash = Sha256::new();
    for rows in catalogue::read(catalogue).context("predictions.parquet cannot be read")? {
        let rows = rows.context("predictions.parquet cannot be read")?;
        for (redshift, flags) in rows.z_phot.iter().zip(&rows.flags) {
            hash.update(redshift.unwrap_or(f32::NAN).to_le_bytes());
            hash.update([*flags]);
        }
    }
    Ok(hex::encode(hash.finalize()))
}
