//! `cosmic logs`: an execution's invocations, joined with ranks.

use anyhow::Result;
use bill::{Cost, Invocation};
use clap::Args;
use pipeline::storage::aws_config;
use serde::Serialize;

use crate::{
    execution::{Execution, Statement},
    global::Global,
    outcome::Outcome,
    output::{Printer, table},
    summary::cost_text,
};

#[derive(Args)]
pub(crate) struct LogsArgs {
    /// The execution, by its ARN or its name.
    #[arg(long, value_name = "ARN|NAME")]
    execution: String,
    /// The state machine, by its name or ARN, where the execution is given by its name.
    #[arg(long, value_name = "NAME", default_value = "cosmic-redshift", env = "COSMIC_STATE_MACHINE")]
    state_machine: String,
}

#[derive(Serialize)]
struct LogsOutput {
    execution: String,
    invocations: Vec<Invocation>,
    unreported: usize,
    cost: Cost,
}

pub(crate) async fn logs(args: LogsArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let aws = aws_config(global.endpoint_url.as_deref()).await;
    let execution = Execution::find(&aws, &args.execution, &args.state_machine).await?;
    let Statement { invocations, cost, unreported } = execution.statement().await?;
    let output = LogsOutput { execution: execution.name.clone(), invocations, unreported, cost };
    printer.print(&output, text)?;
    Ok(if output.unreported == 0 { Outcome::Done } else { Outcome::Incomplete })
}

fn text(output: &LogsOutput) -> String {
    let rows: Vec<Vec<String>> = output.invocations.iter().map(row).collect();
    let header = ["function", "rank", "duration ms", "billed ms", "memory MB", "used MB", "cold start ms", "status"];
    let cold = output.invocations.iter().filter(|invocation| invocation.report.init_ms.is_some()).count();
    format!(
        "{}\n{} invocations of execution {}, {cold} of them cold starts\n{}",
        table(&header, &rows),
        output.invocations.len(),
        output.execution,
        cost_text(&output.cost, output.unreported)
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
