//! Time and peak memory of one rank, as the function runs it, for `scripts/bench.sh`:
//! `rank FOLDER MODEL ENGINE BATCH_SIZE THREADS` plans the one partition of a local folder, runs its rank and prints the
//! rank's record.

use std::{
    fs::{canonicalize, create_dir},
    os::unix::fs::symlink,
    path::PathBuf,
};

use anyhow::{Context, Result, bail, ensure};
use pipeline::{
    Error,
    engine_cache::EngineCache,
    events::{InitializeEvent, RankEvent},
    initialize::initialize,
    rank,
    run_files::RunFiles,
    storage::{LocalStore, Stores},
};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, model, engine, batch_size, threads] = arguments.as_slice() else {
        bail!("usage: rank FOLDER MODEL ENGINE BATCH_SIZE THREADS");
    };
    let threads = threads.parse()?;
    let engines = EngineCache::new(
        PathBuf::new(),
        Box::new(move |name, model| {
            engines::load(name, model, Some(threads)).map_err(|error| Error::BadEngine(error.into()))
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
        "batch_size": batch_size
    });
    let planned = initialize(&stores, &InitializeEvent { payload, execution: "bench".into() }, None).await?;
    ensure!(planned.world_size == 1, "{folder} has {} partitions, and this measures one", planned.world_size);
    let event = RankEvent {
        execution: planned.execution,
        bucket: planned.bucket,
        result_path: planned.result_path,
        fingerprint: planned.fingerprint,
        rank: 0,
    };
    rank::run(&stores, &engines, &event, None).await?;
    let files = RunFiles::new(stores.bucket(&event.bucket), &event.result_path);
    let record = files.read_record(&event.fingerprint, 0).await?.context("the rank left no record")?;
    println!("{}", serde_json::to_string(&record)?);
    Ok(())
}
