//! A run on this machine: files in a folder or bucket in, the same results as an execution's out, and no AWS needed.

use std::{collections::BTreeMap, io::BufWriter, sync::Arc};

use astromae::{Engine, Precision};
use catalogue::{
    CatalogueColumns, CatalogueWriter, ColumnCounts, Comparison, OwnColumns, ParquetError, Provenance,
    intervals::IntervalMetrics,
};
use futures::{StreamExt, stream};

use crate::{
    batch_loop::{BatchLoop, Output},
    calibration::Intervals,
    error::Result,
    own_columns,
    partitions::{self, Partitions},
    phases::{Phases, Spent, Stopwatch},
    picture::draw,
    plan::PlannedFile,
    ran_on::RanOn,
    read_ahead::{Input, OnStorageFailure},
    report::{self, ReportInput, WriteReport},
    resource_usage,
    result_folder::ResultFolder,
    run_files::{
        CATALOGUE, COMBINED_DATA, CombinedEntries, Counts, Missing, PICTURE, REPORT, RESULTS_JSON, RankRun, Results,
        Throughput, Timings, to_json,
    },
    storage::{ObjectStore, Requests, StorageError, Unreadable, explain},
};

/// The name of a local run, where an execution has its own.
const EXECUTION: &str = "local";

/// Headers that are read at the same time.
const CONCURRENT_READS: usize = 8;

/// What a local run is made with.
pub struct LocalRun<'a> {
    /// Where the data files lie.
    pub store: &'a Arc<dyn ObjectStore>,
    pub engine: &'a Arc<dyn Engine>,
    /// What the engine was loaded to compute in.
    pub precision: Precision,
    /// What gives redshifts their quantiles, where the model is calibrated.
    pub intervals: Option<&'a Intervals>,
    /// Name of the model's file.
    pub model: &'a str,
    /// SHA-256 of the model's file, in hexadecimal.
    pub model_sha256: &'a str,
    /// When the command began, in seconds since 1970.
    pub started_at: f64,
    /// What it took since then to find the files.
    pub start: Spent,
    /// What it took to load model and engine.
    pub loading: Spent,
    /// Galaxies per prediction.
    pub batch_size: u64,
    /// Makes report.html.
    pub report: &'a WriteReport,
}

/// How far a run is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Rows that were predicted or flagged.
    pub rows: u64,
    /// Rows of all files that can be read.
    pub of: u64,
}

impl LocalRun<'_> {
    /// Predicts all files in order, and puts the results of [`RESULTS`](crate::run_files::RESULTS) into a folder.
    ///
    /// A file that cannot be listed or read is left out and named in [`Results::missing`].
    ///
    /// # Errors
    /// Where no file can be read, the reason of the first; else whatever stops predicting or writing. The folder is
    /// then as it was.
    pub async fn run(
        &self,
        partitions: Partitions,
        out: ResultFolder,
        mut progress: impl FnMut(Progress),
    ) -> Result<Results> {
        let watch = Stopwatch::start();
        let Partitions { files, unreadable } = partitions;
        let planned = (files.len() + unreadable.len()) as u64;
        let (inputs, mut missing) = self.open_all(files).await?;
        missing.extend(unreadable.into_iter().map(|Unreadable { name, reason }| Missing {
            rank: None,
            files: vec![name],
            rows: None,
            reason,
        }));
        let mut own = OwnColumns::default();
        for input in &inputs {
            if let Some(dataset) = input.opened.as_ref().filter(|dataset| dataset.rows() > 0) {
                own_columns::admit(&mut own, &input.file.object.key, dataset.columns())?;
            }
        }
        let mut start = self.start;
        start += watch.spent();
        let of = inputs.iter().filter_map(|input| input.file.rows).sum();
        progress(Progress { rows: 0, of });

        let path = out.path(CATALOGUE);
        let io_error = |error| StorageError::of_io("write", path.display().to_string(), error);
        let unwritten = |error: ParquetError| StorageError::Unavailable {
            action: "write",
            location: path.display().to_string(),
            status: None,
            source: error.into(),
        };
        let columns = CatalogueColumns::new(own, self.intervals.map(|intervals| intervals.levels));
        let mut catalogue =
            CatalogueWriter::new(BufWriter::new(out.create(CATALOGUE)?), &columns).map_err(unwritten)?;

        let mut counts = Counts { files: planned, ranks: 1, ..Counts::default() };
        let (mut comparison, mut columns) = (Comparison::default(), ColumnCounts::default());
        let batches = BatchLoop {
            store: self.store,
            engine: self.engine,
            intervals: self.intervals,
            batch_size: self.batch_size,
            deadline: None,
            on_storage_failure: OnStorageFailure::LeaveOut,
        };
        let work = batches
            .run(inputs, |output| match output {
                Output::Predicted(rows) => {
                    progress(Progress { rows, of });
                    Ok(())
                }
                Output::Rows(rows) => {
                    let rows = &rows.catalogue;
                    catalogue.write(rows).map_err(unwritten)?;
                    comparison.add(rows);
                    columns.add(rows);
                    counts.add(rows);
                    Ok(())
                }
            })
            .await?;
        missing.extend(work.unreadable.iter().map(|file| Missing {
            rank: None,
            files: vec![file.key.clone()],
            rows: None,
            reason: file.reason.clone(),
        }));
        let made_by = Provenance {
            fingerprint: None,
            model: self.model.to_owned(),
            model_sha256: self.model_sha256.to_owned(),
            calibration: self.intervals.map(|intervals| intervals.calibration.made_of.clone()),
            engine: self.engine.description(),
            precision: self.precision.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let sink = catalogue.finish(&made_by).map_err(unwritten)?;
        // Not left to the drop, which hides that the disk is full.
        sink.into_inner().map_err(|error| io_error(error.into_error()))?.sync_all().map_err(io_error)?;
        counts.compared = comparison.compared();
        counts.implausible_redshifts = work.implausible_redshifts;

        let title = format!("{} · {}", self.model, self.engine.name());
        let metrics = comparison.metrics();
        let picture = draw(&comparison, &metrics, &title)?;
        out.write(PICTURE, &picture)?;

        let mut total = watch.spent();
        total += self.start;
        total += self.loading;
        let wall_seconds = total.wall_seconds;
        let run = RankRun {
            rank: 0,
            world_size: 1,
            execution: EXECUTION.to_owned(),
            made_by: made_by.clone(),
            batch_size: self.batch_size,
            phases: Phases { start, model: self.loading, ..work.phases() }.with_total(total),
            work,
            started_at: self.started_at,
            wall_seconds,
            first_of_process: true,
            ran_on: RanOn::ThisMachine,
            cores: resource_usage::cores(),
            memory_mb: None,
            requests: Requests::so_far(),
            peak_memory_mb: resource_usage::peak_memory_mb(),
        };
        let (runs, result_path) = ([run], out.path("").display().to_string());
        let ([run], ranks) = (&runs, CombinedEntries::new(&runs, &result_path));
        out.write(COMBINED_DATA, &to_json(&ranks)?)?;
        let mut timings = Timings { wall_seconds, ..Timings::default() };
        timings.add(run);
        let mut sha256 = BTreeMap::new();
        for name in [CATALOGUE, PICTURE, COMBINED_DATA] {
            sha256.insert(name.to_owned(), out.sha256(name)?);
        }
        let mut results = Results {
            metrics,
            intervals: run.work.intervals.as_ref().map(IntervalMetrics::of),
            counts,
            columns: columns.summaries(),
            complete: missing.is_empty(),
            missing,
            throughput: Throughput::of(run.work.rows, run.work.bytes, &timings),
            timings,
            made_by,
            execution: EXECUTION.to_owned(),
            sha256,
            payload: None,
        };
        let input = ReportInput { results: &results, ranks, comparison: &comparison, picture: &picture };
        out.write(REPORT, &report::write(self.report, &input))?;
        results.sha256.insert(REPORT.to_owned(), out.sha256(REPORT)?);
        out.write(RESULTS_JSON, &to_json(&results)?)?;
        out.publish()?;
        Ok(results)
    }

    /// Opens all files: those that can be read, with their rows, and the others with the reason.
    async fn open_all(&self, files: Vec<PlannedFile>) -> Result<(Vec<Input>, Vec<Missing>)> {
        let opened: Vec<_> = stream::iter(files)
            .map(async |file| {
                let dataset = partitions::open(self.store, &file).await;
                (file, dataset)
            })
            .buffered(CONCURRENT_READS)
            .collect()
            .await;
        let mut first_error = None;
        let (mut inputs, mut missing) = (Vec::new(), Vec::new());
        for (file, dataset) in opened {
            match dataset {
                Ok(dataset) => {
                    let rows = dataset.rows();
                    let file = PlannedFile { rows: Some(rows), ..file };
                    inputs.push(Input { file, rows: Some(0..rows), opened: Some(dataset) });
                }
                Err(error) => {
                    let reason = explain(&error);
                    missing.push(Missing { rank: None, files: vec![file.object.key], rows: None, reason });
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if inputs.is_empty() => Err(error),
            _ => Ok((inputs, missing)),
        }
    }
}
