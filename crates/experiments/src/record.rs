//! sweep.json: a sweep and all that came of it. It is written after every repeat, and is what a sweep that was stopped
//! continues from.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
};

use catalogue::Metrics;
use pipeline::phases::Phases;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    cells::Cell,
    error::{Error, Result},
    sweep_file::SweepFile,
};

/// The version of sweep.json. It changes where an old reader would misread a new file.
pub const FORMAT: u32 = 1;

/// A sweep, and what came of it so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// [`FORMAT`].
    pub format: u32,
    pub name: String,
    /// The sweep file with all defaults.
    pub asked: SweepFile,
    /// The machine that `cosmic sweep` ran on: the one that computed, where `place` is `this machine` or `local stack`.
    pub machine: Machine,
    /// The version of Cosmic.
    pub version: String,
    /// The engine that the first repeat ran on, in its own words; `None` until one is done.
    pub engine: Option<String>,
    /// The model's file.
    pub model: Option<String>,
    /// SHA-256 of the model's file, in hexadecimal.
    pub model_sha256: Option<String>,
    /// `this machine`, `local stack` or `AWS`.
    pub place: String,
    /// The region of AWS; `None` on this machine.
    pub region: Option<String>,
    /// Seconds since 1970.
    pub started_at: f64,
    /// Seconds since 1970; `None` while runs are still to be made.
    pub ended_at: Option<f64>,
    pub cells: Vec<CellRuns>,
    /// The folder of the partitions of each size, which is named by what they are made of.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub partitions: BTreeMap<String, String>,
    /// What the inference function's memory is to be put back to; `None` where it is as it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_to_restore: Option<MemoryToRestore>,
    /// ARN of the execution that runs now, if one does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub running: Option<String>,
}

/// A machine, as its kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Cores that a process may use.
    pub cores: u64,
    pub memory_mb: u64,
    pub os: String,
    pub kernel: String,
}

/// A function whose memory a sweep has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryToRestore {
    /// The function by its name or ARN.
    pub function: String,
    /// What it was configured with, in MB.
    pub memory_mb: u64,
}

/// A cell and its repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRuns {
    #[serde(flatten)]
    pub cell: Cell,
    /// By their numbers; at most one of each.
    pub repeats: Vec<Repeat>,
}

/// How a repeat ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// With a complete catalogue.
    Done,
    /// With results that name what is missing.
    Incomplete,
    /// Without results.
    Failed,
}

/// One run of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// From 1.
    pub repeat: u64,
    pub status: Status,
    /// Why it is not done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Name of the execution; `None` on this machine.
    pub execution: Option<String>,
    /// Seconds since 1970.
    pub started_at: f64,
    /// Wall seconds of the whole process, or of the execution by Step Functions' clock.
    pub seconds: f64,
    /// Wall seconds that the execution spent in its map, of which the published system counts its inference time;
    /// `None` on this machine.
    pub map_seconds: Option<f64>,
    /// Galaxies in the catalogue.
    pub rows: u64,
    /// Bytes of data that were read.
    pub bytes: u64,
    /// The ranks' records as in combined_data.json, without their lists of files.
    pub ranks: Vec<Value>,
    /// Sums over the ranks.
    pub phases: Phases,
    /// The most that any rank has used.
    pub peak_memory_mb: Option<f64>,
    /// Sum over all invocations; `None` on this machine, where the logs could not be read, and where they lack an
    /// invocation ([`CostOf::is_whole`]): a part of the sum must not pass for the whole in anything made of it.
    pub billed_ms: Option<f64>,
    /// US dollars; `None` where `billed_ms` is.
    pub cost_usd: Option<f64>,
    /// The invocations that the logs have; `None` on this machine, or where the logs could not be read.
    pub cost_of: Option<CostOf>,
    pub metrics: Option<Metrics>,
    /// SHA-256 of predictions.parquet, whose metadata name the run.
    pub catalogue_sha256: Option<String>,
    /// SHA-256 of the redshifts and flags alone, in the catalogue's order: the same over all batch and partition sizes
    /// where the redshifts are the same to the last bit.
    pub redshifts_sha256: Option<String>,
    /// The engine in its own words.
    pub engine: Option<String>,
    /// SHA-256 of the model's file, in hexadecimal.
    pub model_sha256: Option<String>,
    /// The version of Cosmic, and the SHA-256 of the executable or of the function's code.
    pub made_by: Option<String>,
}

/// How much of an execution the logs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostOf {
    /// Invocations whose REPORT line was found.
    pub invocations: u64,
    /// Invocations that there are.
    pub expected_invocations: u64,
    /// Whether there may be more of them than expected, because not all ranks' histories were read.
    #[serde(default)]
    pub at_least: bool,
}

impl CostOf {
    /// Whether no invocation is known to be missing.
    pub fn is_whole(&self) -> bool {
        self.invocations >= self.expected_invocations
    }
}

/// `6 of 8`, or `6 of at least 8`.
impl fmt::Display for CostOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = if self.at_least { "at least " } else { "" };
        write!(f, "{} of {least}{}", self.invocations, self.expected_invocations)
    }
}

impl Sweep {
    /// Reads sweep.json; `None` where it is not there.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { action: "read", path: path.to_owned(), source }),
        };
        let record: Self =
            serde_json::from_slice(&bytes).map_err(|source| Error::NotARecord { path: path.to_owned(), source })?;
        Ok(Some(record))
    }

    /// Writes sweep.json, so that at every moment the old or the new one is there, whole.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self).map_err(|source| Error::NotARecord { path: path.to_owned(), source })?;
        let failed = |source| Error::Io { action: "write", path: path.to_owned(), source };
        let mut beside = path.as_os_str().to_owned();
        beside.push(".writing");
        let beside = PathBuf::from(beside);
        let mut file = fs::File::create(&beside).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&beside, path).map_err(failed)
    }
}
