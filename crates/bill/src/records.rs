//! What ranks say of their work, as combined_data.json and sweep.json have it.

use pipeline::{payload::Precision, phases::Phases, ran_on::RanOn, storage::Requests};
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
    /// f32 in records of earlier versions, which had no other.
    #[serde(default)]
    pub precision: Precision,
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

    /// When it ended, in seconds since 1970.
    pub fn ended_at(&self) -> f64 {
        self.started_at + self.wall_seconds
    }
}

/// For each of these ranks, how many ran at once with it in the mean while it ran, itself included: 1 is alone.
///
/// What a rank shared is the area under the number of ranks that run, between its start and its end. The area up to each
/// start and end is summed once, because a run may have 100,000 ranks.
pub fn at_once(ranks: &[RankRecord]) -> Vec<f64> {
    let mut changes: Vec<(f64, f64)> =
        ranks.iter().flat_map(|rank| [(rank.started_at, 1.0), (rank.ended_at(), -1.0)]).collect();
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Times are taken from the first start on, so that nothing is lost beside 1970.
    let first = changes.first().map_or(0.0, |(at, _)| *at);
    let (mut area, mut running, mut before) = (0.0, 0.0, first);
    let areas: Vec<f64> = changes
        .iter()
        .map(|(at, change)| {
            area += running * (at - before);
            (running, before) = (running + change, *at);
            area
        })
        .collect();
    // Whatever changes at the same time changes nothing of the area.
    let up_to = |time: f64| areas.get(changes.partition_point(|(at, _)| *at < time)).copied().unwrap_or_default();
    ranks
        .iter()
        .map(|rank| match rank.wall_seconds > 0.0 {
            true => ((up_to(rank.ended_at()) - up_to(rank.started_at)) / rank.wall_seconds).max(1.0),
            false => 1.0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_at_once_are_those_that_overlap() {
        let rank = |started_at, wall_seconds| RankRecord { started_at, wall_seconds, ..RankRecord::default() };
        let ranks = [rank(1e9, 4.0), rank(1e9 + 2.0, 4.0), rank(1e9 + 3.0, 1.0), rank(1e9 + 10.0, 1.0), rank(1e9, 0.0)];
        let found = at_once(&ranks);
        for (found, expected) in found.iter().zip([1.75, 1.75, 3.0, 1.0, 1.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert!(at_once(&[]).is_empty());
    }
}
