//! A catalogue that is sent in parts while it grows.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use galaxies::{Column, ColumnType, ColumnValues, DType, DatasetWriter, Layout, PIXELS, Redshifts};
use harness::Sky;
use pipeline::{
    Error,
    events::{Run, SummarizeEvent, Summary},
    storage::{Listing, LocalStore, Object, ObjectInfo, ObjectStore, StorageError, Stores, Upload, Write},
    summarize::summarize,
};
use serde_json::json;

/// A folder whose parts are small, and of which some cannot be sent.
#[derive(Debug, Clone)]
struct Small {
    folder: LocalStore,
    part_bytes: usize,
    /// Parts that can be sent.
    parts: usize,
    sent: Arc<AtomicUsize>,
}

impl Stores for Small {
    fn bucket(&self, bucket: &str) -> Arc<dyn ObjectStore> {
        Arc::new(Bucket { store: self.folder.bucket(bucket), small: self.clone() })
    }
}

#[derive(Debug)]
struct Bucket {
    store: Arc<dyn ObjectStore>,
    small: Small,
}

struct Counted {
    upload: Box<dyn Upload>,
    small: Small,
}

#[async_trait]
impl Upload for Counted {
    async fn send(&mut self, part: Bytes) -> Result<(), StorageError> {
        if self.small.sent.fetch_add(1, Ordering::Relaxed) == self.small.parts {
            let (location, source) = ("predictions.parquet".into(), "the line is cut".into());
            return Err(StorageError::Unavailable { action: "write", location, status: None, source });
        }
        self.upload.send(part).await
    }

    async fn complete(&mut self, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        self.upload.complete(write).await
    }

    async fn abort(&mut self) -> Result<(), StorageError> {
        self.upload.abort().await
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    fn location(&self, key: &str) -> String {
        self.store.location(key)
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StorageError> {
        self.store.list(prefix).await
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo, StorageError> {
        self.store.head(key).await
    }

    async fn get(&self, key: &str) -> Result<Object, StorageError> {
        self.store.get(key).await
    }

    async fn get_range(&self, object: &ObjectInfo, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.store.get_range(object, range).await
    }

    async fn put(&self, key: &str, bytes: Bytes, write: Write<'_>) -> Result<Option<ObjectInfo>, StorageError> {
        self.store.put(key, bytes, write).await
    }

    async fn start_upload(&self, key: &str) -> Result<Box<dyn Upload>, StorageError> {
        Ok(Box::new(Counted { upload: self.store.start_upload(key).await?, small: self.small.clone() }))
    }

    fn part_bytes(&self) -> usize {
        self.small.part_bytes
    }

    async fn put_file(&self, key: &str, file: &Path) -> Result<(), StorageError> {
        self.store.put_file(key, file).await
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StorageError> {
        self.store.delete(keys).await
    }
}

/// Merges with parts of so many bytes, of which so many can be sent; and says how many were.
async fn merge(sky: &Sky, run: &Run, part_bytes: usize, parts: usize) -> (Result<Summary, Error>, usize) {
    let small = Small { folder: sky.stores.clone(), part_bytes, parts, sent: Arc::default() };
    let event = SummarizeEvent {
        owner: run.owner.clone(),
        bucket: run.bucket.clone(),
        result_path: run.result_path.clone(),
        fingerprint: run.fingerprint.clone(),
        files: run.files.clone(),
        attempt: 0,
        start_time: "2026-01-01T00:00:00.000Z".into(),
        map: None,
        error: None,
    };
    let merged = summarize(&small, &event, SystemTime::now(), &|_| String::new()).await;
    (merged, small.sent.load(Ordering::Relaxed))
}

/// Names and bytes of the results, hidden ones among them, but for plan.json.
fn results(sky: &Sky) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(sky.path("results")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file() && !path.ends_with("plan.json"));
    let mut files: Vec<_> = files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_catalogue_in_parts_is_the_same_as_one_in_one_piece() {
    let sky = Sky::of(&[300, 200, 1]);
    let (run, _) = sky.execute(json!({})).await;
    let whole = std::fs::read(sky.path("results/predictions.parquet")).unwrap();
    for part_bytes in [whole.len(), whole.len() - 1, 1000, 1] {
        let (merged, sent) = merge(&sky, &run, part_bytes, usize::MAX).await;
        assert!(merged.unwrap().complete);
        assert!(std::fs::read(sky.path("results/predictions.parquet")).unwrap() == whole, "parts of {part_bytes}");
        let parts = whole.len().div_ceil(part_bytes);
        assert_eq!(sent, if parts == 1 { 0 } else { parts }, "one part is written in one request");
    }
}

#[tokio::test]
async fn an_upload_that_fails_in_the_middle_leaves_the_results_as_they_were() {
    let sky = Sky::of(&[300, 200]);
    let (run, _) = sky.execute(json!({})).await;
    let before = results(&sky);
    for parts in [0, 1, 3] {
        let (merged, sent) = merge(&sky, &run, 1000, parts).await;
        assert!(matches!(merged, Err(Error::Storage(StorageError::Unavailable { .. }))), "{merged:?}");
        assert_eq!(sent, parts + 1);
        assert!(results(&sky) == before, "nothing is changed, and nothing is left");
    }
}

/// Writes a third partition, of two galaxies with a column that the others do not have.
fn write_with_column(sky: &Sky) {
    let column = Column { name: "id".into(), kind: ColumnType::Number(DType::I64), is_list: false };
    let layout = Layout { redshifts: Redshifts::F32, columns: vec![column] };
    let mut writer = DatasetWriter::create(sky.path("data/3.pt"), 2, &layout, Vec::new()).unwrap();
    let ids = [7_i64, 8].iter().flat_map(|id| id.to_le_bytes()).collect();
    let values = [ColumnValues::Bytes(ids)];
    writer.write(&[0.0; 2 * PIXELS], &[18.0; 10], Some(&[0.1; 2]), &values).unwrap();
    writer.finish().unwrap();
}

#[tokio::test]
async fn a_column_that_a_later_rank_brings_is_in_a_catalogue_in_parts_too() {
    let sky = Sky::of(&[400, 3]);
    write_with_column(&sky);
    let (run, summary) = sky.execute(json!({})).await;
    assert!(summary.complete);
    let whole = std::fs::read(sky.path("results/predictions.parquet")).unwrap();
    // The parts that were sent before the column came are given up.
    let (merged, sent) = merge(&sky, &run, 100, usize::MAX).await;
    assert!(merged.unwrap().complete && sent >= whole.len() / 100);
    assert!(std::fs::read(sky.path("results/predictions.parquet")).unwrap() == whole);
    let rows: Vec<_> = catalogue::read(whole.into()).unwrap().map(Result::unwrap).collect();
    let nulls: Vec<_> = rows.iter().map(|rows| rows.columns[0].values.null_count()).collect();
    assert_eq!(nulls, [400, 3, 0]);
}

#[tokio::test]
async fn a_column_that_a_later_rank_brings_leaves_the_reason_of_one_that_is_of_no_use() {
    let sky = Sky::of(&[4, 3]);
    write_with_column(&sky);
    let run = sky.initialize("first", json!({})).await.unwrap();
    for rank in 0..3 {
        sky.rank(&run, rank).await.unwrap();
    }
    let tasks = sky.tasks(&run);
    let object = |rank: usize| sky.path(&format!("results/ranks/{}.parquet", tasks[rank].object));
    std::fs::copy(object(0), object(1)).unwrap();
    assert_eq!(sky.summarize(&run).await.unwrap().rows, 6);
    let missing = sky.results().missing;
    assert_eq!(missing.len(), 1);
    assert!(missing[0].reason.contains("the rank read rows 0..4 of data/1.pt"), "{}", missing[0].reason);
    assert_eq!(std::fs::read(object(1)).unwrap(), b"", "it is void, so that the rank runs again");
}
