//! Who does what: the files of a run, divided among its ranks so that each row is planned exactly once.
//!
//! The rows of a run are the natural-sorted concatenation of its files. Where there are at least as many files as
//! ranks, ranks own whole files and no header is read at planning time; otherwise ranks own row ranges inside files,
//! and the plan records the rows of each file. A rank's share is not stored: it follows from the plan and the rank
//! ([`Plan::share`]), so the plan of 10,000 ranks stays as small as its list of files.

use std::{cmp::Ordering, ops::Range};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    payload::Payload,
    storage::ObjectInfo,
};

/// A data file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Key, size and ETag at planning time.
    #[serde(flatten)]
    pub object: ObjectInfo,
    /// Rows in the file: known where ranks share files, else found by the rank that reads it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<u64>,
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

/// Everything that determines a run's catalogue, and who asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Hash over what determines the catalogue: see [`Plan::new`].
    pub fingerprint: String,
    /// Name of the execution that planned it.
    pub execution: String,
    /// Version of Cosmic that planned it.
    pub version: String,
    /// The input, with every default filled in.
    pub payload: Payload,
    /// Number of ranks: never more than files and rows give work to.
    pub world_size: u64,
    pub model: PlannedModel,
    /// The files, in natural order.
    pub files: Vec<PlannedFile>,
}

/// A part of a file, or a whole file whose number of rows may still be unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<'a> {
    pub file: &'a PlannedFile,
    /// The rows; `None` is all of them, however many there are.
    pub rows: Option<Range<u64>>,
}

impl Plan {
    /// Divides `files` (in any order) among the ranks of `payload`.
    ///
    /// A world size above the number of rows (or, where the payload names none, of files) gives as many ranks as
    /// there is work for: [`world_size`](Self::world_size) says how many.
    ///
    /// The fingerprint covers the files (key, size, ETag, rows), their bucket, the number of ranks, the batch size,
    /// the engine and the model's content. It leaves out what changes neither rows nor redshifts: who runs it, how
    /// many at once and how many failures are tolerated, so a run can be resumed with other values of those.
    ///
    /// # Errors
    /// [`Error::Internal`] where ranks share files and a file's rows are not given.
    pub fn new(payload: Payload, execution: &str, mut files: Vec<PlannedFile>, model: PlannedModel) -> Result<Self> {
        sort(&mut files);
        let wanted = payload.world_size.unwrap_or(files.len() as u64);
        let world_size = if shares_files(wanted, files.len()) { wanted.min(total_rows(&files)?) } else { wanted };
        let fingerprint = fingerprint(&payload, world_size, &files, &model)?;
        Ok(Self {
            fingerprint,
            execution: execution.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            payload,
            world_size,
            model,
            files,
        })
    }

    /// The number of rows of the whole run, where the plan knows it.
    pub fn rows(&self) -> Option<u64> {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// The files, or parts of files, of one rank, in order.
    ///
    /// Rank r of w owns `[r·n/w, (r+1)·n/w)` of the n files, or of the n rows where ranks share files.
    pub fn share(&self, rank: u64) -> Vec<Slice<'_>> {
        let own = |n: u64| boundary(n, rank, self.world_size)..boundary(n, rank + 1, self.world_size);
        let Some(rows) = self.rows().filter(|_| shares_files(self.world_size, self.files.len())) else {
            let own = own(self.files.len() as u64);
            let files = self.files.iter().skip(own.start as usize).take((own.end - own.start) as usize);
            return files.map(|file| Slice { file, rows: None }).collect();
        };
        let own = own(rows);
        let mut start = 0;
        let mut slices = Vec::new();
        for file in &self.files {
            let end = start + file.rows.unwrap_or_default();
            let (from, to) = (own.start.max(start), own.end.min(end));
            if from < to {
                slices.push(Slice { file, rows: Some(from - start..to - start) });
            }
            start = end;
        }
        slices
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
        .map(|file| {
            file.rows.ok_or_else(|| {
                Error::fault(format!("{}: ranks share files, but its rows were not read", file.object.key))
            })
        })
        .sum()
}

fn fingerprint(payload: &Payload, world_size: u64, files: &[PlannedFile], model: &PlannedModel) -> Result<String> {
    let determined_by = serde_json::json!({
        "data_bucket": payload.data_bucket,
        "batch_size": payload.batch_size,
        "engine": payload.engine,
        "world_size": world_size,
        "model": model.sha256,
        "files": files,
    });
    let bytes =
        serde_json::to_vec(&determined_by).map_err(|error| Error::internal("failed to encode the plan", error))?;
    Ok(hex::encode(Sha256::digest(bytes))[..16].to_owned())
}

/// Sorts by key in natural order: `2.pt` before `10.pt`.
pub fn sort(files: &mut [PlannedFile]) {
    files.sort_by(|a, b| natural_order(&a.object.key, &b.object.key));
}

/// Compares runs of digits by value and everything else by character. A total order (where only leading zeros
/// differ, the plain one decides), so that the same files always come in the same order.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some(first), Some(second)) = (left.chars().next(), right.chars().next()) {
        let order = if first.is_ascii_digit() && second.is_ascii_digit() {
            let (one, other) = (take_digits(&mut left), take_digits(&mut right));
            // Without leading zeros, the longer number is the larger one.
            one.len().cmp(&other.len()).then_with(|| one.cmp(other))
        } else {
            left = &left[first.len_utf8()..];
            right = &right[second.len_utf8()..];
            first.cmp(&second)
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Splits the leading digits off, and returns them without leading zeros.
fn take_digits<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.trim_start_matches('0')
}

#[cfg(test)]
mod tests {
    use super::*;
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
            })
            .collect()
    }

    fn model() -> PlannedModel {
        PlannedModel { name: "m".into(), sha256: "00".into(), object: None }
    }

    #[test]
    fn two_comes_before_ten() {
        let mut keys = ["p/10.pt", "p/2.pt", "p/1.pt", "p/a.pt", "p/02.pt", "p/9/1.pt", "p/2.pth"];
        keys.sort_by(|a, b| natural_order(a, b));
        assert_eq!(keys, ["p/1.pt", "p/02.pt", "p/2.pt", "p/2.pth", "p/9/1.pt", "p/10.pt", "p/a.pt"]);
    }

    #[test]
    fn what_changes_the_catalogue_changes_the_fingerprint() {
        let plan = |payload: Payload, sizes: &[Option<u64>]| Plan::new(payload, "x", files(sizes), model()).unwrap();
        let base = plan(payload(None), &[None, None]).fingerprint;
        assert_ne!(base, plan(payload(Some(1)), &[None, None]).fingerprint);
        assert_ne!(base, plan(payload(None), &[None, None, None]).fingerprint);
        let mut other = payload(None);
        other.batch_size = 64;
        assert_ne!(base, plan(other, &[None, None]).fingerprint);
        let mut same = payload(None);
        (same.max_concurrency, same.tolerated_failure_percentage) = (7, 50.0);
        assert_eq!(base, plan(same, &[None, None]).fingerprint);
    }

    proptest! {
        #[test]
        fn natural_order_is_total(keys in proptest::collection::vec("[a0-2/]{0,6}", 3)) {
            let (a, b, c) = (&keys[0], &keys[1], &keys[2]);
            prop_assert_eq!(natural_order(a, b), natural_order(b, a).reverse());
            prop_assert_eq!(natural_order(a, b).is_eq(), a == b);
            if natural_order(a, b).is_le() && natural_order(b, c).is_le() {
                prop_assert!(natural_order(a, c).is_le());
            }
        }

        #[test]
        fn every_row_is_planned_exactly_once(
            rows in proptest::collection::vec(0_u64..50, 1..12),
            world_size in proptest::option::of(1_u64..200),
        ) {
            prop_assume!(rows.iter().sum::<u64>() > 0);
            let known: Vec<_> = rows.iter().map(|rows| Some(*rows)).collect();
            let plan = Plan::new(payload(world_size), "x", files(&known), model()).unwrap();
            let mut seen = Vec::new();
            let mut sizes = Vec::new();
            for rank in 0..plan.world_size {
                let share = plan.share(rank);
                let mut own = 0;
                for slice in &share {
                    let range = slice.rows.clone().unwrap_or(0..slice.file.rows.unwrap());
                    own += range.end - range.start;
                    seen.extend(range.map(|row| (slice.file.object.key.clone(), row)));
                }
                sizes.push(if shares_files(plan.world_size, rows.len()) { own } else { share.len() as u64 });
            }
            let expected: Vec<_> = plan
                .files
                .iter()
                .flat_map(|file| (0..file.rows.unwrap()).map(|row| (file.object.key.clone(), row)))
                .collect();
            prop_assert_eq!(seen, expected);
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            prop_assert!(plan.world_size <= world_size.unwrap_or(rows.len() as u64));
        }
    }
}
