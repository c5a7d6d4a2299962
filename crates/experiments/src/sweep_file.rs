//! The sweep file: what is to be run, how often and on what.

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path};

use pipeline::{
    concurrency::MOST_CHILDREN,
    payload::{DEFAULT_ENGINE, DEFAULT_MACHINE, MAX_BATCH_SIZE, MAX_WORLD_SIZE, Precision},
    storage::is_in_s3,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::{Error, Result},
    fields::{self, Fields, bounds, integer},
    size::Size,
};

const FIELDS: [&str; 11] = [
    "name",
    "place",
    "data",
    "model",
    "engine",
    "threads",
    "bucket",
    "prefix",
    "state_machine",
    "max_concurrency",
    "grids",
];

const GRID_FIELDS: [&str; 7] =
    ["partition_sizes", "data_sizes", "batch_sizes", "world_sizes", "memory_sizes", "precisions", "repeats"];

const SIMULATE_FIELDS: [&str; 2] = ["count", "seed"];

const COUNTS: RangeInclusive<u64> = 1..=1_000_000_000;
const SEEDS: RangeInclusive<u64> = 0..=u64::MAX;
const THREADS: RangeInclusive<u64> = 1..=1024;
const CONCURRENCIES: RangeInclusive<u64> = 0..=MOST_CHILDREN;
const BATCH_SIZES: RangeInclusive<u64> = 1..=MAX_BATCH_SIZE;
const WORLD_SIZES: RangeInclusive<u64> = 1..=MAX_WORLD_SIZE;
/// What Lambda can be configured with, in MB:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
const MEMORY_SIZES: RangeInclusive<u64> = 128..=10_240;
const REPEATS: RangeInclusive<u64> = 1..=1000;
/// Cells × repeats of one sweep. Far above what anyone can wait for.
const MAX_RUNS: u64 = 100_000;

/// A sweep, checked and with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// What the sweep is called in its folders, executions and pictures: letters, digits, `-`, `_` and `.`.
    pub name: String,
    pub place: Place,
    pub data: DataSet,
    /// On this machine the model's path; for executions its key in `bucket`, or `None` for the packaged model.
    pub model: Option<String>,
    /// The engine by its name; `None` is the default one.
    pub engine: Option<String>,
    /// Threads to compute with on this machine; `None` is one per core.
    pub threads: Option<u64>,
    /// The bucket for partitions and results of executions.
    pub bucket: Option<String>,
    /// The folder in `bucket` for partitions and results of executions.
    pub prefix: String,
    /// The state machine by its name or ARN.
    pub state_machine: String,
    /// Ranks of an execution that run at once; 0 leaves it to the deployment.
    pub max_concurrency: u64,
    /// Each gives the cells of its own product. A cell that several grids have is run as often as the one with the
    /// most repeats says.
    pub grids: Vec<Grid>,
}

/// Where the runs of a sweep take place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On this machine, each as a process of its own of `cosmic infer`.
    Infer,
    /// As executions of the state machine, on AWS or the local stack.
    Executions,
}

/// The galaxies of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DataSet {
    /// A data set or folder of partitions, local or `s3://bucket/prefix`.
    Path(String),
    /// The first galaxies of a simulated sky.
    Simulated { simulate: Simulated },
}

/// A simulated sky, as `cosmic simulate` makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    /// Number of galaxies.
    pub count: u64,
    /// Number that everything random follows from.
    pub seed: u64,
}

/// Sizes of which each combination is one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Sizes of the files that the data set is cut into; `None` takes the data as they lie.
    pub partition_sizes: Vec<Option<Size>>,
    /// How much of the data to take, in whole partitions; `None` takes all.
    pub data_sizes: Vec<Option<Size>>,
    /// Galaxies per prediction.
    pub batch_sizes: Vec<u64>,
    /// Numbers of ranks; `None` is one per file.
    pub world_sizes: Vec<Option<u64>>,
    /// What the inference function is configured with, in MB; `None` leaves it as it is deployed.
    pub memory_sizes: Vec<Option<u64>>,
    /// The numbers that the engine multiplies.
    #[serde(default = "only_the_default_precision")]
    pub precisions: Vec<Precision>,
    /// How often each cell is run.
    pub repeats: u64,
}

impl SweepFile {
    /// Reads a sweep file, with fields set over those that it has.
    pub fn read(path: &Path, set: &BTreeMap<String, Value>) -> Result<Self> {
        let failed = |source| Error::Io { action: "read", path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let file = path.display().to_string();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("sweep");
        Self::parse(&text, set, stem).map_err(|problem| Error::BadSweep { file, problem })
    }

    /// Reads the text of a sweep file. The error says which field cannot be.
    fn parse(text: &str, set: &BTreeMap<String, Value>, default_name: &str) -> fields::Result<Self> {
        // Editors on Windows put a byte order mark in front.
        let mut file: Value = serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))
            .map_err(|error| format!("it is not JSON: {error}"))?;
        if let Value::Object(object) = &mut file {
            object.extend(set.iter().map(|(field, value)| (field.clone(), value.clone())));
        }
        let fields = Fields::of(&file, String::new(), &FIELDS)?;
        let place = match fields.text("place")?.as_deref() {
            Some("infer") => Place::Infer,
            Some("executions") => Place::Executions,
            Some(other) => return Err(format!("`place` must be \"infer\" or \"executions\", found {other:?}")),
            None => return Err("`place` is missing: \"infer\" for this machine, or \"executions\"".into()),
        };
        let name = fields.text("name")?.unwrap_or_else(|| default_name.to_owned());
        if !is_name(&name) {
            return Err(format!("`name` must be letters, digits, -, _ and ., at most 40, found {name:?}"));
        }
        let grids = match fields.get("grids") {
            Some(Value::Array(grids)) if !grids.is_empty() => grids,
            Some(_) => return Err("`grids` must be a list of objects, one at least".into()),
            None => return Err("`grids` is missing: a list of objects such as {\"batch_sizes\": [32, 512]}".into()),
        };
        let grids = grids.iter().enumerate().map(|(at, grid)| Grid::parse(grid, at)).collect::<fields::Result<_>>()?;
        let sweep = Self {
            prefix: fields
                .text("prefix")?
                .map_or_else(|| format!("sweeps/{name}"), |prefix| prefix.trim_matches('/').to_owned()),
            state_machine: fields.text("state_machine")?.unwrap_or_else(|| DEFAULT_MACHINE.to_owned()),
            place,
            data: DataSet::parse(&fields)?,
            model: fields.text("model")?,
            engine: fields.text("engine")?,
            threads: fields.integer("threads", &THREADS)?,
            bucket: fields.text("bucket")?.map(|bucket| bucket.trim_start_matches("s3://").to_owned()),
            max_concurrency: fields.integer("max_concurrency", &CONCURRENCIES)?.unwrap_or(0),
            grids,
            name,
        };
        let without_meaning: &[&str] = match place {
            Place::Infer => &["bucket", "prefix", "state_machine", "max_concurrency"],
            Place::Executions => &["threads"],
        };
        if let Some(field) = without_meaning.iter().find(|field| fields.get(field).is_some()) {
            return Err(format!(
                "`{field}` means nothing where `place` is \"{}\": leave it out",
                if place == Place::Infer { "infer" } else { "executions" }
            ));
        }
        sweep.check()?;
        Ok(sweep)
    }

    /// Checks what fields must be together.
    fn check(&self) -> fields::Result<()> {
        match self.place {
            Place::Infer if self.model.is_none() => {
                return Err("`model` is missing: the path of a checkpoint or safetensors file".into());
            }
            Place::Executions if self.bucket.is_none() => {
                return Err("`bucket` is missing: the bucket for partitions and results".into());
            }
            _ => {}
        }
        let parts_allowed = |part: &str| !matches!(part, "" | "." | "..");
        if !self.prefix.split('/').all(parts_allowed) {
            return Err(format!("`prefix` must be a folder such as \"sweeps/first\", found {:?}", self.prefix));
        }
        let in_s3 = matches!(&self.data, DataSet::Path(path) if is_in_s3(path));
        let mut by_name = BTreeMap::new();
        for (at, grid) in self.grids.iter().enumerate() {
            let uncut = grid.partition_sizes.contains(&None);
            if uncut && matches!(self.data, DataSet::Simulated { .. }) && self.place == Place::Executions {
                return Err(format!("`grids[{at}].partition_sizes` is missing: simulated galaxies must be cut"));
            }
            if uncut && self.place == Place::Executions && !in_s3 {
                return Err(format!(
                    "`grids[{at}].partition_sizes` is missing: without them `data` must be s3://bucket/prefix"
                ));
            }
            if uncut && grid.data_sizes.iter().any(Option::is_some) {
                return Err(format!("`grids[{at}].data_sizes` count whole partitions, and need `partition_sizes`"));
            }
            if self.place == Place::Infer {
                for (field, given) in [
                    ("world_sizes", grid.world_sizes.iter().any(Option::is_some)),
                    ("memory_sizes", grid.memory_sizes.iter().any(Option::is_some)),
                ] {
                    if given {
                        return Err(format!(
                            "`grids[{at}].{field}` mean nothing where `place` is \"infer\": one process is one rank, \
                             with this machine's memory"
                        ));
                    }
                }
            }
            if let Some(engine) = self.engine.as_ref().filter(|engine| *engine != DEFAULT_ENGINE)
                && let Some(precision) = grid.precisions.iter().find(|precision| **precision != Precision::F32)
            {
                return Err(format!(
                    "`grids[{at}].precisions` can have {:?} where `engine` is \"{DEFAULT_ENGINE}\" alone, found the \
                     engine {engine:?}",
                    precision.name()
                ));
            }
            for size in grid.partition_sizes.iter().chain(&grid.data_sizes).flatten() {
                let name = size.published_name();
                if let Some(other) = by_name.insert(name, size.clone()).filter(|other| other.bytes != size.bytes) {
                    return Err(format!(
                        "{other} and {size} in `grids` have the same name in the published folders: use one of them"
                    ));
                }
            }
        }
        let runs: u64 = self.cells().iter().map(|planned| planned.repeats).sum();
        if runs > MAX_RUNS {
            return Err(format!("`grids` ask for {runs} runs, and {MAX_RUNS} are the most"));
        }
        Ok(())
    }
}

impl DataSet {
    fn parse(fields: &Fields<'_>) -> fields::Result<Self> {
        match fields.get("data") {
            None => Err("`data` is missing: a path, or {\"simulate\": {\"count\": 10000, \"seed\": 1}}".into()),
            Some(Value::String(path)) if !path.trim().is_empty() => Ok(Self::Path(path.trim().to_owned())),
            Some(value) => {
                let outer = Fields::of(value, "data.".into(), &["simulate"])?;
                let Some(value) = outer.get("simulate") else {
                    return Err("`data` must be a path, or {\"simulate\": {\"count\": 10000, \"seed\": 1}}".into());
                };
                let fields = Fields::of(value, "data.simulate.".into(), &SIMULATE_FIELDS)?;
                let count = fields.integer("count", &COUNTS)?;
                let count = count.ok_or("`data.simulate.count` is missing: the number of galaxies")?;
                let seed = fields.integer("seed", &SEEDS)?.unwrap_or(1);
                Ok(Self::Simulated { simulate: Simulated { count, seed } })
            }
        }
    }
}

impl Grid {
    fn parse(value: &Value, at: usize) -> fields::Result<Self> {
        let fields = Fields::of(value, format!("grids[{at}]."), &GRID_FIELDS)?;
        let sizes = |field| {
            fields.list(field, vec![None], "sizes such as \"25MB\" or \"25MiB\", or null", |value| match value {
                Value::Null => Some(None),
                Value::String(text) => text.parse().ok().map(Some),
                _ => None,
            })
        };
        let numbers = |field, allowed: RangeInclusive<u64>| {
            let expected = format!("{} each, or null", bounds(&allowed));
            fields.list(field, vec![None], &expected, |value| match value {
                Value::Null => Some(None),
                value => integer(value, &allowed).map(Some),
            })
        };
        let batch_sizes =
            fields.list("batch_sizes", Vec::new(), &format!("{} each", bounds(&BATCH_SIZES)), |value| {
                integer(value, &BATCH_SIZES)
            })?;
        if batch_sizes.is_empty() {
            return Err(format!("{} is missing: numbers of galaxies per prediction", fields.name("batch_sizes")));
        }
        let precisions = fields.list(
            "precisions",
            only_the_default_precision(),
            "\"f32\" or \"int8\" each",
            |value| match value {
                Value::Null => Some(Precision::default()),
                value => value.as_str().and_then(|name| name.parse().ok()),
            },
        )?;
        Ok(Self {
            partition_sizes: sizes("partition_sizes")?,
            data_sizes: sizes("data_sizes")?,
            batch_sizes,
            world_sizes: numbers("world_sizes", WORLD_SIZES)?,
            memory_sizes: numbers("memory_sizes", MEMORY_SIZES)?,
            precisions,
            repeats: fields.integer("repeats", &REPEATS)?.unwrap_or(3),
        })
    }
}

/// The precisions of a grid that names none.
fn only_the_default_precision() -> Vec<Precision> {
    vec![Precision::default()]
}

/// Whether a text may be the name of a folder and the beginning of an execution's name.
fn is_name(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
