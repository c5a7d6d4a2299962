//! The loop over batches hands on every row that it owes, or fails: whatever becomes of the reader that runs ahead of
//! it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use astromae::{
    Engine, EngineError,
    engine::{BANDS, PIXELS},
};
use async_trait::async_trait;
use bytes::Bytes;
use galaxies::{DatasetWriter, Layout, Redshifts};
use pipeline::{
    Error,
    batch_loop::{BatchLoop, Output, Work},
    partitions::list_partitions,
    plan::Slice,
    read_ahead::{Input, OnStorageFailure},
    storage::{Listing, LocalStore, Object, ObjectInfo, ObjectStore, StorageError, Upload, Write, explain},
};

/// z = first magnitude / 100, from as many calls at once.
struct Formula {
    at_once: usize,
    /// Calls so far, and the most that there were at the same time.
    calls: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Formula {
    fn new(at_once: usize) -> Self {
        Self { at_once, calls: AtomicUsize::default(), now: AtomicUsize::default(), most: AtomicUsize::default() }
    }
}

impl Engine for Formula {
    fn name(&self) -> &'static str {
        "formula"
    }

    fn description(&self) -> String {
        "formula".into()
    }

    fn predict(&self, _: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Of calls at once, those that came first end last.
        let call = self.calls.fetch_add(1, Ordering::SeqCst) % self.at_once;
        std::thread::sleep(Duration::from_millis(3 * (self.at_once - 1 - call) as u64));
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(magnitudes.chunks(BANDS).map(|magnitudes| magnitudes[0] / 100.0).collect())
    }

    fn calls_at_once(&self, _: usize) -> usize {
        self.at_once
    }
}

/// A folder whose files panic from a byte on, where one is given.
#[derive(Debug)]
struct Panicking {
    folder: LocalStore,
    from: Option<u64>,
}

#[async_trait]
impl ObjectStore for Panicking {
    fn location(&self, key: &str) -> String {
        self.folder.location(key)
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StorageError> {
        self.folder.list(prefix).await
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StorageError> {
        self.folder.head(key).await
    }

    async fn get(&self, key: &str) -> Result<Object, StorageError> {
        self.folder.get(key).await
    }

    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes, StorageError> {
        // Opening a file reads its end, which is no row of it.
        let row = range.end < object.size;
        assert!(!(row && self.from.is_some_and(|from| range.start >= from)), "the reader panics");
        self.folder.get_range(object, range).await
    }

    async fn put(&self, key: &str, bytes: Bytes, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        self.folder.put(key, bytes, write).await
    }

    async fn start_upload(&self, key: &str) -> Result<Box<dyn Upload>, StorageError> {
        self.folder.start_upload(key).await
    }

    async fn put_file(&self, key: &str, file: &Path) -> Result<(), StorageError> {
        self.folder.put_file(key, file).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        self.folder.delete(keys).await
    }
}

const FILES: u64 = 2;
const ROWS: u64 = 1000;

/// The magnitude in u of a row.
fn magnitude(row: u64) -> f32 {
    10.0 + row as f32 / 100.0
}

/// Runs the loop over two files, and gives the redshifts that it handed on.
async fn predict(engine: &Arc<Formula>, from: Option<u64>) -> (Result<Work, Error>, Vec<Option<f32>>) {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..FILES {
        let path = folder.path().join(format!("{file}.pt"));
        let mut writer = DatasetWriter::create(path, ROWS, &Layout::published(Redshifts::F32), Vec::new()).unwrap();
        for row in 0..ROWS {
            writer.write(&[0.0; PIXELS], &[magnitude(row).into(), 18.0, 17.0, 16.0, 15.0], Some(&[0.1]), &[]).unwrap();
        }
        writer.finish().unwrap();
    }
    let store: Arc<dyn ObjectStore> = Arc::new(Panicking { folder: LocalStore::new(folder.path()), from });
    let engine: Arc<dyn Engine> = Arc::clone(engine) as _;
    let files = list_partitions(&store, "", None).await.unwrap().files;
    let inputs = files.iter().map(|file| Input::planned(&Slice { file, rows: None })).collect();
    let on_storage_failure = OnStorageFailure::LeaveOut;
    let batches = BatchLoop {
        store: &store,
        engine: &engine,
        intervals: None,
        batch_size: 64,
        deadline: None,
        on_storage_failure,
    };
    let mut handed_on = Vec::new();
    let outcome = batches
        .run(inputs, |output| {
            if let Output::Rows(rows) = output {
                handed_on.extend(rows.catalogue.z_phot.iter().copied());
            }
            Ok(())
        })
        .await;
    (outcome, handed_on)
}

#[tokio::test]
async fn a_reader_that_panics_is_not_the_end_of_the_data() {
    let engine = Arc::new(Formula::new(1));
    let (whole, rows) = predict(&engine, None).await;
    assert_eq!((whole.unwrap().rows, rows.len() as u64), (FILES * ROWS, FILES * ROWS));

    // In the second of the three chunks that a file comes in, and before its first row.
    for from in [9 << 20, 1] {
        let (outcome, rows) = predict(&engine, Some(from)).await;
        let Err(error) = outcome else { panic!("{} rows came, and all seems well", rows.len()) };
        assert_eq!((error.name(), rows.len()), ("Internal", 0), "{}", explain(&error));
        assert!(explain(&error).contains("the reader stopped"), "{}", explain(&error));
    }
}

#[tokio::test]
async fn batches_that_are_predicted_at_once_stay_in_order() {
    for at_once in [1, 3] {
        let engine = Arc::new(Formula::new(at_once));
        let (work, rows) = predict(&engine, None).await;
        let expected: Vec<_> = (0..FILES).flat_map(|_| (0..ROWS).map(|row| Some(magnitude(row) / 100.0))).collect();
        assert_eq!(rows, expected);
        let most = engine.most.load(Ordering::SeqCst);
        assert!(most <= at_once && (most > 1) == (at_once > 1), "{most}");
        // Chunks of 384 rows, and a last one of 232 in each file.
        assert_eq!(work.unwrap().batches, FILES * (6 + 6 + 4));
    }
}
