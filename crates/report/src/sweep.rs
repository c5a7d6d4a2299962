//! The page of a sweep: how time, throughput, memory and cost follow the sizes that were swept.

use std::collections::BTreeSet;

use experiments::{Cell as SweptCell, CellSummary, Spread, Status, Sweep};
use maud::{Markup, html};

use crate::{
    charts::{COLOURS, Line, Point, Segment, TimelineRow, lines, timeline},
    elements::{
        Cell,
        Column::{self, Numbers, Texts},
        chart, definitions, foreign, key, number, shortened, table, wide_chart,
    },
    numbers::{decimals, digits, dollars, moment, seconds, thousands},
    page::{Heading, Section, page},
    rank::{PARTS, parts_of},
};

/// The most cells in the table and in the chart of phases, the most failures, and the most lines in a chart.
const MOST_CELLS: usize = 400;
const MOST_STACKED: usize = 60;
const MOST_FAILURES: usize = 100;
const MOST_LINES: usize = COLOURS.len();

/// The page of a sweep.
pub fn sweep_page(sweep: &Sweep) -> String {
    let sections: [Section; 5] = [
        ("charts", "Time, throughput, memory and cost", charts(sweep)),
        ("cells", "All cells", Some(cells(sweep))),
        ("phases", "Where the time went", phases(sweep)),
        ("failures", "What failed, and why", failures(sweep)),
        ("origin", "What was asked, and what ran it", Some(origin(sweep))),
    ];
    let subtitle = html! {
        (number(sweep.cells.len(), thousands(sweep.cells.len() as u64))) " cells, on " (foreign(&sweep.place))
        @if let Some(started) = moment(sweep.started_at) { ", " (started) }
    };
    let heading = Heading { kind: "Photometric redshifts: a sweep", title: &sweep.name, subtitle };
    page(&heading, &verdict(sweep), sections)
}

fn verdict(sweep: &Sweep) -> Markup {
    let repeats = || sweep.cells.iter().flat_map(|cell| &cell.repeats);
    let done = repeats().filter(|repeat| repeat.status == Status::Done).count() as u64;
    let all = repeats().count() as u64;
    let planned: u64 = sweep.asked.cells().iter().map(|planned| planned.repeats).sum();
    let whole = done == planned;
    let several = SweptCell::differ_in_precision(sweep.cells.iter().map(|runs| &runs.cell));
    let alike = if several { " of the same precision" } else { "" };
    html! {
        section.verdict.complete[whole].incomplete[!whole] aria-label="Outcome" {
            p.headline { (if whole { "Complete" } else { "Not complete" }) }
            p {
                (number(done, thousands(done))) " of " (number(planned, thousands(planned))) " runs are done"
                @if all > done { ", and " (number(all - done, thousands(all - done))) (if all - done == 1 { " is not" } else { " are not" }) }
                @if planned > all { ", " (number(planned - all, thousands(planned - all))) " are still to be made" } "."
            }
            @match sweep.redshifts_agree() {
                Some(true) => p { "The redshifts of the same galaxies are the same to the last bit in all runs" (alike) "." },
                Some(false) => p { "The redshifts of the same galaxies are not the same in all runs" (alike) "." },
                None => {},
            }
            @for warning in sweep.warnings() { p { (foreign(&warning)) } }
        }
    }
}

/// A dimension that a sweep has several sizes of.
struct Dimension {
    name: &'static str,
    /// The number that sizes are ordered by, and their text as it may be shown.
    size: fn(&SweptCell) -> (u64, String),
}

const DIMENSIONS: [Dimension; 6] = [
    Dimension { name: "batch size", size: |cell| (cell.batch_size, cell.batch_size.to_string()) },
    Dimension {
        name: "partition",
        size: |cell| {
            (cell.partition_bytes.unwrap_or(0), cell.partition.as_deref().map_or("as it lies".into(), shortened))
        },
    },
    Dimension {
        name: "data",
        size: |cell| (cell.data_bytes.unwrap_or(u64::MAX), cell.data.as_deref().map_or("all".into(), shortened)),
    },
    Dimension {
        name: "ranks",
        size: |cell| {
            (cell.world_size.unwrap_or(0), cell.world_size.map_or("one a file".into(), |ranks| ranks.to_string()))
        },
    },
    Dimension {
        name: "memory",
        size: |cell| {
            (cell.memory_mb.unwrap_or(0), cell.memory_mb.map_or("as deployed".into(), |mb| format!("{mb} MB")))
        },
    },
    Dimension { name: "precision", size: |cell| (cell.precision as u64, cell.precision.to_string()) },
];

impl Dimension {
    fn sizes(&self, sweep: &Sweep) -> Vec<(u64, String)> {
        let sizes: BTreeSet<_> = sweep.cells.iter().map(|cell| (self.size)(&cell.cell)).collect();
        sizes.into_iter().collect()
    }
}

/// Nothing where no run is done.
fn charts(sweep: &Sweep) -> Option<Markup> {
    let summary = sweep.summary();
    summary.iter().find(|cell| cell.done > 0)?;
    // Along the axis is the dimension with the most sizes, of equals the first.
    let (axis, sizes) = DIMENSIONS
        .iter()
        .enumerate()
        .map(|(index, dimension)| (index, dimension.sizes(sweep)))
        .max_by_key(|(index, sizes)| (sizes.len(), std::cmp::Reverse(*index)))?;
    let others: Vec<&Dimension> = DIMENSIONS
        .iter()
        .enumerate()
        .filter(|(index, dimension)| *index != axis && dimension.sizes(sweep).len() > 1)
        .map(|(_, dimension)| dimension)
        .collect();
    let line_of = |cell: &SweptCell| others.iter().map(|dimension| (dimension.size)(cell)).collect::<Vec<_>>();
    let all_lines: BTreeSet<_> = sweep.cells.iter().map(|cell| line_of(&cell.cell)).collect();
    let shown: Vec<_> = all_lines.iter().take(MOST_LINES).collect();
    let steps: Vec<String> = sizes.iter().map(|(_, text)| text.clone()).collect();
    let drawn = |figure: &dyn Fn(&CellSummary) -> Option<Spread>, text: &dyn Fn(f64) -> String| -> Vec<Line> {
        let line = |line: &&Vec<(u64, String)>| {
            let mut points: Vec<Point> = summary
                .iter()
                .filter(|cell| line_of(&cell.cell) == **line)
                .filter_map(|cell| {
                    let Spread { median, min, max } = figure(cell)?;
                    let step = sizes.iter().position(|size| *size == (DIMENSIONS[axis].size)(&cell.cell))?;
                    let title =
                        format!("{}: {} ({} to {})", shortened(&cell.cell.title()), text(median), text(min), text(max));
                    Some(Point { step, least: min, median, most: max, title })
                })
                .collect();
            points.sort_by_key(|point| point.step);
            Line { points }
        };
        shown.iter().map(line).collect()
    };
    let figure = |title: &str, unit: &str, lines_of: Vec<Line>| {
        let has_points = lines_of.iter().any(|line| !line.points.is_empty());
        has_points.then(|| {
            let label = format!("{title} along {}", DIMENSIONS[axis].name);
            chart(&format!("{title}."), "", lines(&label, &lines_of, &steps, DIMENSIONS[axis].name, unit))
        })
    };
    let drawings = [
        figure("Wall time", "seconds", drawn(&|cell| cell.wall_seconds, &seconds)),
        figure("Throughput", "galaxies per second", drawn(&|cell| cell.galaxies_per_second, &digits)),
        figure("Throughput of data", "Mbit per second", drawn(&|cell| cell.bits_per_second.map(megabits), &digits)),
        figure("Peak memory of a rank", "MB", drawn(&|cell| cell.peak_memory_mb, &digits)),
        figure("Cost", "US dollars", drawn(&|cell| cell.cost_usd, &dollars)),
    ];
    Some(html! {
        p { "Points are the medians of the repeats, and the lines through them reach from the least to the most." }
        @if !others.is_empty() {
            ul.legend {
                @for (line, colour) in shown.iter().zip(COLOURS) {
                    li { (key(colour)) @for (index, (dimension, (_, size))) in others.iter().zip(line.iter()).enumerate() {
                        @if index > 0 { ", " } (dimension.name) " " (foreign(size))
                    } }
                }
            }
            @if all_lines.len() > shown.len() { p.note { "The first " (shown.len()) " of " (all_lines.len()) " combinations; the table below has all." } }
        }
        div.charts { @for drawing in drawings.into_iter().flatten() { (drawing) } }
    })
}

fn megabits(Spread { median, min, max }: Spread) -> Spread {
    Spread { median: 1e-6 * median, min: 1e-6 * min, max: 1e-6 * max }
}

fn cells(sweep: &Sweep) -> Markup {
    let summary = sweep.summary();
    // What all cells have in common is among what was asked.
    let dimensions: Vec<&Dimension> = DIMENSIONS
        .iter()
        .enumerate()
        .filter(|(index, one)| *index == 0 || one.sizes(sweep).len() > 1)
        .map(|(_, one)| one)
        .collect();
    let is_billed = summary.iter().any(|cell| cell.billed_ms.is_some() || cell.cost_usd.is_some());
    let rows: Vec<Vec<Cell>> = summary
        .iter()
        .take(MOST_CELLS)
        .map(|cell| {
            let mut row: Vec<Cell> = dimensions
                .iter()
                .map(|dimension| {
                    let (order, text) = (dimension.size)(&cell.cell);
                    Cell::Number(order as f64, text)
                })
                .collect();
            let all = cell.done + cell.incomplete + cell.failed;
            row.push(Cell::Number(cell.done as f64, format!("{} of {all}", cell.done)));
            let median = |spread: Option<Spread>, text: &dyn Fn(f64) -> String| {
                Cell::maybe(spread.map(|spread| spread.median), text)
            };
            let reach = |spread: Option<Spread>, text: &dyn Fn(f64) -> String| match spread {
                Some(Spread { min, max, .. }) => Cell::Number(max - min, format!("{}–{}", text(min), text(max))),
                None => Cell::Nothing,
            };
            let two = |value: f64| decimals(value, 2);
            row.extend([
                median(cell.wall_seconds, &two),
                reach(cell.wall_seconds, &two),
                median(cell.galaxies_per_second, &digits),
                reach(cell.galaxies_per_second, &digits),
                median(cell.bits_per_second.map(megabits), &digits),
                median(cell.peak_memory_mb, &digits),
            ]);
            if is_billed {
                row.extend([median(cell.billed_ms, &digits), median(cell.cost_usd, &dollars)]);
            }
            row
        })
        .collect();
    let mut columns: Vec<&str> = dimensions.iter().map(|dimension| dimension.name).collect();
    columns.extend(["done", "time s", "least–most", "galaxies/s", "least–most", "Mbit/s", "peak MB"]);
    if is_billed {
        columns.extend(["billed ms", "cost"]);
    }
    let columns: Vec<Column<'_>> = columns.into_iter().map(Numbers).collect();
    html! {
        (table("All cells, medians of the repeats", &columns, &rows))
        @if sweep.cells.len() > MOST_CELLS { p.note { "The first " (MOST_CELLS) " cells; sweep.csv has all." } }
    }
}

/// Nothing where no run is done.
fn phases(sweep: &Sweep) -> Option<Markup> {
    let rows: Vec<TimelineRow> = sweep
        .summary()
        .iter()
        .filter(|cell| cell.done > 0)
        .map(|cell| {
            let mut at = 0.0;
            let segments = parts_of(&cell.phases, 0.0, 0.0).map(|part| {
                let from = at;
                at += part.seconds;
                Segment { name: part.name, colour: part.colour, from, to: at }
            });
            TimelineRow { label: shortened(&cell.cell.title()), segments: segments.into() }
        })
        .take(MOST_STACKED)
        .collect();
    (!rows.is_empty()).then(|| {
        html! {
            ul.legend { @for (name, colour) in PARTS.iter().skip(1).take(5) { li { (key(*colour)) (name) } } }
            (wide_chart("Phases.", "Medians of the repeats, each a sum over the ranks.",
                timeline(&rows, "what the ranks of each cell spent their time on")))
        }
    })
}

/// Nothing where all is well.
fn failures(sweep: &Sweep) -> Option<Markup> {
    let failed: Vec<_> = sweep
        .cells
        .iter()
        .flat_map(|cell| cell.repeats.iter().map(move |repeat| (cell, repeat)))
        .filter(|(_, repeat)| repeat.status != Status::Done)
        .collect();
    let rows: Vec<Vec<Cell>> = failed
        .iter()
        .take(MOST_FAILURES)
        .map(|(cell, repeat)| {
            vec![
                Cell::Foreign(cell.cell.title()),
                Cell::count(repeat.repeat),
                Cell::Plain(if repeat.status == Status::Failed { "failed" } else { "incomplete" }.to_owned()),
                repeat.reason.clone().map_or(Cell::Nothing, Cell::Foreign),
                repeat.execution.clone().map_or(Cell::Nothing, Cell::Foreign),
            ]
        })
        .collect();
    (!rows.is_empty()).then(|| {
        html! {
            (table("Runs that are not done", &[Texts("cell"), Numbers("repeat"), Texts("how"), Texts("reason"), Texts("execution")], &rows))
            @if failed.len() > MOST_FAILURES { p.note { "The first " (MOST_FAILURES) " of " (failed.len()) "; sweep.csv has all." } }
        }
    })
}

fn origin(sweep: &Sweep) -> Markup {
    let machine = &sweep.machine;
    let or_none = |text: &Option<String>| match text {
        Some(text) => foreign(text),
        None => html! { span.none { "not set" } },
    };
    let asked = serde_json::to_value(&sweep.asked).unwrap_or_default();
    let asked: Vec<(String, Markup)> = asked
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let value = match value {
                serde_json::Value::Null => html! { span.none { "not set" } },
                serde_json::Value::String(text) => foreign(text),
                other => foreign(&other.to_string()),
            };
            (name.clone(), value)
        })
        .collect();
    let asked: Vec<(&str, Markup)> = asked.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    html! {
        div.columns {
            div { h3 { "What was asked" } (definitions(&asked)) }
            div {
                h3 { "What ran it" }
                (definitions(&[
                    ("place", foreign(&sweep.place)),
                    ("region", or_none(&sweep.region)),
                    ("engine", or_none(&sweep.engine)),
                    ("model", or_none(&sweep.model)),
                    ("SHA-256 of the model", html! { span.hash { (or_none(&sweep.model_sha256)) } }),
                    ("Cosmic", foreign(&sweep.version)),
                    ("processor", foreign(&machine.cpu)),
                    ("cores", number(machine.cores, machine.cores.to_string())),
                    ("memory", html! { (number(machine.memory_mb, thousands(machine.memory_mb))) " MB" }),
                    ("system", html! { (foreign(&machine.os)) ", kernel " (foreign(&machine.kernel)) }),
                ]))
            }
        }
    }
}
