//! The last step: parts become one catalogue, proved complete against the plan, or what is missing gets a name.

use std::time::Instant;

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::{
    error::Result,
    events::{SummarizeEvent, Summary},
    map_run::{failure_reasons, not_run_reason},
    merge::{Addition, Merge, Merged},
    plan::{Plan, Slice},
    run_files::{CATALOGUE, Missing, PICTURE, RESULTS_JSON, RankRecord, Results, RunFiles},
    storage::Stores,
};

/// Parts that are fetched ahead of the one being merged.
const CONCURRENT_PARTS: usize = 16;

/// Reasons that are given in full before the rest is counted.
const REASONS_SHOWN: usize = 5;

/// Merges what the ranks of an execution left, and reports.
///
/// # Errors
/// Storage failures, and a result path that another run has taken. Missing ranks are no error: the answer and
/// Results.json say so.
pub async fn summarize(stores: &dyn Stores, event: &SummarizeEvent, now: std::time::SystemTime) -> Result<Summary> {
    let started = Instant::now();
    let files = RunFiles::new(stores.bucket(&event.bucket), &event.result_path);
    let plan = files.read_own_plan(&event.fingerprint).await?;
    let mut reasons = failure_reasons(&files, event).await;

    let mut merge = Merge::new(&plan)?;
    let mut parts =
        stream::iter(0..plan.world_size).map(|rank| fetch(&files, &plan.fingerprint, rank)).buffered(CONCURRENT_PARTS);
    let mut rank = 0;
    while let Some(fetched) = parts.next().await {
        let share = plan.share(rank);
        let gap = match fetched? {
            Some((record, part)) => match merge.add(&share, record, part)? {
                Addition::Added => None,
                Addition::Unusable(reason) => {
                    files.delete_records([rank]).await?;
                    Some(reason)
                }
            },
            None => Some(reasons.remove(&rank).unwrap_or_else(|| not_run_reason(event))),
        };
        if let Some(reason) = gap {
            tracing::warn!(rank, reason, "missing");
            merge.missing.push(missing(rank, &share, reason));
        }
        rank += 1;
    }
    tracing::info!(
        rows = merge.rows(),
        missing_ranks = merge.missing.len(),
        milliseconds = started.elapsed().as_millis() as u64,
        "merged"
    );

    let wall_seconds = seconds_since(&event.start_time, now);
    let Merged { results, catalogue, combined, picture } = merge.finish(&plan, &event.execution, wall_seconds)?;
    files.write_file(CATALOGUE, catalogue).await?;
    files.write_file(PICTURE, picture).await?;
    files.write_combined(&combined).await?;
    files.write_results_json(&results).await?;

    let summary = answer(&plan, &results, files.key(RESULTS_JSON));
    tracing::info!(
        complete = summary.complete,
        rows = summary.rows,
        missing_ranks = summary.missing_ranks,
        milliseconds = started.elapsed().as_millis() as u64,
        "summarized"
    );
    Ok(summary)
}

/// The record of a rank, where it is there, and the part that should be too.
async fn fetch(files: &RunFiles, fingerprint: &str, rank: u64) -> Result<Option<(RankRecord, Option<Bytes>)>> {
    match files.read_record(fingerprint, rank).await? {
        Some(record) => Ok(Some((record, files.read_part(rank).await?))),
        None => Ok(None),
    }
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

/// A paragraph on what is missing, short enough for the state machine.
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
    text.push_str(&format!(
        " Start the same input again with `result_path` {:?} to run only what is missing.",
        plan.payload.result_path
    ));
    text
}

/// Seconds from an RFC 3339 time to now; 0 where it cannot be read.
fn seconds_since(start: &str, now: std::time::SystemTime) -> f64 {
    let start = DateTime::from_str(start, DateTimeFormat::DateTimeWithOffset);
    let now = DateTime::from(now);
    start.map_or(0.0, |start| (now.as_secs_f64() - start.as_secs_f64()).max(0.0))
}
