//! The table of ranks.

use maud::{Markup, html};

use crate::{
    elements::{
        Cell,
        Column::{self, Numbers, Texts},
        number, table,
    },
    numbers::{bytes, decimals, digits, thousands},
    rank::{all_or_slowest, parts},
    run::input::Run,
};

/// The most ranks in the table.
const MOST_ROWS: usize = 100;

const COLUMNS: [&str; 13] = [
    "rank",
    "galaxies",
    "flagged",
    "data",
    "wall s",
    "cold start",
    "start",
    "model",
    "waiting",
    "inference",
    "post-processing",
    "galaxies/s",
    "peak MB",
];

/// Nothing where there is no rank.
pub(super) fn body(run: &Run<'_>) -> Option<Markup> {
    if run.ranks.is_empty() {
        return None;
    }
    let cold_starts = run.cold_starts();
    let ranks = all_or_slowest(run.ranks, MOST_ROWS);
    let resumed = ranks.iter().any(|rank| rank.execution != run.results.execution);
    let mut columns: Vec<Column<'_>> = COLUMNS.map(Numbers).to_vec();
    if resumed {
        columns.push(Texts("computed by"));
    }
    let two = |value: f64| Cell::Number(value, decimals(value, 2));
    let rows: Vec<Vec<Cell>> = ranks
        .into_iter()
        .map(|rank| {
            let cold_start = cold_starts.get(&rank.rank).copied();
            let [_, start, model, waiting, inference, post_processing, _] =
                parts(rank, 0.0).map(|part| two(part.seconds));
            let mut cells = vec![
                Cell::Number(rank.rank as f64, rank.rank.to_string()),
                Cell::count(rank.rows),
                Cell::count(rank.flagged),
                Cell::Number(rank.bytes as f64, bytes(rank.bytes as f64)),
                two(rank.wall_seconds),
                cold_start.map_or(Cell::Nothing, two),
                start,
                model,
                waiting,
                inference,
                post_processing,
                Cell::maybe(rank.rate(), digits),
                Cell::Number(rank.peak_memory_mb, digits(rank.peak_memory_mb)),
            ];
            if resumed {
                cells.push(Cell::Foreign(rank.execution.clone()));
            }
            cells
        })
        .collect();
    let all = run.ranks.len();
    Some(html! {
        @if all > MOST_ROWS {
            p { "The " (MOST_ROWS) " slowest of " (number(all, thousands(all as u64))) " ranks. combined_data.json has all." }
        }
        (table("Ranks, times in seconds", &columns, &rows))
    })
}
