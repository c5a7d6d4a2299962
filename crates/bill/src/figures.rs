//! The figures that an estimate is made of: what ranks were measured to take, and what is assumed of Lambda.
//!
//! They come from the records of an earlier run or sweep ([`crate::fit`]), or are those of `data/figures.json`, which are
//! shipped and say where, when and by which command they were measured. CPU seconds are the base, because they hardly
//! depend on what else a machine does; wall seconds follow from the share of a processor that a rank has.

use std::collections::BTreeMap;

use pipeline::{payload::Precision, phases::Spent, read_ahead::rows_per_read};
use serde::{Deserialize, Serialize};

const SHIPPED: &str = include_str!("../data/figures.json");

/// Measured and assumed figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub origin: Origin,
    /// What of it was not measured, by its name here or in the model, and where it is from.
    #[serde(default)]
    pub assumed: BTreeMap<String, String>,
    pub rank: RankFigures,
    /// What the summarizer and the initializer take together.
    pub others: OtherFunctions,
    /// One machine that ranks share.
    pub machine: Surroundings,
    pub lambda: Surroundings,
    /// Galaxies that a vCPU of Lambda is assumed to compute in a second.
    pub lambda_galaxies_per_second: Rate,
}

/// Where figures were measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Such as `shipped with Cosmic 0.1.0`, or the path of the records.
    pub of: String,
    pub command: String,
    pub machine: String,
    /// Such as 2026-11-25.
    pub date: String,
    pub engine: String,
    /// Whether they were measured on Lambda, whose processors then need no slowdown.
    pub on_lambda: bool,
}

/// What a rank takes. Times are those of a core without other work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankFigures {
    /// Bytes of a galaxy in the data files.
    pub bytes_per_galaxy: f64,
    /// Starting the function's process, up to its first event: Lambda's Init Duration.
    pub init: Spent,
    /// From the event to the plan, apart from requests.
    pub start: Spent,
    /// Loading model and engine, in the first rank of a process.
    pub model: Spent,
    /// What the first batch of a process takes longer.
    pub warm_up: Spent,
    /// Waiting for the first rows of a file, apart from requests and their transfer.
    pub first_rows: Spent,
    /// CPU seconds of the engine, by batch size and precision.
    pub inference: Vec<Inference>,
    /// What they are in int8 over what they are in f32, for figures that were measured in one of the two alone.
    pub int8_of_f32: f64,
    /// The share of its threads that the engine keeps busy where it runs alone.
    pub parallel_efficiency: f64,
    /// Everything after the engine.
    pub post_processing: PerRank,
    /// What is billed beyond the record: the function's runtime, and writing what the rank leaves, apart from the request.
    pub after_record: Spent,
    pub requests: RequestFigures,
    /// The largest resident memory, by batch size.
    pub memory: Vec<Memory>,
}

/// A cost that has a fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PerRank {
    pub of_rank: Spent,
    /// CPU seconds.
    pub of_galaxy: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Inference {
    pub batch_size: u64,
    #[serde(default)]
    pub precision: Precision,
    pub cpu_seconds_per_galaxy: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    pub batch_size: u64,
    /// MB of 10⁶ bytes.
    pub peak_mb: f64,
}

/// Requests of a rank to S3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RequestFigures {
    /// GET and HEAD for the plan.
    pub reads_of_rank: f64,
    /// For a file's head, tail and own columns.
    pub reads_of_file: f64,
    /// For the rows that are read at a time.
    pub reads_of_chunk: f64,
    pub writes_of_rank: f64,
    /// Those for the plan that wait for each other's answers.
    pub waits_of_rank: f64,
    /// Those for a file's first rows that wait for each other's answers.
    pub waits_of_file: f64,
}

/// What the initializer and the summarizer take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OtherFunctions {
    /// CPU seconds of the initializer for a run, and for each file.
    pub initialize: f64,
    pub initialize_of_file: f64,
    /// CPU seconds of the initializer for each header that it reads, where ranks share files.
    pub initialize_of_header: f64,
    /// CPU seconds of the summarizer for a run, for each rank and for each galaxy.
    pub summarize: f64,
    pub summarize_of_rank: f64,
    pub summarize_of_galaxy: f64,
    /// Requests of both together: reads and writes of a run, and reads of each rank.
    pub reads: f64,
    pub writes: f64,
    pub reads_of_rank: f64,
}

/// What ranks run in.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Making an environment before its process starts, in seconds. It is not billed.
    pub environment_seconds: f64,
    /// A small request to S3, until its answer has come.
    pub request_seconds: f64,
    pub download_bytes_per_second: f64,
    /// From the start of an execution to the initializer, and of the map to its first rank.
    pub begin_seconds: f64,
    /// Ranks that the map starts in a second.
    pub starts_per_second: f64,
    /// From the end of the last rank to the summarizer, and from its end to that of the execution.
    pub end_seconds: f64,
    /// The share of the machine's cores that is left to ranks; what serves them takes the rest.
    pub cores_left: f64,
}

/// An assumed rate. `low` is the slowest processor that may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub low: f64,
    pub likely: f64,
    pub high: f64,
}

/// The batch size that [`Figures::lambda_galaxies_per_second`] is of, as is f32.
const BATCH_OF_RATE: u64 = 512;

/// CPU seconds on Lambda per CPU second measured. `low` is the fastest processor that may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slowdown {
    pub low: f64,
    pub likely: f64,
    pub high: f64,
}

/// The shipped figures cannot be read. A test reads them.
#[derive(Debug, thiserror::Error)]
#[error("the shipped figures cannot be read")]
pub struct BadFigures(#[from] serde_json::Error);

impl Figures {
    /// The figures of `data/figures.json`.
    ///
    /// # Errors
    /// Never, as long as its test passes.
    pub fn shipped() -> Result<Self, BadFigures> {
        Ok(serde_json::from_str(SHIPPED)?)
    }

    /// How much slower a vCPU of Lambda is than a core of the machine of these figures: what that core computes in a
    /// second by what is assumed of a vCPU. Figures of Lambda itself need none.
    pub fn slowdown(&self) -> Slowdown {
        if self.origin.on_lambda {
            return Slowdown { low: 1.0, likely: 1.0, high: 1.0 };
        }
        let of_core = 1.0 / self.rank.inference_of_galaxy(BATCH_OF_RATE, Precision::F32).max(f64::MIN_POSITIVE);
        let Rate { low, likely, high } = self.lambda_galaxies_per_second;
        Slowdown { low: of_core / high, likely: of_core / likely, high: of_core / low }
    }

    /// Forgets that something was assumed, because it has been measured.
    pub(crate) fn measured(&mut self, name: &str) {
        self.assumed.remove(name);
    }
}

impl RankFigures {
    /// CPU seconds of the engine for a galaxy. Of a precision that was not measured it is that of the other one with
    /// [`Self::int8_of_f32`].
    pub fn inference_of_galaxy(&self, batch_size: u64, precision: Precision) -> f64 {
        let measured = |precision| self.measured_inference(batch_size, precision);
        let estimated = || match precision {
            Precision::Int8 => measured(Precision::F32).map(|seconds| seconds * self.int8_of_f32),
            Precision::F32 => measured(Precision::Int8).map(|seconds| seconds / self.int8_of_f32),
        };
        measured(precision).or_else(estimated).unwrap_or(0.0)
    }

    /// Whether the engine's time in a precision was measured, and not estimated from that in the other.
    pub fn has_measured(&self, precision: Precision) -> bool {
        self.inference.iter().any(|inference| inference.precision == precision)
    }

    /// Between two batch sizes the time is interpolated over the logarithm of the size; beyond the smallest and the
    /// largest it is theirs.
    fn measured_inference(&self, batch_size: u64, precision: Precision) -> Option<f64> {
        let logarithm = |size: u64| (size.max(1) as f64).ln();
        let mut known: Vec<&Inference> =
            self.inference.iter().filter(|inference| inference.precision == precision).collect();
        known.sort_by_key(|inference| inference.batch_size);
        let after = known.partition_point(|inference| inference.batch_size < batch_size);
        match (after.checked_sub(1).and_then(|before| known.get(before)), known.get(after)) {
            (None, None) => None,
            (Some(only), None) | (None, Some(only)) => Some(only.cpu_seconds_per_galaxy),
            (Some(below), Some(above)) => {
                let span = logarithm(above.batch_size) - logarithm(below.batch_size);
                let part = (logarithm(batch_size) - logarithm(below.batch_size)) / span;
                let more = above.cpu_seconds_per_galaxy - below.cpu_seconds_per_galaxy;
                Some(below.cpu_seconds_per_galaxy + part * more)
            }
        }
    }

    /// The largest memory of a rank, in MB of 10⁶ bytes. From the nearest measured batch size it grows with the three
    /// chunks that `pipeline::batch_loop` holds.
    pub fn peak_mb(&self, batch_size: u64) -> f64 {
        let chunks = |size: u64| 3.0 * self.chunk_rows(size) * self.bytes_per_galaxy / 1e6;
        let nearest = self.memory.iter().min_by_key(|memory| memory.batch_size.abs_diff(batch_size));
        nearest.map_or(0.0, |memory| memory.peak_mb + chunks(batch_size) - chunks(memory.batch_size))
    }

    /// Galaxies that are read at a time.
    pub fn chunk_rows(&self, batch_size: u64) -> f64 {
        rows_per_read(batch_size, self.bytes_per_galaxy as u64) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_figures_say_where_they_are_from() {
        let figures = Figures::shipped().unwrap();
        let Origin { command, machine, date, engine, .. } = &figures.origin;
        for text in [command, machine, date, engine] {
            assert!(!text.is_empty());
        }
        let Slowdown { low, likely, high } = figures.slowdown();
        assert!(0.5 < low && low < likely && likely < high && high < 10.0);
        for Inference { batch_size, precision, cpu_seconds_per_galaxy } in &figures.rank.inference {
            assert!((1e-4..0.1).contains(cpu_seconds_per_galaxy), "batch {batch_size}, {precision}");
        }
        assert!((0.1..=1.0).contains(&figures.rank.int8_of_f32));
        // What infra/template.yaml says a rank needs.
        assert!(figures.rank.peak_mb(512) < 300.0 && figures.rank.peak_mb(4096) < 500.0);
    }

    fn inference(batch_size: u64, precision: Precision, cpu_seconds_per_galaxy: f64) -> Inference {
        Inference { batch_size, precision, cpu_seconds_per_galaxy }
    }

    #[test]
    fn a_precision_that_was_not_measured_is_estimated_from_the_other() {
        let mut figures = Figures::shipped().unwrap();
        figures.rank.int8_of_f32 = 0.5;
        figures.lambda_galaxies_per_second = Rate { low: 100.0, likely: 200.0, high: 250.0 };
        for measured in [inference(512, Precision::F32, 0.002), inference(512, Precision::Int8, 0.001)] {
            figures.rank.inference = vec![measured];
            assert!(figures.rank.has_measured(measured.precision));
            assert_eq!(figures.rank.inference_of_galaxy(512, Precision::F32), 0.002);
            assert_eq!(figures.rank.inference_of_galaxy(512, Precision::Int8), 0.001);
            // A vCPU is not slower for being asked for int8: its assumed rate is that of f32.
            assert!((figures.slowdown().likely - 2.5).abs() < 1e-9);
        }
        figures.rank.inference.push(inference(512, Precision::F32, 0.0025));
        assert_eq!(figures.rank.inference_of_galaxy(512, Precision::F32), 0.0025);
        assert_eq!(figures.rank.inference_of_galaxy(512, Precision::Int8), 0.001, "both were measured");
    }

    #[test]
    fn a_faster_machine_is_further_from_lambda() {
        let mut figures = Figures::shipped().unwrap();
        figures.lambda_galaxies_per_second = Rate { low: 100.0, likely: 200.0, high: 250.0 };
        for (cpu_seconds_per_galaxy, expected) in [(0.0025, (1.6, 2.0, 4.0)), (0.00125, (3.2, 4.0, 8.0))] {
            figures.rank.inference = vec![inference(512, Precision::F32, cpu_seconds_per_galaxy)];
            let Slowdown { low, likely, high } = figures.slowdown();
            let off = (low - expected.0).abs() + (likely - expected.1).abs() + (high - expected.2).abs();
            assert!(off < 1e-9, "{low} {likely} {high}");
        }
        figures.origin.on_lambda = true;
        assert_eq!(figures.slowdown().likely, 1.0);
    }

    #[test]
    fn between_measured_batch_sizes_the_time_of_a_galaxy_is_interpolated() {
        let mut figures = Figures::shipped().unwrap().rank;
        figures.inference = [(512, 0.002), (32, 0.004)]
            .map(|(batch_size, seconds)| inference(batch_size, Precision::F32, seconds))
            .to_vec();
        for (batch_size, expected) in [(1, 0.004), (32, 0.004), (128, 0.003), (512, 0.002), (4096, 0.002)] {
            assert!((figures.inference_of_galaxy(batch_size, Precision::F32) - expected).abs() < 1e-12, "{batch_size}");
        }
    }
}
