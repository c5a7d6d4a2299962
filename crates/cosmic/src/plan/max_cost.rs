//! `cosmic run --max-cost`: refuses a run that would cost more, before anything is started.

use anyhow::{Result, bail};
use aws_config::SdkConfig;
use pipeline::payload::Payload;

use crate::{
    global::Global,
    plan::{
        choices::compare,
        planned::{Planned, Range},
        report::warnings,
        setup::SetupArgs,
        work::DataArgs,
    },
};

/// Refuses a payload whose run would cost more than `max_usd`, on the slowest of the processors that it may get. What was
/// not found out, and so assumed, is said on standard error with the plan's warnings.
///
/// # Errors
/// With the estimate and what would be cheaper; and where the payload's data cannot be listed, since then nothing is
/// known of the cost.
pub(crate) async fn refuse_above(
    max_usd: f64,
    payload: &Payload,
    state_machine: &str,
    aws: &SdkConfig,
    global: &Global,
) -> Result<()> {
    let setup = SetupArgs::as_deployed(state_machine);
    let planned = Planned::of(payload, &DataArgs::OF_PAYLOAD, &setup, None, Some(aws), global).await?;
    let range = planned.range();
    for note in planned.setup.notes.iter().chain(&warnings(&planned, &range.likely)) {
        eprintln!("warning: {note}");
    }
    let Some(estimated) = above(&range, max_usd) else {
        eprintln!("{} in {}, --max-cost is ${max_usd}", said(&range), planned.prices.region);
        return Ok(());
    };
    let usd = range.likely.cost.total_usd;
    let compared = compare(&planned);
    let cheapest = compared.notable.as_ref().map(|notable| &compared.choices[notable.cheapest]);
    let cheaper = match cheapest.filter(|choice| choice.outcome.usd < usd) {
        Some(choice) => {
            let (payload, template) = compared.settings(choice);
            format!(
                "the cheapest would be ${:.4}, with {payload}{}",
                choice.outcome.usd,
                template.map_or(String::new(), |template| format!(" and scripts/deploy.sh {template}"))
            )
        }
        None => "no other world size, memory or concurrency would be cheaper: take fewer files (file_limit)".to_owned(),
    };
    bail!(
        "not started: it would cost {estimated} in {}, and --max-cost is ${max_usd}; {cheaper}. `cosmic plan` shows more",
        planned.prices.region,
    );
}

/// The estimate, where a run may cost more than `max_usd`: what counts is the slowest processor that may be.
fn above(range: &Range, max_usd: f64) -> Option<String> {
    (range.high.cost.total_usd > max_usd).then(|| said(range))
}

fn said(range: &Range) -> String {
    let [low, likely, high] = [&range.low, &range.likely, &range.high].map(|estimate| estimate.cost.total_usd);
    match high > low {
        true => format!("about ${likely:.4} (${low:.4} to ${high:.4})"),
        false => format!("about ${likely:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use pipeline::payload::Precision;

    use bill::{
        Architecture, Prices,
        estimate::{Place, RankShare, RunWork, Setup, estimate},
        figures::Figures,
    };

    use super::*;

    #[test]
    fn a_run_is_refused_that_may_cost_more_on_the_slowest_processor() {
        let figures = Figures::shipped().unwrap();
        let setup = Setup {
            place: Place::Lambda,
            architecture: Architecture::X86_64,
            memory_mb: 3008,
            timeout_seconds: 900,
            temporary_mb: 512,
            summarizer_memory_mb: 2048,
            concurrency_limit: 1000,
            max_concurrency: 0,
            warm: false,
        };
        let share = RankShare { rows: 1276, bytes: 26_000_000, files: 1 };
        let work = RunWork {
            ranks: vec![share; 40],
            files: 40,
            headers: 0,
            batch_size: 512,
            precision: Precision::F32,
            model_bytes: 0,
        };
        let of = |slowdown| estimate(&figures, &work, &setup, &Prices::of("us-east-1").unwrap(), slowdown);
        let slowdown = figures.slowdown();
        let range = Range { low: of(slowdown.low), likely: of(slowdown.likely), high: of(slowdown.high) };
        let (likely, high) = (range.likely.cost.total_usd, range.high.cost.total_usd);
        assert!(likely < high);
        assert!(above(&range, (likely + high) / 2.0).unwrap().contains(&format!("{high:.4}")));
        assert_eq!(above(&range, high), None);
    }
}
