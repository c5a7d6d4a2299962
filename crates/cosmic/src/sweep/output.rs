//! What a sweep leaves and prints at its end: sweep.csv, the pictures, the published folders, and a table of cells.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use experiments::{Cell, CellSummary, DataSet, Spread, SweepFile, pictures::figures, published_files};
use serde::Serialize;

use crate::{
    outcome::Outcome,
    output::{Printer, bytes, seconds, table},
    split::rows_per_partition,
    sweep::state::{SWEEP_JSON, State},
};

/// What a sweep prints.
#[derive(Serialize)]
struct SweepOutput<'a> {
    name: &'a str,
    place: &'a str,
    /// Runs that the sweep file asks for.
    runs: u64,
    done: usize,
    incomplete: usize,
    failed: usize,
    /// Whether the redshifts of the same galaxies are the same to the last bit in all cells of the same precision.
    redshifts_agree: Option<bool>,
    warnings: Vec<String>,
    cells: Vec<CellOutput>,
    /// Where everything is.
    paths: Vec<String>,
}

/// A cell as it is printed.
#[derive(Serialize)]
struct CellOutput {
    #[serde(flatten)]
    summary: CellSummary,
    /// Repeats that the sweep file asks for.
    repeats: u64,
}

/// Writes what a sweep leaves beside sweep.json, and prints its summary.
pub(super) fn finish(state: &State, printer: Printer) -> Result<Outcome> {
    let sweep = &state.record;
    let mut paths = vec![state.out.join(SWEEP_JSON)];
    let write = |name: &Path, contents: &[u8]| {
        let path = state.out.join(name);
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, contents))
            .with_context(|| format!("failed to write {}", path.display()))?;
        anyhow::Ok(path)
    };
    paths.push(write(Path::new("sweep.csv"), &sweep.csv()?)?);
    for figure in figures(sweep) {
        match figure.png() {
            Ok(picture) => paths.push(write(Path::new(&format!("{}.png", figure.name)), &picture)?),
            // The figures are all in sweep.csv.
            Err(error) => eprintln!("warning: {}.png could not be drawn: {error}", figure.name),
        }
    }
    for (name, contents) in published_files(sweep, &state.planned)? {
        write(&PathBuf::from("published").join(name), &contents)?;
    }
    let planned = state.planned.iter().map(|planned| planned.repeats);
    let cells = sweep.summary();
    let count = |of: fn(&CellSummary) -> usize| cells.iter().map(of).sum::<usize>();
    let output = SweepOutput {
        name: &sweep.name,
        place: &sweep.place,
        runs: planned.clone().sum(),
        done: count(|cell| cell.done),
        incomplete: count(|cell| cell.incomplete),
        failed: count(|cell| cell.failed),
        redshifts_agree: sweep.redshifts_agree(),
        warnings: sweep.warnings(),
        paths: paths.iter().map(|path| path.display().to_string()).collect(),
        cells: cells.into_iter().zip(planned).map(|(summary, repeats)| CellOutput { summary, repeats }).collect(),
    };
    printer.print(&output, text)?;
    let (made, runs) = (output.done + output.incomplete, output.runs as usize);
    if made == 0 && output.failed > 0 {
        let reason = output.cells.iter().find_map(|cell| cell.summary.reason.clone());
        bail!("no run of the sweep has results: {}", reason.unwrap_or_default());
    }
    Ok(if output.done == runs { Outcome::Done } else { Outcome::Incomplete })
}

fn text(output: &SweepOutput<'_>) -> String {
    let header = ["cell", "runs", "wall time", "galaxies/s", "Mbit/s", "peak MB", "billed s", "cost"];
    let rows: Vec<Vec<String>> = output.cells.iter().map(row).collect();
    let mut text = table(&header, &rows);
    text += &format!("\n{} of {} runs done", output.done, output.runs);
    for (count, word) in [(output.incomplete, "incomplete"), (output.failed, "failed")] {
        if count > 0 {
            text += &format!(", {count} {word}");
        }
    }
    text += "; medians, and the least and the most of the repeats in brackets\n";
    let several = Cell::differ_in_precision(output.cells.iter().map(|cell| &cell.summary.cell));
    let alike = if several { " of the same precision" } else { "" };
    match output.redshifts_agree {
        Some(true) => {
            text += &format!("the redshifts of the same galaxies are the same to the last bit in all cells{alike}\n");
        }
        Some(false) => {
            text += &format!(
                "warning: the same galaxies have other redshifts in some cells{alike}: see redshifts_sha256 in sweep.csv\n"
            );
        }
        None => {}
    }
    for warning in &output.warnings {
        text += &format!("warning: {warning}\n");
    }
    let summaries = output.cells.iter().map(|cell| &cell.summary);
    for cell in summaries.filter(|cell| cell.failed + cell.incomplete > 0) {
        text +=
            &format!("NOT DONE {}: {}\n", cell.cell.title(), cell.reason.as_deref().unwrap_or("no reason was given"));
    }
    text + &format!("\n{}\n", output.paths.join("\n"))
}

fn row(CellOutput { summary: cell, repeats }: &CellOutput) -> Vec<String> {
    let shown = |spread: Option<Spread>, number: fn(f64) -> String| match spread {
        None => "–".to_owned(),
        Some(Spread { median, min, max }) if min == max => number(median),
        Some(Spread { median, min, max }) => format!("{} ({} … {})", number(median), number(min), number(max)),
    };
    vec![
        cell.cell.title(),
        format!("{}/{repeats}", cell.done),
        shown(cell.wall_seconds, seconds),
        shown(cell.galaxies_per_second, |rate| format!("{rate:.0}")),
        shown(cell.bits_per_second, |rate| format!("{:.1}", rate / 1e6)),
        shown(cell.peak_memory_mb, |mb| format!("{mb:.0}")),
        cell.billed_ms.map_or("–".to_owned(), |billed| format!("{:.1}", billed.median / 1e3)),
        cost(cell),
    ]
}

/// The median cost of a cell, or how many invocations the logs have where none of its repeats has all.
fn cost(cell: &CellSummary) -> String {
    match (cell.cost_usd, cell.cost_missing) {
        (Some(cost), _) => format!("${:.6}", cost.median),
        (None, Some(found)) => format!("– ({found} reported)"),
        (None, None) => "–".to_owned(),
    }
}

/// A cell of a sweep that is not run.
#[derive(Serialize)]
pub(super) struct DryRunRow {
    cell: String,
    repeats: u64,
    /// Files that each run reads; `None` where the data must be looked at to tell.
    files: Option<u64>,
    /// Bytes that each run reads.
    bytes: Option<u64>,
}

/// What the cells of a sweep would read.
pub(super) fn dry_run(asked: &SweepFile) -> Vec<DryRunRow> {
    let simulated = match &asked.data {
        DataSet::Simulated { simulate } => {
            Some((simulate.count, sky::Sky::new(simulate.seed).survey().bytes_per_galaxy()))
        }
        DataSet::Path(_) => None,
    };
    let cells = asked.cells();
    let rows = cells.into_iter().map(|planned| {
        let cell = &planned.cell;
        let read = simulated.map(|(count, bytes_per_row)| {
            let rows = cell.partition_bytes.map_or(count, |bytes| rows_per_partition(bytes, bytes_per_row));
            let files = count.div_ceil(rows).min(cell.file_limit.unwrap_or(u64::MAX));
            (files, count.min(files.saturating_mul(rows)) * bytes_per_row)
        });
        DryRunRow {
            cell: cell.title(),
            repeats: planned.repeats,
            files: read.map(|(files, _)| files).or(cell.file_limit),
            bytes: read.map(|(_, bytes)| bytes),
        }
    });
    rows.collect()
}

/// The same for a person.
pub(super) fn dry_run_text(asked: &SweepFile, rows: &[DryRunRow]) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.cell.clone(),
                row.repeats.to_string(),
                or_dash(row.files.map(|files| files.to_string())),
                or_dash(row.bytes.map(bytes)),
            ]
        })
        .collect();
    let runs: u64 = rows.iter().map(|row| row.repeats).sum();
    let mut text = table(&["cell", "runs", "files", "data"], &lines);
    text += &format!("\n{} cells, {runs} runs", rows.len());
    if rows.iter().all(|row| row.bytes.is_some()) {
        let read: u64 = rows.iter().map(|row| row.repeats * row.bytes.unwrap_or(0)).sum();
        text += &format!(", which read {}", bytes(read));
    }
    let mut sizes: Vec<String> = asked.cells().into_iter().filter_map(|planned| planned.cell.partition).collect();
    sizes.sort();
    sizes.dedup();
    if let (DataSet::Simulated { simulate }, false) = (&asked.data, sizes.is_empty()) {
        let all = simulate.count * sky::Sky::new(simulate.seed).survey().bytes_per_galaxy();
        text += &format!("; partitions of {} sizes take {}", sizes.len(), bytes(all * sizes.len() as u64));
    }
    text + "\n"
}
