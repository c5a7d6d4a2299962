//! The work of a run, and what it is done with.

use pipeline::payload::Precision;
use serde::Serialize;

use crate::invocations::Architecture;

/// Memory that gives one vCPU, in MB: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
pub const MB_OF_A_VCPU: f64 = 1769.0;
/// Bytes of a MB as Lambda counts memory, where records of ranks count 10⁶.
const BYTES_OF_LAMBDA_MB: f64 = 1024.0 * 1024.0;

/// So many MB of 10⁶ bytes in those of Lambda.
pub fn in_lambda_mb(megabytes: f64) -> f64 {
    megabytes * 1e6 / BYTES_OF_LAMBDA_MB
}

/// What one rank reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct RankShare {
    pub rows: u64,
    pub bytes: u64,
    /// Files, or parts of files.
    pub files: u64,
}

/// The work of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunWork {
    pub ranks: Vec<RankShare>,
    pub files: u64,
    /// Headers that the initializer reads: all, where ranks share files.
    pub headers: u64,
    pub batch_size: u64,
    pub precision: Precision,
    /// Of a model in the bucket, which each new process fetches; 0 of the one that is packaged.
    pub model_bytes: u64,
}

/// Where ranks run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Each has its own share of a processor, by its memory.
    Lambda,
    /// They share this machine.
    Machine { cores: u64 },
}

/// How functions are configured and how many run at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Setup {
    pub place: Place,
    pub architecture: Architecture,
    /// Of the inference function, in MB of 2²⁰ bytes, as are the others.
    pub memory_mb: u64,
    /// Of the inference function.
    pub timeout_seconds: u64,
    pub temporary_mb: u64,
    pub summarizer_memory_mb: u64,
    /// Functions that run at once.
    pub concurrency_limit: u64,
    /// Ranks that are started at once; 0 is as many as a Distributed Map starts.
    pub max_concurrency: u64,
    /// Whether environments of an earlier run are still there.
    pub warm: bool,
}

impl Setup {
    /// The share of processors that memory gives on Lambda.
    pub fn vcpus(&self) -> f64 {
        vcpus(self.memory_mb)
    }

    /// Threads of the engine: one for each processor that it sees. Lambda shows two up to 3008 MB, and then one more by
    /// steps of about a vCPU, the last of which is at 8846 MB. AWS documents only the ends; the steps are what others
    /// have seen (<https://stackoverflow.com/questions/66522916/aws-lambda-memory-vs-cpu-configuration>).
    pub(crate) fn threads(&self) -> f64 {
        match self.place {
            Place::Lambda => match self.memory_mb {
                0..=3008 => 2.0,
                3009..=5307 => 3.0,
                5308..=7076 => 4.0,
                7077..=8845 => 5.0,
                _ => 6.0,
            },
            Place::Machine { cores } => cores.max(1) as f64,
        }
    }

    /// A rank that is not done by then stops by itself and says so: see `pipeline::deadline`.
    pub fn deadline_seconds(&self) -> f64 {
        let timeout = self.timeout_seconds as f64;
        timeout - (timeout / 10.0).clamp(3.0, 30.0)
    }
}

/// The share of processors that so much memory gives.
pub(crate) fn vcpus(memory_mb: u64) -> f64 {
    memory_mb as f64 / MB_OF_A_VCPU
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_in_the_megabytes_of_lambda() {
        assert!((in_lambda_mb(3_154.116_608) - 3008.0).abs() < 1e-9);
    }

    #[test]
    fn lambda_shows_a_third_processor_above_3008_mb() {
        let threads = |memory_mb| {
            Setup {
                place: Place::Lambda,
                architecture: Architecture::default(),
                memory_mb,
                timeout_seconds: 900,
                temporary_mb: 512,
                summarizer_memory_mb: 2048,
                concurrency_limit: 1000,
                max_concurrency: 0,
                warm: false,
            }
            .threads()
        };
        let shown = [128, 1769, 3008, 3009, 3538, 5307, 5308, 7077, 8846, 10_240].map(threads);
        assert_eq!(shown, [2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0, 6.0, 6.0]);
    }
}
