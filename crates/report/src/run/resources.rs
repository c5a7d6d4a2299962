//! Throughput, memory and cost.

use catalogue::quantile;
use maud::{Markup, html};

use crate::{
    charts::{Histogram, histogram},
    elements::{
        Cell,
        Column::{Numbers, Texts},
        chart, foreign, number, remarks, table,
    },
    numbers::{bytes, digits, dollars, percent, seconds, thousands},
    run::{
        input::{Logs, Run},
        times::FEWEST_COUNTED,
    },
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
        @if ranks.len() > 1 { (table("Spread over the ranks", &[Texts("of a rank"), Numbers("least"), Numbers("median"), Numbers("95 %"), Numbers("most")], &spreads)) }
        @if ranks.len() >= FEWEST_COUNTED {
            div.charts {
                (chart("Speed of ranks.", "Galaxies per second of inference.",
                    histogram("distribution of the speed of ranks", &Histogram::over(&rates, 40), None, "galaxies per second", "ranks")))
                (chart("Peak memory of ranks.", "The most resident memory of the process.",
                    histogram("distribution of the peak memory of ranks", &Histogram::over(&memory, 40), None, "MB", "ranks")))
            }
        }
        @match run.logs {
            Some(logs) => (cost(logs)),
            None if run.results.payload.is_some() => p.note {
                "The cost is in the logs of the execution, which this page was made without: "
                code { "cosmic report" } " adds it where it finds them."
            },
            None => {},
        }
    })
}

fn cost(logs: &Logs) -> Markup {
    let cost = &logs.cost;
    let share = |usd: f64| Cell::maybe((cost.total_usd > 0.0).then(|| usd / cost.total_usd), percent);
    let row = |name: &str, amount: String, usd: f64| {
        vec![Cell::Plain(name.to_owned()), Cell::Plain(amount), Cell::Number(usd, dollars(usd)), share(usd)]
    };
    let requests = cost.requests;
    let mut rows = vec![
        row("Lambda, time", format!("{} GB-seconds", digits(cost.gb_seconds)), cost.lambda_duration_usd),
        row("Lambda, requests", thousands(cost.invocations), cost.lambda_requests_usd),
        row(
            "Step Functions",
            format!("{} state transitions", thousands(cost.state_transitions)),
            cost.step_functions_usd,
        ),
        row(
            "S3, requests",
            format!("{} reads, {} writes", thousands(requests.reads), thousands(requests.writes)),
            cost.s3_usd,
        ),
    ];
    if cost.lambda_storage_usd > 0.0 {
        rows.insert(1, row("Lambda, temporary storage", "above 512 MB".to_owned(), cost.lambda_storage_usd));
    }
    rows.push(row("together", String::new(), cost.total_usd));
    let prices = cost.prices_of_region.as_ref().unwrap_or(&cost.region);
    html! {
        h3 { "Cost on AWS" }
        (table("Cost on AWS", &[Texts("part"), Texts("of"), Numbers("US dollars"), Numbers("share")], &rows))
        p.note {
            "At the list prices of " (foreign(prices)) " of " (foreign(&cost.prices_date))
            @if cost.prices_of_region.is_some() { ", as those of " (foreign(&cost.region)) " are not known" }
            ", without taxes, discounts and the free tier. The storage of data and logs is not in it."
        }
        @if !logs.cost_remarks.is_empty() { (remarks(&logs.cost_remarks)) }
    }
}
