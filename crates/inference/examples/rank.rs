//! Time and peak memory of one rank, as the function runs it, for `scripts/bench.sh`:
//! `rank FOLDER MODEL ENGINE BATCH_SIZE THREADS [PRECISION]` plans the one partition of a local folder, runs its rank and
//! prints the rank's record.

use std::{
    fs::{canonicalize, create_dir},
    os::unix::fs::symlink,
    path::PathBuf,
};

use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use pipeline::{
    Error,
    concurrency::Quotas,
    engine_cache::EngineCache,
    events::{InitializeEvent, RankEvent, Task},
    initialize::{ExecutionState, Executions, initialize},
    plan::Owner,
    rank,
    run_files::RunFiles,
    storage::{LocalStore, Stores},
};

/// Nobody else runs in the folder.
struct NoOther;

#[async_trait]
impl Executions for NoOther {
    async fn state(&self, _: &str) -> pipeline::Result<ExecutionState> {
        Ok(ExecutionState::Unknown)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, model, engine, batch_size, threads, precision @ ..] = arguments.as_slice() else {
        bail!("usage: rank FOLDER MODEL ENGINE BATCH_SIZE THREADS [PRECISION]");
    };
    let threads = threads.parse()?;
    let engines = EngineCache::new(
        PathBuf::new(),
        Box::new(move |name, model, precision| {
            engines::load(Some(name), model, Some(threads), precision).map_err(|error| Error::BadEngine(error.into()))
        }),
    );
    let work = tempfile::tempdir()?;
    let bucket = work.path().join("bucket");
    create_dir(&bucket)?;
    symlink(canonicalize(folder).with_context(|| format!("failed to find {folder}"))?, bucket.join("partitions"))?;
    symlink(canonicalize(model).with_context(|| format!("failed to find {model}"))?, bucket.join("model"))?;
    let stores = LocalStore::new(work.path());

    let payload = serde_json::json!({
        "bucket": "bucket", "prefix": "partitions", "result_path": "run", "model": "model", "engine": engine,
        "batch_size": batch_size, "precision": precision.first()
    });
    let owner = Owner { execution: "bench".into(), execution_arn: "bench".into() };
    let event = InitializeEvent { payload, owner, attempt: 0 };
    let planned = initialize(&stores, &NoOther, &Quotas::default(), &event, None).await?;
    let files = RunFiles::new(stores.bucket(&planned.bucket), &planned.result_path);
    let [task] = <[Task; 1]>::try_from(files.read_tasks().await?)
        .map_err(|tasks| anyhow!("{folder} has {} partitions, and this measures one", tasks.len()))?;
    let hash = task.object.clone();
    rank::run(&stores, &engines, &RankEvent::new(&planned, task), None).await?;
    let object = files.head_rank(&hash).await?.context("the rank could not read its partition")?;
    let left = match files.read_rank(&object).await {
        Ok(left) => left,
        Err(error) => bail!("the rank left what cannot be read: {error:?}"),
    };
    println!("{}", serde_json::to_string(&left.run)?);
    Ok(())
}
