//! What ranks say of their work, as combined_data.json and sweep.json have it.

use pipeline::{phases::Phases, ran_on::RanOn, storage::Requests};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// What a rank says of its work, as far as estimates need it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct RankRecord {
    pub rank: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Files, or parts of files, that it read. combined_data.json lists them.
    #[serde(deserialize_with = "count", default)]
    pub files: Option<u64>,
    pub batch_size: u64,
    pub num_batches: u64,
    /// Seconds since 1970, by the clock of its machine.
    pub started_at: f64,
    pub wall_seconds: f64,
    pub phases: Phases,
    /// Whether the process had computed no other rank before.
    pub first_of_process: bool,
    /// Nothing in records of earlier versions.
    pub ran_on: Option<RanOn>,
    /// Processors that the process saw.
    pub cores: u64,
    /// Memory that the function is configured with, in MB.
    pub memory_mb: Option<u64>,
    pub requests: Requests,
    /// The most resident memory of the process so far, in MB of 10⁶ bytes.
    #[serde(rename = "total_cpu_memory (MB)")]
    pub peak_memory_mb: f64,
    pub engine: String,
}

/// A number, or the length of a list.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Number(u64),
        List(Vec<IgnoredAny>),
    }
    let count = Option::<Count>::deserialize(deserializer)?;
    Ok(count.map(|count| match count {
        Count::Number(number) => number,
        Count::List(list) => list.len() as u64,
    }))
}

impl RankRecord {
    /// Its files, of which it has one where it says nothing.
    pub fn file_count(&self) -> f64 {
        self.files.unwrap_or(1).max(1) as f64
    }

    /// Its own and other ranks' mean number at once while it ran, itself included. 1 is alone.
    pub fn at_once(&self, ranks: &[Self]) -> f64 {
        let end = self.started_at + self.wall_seconds;
        let overlap = |other: &Self| {
            let (from, to) = (self.started_at.max(other.started_at), end.min(other.started_at + other.wall_seconds));
            (to - from).max(0.0)
        };
        let together: f64 = ranks.iter().map(overlap).sum();
        if self.wall_seconds > 0.0 { (together / self.wall_seconds).max(1.0) } else { 1.0 }
    }
}
