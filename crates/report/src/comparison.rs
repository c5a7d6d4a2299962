//! The page of two runs.

use catalogue::{Matched, MatchedBy, Metrics, quantile};
use maud::{Markup, html};
use serde_json::Value;

use crate::{
    charts::{Histogram, histogram},
    elements::{
        Cell,
        Column::{Numbers, Texts},
        chart, definitions, foreign, number, remarks, table,
    },
    numbers::{decimals, digits, dollars, percent, signed, thousands},
    page::{Heading, Section, page},
    run::Run,
};

/// Bins of the distribution of changes.
const BINS: usize = 48;

/// The page of two runs: `names` are how they are told apart.
pub fn comparison_page(names: &[String; 2], first: &Run<'_>, second: &Run<'_>, matched: &Matched) -> String {
    let sections: [Section; 4] = [
        ("figures", "Figures side by side", Some(figures(first, second))),
        ("galaxies", "Galaxy by galaxy", Some(galaxies(matched))),
        ("differences", "What differs", Some(differences(first, second))),
        ("moved", "The galaxies that moved most", Some(moved(matched))),
    ];
    let title = format!("{} and {}", names[0], names[1]);
    let subtitle = html! { "The first is " (foreign(&names[0])) ", the second " (foreign(&names[1])) "." };
    let heading = Heading { kind: "Photometric redshifts: two runs compared", title: &title, subtitle };
    page(&heading, &verdict(first, second, matched), sections)
}

fn verdict(first: &Run<'_>, second: &Run<'_>, matched: &Matched) -> Markup {
    let both_complete = first.results.complete && second.results.complete;
    let same = matched.is_same();
    let headline = match (same, matched.galaxies) {
        (true, _) if matched.changes.all().is_empty() => "No galaxy has a redshift in either run",
        (true, _) => "The redshifts are the same to the last bit",
        (false, 0) => "The runs have no galaxy in common",
        (false, _) => "The redshifts differ",
    };
    html! {
        section.verdict.complete[both_complete && same].incomplete[!both_complete] aria-label="Outcome" {
            p.headline { (headline) }
            @if !both_complete {
                p { @match (first.results.complete, second.results.complete) {
                    (false, false) => "Neither run is complete.",
                    (false, true) => "The first run is not complete.",
                    _ => "The second run is not complete.",
                } }
            }
            p {
                (number(matched.galaxies, thousands(matched.galaxies))) " galaxies are in both, "
                @match &matched.by {
                    MatchedBy::FileAndRow => "matched by file and row",
                    MatchedBy::Column(column) => { "matched by the column " (foreign(column)) },
                    MatchedBy::Nothing => "neither by file and row nor by a column of identifiers",
                }
                "; " (number(matched.only_first, thousands(matched.only_first))) " are in the first alone and "
                (number(matched.only_second, thousands(matched.only_second))) " in the second."
            }
        }
    }
}

fn figures(first: &Run<'_>, second: &Run<'_>) -> Markup {
    let mut rows = Vec::new();
    let mut row =
        |name: &str, values: [Option<f64>; 2], shown: &dyn Fn(f64) -> String, difference: &dyn Fn(f64) -> String| {
            let both = values[0].zip(values[1]);
            rows.push(vec![
                Cell::Plain(name.to_owned()),
                Cell::maybe(values[0], shown),
                Cell::maybe(values[1], shown),
                Cell::maybe(both.map(|(first, second)| second - first), |more| match more {
                    0.0 => "0".to_owned(),
                    more => difference(more),
                }),
            ]);
        };
    let metrics =
        |figure: fn(&Metrics) -> Option<f64>| [figure(&first.results.metrics), figure(&second.results.metrics)];
    let five = |value: f64| decimals(value, 5);
    let more = |value: f64| signed(value, 6);
    let points = |value: f64| format!("{} %", signed(100.0 * value, 3));
    row("R²", metrics(|metrics| metrics.r2), &five, &more);
    row("MAE", metrics(|metrics| metrics.mae), &five, &more);
    row("bias", metrics(|metrics| metrics.bias), &|value| signed(value, 5), &more);
    row("σ NMAD", metrics(|metrics| metrics.precision), &five, &more);
    row("outliers, |δ| > 0.05", metrics(|metrics| metrics.outliers_005), &percent, &points);
    row("outliers, |δ| > 0.15", metrics(|metrics| metrics.outliers_015), &percent, &points);
    let coverage = |run: &Run<'_>, wide: bool| {
        let intervals = run.results.intervals.as_ref()?;
        if wide { intervals.coverage_95 } else { intervals.coverage_68 }
    };
    row("inside 68.27 %", [coverage(first, false), coverage(second, false)], &percent, &points);
    row("inside 95.45 %", [coverage(first, true), coverage(second, true)], &percent, &points);
    let counts = |count: fn(&Run<'_>) -> u64| [Some(count(first) as f64), Some(count(second) as f64)];
    let whole = |value: f64| signed(value, 0);
    let grouped = |value: f64| thousands(value as u64);
    row("galaxies in the catalogue", counts(|run| run.results.counts.rows), &grouped, &whole);
    row("galaxies without a redshift", counts(|run| run.results.counts.flagged), &grouped, &whole);
    row("ranks", counts(|run| run.results.counts.ranks), &grouped, &whole);
    let of = |figure: fn(&Run<'_>) -> f64| [Some(figure(first)), Some(figure(second))];
    let two = |value: f64| signed(value, 2);
    row("wall time, s", of(|run| run.results.timings.wall_seconds), &digits, &two);
    row("time of ranks, s", of(|run| run.results.timings.rank_seconds), &digits, &two);
    row("CPU time, s", of(|run| run.results.timings.cpu_seconds), &digits, &two);
    row("inference, s", of(|run| run.results.timings.phases.inference.wall_seconds), &digits, &two);
    row("waiting for data, s", of(|run| run.results.timings.phases.waiting.wall_seconds), &digits, &two);
    row("galaxies per second", of(|run| run.results.throughput.galaxies_per_second), &digits, &two);
    row(
        "galaxies per second of inference",
        of(|run| run.results.throughput.galaxies_per_second_per_rank),
        &digits,
        &two,
    );
    let memory = |run: &Run<'_>| run.ranks.iter().map(|rank| rank.peak_memory_mb).max_by(f64::total_cmp);
    row("peak memory of a rank, MB", [memory(first), memory(second)], &digits, &two);
    let cost = |run: &Run<'_>| run.logs.map(|logs| logs.cost.total_usd);
    row("cost on AWS", [cost(first), cost(second)], &dollars, &more);
    html! {
        (table("Figures of both runs", &[Texts("figure"), Numbers("first"), Numbers("second"), Numbers("difference")], &rows))
        @for (name, run) in [("first", first), ("second", second)] {
            @if let Some(logs) = run.logs && !logs.cost_remarks.is_empty() {
                p { "On the cost of the " (name) ":" }
                (remarks(&logs.cost_remarks))
            }
        }
    }
}

fn galaxies(matched: &Matched) -> Markup {
    let changes = matched.changes.all();
    if changes.is_empty() {
        return html! { p { "No galaxy has a redshift in both." } };
    }
    let at = |q: f64| quantile(&mut changes.to_vec(), q).unwrap_or(0.0);
    let [low, median, high] = [0.16, 0.5, 0.84].map(at);
    let farthest = changes.iter().fold(0.0, |farthest: f64, change| farthest.max(change.abs()));
    let reach = [0.0005, 0.9995].map(|q| at(q).abs()).into_iter().fold(0.0, f64::max).max(1e-9);
    let (same, in_one_alone) = (matched.changes.same(), matched.changes.in_one_alone());
    let count = changes.len() as u64;
    html! {
        (definitions(&[
            ("the same to the last bit", html! { (number(same, thousands(same))) " of " (number(count, thousands(count))) }),
            ("median change", number(median, signed(median, 6))),
            ("the middle 68 %", html! { "from " (number(low, signed(low, 6))) " to " (number(high, signed(high, 6))) }),
            ("the largest change", number(farthest, decimals(farthest, 6))),
            ("with a redshift in one alone", number(in_one_alone, thousands(in_one_alone))),
        ]))
        @if farthest > 0.0 {
            div.charts {
                (chart("Change of the redshift.", "(z₂ − z₁)/(1 + z₁), of all galaxies with a redshift in both. What lies beyond the axis is in the outermost bars.",
                    histogram("distribution of the changes", &Histogram::of(changes.iter().copied(), -reach..reach, BINS), None, "change of the redshift", "galaxies")))
            }
        }
    }
}

fn differences(first: &Run<'_>, second: &Run<'_>) -> Markup {
    let described = [first, second].map(described);
    let [first, second] = &described;
    let names = first.iter().chain(second.iter().filter(|(name, _)| !first.iter().any(|(other, _)| other == name)));
    let value = |described: &[(String, String)], name: &str| {
        described
            .iter()
            .find(|(other, _)| other == name)
            .map_or(Cell::Nothing, |(_, value)| Cell::Foreign(value.clone()))
    };
    let find = |described: &[(String, String)], name: &str| {
        described.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    let rows: Vec<Vec<Cell>> = names
        .filter(|(name, _)| find(first, name) != find(second, name))
        .map(|(name, _)| vec![Cell::Foreign(name.clone()), value(first, name), value(second, name)])
        .collect();
    match rows.is_empty() {
        true => html! { p { "Payload, model, engine and version are the same." } },
        false => {
            html! { (table("What differs in payload, model, engine and version", &[Texts("of"), Texts("first"), Texts("second")], &rows)) }
        }
    }
}

/// Everything that was asked of a run and that made it, by its name.
fn described(run: &Run<'_>) -> Vec<(String, String)> {
    let made_by = &run.results.made_by;
    let mut described: Vec<(String, String)> = [
        ("execution", &run.results.execution),
        ("model", &made_by.model),
        ("SHA-256 of the model", &made_by.model_sha256),
        ("engine", &made_by.engine),
        ("precision", &made_by.precision),
        ("version of Cosmic", &made_by.version),
    ]
    .map(|(name, value)| (name.to_owned(), value.clone()))
    .to_vec();
    if let Some(calibration) = &made_by.calibration {
        described.push(("calibrated on".to_owned(), calibration.sample.clone()));
    }
    described
        .extend(made_by.fingerprint.clone().map(|fingerprint| ("fingerprint of the plan".to_owned(), fingerprint)));
    match run.results.payload.as_ref().and_then(|payload| serde_json::to_value(payload).ok()) {
        Some(Value::Object(payload)) => {
            described.extend(payload.into_iter().map(|(name, value)| match value {
                Value::String(text) => (name, text),
                other => (name, other.to_string()),
            }));
        }
        _ => described.extend(run.ranks.first().map(|rank| ("batch_size".to_owned(), rank.batch_size.to_string()))),
    }
    let memory = run.ranks.iter().find_map(|rank| rank.memory_mb);
    described.extend(memory.map(|memory| ("memory of a rank, MB".to_owned(), memory.to_string())));
    let cores = run.ranks.iter().find_map(|rank| rank.cores);
    described.extend(cores.map(|cores| ("cores of a rank".to_owned(), cores.to_string())));
    described
}

fn moved(matched: &Matched) -> Markup {
    let rows: Vec<Vec<Cell>> = matched
        .changes
        .moved()
        .into_iter()
        .map(|moved| {
            vec![
                Cell::Foreign(moved.source_file),
                Cell::Number(moved.row_index as f64, moved.row_index.to_string()),
                Cell::maybe(moved.z_spec, |z| decimals(z, 4)),
                Cell::Number(moved.first.into(), decimals(moved.first.into(), 6)),
                Cell::Number(moved.second.into(), decimals(moved.second.into(), 6)),
                Cell::Number(moved.change, signed(moved.change, 6)),
            ]
        })
        .collect();
    match rows.is_empty() {
        true => html! { p { "None has moved." } },
        false => {
            html! { (table("The galaxies that moved most", &[Texts("file"), Numbers("row"), Numbers("z_spec"), Numbers("first z_phot"), Numbers("second z_phot"), Numbers("change")], &rows)) }
        }
    }
}
