//! The files of a run under its result path: what each is called, and how it is read and written.
//!
//! | key | |
//! | --- | --- |
//! | `plan.json` | what is to be done, written by the initializer |
//! | `tasks.json` | the ranks still to run, as the Distributed Map reads them |
//! | `predictions/00007.parquet` | a rank's part of the catalogue |
//! | `ranks/00007.json` | the record of a finished rank. It is also the marker: written last, it says that the part is whole |
//! | `map/…` | Step Functions' own records of the map run |
//! | `predictions.parquet`, `inference.png`, `combined_data.json`, `Results.json` | the results, written in this order |
//!
//! Local inference writes the results under the same names.

mod combined;
mod record;
mod results;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    error::{Error, Result},
    events::Task,
    plan::Plan,
    storage::{ObjectInfo, ObjectStore, StorageError, Write, as_folder, get_if_present},
};
pub use combined::combined_entry;
pub use record::{RankRecord, RankRun};
pub use results::{Counts, Missing, Results, Throughput, Timings};

/// The merged catalogue.
pub const CATALOGUE: &str = "predictions.parquet";
/// The picture of predicted against spectroscopic redshifts.
pub const PICTURE: &str = "inference.png";
/// An object per rank with the published system's keys.
pub const COMBINED_DATA: &str = "combined_data.json";
/// Metrics, counts, timings, and what made them.
pub const RESULTS_JSON: &str = "Results.json";
/// The results, in the order in which they are written. Results.json comes last: it speaks of the others.
pub const RESULTS: [&str; 4] = [CATALOGUE, PICTURE, COMBINED_DATA, RESULTS_JSON];

const PLAN: &str = "plan.json";
const TASKS: &str = "tasks.json";
/// Folders of the parts, of the records and of Step Functions' records, with the ending of the files in each.
const FOLDERS: [(&str, &str); 3] = [("predictions/", ".parquet"), ("ranks/", ".json"), ("map/", ".json")];

/// Records that are read at the same time.
const CONCURRENT_READS: usize = 32;

/// What a listing says of ranks.
pub(crate) struct FoundRanks {
    pub(crate) finished: BTreeSet<u64>,
    /// They have a record, which would keep them from running again, and no part.
    pub(crate) without_part: Vec<u64>,
}

/// The files under one result path. Its methods fail where storage does, and where a file is not what this version writes.
#[derive(Debug, Clone)]
pub struct RunFiles {
    store: Arc<dyn ObjectStore>,
    root: String,
}

impl RunFiles {
    /// The files under `result_path` of a store; an empty path is its root.
    pub fn new(store: Arc<dyn ObjectStore>, result_path: &str) -> Self {
        Self { store, root: as_folder(result_path) }
    }

    /// The key of a file by its name, such as [`CATALOGUE`].
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    /// The address of a file for a person.
    pub fn location(&self, name: &str) -> String {
        self.store.location(&self.key(name))
    }

    /// Key of a rank's part of the catalogue.
    pub fn part_key(&self, rank: u64) -> String {
        self.key(&format!("predictions/{rank:05}.parquet"))
    }

    fn record_key(&self, rank: u64) -> String {
        self.key(&format!("ranks/{rank:05}.json"))
    }

    /// Writes the plan where there is none yet, which makes the result path this run's. `false` says that one was there.
    pub async fn create_plan(&self, plan: &Plan) -> Result<bool> {
        Ok(self.store.put(&self.key(PLAN), to_json(plan)?, Write::Create).await?)
    }

    /// Reads the plan.
    pub async fn read_plan(&self) -> Result<Plan> {
        let bytes = self.store.get(&self.key(PLAN)).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::internal(format!("{} is not a plan of this version of Cosmic", self.location(PLAN)), error)
        })
    }

    /// Reads the plan, and checks that it is the one of this fingerprint.
    ///
    /// # Errors
    /// [`Error::PlanMismatch`] where it is another, and those of [`read_plan`](Self::read_plan).
    pub async fn read_own_plan(&self, fingerprint: &str) -> Result<Plan> {
        let plan = self.read_plan().await?;
        if plan.fingerprint == fingerprint {
            return Ok(plan);
        }
        Err(Error::PlanMismatch {
            location: self.location(PLAN),
            expected: fingerprint.to_owned(),
            found: plan.fingerprint,
        })
    }

    /// Writes the ranks that are still to run, and returns the key.
    pub async fn write_tasks(&self, tasks: &[Task]) -> Result<String> {
        let key = self.key(TASKS);
        self.store.put(&key, to_json(&tasks)?, Write::Replace).await?;
        Ok(key)
    }

    /// Writes a rank's part of the catalogue.
    pub async fn write_part(&self, rank: u64, part: Bytes) -> Result<()> {
        self.store.put(&self.part_key(rank), part, Write::Replace).await?;
        Ok(())
    }

    /// Reads a rank's part of the catalogue, where it is there.
    pub async fn read_part(&self, rank: u64) -> Result<Option<Bytes>> {
        Ok(get_if_present(self.store.as_ref(), &self.part_key(rank)).await?)
    }

    /// Writes the record of a rank whose part is written: from now on the rank counts as finished.
    pub async fn write_record(&self, record: &RankRecord) -> Result<()> {
        self.store.put(&self.record_key(record.run.rank), to_json(record)?, Write::Replace).await?;
        Ok(())
    }

    /// Reads the record of a rank, where it is there and belongs to the plan.
    pub async fn read_record(&self, fingerprint: &str, rank: u64) -> Result<Option<RankRecord>> {
        let Some(bytes) = get_if_present(self.store.as_ref(), &self.record_key(rank)).await? else {
            return Ok(None);
        };
        let key = self.record_key(rank);
        let record: Option<RankRecord> = serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(key, %error, "the record cannot be read: its rank runs again"))
            .ok();
        Ok(record.filter(|RankRecord { run, .. }| {
            run.rank == rank && run.made_by.fingerprint.as_deref() == Some(fingerprint)
        }))
    }

    /// Deletes the records of ranks, which then count as not finished and run again when the run is resumed.
    pub async fn delete_records(&self, ranks: impl IntoIterator<Item = u64>) -> Result<()> {
        let keys: Vec<String> = ranks.into_iter().map(|rank| self.record_key(rank)).collect();
        Ok(self.store.delete(&keys).await?)
    }

    /// Finds the ranks that have a part and a record of this plan, and those that have a record without a part.
    pub(crate) async fn find_ranks(&self, plan: &Plan) -> Result<FoundRanks> {
        let there: HashSet<String> =
            self.store.list(&self.root).await?.objects.into_iter().map(|object| object.key).collect();
        let (with_part, without_part): (Vec<u64>, Vec<u64>) = (0..plan.world_size)
            .filter(|rank| there.contains(&self.record_key(*rank)))
            .partition(|rank| there.contains(&self.part_key(*rank)));
        let of_this_plan = stream::iter(with_part)
            .map(async |rank| {
                let record = self.read_record(&plan.fingerprint, rank).await?;
                Ok::<_, Error>(record.map(|record| record.run.rank))
            })
            .buffer_unordered(CONCURRENT_READS)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(FoundRanks { finished: of_this_plan.into_iter().flatten().collect(), without_part })
    }

    /// Deletes everything that a run leaves under the path, and nothing else.
    pub async fn delete_all(&self) -> Result<()> {
        let there = match self.store.list(&self.root).await {
            // A local result folder need not exist yet.
            Err(StorageError::NotFound { .. }) => Vec::new(),
            there => there?.objects,
        };
        let keys: Vec<_> =
            there.into_iter().map(|ObjectInfo { key, .. }| key).filter(|key| self.is_ours(key)).collect();
        Ok(self.store.delete(&keys).await?)
    }

    fn is_ours(&self, key: &str) -> bool {
        let Some(name) = key.strip_prefix(&self.root) else { return false };
        RESULTS.contains(&name)
            || [PLAN, TASKS].contains(&name)
            || FOLDERS.iter().any(|(folder, ending)| name.starts_with(folder) && name.ends_with(ending))
    }

    /// Writes one of the results, by its name.
    pub async fn write_file(&self, name: &str, bytes: Bytes) -> Result<()> {
        self.store.put(&self.key(name), bytes, Write::Replace).await?;
        Ok(())
    }

    /// Writes combined_data.json.
    pub async fn write_combined(&self, entries: &[Value]) -> Result<()> {
        self.write_file(COMBINED_DATA, to_json(&entries)?).await
    }

    /// Writes Results.json, which says that the other results are whole.
    pub async fn write_results_json(&self, results: &Results) -> Result<()> {
        self.write_file(RESULTS_JSON, to_json(results)?).await
    }

    /// Deletes Results.json, since an old one would vouch for files that are about to change.
    pub async fn delete_results_json(&self) -> Result<()> {
        Ok(self.store.delete(&[self.key(RESULTS_JSON)]).await?)
    }

    /// Reads Results.json.
    pub async fn read_results_json(&self) -> Result<Results> {
        self.read_json(&self.key(RESULTS_JSON)).await
    }

    /// Reads one of the results, by its name.
    pub async fn read_file(&self, name: &str) -> Result<Bytes> {
        Ok(self.store.get(&self.key(name)).await?)
    }

    /// Reads a JSON file by its key.
    pub(crate) async fn read_json<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let bytes = self.store.get(key).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::internal(format!("failed to read {}", self.store.location(key)), error))
    }
}

fn to_json(value: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec_pretty(value).map(Bytes::from).map_err(|error| Error::internal("failed to encode JSON", error))
}
