//! A rank's record, as combined_data.json has it.

use canvas::palette::{ACCENT, FAINT, SERIES};
use pipeline::{phases::Phases, storage::Requests};
use plotters::style::RGBColor;
use serde::Deserialize;
use serde_json::Value;

/// What a rank says of its work. What an older version did not write is 0 or absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RankRecord {
    pub rank: u64,
    pub world_size: u64,
    pub execution: String,
    pub batch_size: u64,
    pub rows: u64,
    pub flagged: u64,
    pub bytes: u64,
    #[serde(rename = "num_batches")]
    pub batches: u64,
    pub engine: String,
    pub wall_seconds: f64,
    #[serde(rename = "total_cpu_memory (MB)")]
    pub peak_memory_mb: f64,
    #[serde(rename = "total_cpu_time (seconds)")]
    pub cpu_seconds: f64,
    pub phases: Phases,
    /// Seconds since 1970.
    pub started_at: Option<f64>,
    /// What the function was given.
    pub memory_mb: Option<u64>,
    pub cores: Option<u64>,
    pub requests: Option<Requests>,
    pub first_of_process: Option<bool>,
}

impl RankRecord {
    /// The records of combined_data.json. What is no record of a rank is left out.
    pub fn all(combined_data: impl IntoIterator<Item = Value>) -> Vec<Self> {
        combined_data.into_iter().filter_map(|entry| Self::deserialize(entry).ok()).collect()
    }

    /// Galaxies per second of inference.
    pub(crate) fn rate(&self) -> Option<f64> {
        let seconds = self.phases.inference.wall_seconds;
        (seconds > 0.0).then(|| self.rows as f64 / seconds)
    }
}

/// All ranks by their number or, where there are more than `most`, the slowest of them, the slowest first.
pub(crate) fn all_or_slowest<'a>(ranks: impl IntoIterator<Item = &'a RankRecord>, most: usize) -> Vec<&'a RankRecord> {
    let mut ranks: Vec<_> = ranks.into_iter().collect();
    if ranks.len() > most {
        ranks.sort_by(|a, b| b.wall_seconds.total_cmp(&a.wall_seconds).then(a.rank.cmp(&b.rank)));
        ranks.truncate(most);
    } else {
        ranks.sort_by_key(|rank| rank.rank);
    }
    ranks
}

/// A part of a rank's time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) colour: RGBColor,
    pub(crate) seconds: f64,
}

/// The names and colours of a rank's parts, in the order in which they are drawn. The first is Lambda's, which only the
/// logs know.
pub(crate) const PARTS: [(&str, RGBColor); 7] = [
    ("cold start", SERIES[0]),
    ("start", SERIES[1]),
    ("loading the model", SERIES[2]),
    ("waiting for data", SERIES[3]),
    ("inference", ACCENT),
    ("post-processing", SERIES[4]),
    ("other", FAINT),
];

/// Where a rank's time went, in the order of [`PARTS`]. What no phase accounts for is `other`.
pub(crate) fn parts(rank: &RankRecord, cold_start: f64) -> [Part; PARTS.len()] {
    parts_of(&rank.phases, rank.wall_seconds, cold_start)
}

/// The same of phases in so many seconds of wall time, which may be sums over ranks.
pub(crate) fn parts_of(phases: &Phases, wall_seconds: f64, cold_start: f64) -> [Part; PARTS.len()] {
    let Phases { start, model, waiting, inference, post_processing, .. } = *phases;
    let phases = [start, model, waiting, inference, post_processing].map(|phase| phase.wall_seconds.max(0.0));
    let [start, model, waiting, inference, post_processing] = phases;
    let other = (wall_seconds - phases.iter().sum::<f64>()).max(0.0);
    let seconds = [cold_start, start, model, waiting, inference, post_processing, other];
    std::array::from_fn(|index| {
        let (name, colour) = PARTS[index];
        Part { name, colour, seconds: seconds[index] }
    })
}
