//! What was asked of a run, and what made its catalogue.

use std::collections::BTreeSet;

use maud::{Markup, html};
use pipeline::run_files::Results;
use serde_json::Value;

use crate::{
    elements::{definitions, foreign, number},
    numbers::thousands,
    rank::RankRecord,
};

pub(super) fn body(results: &Results, ranks: &[RankRecord]) -> Markup {
    let made_by = &results.made_by;
    let mut made: Vec<(&str, Markup)> =
        vec![("model", foreign(&made_by.model)), ("SHA-256 of the model", hash(&made_by.model_sha256))];
    if let Some(calibration) = &made_by.calibration {
        let galaxies = calibration.galaxies;
        made.push((
            "calibrated on",
            html! {
                (foreign(&calibration.sample)) ", " (number(galaxies, thousands(galaxies))) " galaxies, predicted in "
                (foreign(&calibration.precision))
            },
        ));
    }
    made.push(("engine", foreign(&made_by.engine)));
    made.push(("precision", foreign(&made_by.precision)));
    made.push(("Cosmic", foreign(&made_by.version)));
    if let Some(fingerprint) = &made_by.fingerprint {
        made.push(("fingerprint of the plan", hash(fingerprint)));
    }
    made.push(("execution", foreign(&results.execution)));
    let memory: BTreeSet<u64> = ranks.iter().filter_map(|rank| rank.memory_mb).collect();
    let cores: BTreeSet<u64> = ranks.iter().filter_map(|rank| rank.cores).collect();
    let listed = |values: &BTreeSet<u64>| values.iter().map(|value| thousands(*value)).collect::<Vec<_>>().join(", ");
    if !memory.is_empty() {
        made.push(("memory of a rank", html! { (listed(&memory)) " MB" }));
    }
    if !cores.is_empty() {
        made.push(("cores of a rank", html! { (listed(&cores)) }));
    }
    html! {
        div.columns {
            div { h3 { "What was asked" } (asked(results, ranks)) }
            div { h3 { "What made it" } (definitions(&made)) }
        }
        details {
            summary { "SHA-256 of the other results" }
            (definitions(&results.sha256.iter().map(|(name, sha256)| (name.as_str(), hash(sha256))).collect::<Vec<_>>()))
        }
    }
}

fn hash(hash: &str) -> Markup {
    html! { span.hash { (number(hash, hash)) } }
}

fn asked(results: &Results, ranks: &[RankRecord]) -> Markup {
    let Some(Value::Object(payload)) = results.payload.as_ref().and_then(|payload| serde_json::to_value(payload).ok())
    else {
        let batch_size = ranks.first().map(|rank| rank.batch_size);
        return html! {
            p { "Inference on one machine, which has no payload." }
            @if let Some(batch_size) = batch_size { (definitions(&[("batch_size", number(batch_size, batch_size.to_string()))])) }
        };
    };
    let value = |value: &Value| match value {
        Value::Null => html! { span.none { "not set" } },
        Value::String(text) => foreign(text),
        other => number(other, other.to_string()),
    };
    definitions(&payload.iter().map(|(name, asked)| (name.as_str(), value(asked))).collect::<Vec<_>>())
}
