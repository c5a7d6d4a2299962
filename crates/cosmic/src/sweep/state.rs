//! A sweep's folder: its sweep.json, and who may write it.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use experiments::{Cell, CellRuns, FORMAT, Machine, PlannedCell, Repeat, Status, Sweep, SweepFile};
use pipeline::phases::seconds_since_1970;

/// The record's name.
pub(super) const SWEEP_JSON: &str = "sweep.json";

/// A sweep that this process runs.
pub(super) struct State {
    pub(super) out: PathBuf,
    pub(super) record: Sweep,
    /// In the order of the record's cells.
    pub(super) planned: Vec<PlannedCell>,
    /// Holds the lock on the folder.
    lock: File,
}

/// Where a sweep computes.
pub(super) struct Where {
    /// `this machine`, `local stack` or `AWS`.
    pub(super) place: &'static str,
    pub(super) region: Option<String>,
    pub(super) machine: Machine,
    /// SHA-256 of the model, where it can be told before anything runs.
    pub(super) model_sha256: Option<String>,
}

impl State {
    /// Takes a folder for a sweep: a new one, or the one that was stopped there.
    ///
    /// # Errors
    /// A folder that cannot be written to, or that another process or another sweep has.
    pub(super) fn open(out: &Path, asked: SweepFile, at: Where) -> Result<Self> {
        let lock = claim(out)?;
        let path = out.join(SWEEP_JSON);
        let before = Sweep::read(&path)?;
        let planned = asked.cells();
        let mut record = Sweep {
            format: FORMAT,
            name: asked.name.clone(),
            machine: at.machine,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            engine: None,
            model: asked.model.clone(),
            model_sha256: at.model_sha256,
            place: at.place.to_owned(),
            region: at.region,
            started_at: seconds_since_1970(),
            ended_at: None,
            cells: planned.iter().map(|planned| CellRuns { cell: planned.cell.clone(), repeats: Vec::new() }).collect(),
            partitions: BTreeMap::new(),
            memory_to_restore: None,
            running: None,
            asked,
        };
        if let Some(before) = before {
            if let Some(why) = why_another(&before, &record, &planned) {
                bail!("{} is of another sweep: {why}. Choose another folder with --out", path.display());
            }
            continue_from(&mut record, before);
        }
        Ok(Self { out: out.to_owned(), record, planned, lock })
    }

    /// The lock on the folder once more, for a process that computes for the sweep. Should this one be killed, no other
    /// sweep begins in the folder, and beside a process that still computes, until that one has ended too.
    pub(super) fn shared_lock(&self) -> Result<File> {
        self.lock.try_clone().with_context(|| format!("failed to share the lock on {}", self.out.display()))
    }

    /// Writes sweep.json.
    pub(super) fn save(&self) -> Result<()> {
        Ok(self.record.write(&self.out.join(SWEEP_JSON))?)
    }

    /// A name that no other sweep has.
    pub(super) fn unique_name(&self) -> String {
        format!("{}-{:.0}", self.record.name, self.record.started_at * 1e3)
    }

    /// Whether a repeat has results, of which none is made again. One that failed is.
    pub(super) fn has(&self, cell: usize, repeat: u64) -> bool {
        let repeats = &self.record.cells[cell].repeats;
        repeats.iter().any(|found| found.repeat == repeat && found.status != Status::Failed)
    }

    /// Takes a repeat, in the place of one of the same number.
    pub(super) fn take(&mut self, cell: usize, repeat: Repeat) {
        let repeats = &mut self.record.cells[cell].repeats;
        repeats.retain(|found| found.repeat != repeat.repeat);
        repeats.push(repeat);
        repeats.sort_by_key(|repeat| repeat.repeat);
    }

    /// The folder for what a repeat leaves.
    pub(super) fn folder(&self, cell: &Cell, repeat: u64) -> PathBuf {
        self.out.join("runs").join(cell.folder()).join(repeat.to_string())
    }
}

/// Makes the folder where it is not there, and locks it.
fn claim(out: &Path) -> Result<File> {
    fs::create_dir_all(out).with_context(|| format!("failed to make the folder {}", out.display()))?;
    let lock = File::open(out).with_context(|| format!("failed to open {}", out.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "another process runs a sweep in {}, or the last run of one that was killed has not ended yet",
            out.display()
        ),
        // Some network file systems have no locks: there the user takes care.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("failed to lock {}", out.display()));
        }
    }
    Ok(lock)
}

/// Why a record is not of the sweep that is asked for now, if it is not. Cells and repeats may have come to it.
fn why_another(before: &Sweep, now: &Sweep, planned: &[PlannedCell]) -> Option<String> {
    let (old, new) = (&before.asked, &now.asked);
    let fields = [
        ("name", old.name == new.name),
        ("place", old.place == new.place),
        ("data", old.data == new.data),
        ("model", old.model == new.model),
        ("engine", old.engine == new.engine),
        ("threads", old.threads == new.threads),
        ("bucket", old.bucket == new.bucket),
        ("prefix", old.prefix == new.prefix),
        ("state_machine", old.state_machine == new.state_machine),
        ("max_concurrency", old.max_concurrency == new.max_concurrency),
    ];
    if let Some((field, _)) = fields.iter().find(|(_, same)| !same) {
        return Some(format!("`{field}` was another one"));
    }
    if before.place != now.place || before.region != now.region {
        let shown = |sweep: &Sweep| {
            sweep.region.clone().map_or(sweep.place.clone(), |region| format!("{} in {region}", sweep.place))
        };
        return Some(format!("it was on {}, and now it is on {}", shown(before), shown(now)));
    }
    if now.place != "AWS" && before.machine != now.machine {
        return Some(format!("it was measured on another machine ({}, {})", before.machine.cpu, before.machine.kernel));
    }
    if let (Some(old), Some(new)) = (&before.model_sha256, &now.model_sha256)
        && old != new
    {
        return Some(format!("its model had the SHA-256 {old}, and now it has {new}"));
    }
    for runs in before.cells.iter().filter(|runs| !runs.repeats.is_empty()) {
        let Some(planned) = planned.iter().find(|planned| planned.cell == runs.cell) else {
            return Some(format!("it has results for {}, which is no cell of the sweep file", runs.cell.title()));
        };
        let most = runs.repeats.iter().map(|repeat| repeat.repeat).max().unwrap_or(0);
        if most > planned.repeats {
            return Some(format!(
                "it has {most} repeats of {}, and {} are asked for",
                runs.cell.title(),
                planned.repeats
            ));
        }
    }
    None
}

/// Takes over what an earlier process has recorded.
fn continue_from(record: &mut Sweep, before: Sweep) {
    for runs in before.cells {
        if let Some(place) = record.cells.iter_mut().find(|now| now.cell == runs.cell) {
            place.repeats = runs.repeats;
        }
    }
    record.started_at = before.started_at;
    record.partitions = before.partitions;
    record.engine = before.engine;
    record.model_sha256 = before.model_sha256.or(record.model_sha256.take());
    record.memory_to_restore = before.memory_to_restore;
    record.running = before.running;
}
