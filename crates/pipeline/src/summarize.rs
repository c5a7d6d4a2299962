//! The last step: what ranks have left becomes one catalogue, proved complete against the plan, or what is missing gets
//! a name.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    pin::{Pin, pin},
    time::Instant,
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use catalogue::CatalogueColumns;
use futures::{
    FutureExt,
    future::{MaybeDone, maybe_done, try_join_all},
};

use crate::{
    error::{Error, Result},
    events::{SummarizeEvent, Summary},
    map_run::{failure_reasons, not_run_reason},
    merge::{Merge, Merged, prove},
    plan::{Plan, PlannedFile, Share, Slice},
    report::WriteReport,
    run_files::{
        ATTEMPTS, CATALOGUE, Claim, Claimant, FileStream, FoundRanks, RESULTS_JSON, RankError, RankObject, Results,
        RunFiles, Step, to_json,
    },
    storage::{ObjectInfo, StorageError, Stores},
};

/// Objects of ranks that are fetched ahead of the one being merged.
pub const CONCURRENT_RANKS: usize = 16;

/// Reasons that are given in full before the rest is counted.
const REASONS_SHOWN: usize = 5;

/// Merges what the ranks of an execution left, and reports: `report` makes report.html.
///
/// # Errors
/// Storage failures, and a result path that another run has taken: then nothing of the other's is touched. Missing
/// ranks are no error: the answer and Results.json say so.
pub async fn summarize(
    stores: &dyn Stores,
    event: &SummarizeEvent,
    now: std::time::SystemTime,
    report: &WriteReport,
) -> Result<Summary> {
    let started = Instant::now();
    let run_files = RunFiles::new(stores.bucket(&event.bucket), &event.result_path);
    let (plan, claim) = claim(&run_files, event).await?;
    let files = run_files.read_files(&event.files).await?;
    if files.len() as u64 != plan.files {
        return Err(Error::fault(format!("{} files are planned, and {} are listed", plan.files, files.len())));
    }
    let found = run_files.find_ranks().await?;
    let reasons = failure_reasons(&run_files, event).await;

    let mut catalogue = run_files.start_own(CATALOGUE);
    let ranks = LeftByRanks { run_files: &run_files, plan: &plan, files: &files, found, reasons, event };
    let merged = async {
        let merge = ranks.merge(&mut catalogue).await?;
        tracing::info!(rows = merge.rows(), milliseconds = started.elapsed().as_millis() as u64, "merged");
        let mut merged = merge.finish(&plan, seconds_since(&event.start_time, now), report)?;
        catalogue.send(&mut merged.catalogue).await?;
        Ok(merged)
    };
    let merged = match merged.await {
        Ok(merged) => merged,
        Err(error) => {
            catalogue.abort().await;
            return Err(error);
        }
    };
    let Merged { results, missing_files, catalogue: rest, files } = merged;
    for warning in results.warnings() {
        tracing::warn!("{warning}");
    }
    run_files.finish_own(&claim, catalogue, rest).await?;
    for (name, bytes) in files {
        run_files.write_own(&claim, name, bytes).await?;
    }
    run_files.write_own(&claim, RESULTS_JSON, to_json(&results)?).await?;

    let summary = answer(&plan, &results, missing_files, run_files.key(RESULTS_JSON));
    tracing::info!(
        complete = summary.complete,
        rows = summary.rows,
        missing_ranks = summary.missing_ranks,
        milliseconds = started.elapsed().as_millis() as u64,
        "summarized"
    );
    Ok(summary)
}

/// The plan, as this attempt's: an earlier one, should it still be alive, writes no more.
async fn claim(run_files: &RunFiles, event: &SummarizeEvent) -> Result<(Plan, Claim)> {
    let claimant = Claimant { step: Step::Summarize, attempt: event.attempt };
    for _ in 0..ATTEMPTS {
        let found = run_files.read_own_plan(&event.owner, &event.fingerprint).await?;
        if let Some(claim) = run_files.claim(found.plan.clone(), claimant, Some(&found)).await? {
            return Ok((found.plan, claim));
        }
    }
    Err(run_files.contended())
}

/// What a rank has left.
enum Left {
    /// It is what its share owes, but for the files that it names as unreadable.
    Proved(Box<RankObject>),
    /// It is there, and of no use.
    Unusable {
        object: ObjectInfo,
        reason: String,
    },
    Nothing,
}

/// All that there is to be merged.
struct LeftByRanks<'a> {
    run_files: &'a RunFiles,
    plan: &'a Plan,
    files: &'a [PlannedFile],
    found: FoundRanks,
    /// Why ranks failed.
    reasons: BTreeMap<u64, String>,
    event: &'a SummarizeEvent,
}

impl<'a> LeftByRanks<'a> {
    /// Merges it, and sends the catalogue as it grows.
    async fn merge(&self, catalogue: &mut FileStream) -> Result<Merge> {
        let mut columns = CatalogueColumns::default();
        for _ in 0..ATTEMPTS {
            let merge = self.merge_with(columns, catalogue).await?;
            match merge.wider() {
                None => return Ok(merge),
                Some(wider) => columns = wider.clone(),
            }
        }
        Err(self.run_files.contended())
    }

    /// Merges it into a catalogue with these columns, and those of the first rank.
    async fn merge_with(&self, columns: CatalogueColumns, catalogue: &mut FileStream) -> Result<Merge> {
        let mut merge = Merge::new(self.plan, columns);
        for file in self.files {
            if let (Some(reason), Some(_)) = (&file.unreadable, self.plan.rows) {
                merge.miss(None, &[Slice { file, rows: None }], reason.clone());
            }
        }
        let mut shares = self.plan.shares(self.files).into_iter();
        let mut ahead = Ahead(VecDeque::new());
        let mut void = Vec::new();
        let mut rank = 0;
        loop {
            while ahead.0.len() < CONCURRENT_RANKS
                && let Some(share) = shares.next()
            {
                ahead.0.push_back(Box::pin(maybe_done(self.fetch(share).boxed())));
            }
            let Some((slices, left)) = ahead.next().await.transpose()? else { break };
            match left {
                Left::Proved(object) => merge.add(rank, &slices, *object)?,
                Left::Unusable { object, reason } => {
                    merge.miss(Some(rank), &slices, reason);
                    void.push(object);
                }
                Left::Nothing => {
                    let reason = self.reasons.get(&rank).cloned().unwrap_or_else(|| not_run_reason(self.event));
                    merge.miss(Some(rank), &slices, reason);
                }
            }
            rank += 1;
            if merge.wider().is_some() {
                // What is left of the ranks is looked at for columns alone.
                catalogue.abort().await;
            } else if let Some(outbox) = merge.outbox() {
                ahead.meanwhile(catalogue.send(outbox)).await?;
            }
        }
        // Another merge would find a void object, and no longer the reason why it is.
        if merge.wider().is_none() {
            self.void(&void).await?;
        }
        Ok(merge)
    }

    /// Declares what is of no use void, so that its ranks run again.
    async fn void(&self, objects: &[ObjectInfo]) -> Result<()> {
        for objects in objects.chunks(CONCURRENT_RANKS) {
            let voided: Vec<_> = objects.iter().map(|object| self.run_files.void_rank(object)).collect();
            try_join_all(voided).await?;
        }
        Ok(())
    }

    /// A rank's share, and what it has left. What is of no use is read once more before that is believed.
    async fn fetch(&self, share: Share) -> Result<(Vec<Slice<'a>>, Left)> {
        let slices = share.slices(&self.files[share.files.clone()]);
        let hash = self.plan.object_name(&slices);
        let Some(object) = self.found.complete.get(&hash).or_else(|| self.found.incomplete.get(&hash)) else {
            return Ok((slices, Left::Nothing));
        };
        let left = match read(self.run_files, object, &slices).await? {
            Left::Unusable { .. } => read(self.run_files, object, &slices).await?,
            left => left,
        };
        Ok((slices, left))
    }
}

/// Fetches that are under way, in the order in which their outputs are taken. Their requests have time limits, which run
/// out where the fetches are not polled: whatever else takes time is awaited [meanwhile](Self::meanwhile).
struct Ahead<F: Future>(VecDeque<Pin<Box<MaybeDone<F>>>>);

impl<F: Future> Ahead<F> {
    /// The output of the first fetch.
    async fn next(&mut self) -> Option<F::Output> {
        let mut first = self.0.pop_front()?;
        self.meanwhile(first.as_mut()).await;
        first.as_mut().take_output()
    }

    /// Awaits something else while the fetches go on.
    async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        poll_fn(|context| {
            let polled = other.as_mut().poll(context);
            for fetch in &mut self.0 {
                // Its output is kept until it is taken.
                let _ = fetch.as_mut().poll(context);
            }
            polled
        })
        .await
    }
}

async fn read(run_files: &RunFiles, object: &ObjectInfo, slices: &[Slice<'_>]) -> Result<Left> {
    let unusable = |reason| Left::Unusable {
        object: object.clone(),
        reason: format!("what it left, {}, cannot be used: {reason}", object.key),
    };
    match run_files.read_rank(object).await {
        Ok(left) => Ok(prove(slices, &left).map_or_else(unusable, |()| Left::Proved(Box::new(left)))),
        Err(RankError::Unusable(reason)) => Ok(unusable(reason)),
        Err(RankError::Storage(StorageError::NotFound { .. })) => Ok(Left::Nothing),
        Err(RankError::Storage(error)) => Err(error.into()),
        Err(RankError::Fault(error)) => Err(error),
    }
}

fn answer(plan: &Plan, results: &Results, missing_files: f64, key: String) -> Summary {
    let mut missing_ranks: Vec<u64> = results.missing.iter().filter_map(|missing| missing.rank).collect();
    missing_ranks.dedup();
    let missing_rows = results.missing.iter().map(|missing| missing.rows).sum();
    let percentage = 100.0 * missing_files / plan.files.max(1) as f64;
    Summary {
        complete: results.complete,
        // A share in percent of thirds of files is no exact number.
        accepted: results.complete || percentage <= plan.payload.tolerated_failure_percentage + 1e-9,
        rows: results.counts.rows,
        missing_ranks: missing_ranks.len() as u64,
        missing_rows,
        reason: (!results.complete).then(|| reason(plan, results, missing_files, missing_rows)),
        results: key,
    }
}

/// A paragraph on what is missing, short enough for the state machine.
fn reason(plan: &Plan, results: &Results, missing_files: f64, missing_rows: Option<u64>) -> String {
    let rows = missing_rows.map_or("a number of rows not known".into(), |rows| format!("{rows} rows"));
    // Parts of files are shown to two digits.
    let missing_files = (missing_files * 100.0).round() / 100.0;
    let mut text = format!(
        "{missing_files} of {} files ({rows}) are missing from the catalogue, {} % of files may be.",
        plan.files, plan.payload.tolerated_failure_percentage,
    );
    for missing in results.missing.iter().take(REASONS_SHOWN) {
        let files = match missing.files.as_slice() {
            [] => "no file".into(),
            [file] => file.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        let cut: String = missing.reason.chars().take(600).collect();
        match missing.rank {
            Some(rank) => text.push_str(&format!(" Rank {rank} ({files}): {cut}.")),
            None => text.push_str(&format!(" {files}: {cut}.")),
        }
    }
    if results.missing.len() > REASONS_SHOWN {
        text.push_str(&format!(" And {} more, in Results.json.", results.missing.len() - REASONS_SHOWN));
    }
    text.push_str(&format!(
        " Start the same input again with `result_path` {:?} to compute only what is missing, once its cause is mended.",
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fetches_go_on_within_their_time_limits_while_a_part_is_sent() {
        // Some pieces, each of which is asked for once the one before has come.
        let fetch = |number: u64| async move {
            let pieces = async {
                for _ in 0..4 {
                    sleep(Duration::from_secs(1)).await;
                }
            };
            timeout(Duration::from_secs(5), pieces).await.map(|()| number)
        };
        let mut ahead = Ahead((0..3).map(|number| Box::pin(maybe_done(fetch(number)))).collect());
        assert_eq!(ahead.next().await, Some(Ok(0)));
        ahead.0.push_back(Box::pin(maybe_done(fetch(3))));
        ahead.meanwhile(sleep(Duration::from_secs(60))).await;
        for number in 1..4 {
            assert_eq!(ahead.next().await, Some(Ok(number)));
        }
        assert_eq!(ahead.next().await, None);
    }
}
