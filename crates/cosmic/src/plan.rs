//! `cosmic plan`: what a run would do, take and cost, before it runs. Nothing is written but the picture that is asked for.
//!
//! [`work`] says what there is to do, [`setup`] what it would be done with, [`figures_from`] what is known of such work,
//! and [`bill::estimate`] what follows. [`choices`] are other ways to do the same, and [`max_cost`] is the check of
//! `cosmic run --max-cost`. [`check`] holds the model against what a sweep measured.

mod check;
mod choices;
mod figures_from;
mod max_cost;
mod picture;
mod planned;
mod report;
mod setup;
mod work;

use std::path::PathBuf;

use anyhow::{Context, Result};
use aws_config::SdkConfig;
use clap::Args;
use pipeline::{payload::Payload, storage::aws_config};

use crate::{
    global::Global,
    outcome::Outcome,
    output::Printer,
    partition_size,
    payload_input::PayloadSource,
    plan::{choices::compare, planned::Planned, report::PlanOutput, setup::SetupArgs, work::DataArgs},
};

pub(crate) use max_cost::refuse_above;

#[derive(Args)]
pub(crate) struct PlanArgs {
    /// The payload, a JSON file such as payloads/demo.json.
    #[arg(long, value_name = "FILE", env = "COSMIC_PAYLOAD", required_unless_present = "check")]
    payload: Option<PathBuf>,
    /// Set a field of the payload, such as bucket=my-bucket or world_size=40 (may be given several times).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Take the data from here instead of the payload's bucket: a folder of this machine, or s3://bucket/prefix.
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
    /// Plan for so much data without looking at any, such as 12.6GB.
    #[arg(long, value_name = "SIZE", value_parser = partition_size::parse, conflicts_with = "data", requires = "partition_size")]
    size: Option<u64>,
    /// The size of a partition, with --size: as of `cosmic split`, such as 25MiB.
    #[arg(long, value_name = "SIZE", value_parser = partition_size::parse, requires = "size")]
    partition_size: Option<u64>,
    /// Read the number of galaxies from each file's header instead of estimating it from the file's size.
    #[arg(long, conflicts_with = "size")]
    headers: bool,
    /// Take the figures from an earlier run or sweep instead of the shipped ones: a folder of results or of a sweep, or its
    /// sweep.json, on this machine or in S3.
    #[arg(long, value_name = "PATH")]
    from: Option<String>,
    #[command(flatten)]
    setup: SetupArgs,
    /// Draw cost against time of all choices, as PNG.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Plan nothing: predict each cell of a sweep from its other cells, and compare. Exits with 1 where the median error
    /// is above 10 % or the worst above 25 %.
    #[arg(long, value_name = "SWEEP.JSON", conflicts_with_all = ["payload", "data", "size", "from", "picture"])]
    check: Option<PathBuf>,
}

pub(crate) async fn plan(args: PlanArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    if let Some(sweep) = &args.check {
        return check::check(sweep, printer);
    }
    let file = args.payload.as_deref().context("--payload is not given")?;
    let source = PayloadSource::of(file);
    let data = DataArgs { path: args.data.as_deref(), size: args.size.zip(args.partition_size), headers: args.headers };
    // Where nothing is in AWS, nothing looks for credentials or a region.
    let is_offline = data.is_offline() && matches!(source, PayloadSource::File(_));
    let aws = match is_offline {
        true => SdkConfig::builder().build(),
        false => aws_config(global.endpoint_url.as_deref()).await,
    };
    let input = source.read(&aws, &args.set, global.requester_pays).await?;
    let (payload, warnings) = Payload::parse(&input, "plan").with_context(|| source.to_string())?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let aws = (!data.is_offline()).then_some(&aws);
    let planned = Planned::of(&payload, &data, &args.setup, args.from.as_deref(), aws, global).await?;
    let range = planned.range();
    let compared = compare(&planned);
    let pictures = match &args.picture {
        Some(path) => {
            let title = format!("{} in {}", planned.work.title(), planned.prices.region);
            let png = picture::draw(&compared, &title)?;
            std::fs::write(path, png).with_context(|| format!("failed to write {}", path.display()))?;
            Some(path.display().to_string())
        }
        None => None,
    };
    let output = PlanOutput::of(&file.display().to_string(), &args.set, &payload, &planned, range, compared, pictures);
    printer.print(&output, report::text)?;
    Ok(Outcome::Done)
}
