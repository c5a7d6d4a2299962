//! `cosmic plan --check`: each cell of a sweep predicted from its other cells, and compared with what was measured.
//!
//! What a cell is predicted from are the figures of all others (leave one out), the rows and files of its ranks, how many
//! of its ranks ran at once, and whether any was the first of its process, which depends on what ran before it. The times
//! that a cell's ranks took are not.

use std::path::Path;

use anyhow::{Result, bail};
use bill::{
    Prices,
    estimate::{Place, RankShare, RunWork, Setup, estimate},
    figures::Figures,
    fit::{RunRecord, fit, median},
    records::{RankRecord, at_once},
};
use serde::Serialize;

use crate::{
    outcome::Outcome,
    output::{Printer, table},
    plan::figures_from::{origin, runs_of, sweep, sweep_place},
};

/// The largest median error that the model may have.
const MEDIAN: f64 = 0.10;
/// The largest error of any cell.
const WORST: f64 = 0.25;

/// A cell as it was predicted and as it was.
#[derive(Debug, Clone, Serialize)]
struct CheckedCell {
    cell: String,
    runs: usize,
    predicted_rank_seconds: f64,
    measured_rank_seconds: f64,
    /// (predicted − measured) / measured.
    rank_error: f64,
    /// Of all functions; null where a sweep has none.
    predicted_billed_seconds: Option<f64>,
    measured_billed_seconds: Option<f64>,
    billed_error: Option<f64>,
}

#[derive(Debug, Serialize)]
struct CheckOutput {
    sweep: String,
    place: String,
    cells: Vec<CheckedCell>,
    rank_error: Errors,
    billed_error: Option<Errors>,
}

/// Errors of all cells, without their signs.
#[derive(Debug, Clone, Copy, Serialize)]
struct Errors {
    median: f64,
    worst: f64,
}

impl Errors {
    fn of(mut errors: Vec<f64>) -> Option<Self> {
        errors.iter_mut().for_each(|error| *error = error.abs());
        errors.sort_by(f64::total_cmp);
        Some(Self { median: median(&errors)?, worst: *errors.last()? })
    }

    fn are_small(self) -> bool {
        self.median <= MEDIAN && self.worst <= WORST
    }
}

pub(crate) fn check(path: &Path, printer: Printer) -> Result<Outcome> {
    let sweep = sweep(path)?;
    let place = sweep_place(&sweep);
    let shipped = Figures::shipped()?;
    // No price is compared.
    let prices = Prices::of("us-east-1")?;
    let mut cells = Vec::new();
    for cell in &sweep.cells {
        let runs = runs_of(cell)?;
        if !runs.is_empty() {
            cells.push((cell.cell.title(), runs));
        }
    }
    let mut checked = Vec::new();
    for (index, (title, runs)) in cells.iter().enumerate() {
        let others: Vec<RunRecord> = cells
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .flat_map(|(_, (_, runs))| runs.clone())
            .collect();
        let Some(figures) = fit(&shipped, &others, place, origin(&sweep, &path.display().to_string(), place)) else {
            continue;
        };
        checked.push(check_cell(title, runs, &figures, place, &prices));
    }
    if checked.len() < 2 {
        bail!("{} has {} whole cells, and a check needs two", path.display(), cells.len());
    }
    let Some(rank_error) = Errors::of(checked.iter().map(|cell| cell.rank_error).collect()) else {
        bail!("nothing was compared");
    };
    let billed_error = Errors::of(checked.iter().filter_map(|cell| cell.billed_error).collect());
    let output = CheckOutput {
        sweep: path.display().to_string(),
        place: sweep.place.clone(),
        cells: checked,
        rank_error,
        billed_error,
    };
    printer.print(&output, text)?;
    if !rank_error.are_small() || !billed_error.is_none_or(Errors::are_small) {
        bail!("the model is off by more than {:.0} % in the median or {:.0} % at worst", 100.0 * MEDIAN, 100.0 * WORST);
    }
    Ok(Outcome::Done)
}

fn check_cell(title: &str, runs: &[RunRecord], figures: &Figures, place: Place, prices: &Prices) -> CheckedCell {
    let count = runs.len() as f64;
    let predicted: Vec<_> = runs.iter().map(|run| predict(run, figures, place, prices)).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / count;
    let measured_ranks = mean(
        &mut runs
            .iter()
            .map(|run| run.ranks.iter().map(|rank| rank.wall_seconds).sum::<f64>() / run.ranks.len().max(1) as f64),
    );
    let predicted_ranks = mean(&mut predicted.iter().map(|(rank, _)| *rank));
    let billed: Option<f64> = runs.iter().map(|run| run.billed_seconds).sum::<Option<f64>>().map(|sum| sum / count);
    let predicted_billed = billed.map(|_| mean(&mut predicted.iter().map(|(_, billed)| *billed)));
    let error = |predicted: f64, measured: f64| (predicted - measured) / measured;
    CheckedCell {
        cell: title.to_owned(),
        runs: runs.len(),
        predicted_rank_seconds: predicted_ranks,
        measured_rank_seconds: measured_ranks,
        rank_error: error(predicted_ranks, measured_ranks),
        predicted_billed_seconds: predicted_billed,
        measured_billed_seconds: billed,
        billed_error: predicted_billed.zip(billed).map(|(predicted, measured)| error(predicted, measured)),
    }
}

/// The mean time of a rank by its record, and the billed seconds of all functions, of a run with the work of this one.
fn predict(run: &RunRecord, figures: &Figures, place: Place, prices: &Prices) -> (f64, f64) {
    let mut ranks: Vec<&RankRecord> = run.ranks.iter().collect();
    ranks.sort_by(|a, b| a.started_at.total_cmp(&b.started_at));
    let shares: Vec<RankShare> = ranks
        .iter()
        .map(|rank| RankShare { rows: rank.rows, bytes: rank.bytes, files: rank.file_count() as u64 })
        .collect();
    let first = ranks.first();
    let at_once = at_once(&run.ranks).into_iter().fold(1.0, f64::max).round() as u64;
    let setup = Setup {
        place,
        architecture: bill::Architecture::default(),
        memory_mb: first.and_then(|rank| rank.memory_mb).unwrap_or(3008),
        timeout_seconds: 900,
        temporary_mb: 512,
        summarizer_memory_mb: 2048,
        concurrency_limit: at_once.max(1),
        max_concurrency: 0,
        warm: !ranks.iter().any(|rank| rank.first_of_process),
    };
    let work = RunWork {
        files: shares.len() as u64,
        headers: 0,
        model_bytes: 0,
        batch_size: first.map_or(1, |rank| rank.batch_size),
        precision: first.map(|rank| rank.precision).unwrap_or_default(),
        ranks: shares,
    };
    let found = estimate(figures, &work, &setup, prices, 1.0);
    (found.mean_recorded_seconds, found.billed_seconds)
}

fn text(output: &CheckOutput) -> String {
    let seconds = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
    let percent = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{:+.1} %", 100.0 * value));
    let rows: Vec<Vec<String>> = output
        .cells
        .iter()
        .map(|cell| {
            vec![
                cell.cell.clone(),
                cell.runs.to_string(),
                format!("{:.2}", cell.predicted_rank_seconds),
                format!("{:.2}", cell.measured_rank_seconds),
                percent(Some(cell.rank_error)),
                seconds(cell.predicted_billed_seconds),
                seconds(cell.measured_billed_seconds),
                percent(cell.billed_error),
            ]
        })
        .collect();
    let header = [
        "each cell predicted from the others",
        "runs",
        "rank, s",
        "measured",
        "off by",
        "billed, s",
        "measured",
        "off by",
    ];
    let mut text = table(&header, &rows);
    let mut line = |what: &str, errors: Errors| {
        text += &format!(
            "{what}: off by {:.1} % in the median and {:.1} % at worst\n",
            100.0 * errors.median,
            100.0 * errors.worst
        );
    };
    line("\nwall time of ranks", output.rank_error);
    if let Some(errors) = output.billed_error {
        line("billed time", errors);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_errors_is_between_the_middle_two() {
        let errors = Errors::of(vec![-0.1, 0.3, 0.0, 0.2]).unwrap();
        assert!((errors.median - 0.15).abs() < 1e-12 && errors.worst == 0.3);
        assert!(Errors::of(Vec::new()).is_none());
    }
}
