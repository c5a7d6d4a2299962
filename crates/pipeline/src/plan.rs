//! Who does what: the files of a run, divided among its ranks so that each row is planned exactly once.
//!
//! The rows of a run are the natural-sorted concatenation of its files. Where there are at least as many files as
//! ranks, ranks own whole files and no header is read at planning time; otherwise ranks own row ranges inside files,
//! and the plan records the rows of each file.
//!
//! What a rank leaves is named by a hash of what determines it ([`Plan::object_name`]), which is not its number: a file
//! that is added, removed or repaired changes the names of the ranks that read it, and of no others.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    concurrency::RanksAtOnce,
    error::{Error, Result},
    payload::{MAX_WORLD_SIZE, Payload},
    storage::ObjectInfo,
};

/// Version of what ranks leave. Objects of another version are not taken for this one's.
const FORMAT: u32 = 3;

/// A data file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Key, size and ETag at planning time.
    #[serde(flatten)]
    pub object: ObjectInfo,
    /// Rows in the file: known where ranks share files, else found by the rank that reads it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<u64>,
    /// Why its rows are not known although ranks share files: no rank reads it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unreadable: Option<String>,
}

impl PlannedFile {
    /// A file of which only the listing is known.
    pub fn listed(object: ObjectInfo) -> Self {
        Self { object, rows: None, unreadable: None }
    }
}

/// The model of a run, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedModel {
    /// Its key or file name.
    pub name: String,
    /// SHA-256 of the file's bytes, in hexadecimal.
    pub sha256: String,
    /// The object to fetch; absent for the model packaged with the function.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<ObjectInfo>,
}

/// An execution, by the name that people know and by the ARN that no two share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub execution: String,
    pub execution_arn: String,
}

/// What is to be done, and who asked for it. Its size does not depend on the number of files, which are listed in a
/// file of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Hash over what determines the catalogue: see [`Plan::new`].
    pub fingerprint: String,
    /// The execution that the result path belongs to.
    #[serde(flatten)]
    pub owner: Owner,
    /// ARN of the execution that last started from nothing. Ranks of an earlier generation are not taken over.
    pub generation: String,
    /// Version of Cosmic that planned it.
    pub version: String,
    /// The input, with every default filled in.
    pub payload: Payload,
    /// Number of ranks: never more than files and rows give work to.
    pub world_size: u64,
    pub model: PlannedModel,
    /// Number of files.
    pub files: u64,
    /// Rows of the files that can be read, where ranks share files; else only the ranks count them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<u64>,
    /// How many of its ranks run at once, once that is resolved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at_once: Option<RanksAtOnce>,
}

/// What one rank reads: some of the files, or of the rows in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Indices in the list of files.
    pub files: Range<usize>,
    /// Where ranks share files: its rows, counted from the first row of the first of these files.
    pub rows: Option<Range<u64>>,
}

impl Share {
    /// Its files or parts of files, where `files` are those of [`Share::files`].
    pub fn slices<'a>(&self, files: &'a [PlannedFile]) -> Vec<Slice<'a>> {
        let Some(own) = &self.rows else {
            return files.iter().map(|file| Slice { file, rows: None }).collect();
        };
        let mut start = 0_u64;
        let mut slices = Vec::new();
        for file in files {
            let end = start.saturating_add(file.rows.unwrap_or_default());
            let (from, to) = (own.start.max(start), own.end.min(end));
            if from < to {
                slices.push(Slice { file, rows: Some(from - start..to - start) });
            }
            start = end;
        }
        slices
    }
}

/// A part of a file, or a whole file whose number of rows may still be unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<'a> {
    pub file: &'a PlannedFile,
    /// The rows; `None` is all of them, however many there are.
    pub rows: Option<Range<u64>>,
}

impl Slice<'_> {
    /// Its number of rows, where the plan knows it.
    pub fn row_count(&self) -> Option<u64> {
        self.rows.as_ref().map(|rows| rows.end - rows.start).or(self.file.rows)
    }
}

impl Plan {
    /// Divides `files`, which are in natural order, among the ranks of `payload`.
    ///
    /// A world size above the number of rows (or, where the payload names none, of files) gives as many ranks as
    /// there is work for: [`world_size`](Self::world_size) says how many.
    ///
    /// The fingerprint covers the files (key, size, ETag, rows), their bucket, the number of ranks, the batch size, the
    /// engine and its precision, the model's content and the levels of its quantiles. It leaves out what changes neither rows nor
    /// redshifts: who runs it, how many ranks at once, how many may fail.
    ///
    /// # Errors
    /// [`Error::Internal`] where ranks share files and a file's rows are neither given nor unreadable.
    pub fn new(
        payload: Payload,
        owner: Owner,
        generation: String,
        files: &[PlannedFile],
        model: PlannedModel,
    ) -> Result<Self> {
        let wanted = payload.world_size.unwrap_or((files.len() as u64).min(MAX_WORLD_SIZE));
        let (world_size, rows) = if shares_files(wanted, files.len()) {
            let rows = total_rows(files)?;
            (wanted.min(rows).max(1), Some(rows))
        } else {
            (wanted, None)
        };
        Ok(Self {
            fingerprint: fingerprint(&payload, world_size, files, &model)?,
            owner,
            generation,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            payload,
            world_size,
            model,
            files: files.len() as u64,
            rows: rows.filter(|_| shares_files(world_size, files.len())),
            at_once: None,
        })
    }

    /// Checks what every plan keeps to, so that one of a foreign hand cannot make a step count for ever.
    ///
    /// # Errors
    /// [`Error::Internal`].
    pub fn check(&self) -> Result<()> {
        match self.world_size {
            1..=MAX_WORLD_SIZE => Ok(()),
            others => Err(Error::fault(format!("a plan of {others} ranks, and 1 to {MAX_WORLD_SIZE} are possible"))),
        }
    }

    /// What each rank reads, by rank.
    ///
    /// Rank r of w owns `[r·n/w, (r+1)·n/w)` of the n files, or of the n rows where ranks share files.
    pub fn shares(&self, files: &[PlannedFile]) -> Vec<Share> {
        let own = |n: u64, rank| boundary(n, rank, self.world_size)..boundary(n, rank + 1, self.world_size);
        let Some(rows) = self.rows else {
            let whole = |rank| {
                let own = own(files.len() as u64, rank);
                Share { files: own.start as usize..own.end as usize, rows: None }
            };
            return (0..self.world_size).map(whole).collect();
        };
        let (mut first, mut first_row) = (0, 0);
        let mut shares = Vec::new();
        for rank in 0..self.world_size {
            let own = own(rows, rank);
            let file_rows = |file: usize| files[file].rows.unwrap_or_default();
            while first < files.len() && file_rows(first) <= own.start - first_row {
                first_row += file_rows(first);
                first += 1;
            }
            let (mut end, mut end_row) = (first, first_row);
            while end < files.len() && end_row < own.end {
                end_row = u64::saturating_add(end_row, file_rows(end));
                end += 1;
            }
            shares.push(Share { files: first..end, rows: Some(own.start - first_row..own.end - first_row) });
        }
        shares
    }

    /// The name of what the rank with these slices leaves: a hash of all that determines it, in hexadecimal.
    pub fn object_name(&self, slices: &[Slice<'_>]) -> String {
        let slices: Vec<_> = slices
            .iter()
            .map(|slice| {
                let ObjectInfo { key, size, etag } = &slice.file.object;
                let rows = slice.rows.as_ref().map(|rows| (rows.start, rows.end));
                serde_json::json!([key, size, etag, rows])
            })
            .collect();
        let determined_by = serde_json::json!({
            "format": FORMAT,
            "generation": self.generation,
            "data_bucket": self.payload.data_bucket,
            "batch_size": self.payload.batch_size,
            "engine": self.payload.engine,
            "precision": self.payload.precision,
            "model": self.model.sha256,
            "levels": self.payload.levels,
            "slices": slices,
        });
        hex::encode(Sha256::digest(determined_by.to_string()))
    }
}

/// `rank`'s boundary among n things divided by `world_size`: floor(n·rank/world_size), without overflow.
fn boundary(n: u64, rank: u64, world_size: u64) -> u64 {
    let boundary = u128::from(n) * u128::from(rank) / u128::from(world_size.max(1));
    // At most n, since rank ≤ world_size.
    u64::try_from(boundary).unwrap_or(n)
}

/// Whether ranks must share files, and so the rows of each file be known when the run is planned.
pub fn shares_files(world_size: u64, files: usize) -> bool {
    world_size > files as u64
}

fn total_rows(files: &[PlannedFile]) -> Result<u64> {
    files
        .iter()
        .filter(|file| file.unreadable.is_none())
        .map(|file| {
            file.rows.ok_or_else(|| {
                Error::fault(format!("{}: ranks share files, but its rows were not read", file.object.key))
            })
        })
        .try_fold(0_u64, |total, rows| {
            total.checked_add(rows?).ok_or_else(|| Error::fault("the files claim more rows than 64 bits can count"))
        })
}

fn fingerprint(payload: &Payload, world_size: u64, files: &[PlannedFile], model: &PlannedModel) -> Result<String> {
    let determined_by = serde_json::json!({
        "data_bucket": payload.data_bucket,
        "batch_size": payload.batch_size,
        "engine": payload.engine,
        "precision": payload.precision,
        "world_size": world_size,
        "model": model.sha256,
        "levels": payload.levels,
        "files": files.iter().map(|PlannedFile { object, rows, .. }| (object, rows)).collect::<Vec<_>>(),
    });
    let bytes =
        serde_json::to_vec(&determined_by).map_err(|error| Error::internal("failed to encode the plan", error))?;
    Ok(hex::encode(Sha256::digest(bytes))[..16].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use astromae::Precision;
    use proptest::prelude::*;

    fn payload(world_size: Option<u64>) -> Payload {
        let input = serde_json::json!({"bucket": "b", "prefix": "p", "batch_size": 32, "world_size": world_size});
        Payload::parse(&input, "run").unwrap().0
    }

    fn files(rows: &[Option<u64>]) -> Vec<PlannedFile> {
        rows.iter()
            .enumerate()
            .map(|(index, rows)| PlannedFile {
                object: ObjectInfo { key: format!("p/{}.pt", index + 1), size: 1, etag: "e".into() },
                rows: *rows,
                unreadable: None,
            })
            .collect()
    }

    fn model() -> PlannedModel {
        PlannedModel { name: "m".into(), sha256: "00".into(), object: None }
    }

    fn plan(payload: Payload, files: &[PlannedFile]) -> Plan {
        let owner = Owner { execution: "x".into(), execution_arn: "arn:x".into() };
        Plan::new(payload, owner, "x".into(), files, model()).unwrap()
    }

    #[test]
    fn what_changes_the_catalogue_changes_the_fingerprint() {
        let fingerprint = |payload: Payload, sizes: &[Option<u64>]| plan(payload, &files(sizes)).fingerprint;
        let base = fingerprint(payload(None), &[None, None]);
        assert_ne!(base, fingerprint(payload(Some(1)), &[None, None]));
        assert_ne!(base, fingerprint(payload(None), &[None, None, None]));
        let mut other = payload(None);
        other.batch_size = 64;
        assert_ne!(base, fingerprint(other, &[None, None]));
        let mut all_levels = payload(None);
        all_levels.levels = true;
        assert_ne!(base, fingerprint(all_levels, &[None, None]));
        let in_int8 = Payload { precision: Precision::Int8, ..payload(None) };
        assert_ne!(base, fingerprint(in_int8, &[None, None]));
        let mut same = payload(None);
        (same.max_concurrency, same.tolerated_failure_percentage) = (7, 50.0);
        assert_eq!(base, fingerprint(same, &[None, None]));
    }

    fn names(plan: &Plan, files: &[PlannedFile]) -> Vec<String> {
        let name = |share: &Share| plan.object_name(&share.slices(&files[share.files.clone()]));
        plan.shares(files).iter().map(name).collect()
    }

    #[test]
    fn ranks_in_another_precision_leave_other_objects() {
        let files = files(&[None, None]);
        let in_f32 = names(&plan(payload(None), &files), &files);
        let in_int8 = names(&plan(Payload { precision: Precision::Int8, ..payload(None) }, &files), &files);
        assert!(in_f32.iter().all(|name| !in_int8.contains(name)));
    }

    #[test]
    fn a_file_that_is_added_or_changed_renames_only_what_is_made_of_it() {
        let old = files(&[None, None, None]);
        let before = names(&plan(payload(None), &old), &old);
        let mut changed = old.clone();
        changed[1].object.etag = "other".into();
        changed.insert(0, PlannedFile::listed(ObjectInfo { key: "p/0.pt".into(), size: 1, etag: "e".into() }));
        let after = names(&plan(payload(None), &changed), &changed);
        assert_eq!((&after[1], &after[3]), (&before[0], &before[2]));
        assert!(!before.contains(&after[0]) && !before.contains(&after[2]));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_in_no_share() {
        let mut shared = files(&[Some(4), None, Some(5)]);
        shared[1].unreadable = Some("no torch file".into());
        let plan = plan(payload(Some(9)), &shared);
        assert_eq!((plan.world_size, plan.rows), (9, Some(9)));
        for share in plan.shares(&shared) {
            let slices = share.slices(&shared[share.files.clone()]);
            assert!(slices.len() == 1 && slices[0].file.unreadable.is_none(), "{slices:?}");
        }
    }

    proptest! {
        #[test]
        fn every_row_is_planned_exactly_once(
            rows in proptest::collection::vec(0_u64..50, 1..12),
            world_size in proptest::option::of(1_u64..200),
        ) {
            prop_assume!(rows.iter().sum::<u64>() > 0);
            let known: Vec<_> = rows.iter().map(|rows| Some(*rows)).collect();
            let files = files(&known);
            let plan = plan(payload(world_size), &files);
            let mut seen = Vec::new();
            let mut sizes = Vec::new();
            for share in plan.shares(&files) {
                let share = share.slices(&files[share.files.clone()]);
                let mut own = 0;
                for slice in &share {
                    let range = slice.rows.clone().unwrap_or(0..slice.file.rows.unwrap());
                    own += range.end - range.start;
                    seen.extend(range.map(|row| (slice.file.object.key.clone(), row)));
                }
                sizes.push(if shares_files(plan.world_size, rows.len()) { own } else { share.len() as u64 });
            }
            let expected: Vec<_> = files
                .iter()
                .flat_map(|file| (0..file.rows.unwrap()).map(|row| (file.object.key.clone(), row)))
                .collect();
            prop_assert_eq!(seen, expected);
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            prop_assert!(plan.world_size <= world_size.unwrap_or(rows.len() as u64));
        }
    }
}
