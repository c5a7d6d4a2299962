//! `cosmic infer`: redshifts on this machine, with all its cores and no AWS.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use astromae::{Model, Precision};
use catalogue::intervals::LevelSet;
use clap::Args;
use pipeline::{
    calibration::{Intervals, calibration_of},
    local_run::{LocalRun, Progress},
    payload::MAX_BATCH_SIZE,
    phases::{Stopwatch, seconds_since_1970},
    result_folder::ResultFolder,
    run_files::RESULTS,
};

use crate::{
    global::Global,
    location::{Location, on_this_machine},
    outcome::Outcome,
    output::{Printer, progress_bar},
    summary::{paths_text, say_warnings, summary_text},
};

#[derive(Args)]
pub(crate) struct InferArgs {
    /// A data set, or a folder of them: local, or s3://bucket/prefix.
    #[arg(long, value_name = "PATH", env = "COSMIC_DATA")]
    data: String,
    /// The model, local or s3://bucket/key: a checkpoint or safetensors.
    #[arg(long, value_name = "FILE", env = "COSMIC_MODEL")]
    model: String,
    /// Take only the first so many files of the folder, in natural order.
    #[arg(long, value_name = "N", env = "COSMIC_FILE_LIMIT", value_parser = clap::value_parser!(u64).range(1..))]
    file_limit: Option<u64>,
    /// Galaxies per prediction.
    #[arg(long, value_name = "N", default_value_t = 512, env = "COSMIC_BATCH_SIZE",
          value_parser = clap::value_parser!(u64).range(1..=MAX_BATCH_SIZE))]
    batch_size: u64,
    /// Quantiles at all 23 levels instead of five, of a model that is calibrated.
    #[arg(long, env = "COSMIC_LEVELS")]
    levels: bool,
    /// Folder for predictions.parquet, inference.png, combined_data.json, report.html and Results.json.
    #[arg(long, value_name = "DIR", default_value = "out", env = "COSMIC_OUT", value_parser = on_this_machine)]
    out: PathBuf,
    /// What computes: one of the engines that this binary was built with.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(engines::AVAILABLE), env = "COSMIC_ENGINE")]
    engine: Option<String>,
    /// The numbers that the network's large layers are multiplied in: f32, or int8, which is faster on processors that have
    /// instructions for it, and moves redshifts by some 0.0001 (1 + z): see `cosmic compare`.
    #[arg(long, value_name = "f32|int8", default_value_t, env = "COSMIC_PRECISION")]
    precision: Precision,
    /// Threads to compute with; one per core if not given.
    #[arg(long, value_name = "N", env = "COSMIC_THREADS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
}

pub(crate) async fn infer(args: InferArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let (started_at, watch) = (seconds_since_1970(), Stopwatch::start_of_process());
    let out = ResultFolder::claim(&args.out)?;
    let data = Location::parse(&args.data, global).await?;
    let files = data.partitions(args.file_limit).await?;
    let start = watch.spent();
    let loading = Stopwatch::start();
    let location = Location::parse(&args.model, global).await?;
    let model = Model::from_bytes(&location.name(), location.read_model().await?)?;
    let sha256 = model.sha256.clone();
    let calibration = calibration_of(&model).with_context(|| format!("bad model {}", location.name()))?;
    let levels = if args.levels { LevelSet::All } else { LevelSet::Five };
    let intervals = calibration.map(|calibration| Intervals { calibration: Arc::new(calibration), levels });
    if args.levels && intervals.is_none() {
        bail!(
            "{} is not calibrated, so that --levels has no quantiles to show: run `cosmic calibrate`",
            location.name()
        );
    }
    let (name, threads, precision) = (args.engine, args.threads, args.precision);
    let engine = tokio::task::spawn_blocking(move || engines::load(name.as_deref(), model, threads, precision))
        .await?
        .context("failed to start the engine")?;
    let model_name = location.key.rsplit('/').next().unwrap_or(&location.key);

    let bar = progress_bar("{bar:40} {human_pos}/{human_len} galaxies, {per_sec:0}, {eta} left");
    let results = LocalRun {
        store: &data.store,
        engine: &engine,
        precision,
        intervals: intervals.as_ref(),
        model: model_name,
        model_sha256: &sha256,
        started_at,
        start,
        loading: loading.spent(),
        batch_size: args.batch_size,
        report: &report::page_of_results,
    }
    .run(files, out, |Progress { rows, of }| {
        bar.set_length(of);
        bar.set_position(rows);
    })
    .await?;
    bar.finish_and_clear();
    if printer.json {
        say_warnings(&results);
    }
    printer.print(&results, |results| {
        let written = RESULTS.map(|name| args.out.join(name).display().to_string());
        format!("{}\n{}", summary_text(results), paths_text(&written))
    })?;
    Ok(if results.complete { Outcome::Done } else { Outcome::Incomplete })
}
