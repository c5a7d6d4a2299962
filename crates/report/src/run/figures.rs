//! The key figures of a run.

use catalogue::intervals::IntervalMetrics;
use maud::{Markup, html};

use crate::{
    elements::{figures, number, number_or_dash},
    numbers::{bytes, decimals, digits, dollars, percent, seconds, signed, thousands},
    run::input::Run,
};

pub(super) fn body(run: &Run<'_>) -> Markup {
    let (results, metrics) = (run.results, &run.results.metrics);
    let counts = &results.counts;
    let mut quality = vec![
        ("R²", number_or_dash(metrics.r2, |figure| decimals(figure, 4)), ""),
        ("MAE", number_or_dash(metrics.mae, |figure| decimals(figure, 5)), ""),
        ("bias", number_or_dash(metrics.bias, |figure| signed(figure, 5)), "mean of δ"),
        ("σ NMAD", number_or_dash(metrics.precision, |figure| decimals(figure, 5)), "spread of δ"),
        ("outliers", number_or_dash(metrics.outliers_005, percent), "|δ| > 0.05"),
        ("outliers", number_or_dash(metrics.outliers_015, percent), "|δ| > 0.15"),
    ];
    if let Some(IntervalMetrics { coverage_68, coverage_95, .. }) = &results.intervals {
        quality.push(("inside 68.27 %", number_or_dash(*coverage_68, percent), "of the galaxies"));
        quality.push(("inside 95.45 %", number_or_dash(*coverage_95, percent), "of the galaxies"));
    }
    let (timings, throughput) = (&results.timings, &results.throughput);
    let mut work = vec![
        ("galaxies", number(counts.rows, thousands(counts.rows)), "in the catalogue"),
        ("without redshift", number(counts.flagged, thousands(counts.flagged)), "flagged"),
        ("compared", number(counts.compared, thousands(counts.compared)), "have a z_spec"),
        ("files", number(counts.files, thousands(counts.files)), "planned"),
        ("ranks", number(counts.ranks, thousands(counts.ranks)), "planned"),
        ("wall time", number(timings.wall_seconds, seconds(timings.wall_seconds)), ""),
        ("galaxies", number(throughput.galaxies_per_second, digits(throughput.galaxies_per_second)), "per second"),
        ("data", number(throughput.bytes_per_second, bytes(throughput.bytes_per_second)), "per second"),
    ];
    if let Some(logs) = run.logs {
        let cost = logs.cost.total_usd;
        work.push((
            "cost on AWS",
            number(cost, dollars(cost)),
            if logs.cost_remarks.is_empty() { "" } else { "see the remarks on it" },
        ));
    }
    html! {
        (figures(&quality))
        @if let Some(reason) = metrics.reason_of_missing() { p.note { "n/a: " (reason) "." } }
        (figures(&work))
        p.note {
            "δ = (z_phot − z_spec)/(1 + z_spec), over the galaxies with both redshifts. σ NMAD is 1.48 × the median of \
             |δ − median δ|, MAE the mean of |z_phot − z_spec|."
        }
    }
}
