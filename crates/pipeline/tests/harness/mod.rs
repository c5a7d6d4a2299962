//! Runs on a folder instead of S3: initialize, each rank, summarize. The network is a formula, so that every value of a
//! catalogue is known; everything else is what runs on Lambda.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use astromae::{
    Engine, EngineError, Precision,
    engine::{BANDS, PIXELS},
};
use async_trait::async_trait;
use catalogue::{CatalogueRows, read};
use galaxies::{DatasetWriter, Layout, Redshifts};
use pipeline::{
    Error,
    concurrency::Quotas,
    engine_cache::EngineCache,
    events::{InitializeEvent, RankAnswer, RankEvent, Run, SummarizeEvent, Summary, Task},
    initialize::{ExecutionState, Executions, initialize},
    plan::Owner,
    rank::run,
    report::WriteReport,
    run_files::Results,
    storage::LocalStore,
    summarize::summarize,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// z = first magnitude / 100 + first pixel, and in int8 [`INT8_ERROR`] more.
struct Formula {
    largest_batch: Arc<AtomicUsize>,
    precision: Precision,
}

/// What redshifts are larger by that the formula computes in int8.
pub(crate) const INT8_ERROR: f32 = 0.0625;

impl Engine for Formula {
    fn name(&self) -> &'static str {
        "formula"
    }

    fn description(&self) -> String {
        "formula".into()
    }

    fn predict(&self, images: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError> {
        self.largest_batch.fetch_max(magnitudes.len() / BANDS, Ordering::Relaxed);
        let galaxies = images.chunks(PIXELS).zip(magnitudes.chunks(BANDS));
        let z = galaxies.map(|(image, magnitudes)| magnitudes[0] / 100.0 + image.iter().sum::<f32>());
        Ok(match self.precision {
            Precision::F32 => z.collect(),
            Precision::Int8 => z.map(|z| z + INT8_ERROR).collect(),
        })
    }
}

pub(crate) fn owner(execution: &str) -> Owner {
    Owner { execution: execution.into(), execution_arn: format!("arn:{execution}") }
}

/// The executions that are running, by their ARNs.
#[derive(Default)]
pub(crate) struct Running(Mutex<HashSet<String>>);

impl Running {
    /// Whether it was running already.
    pub(crate) fn start(&self, execution: &str) -> bool {
        !self.0.lock().unwrap().insert(owner(execution).execution_arn)
    }

    pub(crate) fn stop(&self, execution: &str) {
        self.0.lock().unwrap().remove(&owner(execution).execution_arn);
    }
}

#[async_trait]
impl Executions for Running {
    async fn state(&self, execution_arn: &str) -> Result<ExecutionState, Error> {
        Ok(if self.0.lock().unwrap().contains(execution_arn) { ExecutionState::Running } else { ExecutionState::Ended })
    }
}

/// A bucket with partitions and a model.
pub(crate) struct Sky {
    pub(crate) running: Running,
    pub(crate) folder: TempDir,
    pub(crate) stores: LocalStore,
    pub(crate) engines: EngineCache,
    pub(crate) largest_batch: Arc<AtomicUsize>,
}

impl Sky {
    /// Partitions `1.pt`, `2.pt` … of so many galaxies.
    pub(crate) fn of(partitions: &[u64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bucket = folder.path().join("sky");
        std::fs::create_dir_all(bucket.join("data")).unwrap();
        let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../astromae/tests/fixtures/module.pt");
        std::fs::copy(model, bucket.join("model.pt")).unwrap();
        let largest_batch = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&largest_batch);
        let engines = EngineCache::new(
            PathBuf::new(),
            Box::new(move |_, _, precision| Ok(Arc::new(Formula { largest_batch: Arc::clone(&seen), precision }))),
        );
        let sky = Self {
            running: Running::default(),
            stores: LocalStore::new(folder.path()),
            folder,
            engines,
            largest_batch,
        };
        for (index, rows) in partitions.iter().enumerate() {
            sky.write_partition(index + 1, *rows, |_| 0.0);
        }
        sky
    }

    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join("sky").join(key)
    }

    /// Galaxy `row` has the first magnitude 10 + file + row / 1000, and the redshift a tenth of that.
    pub(crate) fn write_partition(&self, file: usize, rows: u64, first_pixel: impl Fn(u64) -> f32) {
        let mut writer = DatasetWriter::create(
            self.path(&format!("data/{file}.pt")),
            rows,
            &Layout::published(Redshifts::F32),
            Vec::new(),
        )
        .unwrap();
        for row in 0..rows {
            let mut image = vec![0.0; PIXELS];
            image[0] = first_pixel(row);
            let magnitude = first_magnitude(file, row);
            writer.write(&image, &[magnitude, 18.0, 17.0, 16.0, 15.0], Some(&[magnitude / 10.0]), &[]).unwrap();
        }
        writer.finish().unwrap();
    }

    pub(crate) fn payload(&self, change: Value) -> Value {
        let mut payload = json!({
            "bucket": "sky", "prefix": "data", "model": "model.pt", "batch_size": 4, "result_path": "results"
        });
        for (key, value) in change.as_object().unwrap() {
            payload[key] = value.clone();
        }
        payload
    }

    pub(crate) async fn initialize(&self, execution: &str, change: Value) -> Result<Run, Error> {
        let event = InitializeEvent { payload: self.payload(change), owner: owner(execution), attempt: 0 };
        // It runs while its initializer does.
        let ran = self.running.start(execution);
        let planned = initialize(&self.stores, &self.running, &Quotas::default(), &event, None).await;
        if !ran {
            self.running.stop(execution);
        }
        planned
    }

    /// The tasks that the initializer has written last.
    pub(crate) fn tasks(&self, planned: &Run) -> Vec<Task> {
        serde_json::from_slice(&std::fs::read(self.path(&planned.tasks)).unwrap()).unwrap()
    }

    pub(crate) async fn task(&self, planned: &Run, task: Task) -> Result<RankAnswer, Error> {
        run(&self.stores, &self.engines, &RankEvent::new(planned, task), None).await
    }

    /// Runs one of the ranks that the initializer has written last.
    pub(crate) async fn rank(&self, planned: &Run, rank: u64) -> Result<RankAnswer, Error> {
        let task = self.tasks(planned).into_iter().find(|task| task.rank == rank).unwrap();
        self.task(planned, task).await
    }

    /// What the ranks have left.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let found = std::fs::read_dir(self.path("results/ranks"));
        found.map_or_else(|_| Vec::new(), |found| found.map(|entry| entry.unwrap().path()).collect())
    }

    pub(crate) async fn summarize(&self, planned: &Run) -> Result<Summary, Error> {
        self.summarize_with(planned, &|_| "<!doctype html>".to_owned()).await
    }

    pub(crate) async fn summarize_with(&self, planned: &Run, report: &WriteReport) -> Result<Summary, Error> {
        let event = SummarizeEvent {
            owner: planned.owner.clone(),
            bucket: planned.bucket.clone(),
            result_path: planned.result_path.clone(),
            fingerprint: planned.fingerprint.clone(),
            files: planned.files.clone(),
            attempt: 0,
            start_time: "2026-01-01T00:00:00.000Z".into(),
            map: None,
            error: None,
        };
        summarize(&self.stores, &event, SystemTime::now(), report).await
    }

    /// All three steps; ranks that fail are left out.
    pub(crate) async fn execute(&self, change: Value) -> (Run, Summary) {
        let planned = self.initialize("first", change).await.unwrap();
        for rank in 0..planned.world_size {
            let _ = self.rank(&planned, rank).await;
        }
        let summary = self.summarize(&planned).await.unwrap();
        (planned, summary)
    }

    /// The catalogue as (file, row, redshift, flags).
    pub(crate) fn catalogue(&self) -> Vec<(String, u64, Option<f32>, u8)> {
        let bytes = std::fs::read(self.path("results/predictions.parquet")).unwrap();
        let rows: Vec<CatalogueRows> = read(bytes.into()).unwrap().map(Result::unwrap).collect();
        rows.iter()
            .flat_map(|rows| {
                (0..rows.len()).map(|at| {
                    let file = rows.source_file.rsplit('/').next().unwrap_or_default().to_owned();
                    (file, rows.first_row + at as u64, rows.z_phot[at], rows.flags[at])
                })
            })
            .collect()
    }

    pub(crate) fn results(&self) -> Results {
        serde_json::from_slice(&std::fs::read(self.path("results/Results.json")).unwrap()).unwrap()
    }
}

pub(crate) fn first_magnitude(file: usize, row: u64) -> f64 {
    10.0 + file as f64 + row as f64 / 1000.0
}
