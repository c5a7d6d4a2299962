//! A run for a person: its metrics, times, cost, and where its results are.

use bill::Cost;
use pipeline::run_files::Results;

use crate::output::{bytes, seconds, table};

/// Metrics, counts and timings of a run, for a person.
pub(crate) fn summary_text(results: &Results) -> String {
    let counts = &results.counts;
    let mut rows = Vec::new();
    if let Some(metrics) = &results.metrics {
        rows.push(vec!["R²".into(), metrics.r2.map_or("–".into(), |r2| format!("{r2:.4}"))]);
        rows.push(vec!["MAE".into(), format!("{:.5}", metrics.mae)]);
        rows.push(vec!["bias".into(), format!("{:+.5}", metrics.bias)]);
        rows.push(vec!["precision (σ NMAD)".into(), format!("{:.5}", metrics.precision)]);
        rows.push(vec!["outliers |Δz| > 0.05".into(), format!("{:.2} %", 100.0 * metrics.outliers_005)]);
    }
    let (timings, throughput) = (&results.timings, &results.throughput);
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("wall time", seconds(timings.wall_seconds));
    row("time in ranks", seconds(timings.rank_seconds));
    row("  loading the model", seconds(timings.model_seconds));
    row("  waiting for data", seconds(timings.waiting_seconds));
    row("  inference", seconds(timings.inference_seconds));
    row("galaxies per second", format!("{:.0}", throughput.galaxies_per_second));
    row("data per second", bytes(throughput.bytes_per_second as u64));

    let mut text = table(&["", ""], &rows).trim_start_matches('\n').to_owned();
    text += &format!("\n{} galaxies in the catalogue, {} without a redshift", counts.rows, counts.flagged);
    if throughput.resumed_rows > 0 {
        text += &format!(", {} from an earlier execution", throughput.resumed_rows);
    }
    text += "\n";
    for missing in &results.missing {
        let rank = missing.rank.map_or(String::new(), |rank| format!("rank {rank}, "));
        text += &format!("MISSING {rank}{}: {}\n", missing.files.join(", "), missing.reason);
    }
    text
}

/// A line on the cost, and one on the invocations that it lacks.
pub(crate) fn cost_text(cost: &Cost, unreported: usize) -> String {
    let mut text = format!(
        "cost on AWS ${:.6}: Lambda ${:.6} ({:.1} GB-seconds billed, {} requests), Step Functions ${:.6} ({} transitions)\n",
        cost.total_usd,
        cost.lambda_usd,
        cost.gb_seconds,
        cost.invocations,
        cost.step_functions_usd,
        cost.state_transitions
    );
    if unreported > 0 {
        text +=
            &format!("{unreported} invocations have no REPORT line yet: the cost lacks them, ask again in a minute\n");
    }
    text
}

/// Where the results are, each under what it is.
pub(crate) fn paths_text(paths: &[String]) -> String {
    let labels = ["catalogue", "picture", "ranks", "results"];
    paths.iter().zip(labels).map(|(path, label)| format!("{label:<9}  {path}\n")).collect()
}
