//! When ranks did what, which were slowest, and what they lost their time in.

use std::collections::BTreeMap;

use catalogue::quantile;
use maud::{Markup, html};

use crate::{
    charts::{Histogram, Segment, TimelineRow, histogram, timeline},
    elements::{chart, key, number, wide_chart},
    numbers::{decimals, percent, seconds, thousands},
    rank::{PARTS, RankRecord, all_or_slowest, parts},
    run::input::Run,
};

/// The most ranks that the timeline shows.
const MOST_ROWS: usize = 100;
/// Ranks whose slowness is explained.
const EXPLAINED: usize = 5;
/// Fewer ranks have no distribution that is worth a chart.
pub(super) const FEWEST_COUNTED: usize = 20;
/// A rank that took so much longer than the median rank is slow, and a part of its time that is so much of the
/// difference is a cause.
const SLOW: f64 = 1.1;
const CAUSE: f64 = 0.2;

/// Nothing where there is no rank.
pub(super) fn body(run: &Run<'_>) -> Option<Markup> {
    let ranks = run.own_ranks();
    if ranks.is_empty() {
        return None;
    }
    let cold_starts = run.cold_starts();
    let medians = Medians::of(&ranks, &cold_starts);
    let slow = explanations(&ranks, &cold_starts, &medians);
    let wall: Vec<f64> = ranks.iter().map(|rank| rank.wall_seconds).collect();
    let explained = match ranks.len() {
        1 => None,
        _ if slow.is_empty() => Some("No rank took much longer than the median rank."),
        _ => None,
    };
    let shown = match ranks.len() {
        ..=MOST_ROWS => {
            "Each row is a rank. Waiting and inference alternate, and each is drawn as one part.".to_owned()
        }
        all => format!(
            "The {MOST_ROWS} slowest of {} ranks, the slowest first. Waiting and inference alternate, and each is drawn as one part.",
            thousands(all as u64)
        ),
    };
    Some(html! {
        @if let Some(explained) = explained { p { (explained) } }
        @if !slow.is_empty() {
            p { "The median rank took " (number(medians.wall, seconds(medians.wall))) ". The slowest:" }
            ul.slow { @for line in &slow { li { (line) } } }
        }
        (legend(&ranks, &cold_starts))
        (wide_chart("Timeline.", &shown, timeline(&rows(&ranks, &cold_starts), "what each rank did when")))
        @if ranks.len() >= FEWEST_COUNTED {
            div.charts {
                (chart("Wall time of ranks.", "", histogram("distribution of the wall time of ranks", &Histogram::over(&wall, 40), None, "seconds", "ranks")))
            }
        }
    })
}

/// The parts with their colours, and how much of all ranks' time each took.
fn legend(ranks: &[&RankRecord], cold_starts: &BTreeMap<u64, f64>) -> Markup {
    let mut sums = [0.0; PARTS.len()];
    for rank in ranks {
        for (sum, part) in sums.iter_mut().zip(parts(rank, cold_start_of(rank, cold_starts))) {
            *sum += part.seconds;
        }
    }
    let all: f64 = sums.iter().sum();
    html! {
        ul.legend aria-label="Parts of the ranks' time" {
            @for ((name, colour), sum) in PARTS.iter().zip(sums) {
                @if sum > 0.0 {
                    li { (key(*colour)) (name) " " (number(sum, seconds(sum))) span.share { (percent(sum / all)) } }
                }
            }
        }
    }
}

fn cold_start_of(rank: &RankRecord, cold_starts: &BTreeMap<u64, f64>) -> f64 {
    cold_starts.get(&rank.rank).copied().unwrap_or(0.0)
}

/// The rows of the timeline.
fn rows(ranks: &[&RankRecord], cold_starts: &BTreeMap<u64, f64>) -> Vec<TimelineRow> {
    let shown = all_or_slowest(ranks.iter().copied(), MOST_ROWS);
    // An environment starts before the rank does.
    let begin_of = |rank: &RankRecord| rank.started_at.map(|started| started - cold_start_of(rank, cold_starts));
    let first = ranks.iter().filter_map(|rank| begin_of(rank)).min_by(f64::total_cmp);
    let row = |rank: &RankRecord| {
        let mut at = begin_of(rank).zip(first).map_or(0.0, |(begin, first)| begin - first);
        let segments = parts(rank, cold_start_of(rank, cold_starts)).map(|part| {
            let from = at;
            at += part.seconds;
            Segment { name: part.name, colour: part.colour, from, to: at }
        });
        TimelineRow { label: format!("rank {}", rank.rank), segments: segments.into() }
    };
    shown.into_iter().map(row).collect()
}

/// Medians over ranks.
struct Medians {
    wall: f64,
    rows: f64,
    parts: [f64; PARTS.len()],
}

impl Medians {
    fn of(ranks: &[&RankRecord], cold_starts: &BTreeMap<u64, f64>) -> Self {
        let median = |values: &dyn Fn(&RankRecord) -> f64| {
            quantile(&mut ranks.iter().map(|rank| values(rank)).collect::<Vec<_>>(), 0.5).unwrap_or(0.0)
        };
        Self {
            wall: median(&|rank| rank.wall_seconds),
            rows: median(&|rank| rank.rows as f64),
            parts: std::array::from_fn(|index| {
                median(&|rank| parts(rank, cold_start_of(rank, cold_starts))[index].seconds)
            }),
        }
    }
}

/// A sentence on each of the slowest ranks, if they are much slower than the median.
fn explanations(ranks: &[&RankRecord], cold_starts: &BTreeMap<u64, f64>, medians: &Medians) -> Vec<String> {
    let mut slow: Vec<&RankRecord> =
        ranks.iter().copied().filter(|rank| rank.wall_seconds > SLOW * medians.wall).collect();
    slow.sort_by(|a, b| b.wall_seconds.total_cmp(&a.wall_seconds).then(a.rank.cmp(&b.rank)));
    slow.truncate(EXPLAINED);
    slow.into_iter().map(|rank| explanation(rank, cold_start_of(rank, cold_starts), medians)).collect()
}

fn explanation(rank: &RankRecord, cold_start: f64, medians: &Medians) -> String {
    let longer = rank.wall_seconds - medians.wall;
    let mut causes: Vec<(f64, &str)> = parts(rank, cold_start)
        .iter()
        .zip(medians.parts)
        // A cold start is before the rank's own time.
        .skip(1)
        .map(|(part, median)| (part.seconds - median, part.name))
        .filter(|(more, _)| *more > CAUSE * longer)
        .collect();
    causes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let causes: Vec<String> =
        causes.into_iter().map(|(more, name)| format!("{} more in {name}", seconds(more))).collect();
    let mut text = format!(
        "Rank {} took {}, which is {} longer than the median rank",
        rank.rank,
        seconds(rank.wall_seconds),
        seconds(longer)
    );
    if !causes.is_empty() {
        text += &format!(": {}", causes.join(", "));
    }
    let share = rank.rows as f64 / medians.rows;
    if medians.rows > 0.0 && share > SLOW {
        text += &format!(". It had {} times as many galaxies", decimals(share, 2));
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::phases::{Phases, Spent};

    fn rank(rank: u64, waiting: f64, inference: f64, rows: u64) -> RankRecord {
        let spent = |wall_seconds| Spent { wall_seconds, cpu_seconds: 0.0 };
        let phases = Phases { waiting: spent(waiting), inference: spent(inference), ..Phases::default() };
        RankRecord { rank, rows, phases, wall_seconds: waiting + inference, ..RankRecord::default() }
    }

    #[test]
    fn a_slow_rank_is_explained_by_what_it_did_longer_than_the_median() {
        let ranks = [rank(0, 1.0, 4.0, 100), rank(1, 1.0, 4.0, 100), rank(2, 6.0, 4.1, 100), rank(3, 1.0, 8.0, 200)];
        let ranks: Vec<_> = ranks.iter().collect();
        let cold_starts = BTreeMap::new();
        let medians = Medians::of(&ranks, &cold_starts);
        let found = explanations(&ranks, &cold_starts, &medians);
        assert_eq!(found.len(), 2);
        assert!(
            found[0].starts_with("Rank 2 took 10.1 s") && found[0].contains("more in waiting for data"),
            "{found:?}"
        );
        assert!(found[1].contains("more in inference. It had 2.00 times as many galaxies"), "{found:?}");
    }

    #[test]
    fn of_many_ranks_the_slowest_are_shown() {
        let ranks: Vec<RankRecord> =
            (0..10_000_u32).map(|index| rank(index.into(), f64::from(index % 997), 1.0, 10)).collect();
        let shown = rows(&ranks.iter().collect::<Vec<_>>(), &BTreeMap::new());
        assert_eq!((shown.len(), shown[0].label.as_str()), (MOST_ROWS, "rank 996"));
    }
}
