//! A run for a person: its metrics, times, cost, and where its results are.

use bill::Cost;
use catalogue::{Metrics, intervals::IntervalMetrics};
use pipeline::{phases::Phases, run_files::Results, storage::printable};

use crate::{
    output::{bytes, seconds, table},
    statement::CostOf,
};

/// Metrics, counts and timings of a run, for a person.
pub(crate) fn summary_text(results: &Results) -> String {
    let counts = &results.counts;
    let mut rows = metrics_rows(&results.metrics);
    rows.extend(results.intervals.iter().flat_map(interval_rows));
    let (timings, throughput) = (&results.timings, &results.throughput);
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("wall time", seconds(timings.wall_seconds));
    row("time in ranks", seconds(timings.rank_seconds));
    let Phases { start, model, waiting, inference, post_processing, .. } = timings.phases;
    for (name, phase) in [
        ("  start", start),
        ("  loading the model", model),
        ("  waiting for data", waiting),
        ("  inference", inference),
        ("  post-processing", post_processing),
    ] {
        row(name, seconds(phase.wall_seconds));
    }
    row("galaxies per second", format!("{:.0}", throughput.galaxies_per_second));
    row("data per second", bytes(throughput.bytes_per_second as u64));

    let mut text = table(&["", ""], &rows).trim_start_matches('\n').to_owned();
    text += &format!("\n{} galaxies in the catalogue, {} without a redshift", counts.rows, counts.flagged);
    if throughput.resumed_rows > 0 {
        text += &format!(", {} from an earlier execution", throughput.resumed_rows);
    }
    text += "\n";
    if let Some(reason) = results.metrics.reason_of_missing() {
        text += &format!("n/a: {reason}\n");
    }
    for warning in results.warnings() {
        text += &format!("warning: {warning}\n");
    }
    for missing in &results.missing {
        let rank = missing.rank.map_or(String::new(), |rank| format!("rank {rank}, "));
        text += &format!("MISSING {rank}{}: {}\n", printable(&missing.files.join(", ")), missing.reason);
    }
    text
}

/// Says on standard error what of a run's data a person should look at, where standard output is JSON.
pub(crate) fn say_warnings(results: &Results) {
    for warning in results.warnings() {
        eprintln!("warning: {warning}");
    }
}

/// The metrics as rows of a table.
fn metrics_rows(metrics: &Metrics) -> Vec<Vec<String>> {
    let row = |name: &str, figure: Option<f64>, shown: fn(f64) -> String| {
        vec![name.to_owned(), figure.map_or("n/a".to_owned(), shown)]
    };
    vec![
        row("R²", metrics.r2, |figure| format!("{figure:.4}")),
        row("MAE", metrics.mae, |figure| format!("{figure:.5}")),
        row("bias", metrics.bias, |figure| format!("{figure:+.5}")),
        row("precision (σ NMAD)", metrics.precision, |figure| format!("{figure:.5}")),
        row("outliers |Δz| > 0.05", metrics.outliers_005, |figure| format!("{:.2} %", 100.0 * figure)),
    ]
}

/// How often the intervals hold, as rows of a table.
fn interval_rows(intervals: &IntervalMetrics) -> Vec<Vec<String>> {
    let IntervalMetrics { coverage_68, coverage_95, .. } = intervals;
    let row = |name: &str, coverage: Option<f64>| {
        vec![name.to_owned(), coverage.map_or("n/a".to_owned(), |coverage| format!("{:.2} %", 100.0 * coverage))]
    };
    vec![row("inside 68.27 %", *coverage_68), row("inside 95.45 %", *coverage_95)]
}

/// A line on the cost by part, and one for each of the remarks on it.
pub(crate) fn cost_text(cost: &Cost, of: &CostOf, execution: &str) -> String {
    let mut text = format!(
        "cost in {}{} ${:.6}: Lambda ${:.6} ({:.1} GB-seconds billed, {} requests), Step Functions ${:.6} ({} \
         transitions), S3 ${:.6} ({} reads, {} writes)\n",
        cost.region,
        if of.so_far { " so far" } else { "" },
        cost.total_usd,
        cost.lambda_usd(),
        cost.gb_seconds,
        cost.invocations,
        cost.step_functions_usd,
        cost.state_transitions,
        cost.s3_usd,
        cost.requests.reads,
        cost.requests.writes,
    );
    if let Some(region) = &cost.prices_of_region {
        text += &format!("the prices of {} are not known here: these are those of {region}\n", cost.region);
    }
    for remark in cost_remarks(of) {
        text += &format!("{remark}\n");
    }
    if !of.so_far && of.missing() > 0 {
        text += &format!("ask again in a minute: cosmic logs --execution {execution}\n");
    }
    text
}

/// What a cost lacks, and what of it is estimated: a sentence each.
pub(crate) fn cost_remarks(of: &CostOf) -> Vec<String> {
    let CostOf { throttled_attempts, ranks, so_far, .. } = of;
    let mut remarks = Vec::new();
    if *so_far {
        remarks.push(format!("the execution still runs: {} invocations have ended", of.n_of_m()));
    } else if of.missing() > 0 {
        remarks.push(format!(
            "the cost is that of {} invocations: the others have no REPORT line yet, or died before they could log \
             whose they were",
            of.n_of_m()
        ));
    }
    if *throttled_attempts > 0 {
        remarks.push(format!("{throttled_attempts} attempts were throttled, and cost a state transition each"));
    }
    if !ranks.all() {
        remarks.push(format!(
            "transitions and throttled attempts are estimated by {} of {} ranks",
            ranks.read, ranks.started
        ));
    }
    remarks
}

/// Where the results are, each under what it is.
pub(crate) fn paths_text(paths: &[String]) -> String {
    let labels = ["catalogue", "picture", "ranks", "report", "results"];
    paths.iter().zip(labels).map(|(path, label)| format!("{label:<9}  {path}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution_history::Children;

    #[test]
    fn a_cost_says_what_it_lacks_and_what_is_estimated() {
        let whole = CostOf {
            invocations: 5,
            expected_invocations: 5,
            throttled_attempts: 0,
            ranks: Children { started: 3, read: 3 },
            so_far: false,
        };
        assert!(cost_remarks(&whole).is_empty());
        let ranks = Children { started: 10_000, read: 200 };
        let estimated = CostOf { expected_invocations: 8, throttled_attempts: 2, ranks, ..whole };
        let [of, throttled, by] = cost_remarks(&estimated).try_into().unwrap();
        assert!(of.starts_with("the cost is that of 5 of at least 8 invocations"), "{of}");
        assert!(throttled.starts_with("2 attempts were throttled"), "{throttled}");
        assert!(by.ends_with("estimated by 200 of 10000 ranks"), "{by}");
        let running = cost_remarks(&CostOf { so_far: true, ..whole });
        assert_eq!(running, ["the execution still runs: 5 of 5 invocations have ended"]);
    }
}
