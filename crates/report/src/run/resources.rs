//! Throughput, memory and cost.

use catalogue::quantile;
use maud::{Markup, html};

use crate::{
    charts::{Histogram, histogram},
    elements::{Cell, chart, number, table},
    numbers::{bytes, digits, dollars, seconds, thousands},
    run::{Logs, Run},
};

/// Nothing where there is no rank and no cost.
pub(super) fn body(run: &Run<'_>) -> Option<Markup> {
    let ranks = run.own_ranks();
    if ranks.is_empty() && run.logs.is_none() {
        return None;
    }
    let rates: Vec<f64> = ranks.iter().filter_map(|rank| rank.rate()).collect();
    let memory: Vec<f64> = ranks.iter().map(|rank| rank.peak_memory_mb).collect();
    let (timings, throughput) = (&run.results.timings, &run.results.throughput);
    let data = ranks.iter().map(|rank| rank.bytes).sum::<u64>() as f64;
    let spread = |name: &str, unit: &str, values: &[f64]| {
        let at = |q| Cell::maybe(quantile(&mut values.to_vec(), q), digits);
        vec![Cell::Plain(format!("{name}, {unit}")), at(0.0), at(0.5), at(0.95), at(1.0)]
    };
    let wall: Vec<f64> = ranks.iter().map(|rank| rank.wall_seconds).collect();
    let spreads = [
        spread("wall time", "s", &wall),
        spread("speed of inference", "galaxies/s", &rates),
        spread("peak memory", "MB", &memory),
    ];
    Some(html! {
        p {
            "In " (number(timings.wall_seconds, seconds(timings.wall_seconds))) " of wall time, ranks worked "
            (number(timings.rank_seconds, seconds(timings.rank_seconds))) " and used "
            (number(timings.cpu_seconds, seconds(timings.cpu_seconds))) " of CPU time for " (number(data, bytes(data))) " of data: "
            (number(throughput.galaxies_per_second, digits(throughput.galaxies_per_second))) " galaxies and "
            (number(throughput.bytes_per_second, bytes(throughput.bytes_per_second))) " a second, "
            (number(throughput.galaxies_per_second_per_rank, digits(throughput.galaxies_per_second_per_rank)))
            " galaxies a second in a rank's inference."
        }
        @if !ranks.is_empty() { (table("Ranks", &["of a rank", "#least", "#median", "#95 %", "#most"], &spreads)) }
        @if ranks.len() > 1 {
            div.charts {
                (chart("Speed of ranks.", "Galaxies per second of inference.",
                    histogram("distribution of the speed of ranks", &Histogram::over(&rates, 40), None, "galaxies per second", "ranks")))
                (chart("Peak memory of ranks.", "The most resident memory of the process.",
                    histogram("distribution of the peak memory of ranks", &Histogram::over(&memory, 40), None, "MB", "ranks")))
            }
        }
        @match run.logs {
            Some(logs) => (cost(logs)),
            None => p.note { "The cost is in the logs of an execution, which this page was made without: `cosmic report` adds it where it finds them." },
        }
    })
}

fn cost(logs: &Logs) -> Markup {
    let cost = &logs.cost;
    let of_total =
        |usd: f64| Cell::maybe((cost.total_usd > 0.0).then(|| usd / cost.total_usd), crate::numbers::percent);
    let row = |name: &str, amount: String, usd: f64| {
        vec![Cell::Plain(name.to_owned()), Cell::Plain(amount), Cell::Number(usd, dollars(usd)), of_total(usd)]
    };
    let rows = [
        row(
            "Lambda",
            format!("{} GB-seconds, {} requests", digits(cost.gb_seconds), thousands(cost.invocations)),
            cost.lambda_usd,
        ),
        row(
            "Step Functions",
            format!("{} state transitions", thousands(cost.state_transitions)),
            cost.step_functions_usd,
        ),
        row("together", String::new(), cost.total_usd),
    ];
    html! {
        h3 { "Cost on AWS" }
        (table("Cost on AWS", &["part", "of", "#US dollars", "#share"], &rows))
        @if logs.unreported > 0 {
            p.note { (number(logs.unreported, logs.unreported.to_string())) " invocations have no report in the logs: their cost is not in these sums." }
        }
    }
}
