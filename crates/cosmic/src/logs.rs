//! `cosmic logs`: an execution's invocations, joined with ranks.

use anyhow::Result;
use clap::Args;
use pipeline::{cost::Cost, invocations::Invocation, store::aws_config};
use serde::Serialize;

use crate::{
    Global, Outcome,
    execution::{Bill, Execution},
    output::{Printer, table},
};

#[derive(Args)]
pub(crate) struct LogsArgs {
    /// The execution, by ARN or name.
    #[arg(long, value_name = "ARN|NAME")]
    execution: String,
    /// The state machine of an execution given by name, by name or ARN.
    #[arg(long, value_name = "NAME", default_value = "cosmic-redshift", env = "COSMIC_STATE_MACHINE")]
    state_machine: String,
}

#[derive(Serialize)]
struct Report {
    execution: String,
    invocations: Vec<Invocation>,
    unreported: usize,
    cost: Cost,
}

pub(crate) async fn logs(args: LogsArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let aws = aws_config(global.endpoint_url.as_deref()).await;
    let execution = Execution::find(&aws, &args.execution, &args.state_machine).await?;
    let Bill { invocations, cost, unreported } = execution.bill().await?;
    let report = Report { execution: execution.name.clone(), invocations, unreported, cost };
    printer.print(&report, text)?;
    Ok(if report.unreported == 0 { Outcome::Done } else { Outcome::Incomplete })
}

fn text(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report.invocations.iter().map(row).collect();
    let header = ["function", "rank", "duration ms", "billed ms", "memory MB", "used MB", "cold start ms", "status"];
    let cold = report.invocations.iter().filter(|invocation| invocation.report.init_ms.is_some()).count();
    format!(
        "{}\n{} invocations of execution {}, {cold} of them cold starts\n{}",
        table(&header, &rows),
        report.invocations.len(),
        report.execution,
        cost_text(&report.cost, report.unreported)
    )
}

fn row(invocation: &Invocation) -> Vec<String> {
    let report = &invocation.report;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    vec![
        invocation.function.clone(),
        or_dash(invocation.rank.map(|rank| rank.to_string())),
        format!("{:.0}", report.duration_ms),
        format!("{:.0}", report.billed_ms),
        report.memory_mb.to_string(),
        or_dash(report.used_mb.map(|mb| mb.to_string())),
        or_dash(report.init_ms.map(|ms| format!("{ms:.0}"))),
        report.status.clone().unwrap_or_else(|| "ok".into()),
    ]
}

/// One line on the cost, and one on what it lacks.
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
