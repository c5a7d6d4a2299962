//! The page of a run: how it ended first, then how good it is, then where its time and money went.

mod completeness;
mod figures;
mod origin;
mod quality;
mod ranks;
mod resources;
mod times;
mod worst;

pub use worst::PICTURED;

use std::collections::BTreeMap;

use bill::{Cost, Invocation};
use catalogue::{Comparison, WorstGalaxy};
use maud::{Markup, html};
use pipeline::{report::ReportInput, run_files::Results};

use crate::{
    elements::{
        Cell,
        Column::{Numbers, Texts},
        foreign, number, remarks, table,
    },
    numbers::{moment, thousands},
    page::{Heading, MAX_BYTES, Section, page},
    rank::RankRecord,
};

/// What the logs of an execution say of it.
pub struct Logs {
    pub invocations: Vec<Invocation>,
    pub cost: Cost,
    /// What the cost lacks, and what of it is estimated: a sentence each.
    pub cost_remarks: Vec<String>,
}

/// Pictures of galaxies as PNG, by their file and row.
pub type Stamps = BTreeMap<(String, u64), Vec<u8>>;

/// What the page of a run is made of.
pub struct Run<'a> {
    pub results: &'a Results,
    pub ranks: &'a [RankRecord],
    pub comparison: &'a Comparison,
    /// inference.png.
    pub picture: Option<&'a [u8]>,
    pub logs: Option<&'a Logs>,
    pub stamps: &'a Stamps,
    /// What whoever gathered these found wrong with them: a sentence each.
    pub notes: &'a [String],
}

impl Run<'_> {
    /// The ranks that this execution computed, not an earlier one that it resumed.
    fn own_ranks(&self) -> Vec<&RankRecord> {
        self.ranks.iter().filter(|rank| rank.execution == self.results.execution).collect()
    }

    /// Seconds of the cold start of each rank that had one. A rank that was tried again has several invocations: that
    /// which ran when its record says that it began is meant.
    fn cold_starts(&self) -> BTreeMap<u64, f64> {
        let mut by_rank: BTreeMap<u64, Vec<&Invocation>> = BTreeMap::new();
        for invocation in self.logs.iter().flat_map(|logs| &logs.invocations) {
            if let Some(rank) = invocation.rank {
                by_rank.entry(rank).or_default().push(invocation);
            }
        }
        let cold_start = |rank: &RankRecord| {
            let started_at = rank.started_at?;
            let distance = |invocation: &Invocation| (invocation.started_at - started_at).abs();
            let own = by_rank.get(&rank.rank)?.iter().filter(|invocation| spans(invocation, started_at));
            let own = own.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
            Some((rank.rank, own.report.init_ms? / 1e3))
        };
        self.own_ranks().into_iter().filter_map(cold_start).collect()
    }

    /// When the first rank began, in seconds since 1970.
    fn began(&self) -> Option<f64> {
        self.own_ranks().iter().filter_map(|rank| rank.started_at).min_by(f64::total_cmp)
    }
}

/// How far the clock of a function and that of the logs may be apart, in seconds.
const CLOCKS_APART: f64 = 1.0;

/// Whether an invocation ran at a moment, given in seconds since 1970.
fn spans(invocation: &Invocation, moment: f64) -> bool {
    let ended_at = invocation.started_at + invocation.report.duration_ms / 1e3;
    (invocation.started_at - CLOCKS_APART..=ended_at + CLOCKS_APART).contains(&moment)
}

/// The page that a run writes beside its results, without what only its logs and its data say.
pub fn page_of_results(input: &ReportInput<'_>) -> String {
    let ReportInput { results, ranks, comparison, picture } = *input;
    let ranks = RankRecord::all(ranks);
    let run = Run {
        results,
        ranks: &ranks,
        comparison,
        picture: Some(picture),
        logs: None,
        stamps: &Stamps::new(),
        notes: &[],
    };
    run_page(&run)
}

/// The page of a run.
pub fn run_page(run: &Run<'_>) -> String {
    let page = drawn(run, true);
    if page.len() > MAX_BYTES && run.picture.is_some() { drawn(run, false) } else { page }
}

fn drawn(run: &Run<'_>, with_picture: bool) -> String {
    let worst: Vec<WorstGalaxy> = run.comparison.worst();
    let sections: [Section; 9] = [
        ("figures", "Figures", Some(figures::body(run))),
        ("origin", "What was asked, and what made it", Some(origin::body(run.results, run.ranks))),
        ("warnings", "Warnings", warnings(run)),
        ("quality", "How good the redshifts are", quality::body(run, with_picture)),
        ("time", "Where the time went", times::body(run)),
        ("resources", "Throughput, memory and cost", resources::body(run)),
        ("worst", "The galaxies that are farthest off", worst::body(&worst, run.stamps)),
        ("columns", "Own columns", columns(run.results)),
        ("ranks", "Ranks", ranks::body(run)),
    ];
    let title = if run.results.execution == "local" { "A run on one machine" } else { &run.results.execution };
    let heading = Heading { kind: "Photometric redshifts: a run", title, subtitle: subtitle(run) };
    page(&heading, &completeness::body(run.results), sections)
}

fn subtitle(run: &Run<'_>) -> Markup {
    let counts = &run.results.counts;
    html! {
        (number(counts.rows, thousands(counts.rows))) " galaxies, redshifts by " (foreign(&run.results.made_by.model))
        @if let Some(began) = run.began().and_then(moment) { ", " (began) }
    }
}

fn warnings(run: &Run<'_>) -> Option<Markup> {
    let warnings = [run.notes, &run.results.warnings()].concat();
    (!warnings.is_empty()).then(|| remarks(&warnings))
}

/// The most own columns that are listed.
const COLUMNS_SHOWN: usize = 200;

fn columns(results: &Results) -> Option<Markup> {
    let rows: Vec<Vec<Cell>> = results
        .columns
        .iter()
        .take(COLUMNS_SHOWN)
        .map(|column| {
            vec![
                Cell::Foreign(column.name.clone()),
                Cell::Foreign(column.kind.clone()),
                Cell::count(column.files_without),
                column.first_without.clone().map_or(Cell::Nothing, Cell::Foreign),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| {
        html! {
            p { "The data set brought these along, and the catalogue has them under their names." }
            (table("Own columns", &[Texts("column"), Texts("type"), Numbers("files without it"), Texts("the first of them")], &rows))
            @if results.columns.len() > COLUMNS_SHOWN { p.note { "Results.json names all " (results.columns.len()) "." } }
        }
    })
}
