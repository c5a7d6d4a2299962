//! What a run of many ranks takes beside its inference, for `scripts/bench.sh --scale`, in a folder instead of S3:
//!
//! - `scale files FOLDER FILES` makes that many files without content, of which each is a rank's;
//! - `scale plan FOLDER` plans a run of them, or plans it anew over what its ranks have left;
//! - `scale ranks FOLDER ROWS WITH_REDSHIFTS` writes what the ranks of the plan would leave, with that many rows each;
//! - `scale merge FOLDER` merges that.
//!
//! Each prints one line of JSON: what it took, and the most memory that its process had.

use std::{path::Path, sync::Arc, time::SystemTime};

use anyhow::{Context, Result, bail};
use arrow_array::{ArrayRef, Float64Array, Int64Array};
use async_trait::async_trait;
use catalogue::{
    CatalogueRows, GrowingCatalogue, OwnColumn, Provenance,
    intervals::{LevelSet, QuantileColumns},
};
use futures::{StreamExt, TryStreamExt, stream};
use pipeline::{
    batch_loop::Work,
    concurrency::Quotas,
    events::{InitializeEvent, Run, SummarizeEvent, Task},
    initialize::{ExecutionState, Executions, initialize},
    phases::{Phases, Stopwatch, seconds_since_1970},
    plan::{Owner, PlannedFile, PlannedModel},
    ran_on::RanOn,
    read_ahead::FileRows,
    resource_usage::{cores, peak_memory_mb},
    run_files::{RankRun, RunFiles},
    storage::{LocalStore, Requests, Stores},
    summarize::summarize,
};
use report::page_of_results;
use serde_json::json;

/// The name of the one bucket in the folder.
const BUCKET: &str = "bucket";
/// The run that was planned last, for the subcommands that follow.
const RUN: &str = "run.json";
/// Objects of ranks that are made at the same time.
const CONCURRENT_WRITES: usize = 64;

/// Every execution but the one that asks has ended.
struct NoOther(Owner);

#[async_trait]
impl Executions for NoOther {
    async fn state(&self, execution_arn: &str) -> pipeline::Result<ExecutionState> {
        Ok(if execution_arn == self.0.execution_arn { ExecutionState::Running } else { ExecutionState::Ended })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let watch = Stopwatch::start();
    let did = match arguments.as_slice() {
        ["files", folder, files] => make_files(folder.as_ref(), files.parse()?)?,
        ["plan", folder] => plan(folder.as_ref()).await?,
        ["ranks", folder, rows, with_redshifts] => {
            write_ranks(folder.as_ref(), rows.parse()?, with_redshifts.parse()?).await?
        }
        ["merge", folder] => merge(folder.as_ref()).await?,
        _ => bail!("usage: scale files FOLDER FILES | plan FOLDER | ranks FOLDER ROWS WITH_REDSHIFTS | merge FOLDER"),
    };
    let spent = watch.spent();
    let took = json!({
        "seconds": spent.wall_seconds, "cpu_seconds": spent.cpu_seconds, "peak_memory_mb": peak_memory_mb(), "did": did
    });
    println!("{took}");
    Ok(())
}

fn make_files(folder: &Path, files: u64) -> Result<serde_json::Value> {
    let partitions = folder.join(BUCKET).join("partitions");
    std::fs::create_dir_all(&partitions).with_context(|| format!("failed to make {}", partitions.display()))?;
    for file in 1..=files {
        std::fs::File::create(partitions.join(format!("{file}.pt")))?;
    }
    Ok(json!({ "files": files }))
}

async fn plan(folder: &Path) -> Result<serde_json::Value> {
    let execution = format!("bench-{}", seconds_since_1970());
    let owner = Owner { execution_arn: execution.clone(), execution };
    let payload = json!({ "bucket": BUCKET, "prefix": "partitions", "result_path": "run", "batch_size": 512 });
    let model = PlannedModel { name: "model.safetensors".into(), sha256: "00".repeat(32), object: None };
    let event = InitializeEvent { payload, owner: owner.clone(), attempt: 0 };
    let stores = LocalStore::new(folder);
    let run = initialize(&stores, &NoOther(owner), &Quotas::default(), &event, Some(&model)).await?;
    std::fs::write(folder.join(RUN), serde_json::to_vec(&run)?)?;
    Ok(json!({ "ranks": run.world_size, "pending": run.pending }))
}

/// The run that was planned last, and its files.
fn planned(folder: &Path) -> Result<(Run, RunFiles)> {
    let run: Run = serde_json::from_slice(&std::fs::read(folder.join(RUN)).context("nothing is planned there")?)?;
    let files = RunFiles::new(LocalStore::new(folder).bucket(&run.bucket), &run.result_path);
    Ok((run, files))
}

async fn write_ranks(folder: &Path, rows: u64, with_redshifts: bool) -> Result<serde_json::Value> {
    let (run, files) = planned(folder)?;
    let tasks = files.read_tasks().await?;
    let (run, files) = (Arc::new(run), Arc::new(files));
    stream::iter(tasks)
        .map(|task| {
            let (run, files) = (Arc::clone(&run), Arc::clone(&files));
            async move {
                let own_files = files.read_lines(&run.files, task.lines).await?;
                let [file] = <[PlannedFile; 1]>::try_from(own_files).ok().context("ranks read one file each")?;
                let hash = task.object.clone();
                let object = tokio::task::spawn_blocking(move || {
                    let made = rank_rows(&file.object.key, task.rank, rows, with_redshifts);
                    let mut part = GrowingCatalogue::new()?;
                    part.write(&made)?;
                    anyhow::Ok(record(&run, &task, &file, &made).finish(part)?)
                });
                files.write_rank(&hash, true, object.await??, None).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(CONCURRENT_WRITES)
        .try_collect::<()>()
        .await?;
    Ok(json!({ "ranks": run.world_size, "rows": run.world_size * rows }))
}

/// Rows like those of a simulated sky by a calibrated model: an identifier and a position of the data set's own, and
/// five quantiles. The same for the same rank.
fn rank_rows(key: &str, rank: u64, rows: u64, with_redshifts: bool) -> CatalogueRows {
    let mut random = fastrand::Rng::with_seed(rank);
    let count = rows as usize;
    let z_spec: Vec<f64> = (0..count).map(|_| 0.02 + 0.4 * random.f64()).collect();
    let z_phot: Vec<f32> = z_spec.iter().map(|z| (z + 0.02 * (random.f64() - 0.5) * (1.0 + z)) as f32).collect();
    let quantiles = [-0.02, -0.01, 0.0, 0.01, 0.02_f32];
    let quantiles = quantiles.map(|offset| z_phot.iter().map(|z| Some(z + offset * (1.0 + z))).collect());
    let first = (rank * rows) as i64;
    let own = |name: &str, values: ArrayRef| OwnColumn { name: name.into(), values };
    CatalogueRows {
        source_file: key.to_owned(),
        first_row: 0,
        columns: vec![
            own("object_id", Arc::new(Int64Array::from_iter_values(first..first + rows as i64))),
            own("ra", Arc::new(Float64Array::from_iter_values((0..count).map(|_| 360.0 * random.f64())))),
            own("dec", Arc::new(Float64Array::from_iter_values((0..count).map(|_| 90.0 * random.f64())))),
        ],
        z_spec: z_spec.into_iter().map(|z| with_redshifts.then_some(f64::from(z as f32))).collect(),
        z_phot: z_phot.into_iter().map(Some).collect(),
        quantiles: Some(QuantileColumns { levels: LevelSet::Five, values: quantiles.into() }),
        flags: vec![0; count],
    }
}

fn record(run: &Run, task: &Task, file: &PlannedFile, rows: &CatalogueRows) -> RankRun {
    let count = rows.len() as u64;
    RankRun {
        rank: task.rank,
        world_size: run.world_size,
        execution: run.owner.execution.clone(),
        made_by: Provenance {
            fingerprint: Some(run.fingerprint.clone()),
            model: "model.safetensors".into(),
            model_sha256: "00".repeat(32),
            calibration: None,
            engine: "native".into(),
            precision: "f32".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        batch_size: 512,
        work: Work {
            files: vec![FileRows { key: file.object.key.clone(), from: 0, to: count }],
            rows: count,
            batches: 1,
            bytes: count * 20_548,
            ..Work::default()
        },
        started_at: seconds_since_1970(),
        phases: Phases::default(),
        wall_seconds: 1.0,
        first_of_process: true,
        ran_on: RanOn::of_this_process(),
        cores: cores(),
        memory_mb: None,
        requests: Requests::default(),
        peak_memory_mb: 100.0,
    }
}

async fn merge(folder: &Path) -> Result<serde_json::Value> {
    let (run, files) = planned(folder)?;
    let event = SummarizeEvent {
        owner: run.owner,
        bucket: run.bucket,
        result_path: run.result_path,
        fingerprint: run.fingerprint,
        files: run.files,
        attempt: 0,
        start_time: "2026-01-01T00:00:00.000Z".into(),
        map: None,
        error: None,
    };
    let summary = summarize(&LocalStore::new(folder), &event, SystemTime::now(), &page_of_results).await?;
    let results = files.read_results_json().await?;
    Ok(json!({ "rows": summary.rows, "complete": summary.complete, "sha256": results.sha256 }))
}
