//! Whether every planned galaxy is in the catalogue, and what is missing and why.

use std::collections::BTreeMap;

use maud::{Markup, html};
use pipeline::run_files::{Missing, Results};

use crate::{
    elements::{
        Cell,
        Column::{Numbers, Texts},
        number, table,
    },
    numbers::thousands,
};

/// The most reasons that are listed, and the most characters of a list of ranks.
const REASONS_SHOWN: usize = 50;
const RANKS_LENGTH: usize = 120;

/// What is missing for one reason.
#[derive(Default)]
struct Group {
    ranks: Vec<u64>,
    files: u64,
    first_file: Option<String>,
    /// Absent where it is not known of one of them.
    rows: Option<u64>,
}

pub(super) fn body(results: &Results) -> Markup {
    let counts = &results.counts;
    let rows = number(counts.rows, thousands(counts.rows));
    html! {
        section.verdict.complete[results.complete].incomplete[!results.complete] aria-label="Completeness" {
            @if results.complete {
                p.headline { "Complete" }
                p { "All " (rows) " planned galaxies of " (number(counts.files, thousands(counts.files))) " " (plural(counts.files, "file")) " are in the catalogue, "
                    @if counts.flagged == 0 { "each with a redshift." }
                    @else { (number(counts.flagged, thousands(counts.flagged))) " of them without a redshift, and with a flag that says why." } }
            } @else {
                p.headline { "Not complete" }
                p { (missing_text(results)) " " (rows) " galaxies are in the catalogue." }
            }
            @if results.throughput.resumed_rows > 0 {
                p { (number(results.throughput.resumed_rows, thousands(results.throughput.resumed_rows))) " galaxies were computed by an earlier execution of the same payload." }
            }
            @if !results.missing.is_empty() { (reasons(&results.missing)) }
        }
    }
}

fn plural(count: u64, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

fn missing_text(results: &Results) -> Markup {
    let known: Option<u64> = results.missing.iter().map(|missing| missing.rows).sum();
    let files: usize = results.missing.iter().map(|missing| missing.files.len()).sum();
    html! {
        @match known {
            Some(rows) => { (number(rows, thousands(rows))) " " (plural(rows, "galaxy").replace("galaxys", "galaxies")) },
            None => "A number of galaxies that is not known",
        }
        " in " (number(files, thousands(files as u64))) " " (plural(files as u64, "file")) " or parts of files"
        @if known == Some(1) { " is" } @else { " are" } " missing."
    }
}

fn reasons(missing: &[Missing]) -> Markup {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for one in missing {
        let group = groups.entry(&one.reason).or_insert_with(|| Group { rows: Some(0), ..Group::default() });
        group.ranks.extend(one.rank);
        group.files += one.files.len() as u64;
        group.rows = group.rows.zip(one.rows).map(|(sum, rows)| sum + rows);
        if group.first_file.is_none() {
            group.first_file = one.files.first().cloned();
        }
    }
    let all = groups.len();
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse((group.rows, group.files)));
    let rows: Vec<Vec<Cell>> = groups
        .into_iter()
        .take(REASONS_SHOWN)
        .map(|(reason, group)| {
            vec![
                Cell::Foreign(reason.to_owned()),
                Cell::Plain(ranges(group.ranks)),
                Cell::count(group.files),
                group.first_file.map_or(Cell::Nothing, Cell::Foreign),
                group.rows.map_or(Cell::Nothing, Cell::count),
            ]
        })
        .collect();
    html! {
        (table("What is missing, by reason", &[Texts("reason"), Texts("ranks"), Numbers("files"), Texts("the first of them"), Numbers("galaxies")], &rows))
        @if all > REASONS_SHOWN { p.note { "There are " (number(all, thousands(all as u64))) " reasons: Results.json has all." } }
    }
}

/// Numbers with those that follow each other as ranges: `0–41, 50`.
fn ranges(mut ranks: Vec<u64>) -> String {
    ranks.sort_unstable();
    ranks.dedup();
    let mut text = String::new();
    for run in ranks.chunk_by(|a, b| a + 1 == *b) {
        let comma = if text.is_empty() { "" } else { ", " };
        if text.len() > RANKS_LENGTH {
            return format!("{text}{comma}… ({} in all)", thousands(ranks.len() as u64));
        }
        text += &match run {
            [one] => format!("{comma}{one}"),
            [first, second] => format!("{comma}{first}, {second}"),
            [first, .., last] => format!("{comma}{first}–{last}"),
            [] => String::new(),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_that_follow_each_other_are_a_range() {
        assert_eq!(ranges(vec![5, 0, 1, 2, 2, 7, 8]), "0–2, 5, 7, 8");
        assert_eq!(ranges(Vec::new()), "");
        let odd = ranges((0..10_000).map(|rank| 2 * rank).collect());
        assert!(odd.len() < 160 && odd.ends_with("… (10,000 in all)"), "{odd}");
    }
}
