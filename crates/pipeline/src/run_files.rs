//! The files of a run under its result path: what each is called, and how it is read and written.
//!
//! | key | |
//! | --- | --- |
//! | `plan.json` | whose the result path is, and what is to be done |
//! | `files.jsonl` | the planned files, one per line |
//! | `tasks.json` | the ranks still to run, as the Distributed Map reads them |
//! | `ranks/<hash>.parquet` | what a rank left, written once: its rows, and in the metadata its record |
//! | `ranks/<hash>.incomplete.parquet` | the same of a rank that could not read some of its files: it runs again when the run is resumed |
//! | `map/…` | Step Functions' own records of the map run |
//! | `predictions.parquet`, `inference.png`, `combined_data.json`, `report.html`, `Results.json` | the results, written in this order; the last has the SHA-256 of the others |
//!
//! Local inference writes the results under the same names.
//!
//! Functions that were given up as dead may still be alive, and write late. Two rules keep them from doing harm. What a
//! rank leaves is named by a hash of what determines it, so that a late rank writes what is there already or what
//! nobody looks at. Everything else is written by [`RunFiles::write_own`], which replaces only what it saw before it
//! made sure that the result path is still its own: whoever takes the path over afterwards, and writes, is never
//! overwritten.

mod claim;
mod combined;
mod names;
mod record;
mod results;
mod stream;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{Error, Result},
    events::Task,
    plan::{Owner, Plan, PlannedFile},
    run_files::{
        claim::StampedPlan,
        names::{is_map_record, rank_name, rank_object},
        stream::Content,
    },
    storage::{Object, ObjectInfo, ObjectStore, StorageError, Write, as_folder, if_present},
};
pub use claim::{Claim, Claimant, FoundPlan, Step};
pub use combined::CombinedEntries;
pub use record::{RankObject, RankRun};
pub use results::{Counts, Missing, Results, Throughput, Timings, sha256};
pub(crate) use stream::{FileStream, Outbox};

/// The merged catalogue.
pub const CATALOGUE: &str = "predictions.parquet";
/// The picture of predicted against spectroscopic redshifts.
pub const PICTURE: &str = "inference.png";
/// An object per rank with the published system's keys.
pub const COMBINED_DATA: &str = "combined_data.json";
/// The page that shows how the run went.
pub const REPORT: &str = "report.html";
/// Metrics, counts, timings, and what made them.
pub const RESULTS_JSON: &str = "Results.json";
/// The results, in the order in which they are written. Results.json comes last: it speaks of the others.
pub const RESULTS: [&str; 5] = [CATALOGUE, PICTURE, COMBINED_DATA, REPORT, RESULTS_JSON];

const PLAN: &str = "plan.json";
const FILES: &str = "files.jsonl";
const TASKS: &str = "tasks.json";
/// Folder of what ranks leave.
const RANKS: &str = "ranks/";
/// Folder of Step Functions' records.
const MAP: &str = "map/";
/// Writes of a file that may be lost to others before it is given up.
pub(crate) const ATTEMPTS: usize = 10;

/// The key of the last line of the list of files, which is the stamp of the claim that it was written under.
const CLAIMED_AT: &str = "claimed_at";

/// The files under one result path. Its methods fail where storage does, and where a file is not what this version
/// writes.
#[derive(Debug, Clone)]
pub struct RunFiles {
    store: Arc<dyn ObjectStore>,
    root: String,
}

/// What ranks have left, by the hash in its name.
#[derive(Debug, Default)]
pub struct FoundRanks {
    pub(crate) complete: BTreeMap<String, ObjectInfo>,
    pub(crate) incomplete: BTreeMap<String, ObjectInfo>,
}

/// An object that an earlier execution has left.
#[derive(Debug)]
pub struct Leftover {
    pub(crate) key: String,
    /// The hash in the name of what a rank has left.
    pub(crate) hash: Option<String>,
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

    /// Reads the plan, where there is one.
    pub async fn find_plan(&self) -> Result<Option<FoundPlan>> {
        let Some(Object { info, bytes }) = if_present(self.store.get(&self.key(PLAN)).await)? else { return Ok(None) };
        let StampedPlan { plan, claimed_by, claimed_at } = serde_json::from_slice(&bytes).map_err(|error| {
            let said = format!(
                "{} is not a plan of this version of Cosmic: delete it, or choose another `result_path`",
                self.location(PLAN)
            );
            Error::internal(said, error)
        })?;
        plan.check()?;
        let claimed_at = Duration::from_nanos(claimed_at.parse().unwrap_or_default());
        let age = since_1970().saturating_sub(claimed_at);
        Ok(Some(FoundPlan { plan, claimed_by, age, info }))
    }

    /// Reads the plan, and checks that it is this execution's.
    ///
    /// # Errors
    /// [`Error::PlanMismatch`] where it is another's or none is there, and those of [`find_plan`](Self::find_plan).
    pub async fn read_own_plan(&self, owner: &Owner, fingerprint: &str) -> Result<FoundPlan> {
        match self.find_plan().await? {
            Some(found) if found.plan.owner == *owner && found.plan.fingerprint == fingerprint => Ok(found),
            found => Err(self.mismatch(owner, found.as_ref())),
        }
    }

    /// Why a result path is no longer this step's.
    pub async fn why_lost(&self, owner: &Owner) -> Result<Error> {
        Ok(self.mismatch(owner, self.find_plan().await?.as_ref()))
    }

    fn mismatch(&self, expected: &Owner, found: Option<&FoundPlan>) -> Error {
        let found = match found {
            None => "nobody (it is gone)".to_owned(),
            Some(FoundPlan { plan, .. }) if plan.owner == *expected => {
                "a later attempt of the same execution".to_owned()
            }
            Some(FoundPlan { plan, .. }) => format!("execution {}", plan.owner.execution),
        };
        let expected = format!("execution {}", expected.execution);
        Error::PlanMismatch { location: self.location(PLAN), expected, found }
    }

    /// Writes the plan over the one that was found, if any, which makes the result path this step's. `None` says that
    /// another step was faster: look again.
    ///
    /// # Errors
    /// [`Error::PlanMismatch`] where a later step, or a later attempt of this one, has claimed the path for the
    /// execution.
    pub async fn claim(&self, plan: Plan, claimant: Claimant, found: Option<&FoundPlan>) -> Result<Option<Claim>> {
        let owner = plan.owner.clone();
        if found.is_some_and(|found| found.plan.owner == owner && found.claimed_by > claimant) {
            return Err(self.mismatch(&owner, found));
        }
        let stamp = since_1970().as_nanos().to_string();
        let stamped = StampedPlan { claimed_by: claimant, claimed_at: stamp.clone(), plan };
        let found = found.map(|found| &found.info);
        let written = self.store.put(&self.key(PLAN), to_json(&stamped)?, Write::over(found)).await?;
        Ok(written.map(|info| Claim { info, owner, stamp }))
    }

    async fn check(&self, claim: &Claim) -> Result<()> {
        let there = if_present(self.store.head(&self.key(PLAN)).await)?;
        match there {
            Some(there) if there.etag == claim.info.etag => Ok(()),
            _ => Err(self.why_lost(&claim.owner).await?),
        }
    }

    /// Writes a file by its name, as long as the result path is still this step's.
    ///
    /// # Errors
    /// [`Error::PlanMismatch`] where it no longer is, and nothing was written unless an answer was lost.
    pub async fn write_own(&self, claim: &Claim, name: &str, bytes: Bytes) -> Result<ObjectInfo> {
        self.write_content(claim, &self.key(name), Content::Whole(bytes)).await
    }

    async fn write_content(&self, claim: &Claim, key: &str, mut content: Content<'_>) -> Result<ObjectInfo> {
        for _ in 0..ATTEMPTS {
            // The order matters: a successor can only have written after the check, and what it wrote is not what was
            // seen.
            let seen = if_present(self.store.head(key).await)?;
            self.check(claim).await?;
            if let Some(written) = content.write(self.store.as_ref(), key, Write::over(seen.as_ref())).await? {
                return Ok(written);
            }
        }
        Err(Error::Contended { location: self.store.location(key) })
    }

    /// Starts a file that is written piece by piece. Nothing of it shows before [`finish_own`](Self::finish_own).
    pub(crate) fn start_own(&self, name: &str) -> FileStream {
        FileStream::new(Arc::clone(&self.store), self.key(name))
    }

    /// Writes what is left of a file and makes it appear, as long as the result path is still this step's.
    ///
    /// # Errors
    /// Those of [`write_own`](Self::write_own). Nothing of the file is left then, unless an answer was lost.
    pub(crate) async fn finish_own(&self, claim: &Claim, mut file: FileStream, rest: Outbox) -> Result<ObjectInfo> {
        let key = file.key.clone();
        let written = match file.finish(rest).await {
            Ok(content) => self.write_content(claim, &key, content).await,
            Err(error) => Err(error),
        };
        if written.is_err() {
            file.abort().await;
        }
        written
    }

    /// The error of a claim that was lost to others each time.
    pub(crate) fn contended(&self) -> Error {
        Error::Contended { location: self.location(PLAN) }
    }

    /// Writes the list of planned files.
    pub async fn write_files(&self, claim: &Claim, lines: &[u8]) -> Result<ObjectInfo> {
        let claimed = serde_json::json!({ CLAIMED_AT: claim.stamp });
        self.write_own(claim, FILES, [lines, claimed.to_string().as_bytes(), b"\n"].concat().into()).await
    }

    /// Reads all planned files.
    ///
    /// # Errors
    /// [`StorageError::Changed`] where the list is no longer the one of `info`.
    pub async fn read_files(&self, info: &ObjectInfo) -> Result<Vec<PlannedFile>> {
        self.read_lines(info, (0, info.size)).await
    }

    /// Reads the planned files in the bytes `[from, to)` of their list.
    ///
    /// # Errors
    /// [`StorageError::Changed`] where the list is no longer the one of `info`.
    pub async fn read_lines(&self, info: &ObjectInfo, (from, to): (u64, u64)) -> Result<Vec<PlannedFile>> {
        let lines = self.store.get_range(info, from..to).await?;
        parse_lines(&lines).map_err(|error| Error::internal(format!("failed to read {}", self.location(FILES)), error))
    }

    /// Writes the ranks that are still to run, and returns the key.
    pub async fn write_tasks(&self, claim: &Claim, tasks: &[Task]) -> Result<String> {
        let json = serde_json::to_vec(tasks).map_err(|error| Error::internal("failed to encode the tasks", error))?;
        Ok(self.write_own(claim, TASKS, json.into()).await?.key)
    }

    /// Reads the ranks that are still to run.
    pub async fn read_tasks(&self) -> Result<Vec<Task>> {
        self.read_json(&self.key(TASKS)).await
    }

    /// Finds what ranks have left. An empty object is one that the summarizer has declared void.
    pub async fn find_ranks(&self) -> Result<FoundRanks> {
        let folder = self.key(RANKS);
        let mut found = FoundRanks::default();
        for object in list_if_present(self.store.as_ref(), &folder).await? {
            let name = object.key.strip_prefix(&folder).unwrap_or_default();
            match rank_object(name) {
                Some((hash, true)) if object.size > 0 => found.complete.insert(hash.to_owned(), object),
                Some((hash, false)) if object.size > 0 => found.incomplete.insert(hash.to_owned(), object),
                _ => None,
            };
        }
        Ok(found)
    }

    /// Finds what ranks and map runs have left so far: the keys that an overwriting run deletes once the path is its
    /// own. No name but those that a run of this path itself gives is among them.
    pub async fn find_leftovers(&self) -> Result<Vec<Leftover>> {
        let mut leftovers = Vec::new();
        let (ranks, map) = (self.key(RANKS), self.key(MAP));
        for object in list_if_present(self.store.as_ref(), &ranks).await? {
            if let Some((hash, _)) = object.key.strip_prefix(&ranks).and_then(rank_object) {
                leftovers.push(Leftover { hash: Some(hash.to_owned()), key: object.key });
            }
        }
        for object in list_if_present(self.store.as_ref(), &map).await? {
            if object.key.strip_prefix(&map).is_some_and(is_map_record) {
                leftovers.push(Leftover { hash: None, key: object.key });
            }
        }
        Ok(leftovers)
    }

    /// Deletes objects by their keys.
    pub async fn delete(&self, keys: &[String]) -> Result<()> {
        Ok(self.store.delete(keys).await?)
    }

    fn rank_key(&self, hash: &str, complete: bool) -> String {
        self.key(&format!("{RANKS}{}", rank_name(hash, complete)))
    }

    /// Looks for what a rank has left when all of its files could be read.
    pub async fn head_rank(&self, hash: &str) -> Result<Option<ObjectInfo>> {
        Ok(if_present(self.store.head(&self.rank_key(hash, true)).await)?)
    }

    /// Reads what a rank has left.
    pub async fn read_rank(&self, object: &ObjectInfo) -> Result<RankObject, RankError> {
        let bytes = self.store.get(&object.key).await?.bytes;
        // Off the async threads: while one object is parsed, others may be, and the rows of those before it be written.
        let parsed = tokio::task::spawn_blocking(|| RankObject::parse(bytes)).await;
        // A parser that panicked or was cancelled says nothing of the object, which is not to be lost for it.
        let parsed = parsed.map_err(|error| Error::internal(format!("failed to parse {}", object.key), error));
        let left = parsed.map_err(RankError::Fault)?.map_err(RankError::Unusable)?;
        let complete = left.run.work.unreadable.is_empty();
        match object.key.rsplit('/').next().and_then(rank_object) {
            Some((_, named_complete)) if named_complete == complete => Ok(left),
            _ => Err(RankError::Unusable("its name and its record differ in whether it is complete".into())),
        }
    }

    /// Writes what a rank leaves. Where all of its files could be read it is written once, over nothing but `void`, an
    /// object that is of no use; another that is there by now says the same.
    pub async fn write_rank(&self, hash: &str, complete: bool, object: Bytes, void: Option<&ObjectInfo>) -> Result<()> {
        let write = if complete { Write::over(void) } else { Write::Replace };
        if self.store.put(&self.rank_key(hash, complete), object, write).await?.is_none() {
            tracing::info!(hash, "another attempt has finished this rank meanwhile");
        }
        Ok(())
    }

    /// Declares what a rank has left void, if it is still this object, so that the rank runs again.
    pub async fn void_rank(&self, object: &ObjectInfo) -> Result<()> {
        self.store.put(&object.key, Bytes::new(), Write::Update(&object.etag)).await?;
        Ok(())
    }

    /// Reads Results.json.
    pub async fn read_results_json(&self) -> Result<Results> {
        self.read_json(&self.key(RESULTS_JSON)).await
    }

    /// Reads one of the results, by its name.
    pub async fn read_file(&self, name: &str) -> Result<Bytes> {
        Ok(self.store.get(&self.key(name)).await?.bytes)
    }

    /// Reads a JSON file by its key.
    pub(crate) async fn read_json<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let object = self.store.get(key).await?;
        serde_json::from_slice(&object.bytes)
            .map_err(|error| Error::internal(format!("failed to read {}", self.store.location(key)), error))
    }
}

/// Why what a rank has left was not read.
#[derive(Debug)]
pub enum RankError {
    Storage(StorageError),
    /// It is there, and is not what a rank writes.
    Unusable(String),
    /// It was not found out what it is.
    Fault(Error),
}

impl From<StorageError> for RankError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

async fn list_if_present(store: &dyn ObjectStore, prefix: &str) -> Result<Vec<ObjectInfo>> {
    // A local result folder need not exist yet.
    Ok(if_present(store.list(prefix).await)?.unwrap_or_default().objects)
}

/// The lines of `files.jsonl` that name files, and where each begins; the last entry is their size.
pub(crate) fn to_lines(files: &[PlannedFile]) -> Result<(Vec<u8>, Vec<u64>)> {
    let mut text = Vec::new();
    let mut starts = vec![0];
    for file in files {
        serde_json::to_writer(&mut text, file)
            .map_err(|error| Error::internal("failed to encode the list of files", error))?;
        text.push(b'\n');
        starts.push(text.len() as u64);
    }
    Ok((text, starts))
}

fn parse_lines(lines: &[u8]) -> Result<Vec<PlannedFile>, serde_json::Error> {
    let is_file = |line: &&[u8]| !line.is_empty() && !line.starts_with(format!("{{\"{CLAIMED_AT}\"").as_bytes());
    lines.split(|byte| *byte == b'\n').filter(is_file).map(serde_json::from_slice).collect()
}

/// A result as JSON.
pub fn to_json(value: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec_pretty(value).map(Bytes::from).map_err(|error| Error::internal("failed to encode JSON", error))
}
