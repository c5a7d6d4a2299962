//! The page of a run: how it ended first, then how good it is, then where its time and money went.

mod completeness;
mod figures;
mod input;
mod origin;
mod quality;
mod ranks;
mod resources;
mod times;
mod worst;

use catalogue::WorstGalaxy;
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

pub use input::{Logs, PICTURED, Run, Stamps};

/// The page that a run writes beside its results, without what only its logs and its data say.
pub fn page_of_results(input: &ReportInput<'_>) -> String {
    let ReportInput { results, ranks, comparison, picture } = *input;
    let ranks = RankRecord::all(ranks.iter());
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
