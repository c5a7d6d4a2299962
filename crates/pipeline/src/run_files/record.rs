//! `ranks/00007.json`, the record of a finished rank.

use catalogue::Provenance;
use serde::{Deserialize, Serialize};

use crate::batch_loop::Work;

/// What a finished rank left, and what it says of its work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankRecord {
    /// Key of its part of the catalogue.
    pub part: String,
    /// SHA-256 of the part, in hexadecimal.
    pub part_sha256: String,
    #[serde(flatten)]
    pub run: RankRun,
}

/// What a rank did. A run on one machine is one rank too.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankRun {
    pub rank: u64,
    /// Number of ranks of the run.
    pub world_size: u64,
    /// Name of the execution that computed it.
    pub execution: String,
    pub made_by: Provenance,
    /// Galaxies per prediction.
    pub batch_size: u64,
    pub work: Work,
    /// Wall seconds to load model and engine; 0 where an earlier rank of the same process had done it.
    pub model_seconds: f64,
    /// Wall seconds of everything, from the event to this record.
    pub wall_seconds: f64,
    /// The most resident memory that the process has used so far, in MB.
    pub peak_memory_mb: f64,
}
