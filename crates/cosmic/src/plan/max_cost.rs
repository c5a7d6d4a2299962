//! `cosmic run --max-cost`: refuses a run that would cost more, before anything is started.

use anyhow::{Result, bail};
use aws_config::SdkConfig;
use pipeline::payload::Payload;

use crate::{
    global::Global,
    plan::{choices::compare, planned::Planned, setup::SetupArgs, work::DataArgs},
};

/// Refuses a payload whose run would cost more than `max_usd`.
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
    let usd = range.likely.cost.total_usd;
    if usd <= max_usd {
        eprintln!("about ${usd:.4} in {}, --max-cost is ${max_usd}", planned.prices.region);
        return Ok(());
    }
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
        "not started: it would cost about ${usd:.4} in {} (${:.4} to ${:.4}), and --max-cost is ${max_usd}; {cheaper}. \
         `cosmic plan` shows more",
        planned.prices.region,
        range.low.cost.total_usd,
        range.high.cost.total_usd,
    );
}
