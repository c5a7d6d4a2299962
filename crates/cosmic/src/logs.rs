//! `cosmic logs`: an execution's invocations, joined with ranks, or its log lines.

use std::{io, time::Duration};

use anyhow::Result;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use bill::{Cost, Invocation, InvocationLog};
use clap::Args;
use pipeline::storage::aws_config;
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    execution::{Execution, has_ended},
    execution_history::ExecutionCounts,
    global::Global,
    log_lines::{Level, LineFilter, LineSelection, LogLine},
    log_pass::LogEvent,
    outcome::Outcome,
    output::{Printer, table},
    resume::DEFAULT_MACHINE,
    statement::{CostOf, ExecutionLog, Statement, statement},
    summary::cost_text,
};

/// How often a running execution is looked at. Each time costs a call or more for each of the three functions, of the
/// five that CloudWatch allows a second.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Args)]
#[command(after_help = "\
With --lines, --follow, --rank, --level or --grep: the log lines of the execution's functions, in the order of their times
(with --follow, those that come late where they come). With --json, each is one JSON object in a line of its own: time,
function, rank, level, message, fields, request_id. Without: a table of the invocations and their cost.
Exit code 3: not all lines have come, or (the table) the execution still runs.")]
pub(crate) struct LogsArgs {
    /// The execution, by its ARN or its name.
    #[arg(long, value_name = "ARN|NAME")]
    execution: String,
    /// The state machine, by its name or ARN, where the execution is given by its name.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MACHINE, env = "COSMIC_STATE_MACHINE")]
    state_machine: String,
    /// Print log lines instead of the table.
    #[arg(long)]
    lines: bool,
    /// Print log lines as they come, until the execution has ended.
    #[arg(long)]
    follow: bool,
    /// Print log lines of this rank only (may be given several times, or as 3,7).
    #[arg(long, value_name = "N", value_delimiter = ',')]
    rank: Vec<u64>,
    /// Print log lines of this level and more important ones only.
    #[arg(long, value_enum, ignore_case = true)]
    level: Option<Level>,
    /// Print log lines with this text in their message or fields only; upper and lower case are the same.
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
}

#[derive(Serialize)]
struct LogsOutput {
    execution: String,
    status: String,
    invocations: Vec<Invocation>,
    cost: Cost,
    cost_of: CostOf,
}

pub(crate) async fn logs(args: LogsArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let aws = aws_config(global.endpoint_url.as_deref()).await;
    let (execution, described) = Execution::find(&aws, &args.execution, &args.state_machine).await?;
    let LogsArgs { lines, follow, rank, level, grep, .. } = args;
    if lines || follow || !rank.is_empty() || level.is_some() || grep.is_some() {
        let filter = LineFilter { ranks: rank, level, text: grep };
        return match print_lines(&execution, described, filter, follow, printer).await {
            // A reader that has gone away (`cosmic logs … | head`) wants no more lines.
            Err(error) if error.downcast_ref().map(io::Error::kind) == Some(io::ErrorKind::BrokenPipe) => {
                Ok(Outcome::Done)
            }
            outcome => outcome,
        };
    }
    let Statement { invocations, cost, cost_of } = statement(&execution, &described).await?;
    let status = described.status.as_str().to_owned();
    let output = LogsOutput { execution: execution.name, status, invocations, cost, cost_of };
    printer.print(&output, text)?;
    Ok(if cost_of.is_whole() { Outcome::Done } else { Outcome::Incomplete })
}

/// Prints the wanted lines of an execution, and with `follow` those to come until it has ended.
async fn print_lines(
    execution: &Execution,
    mut described: DescribeExecutionOutput,
    filter: LineFilter,
    follow: bool,
    printer: Printer,
) -> Result<Outcome> {
    let mut log = ExecutionLog::open(execution, &described).await?;
    let mut selection = LineSelection::new(&execution.name, filter);
    let mut printed = false;
    let mut print = |invocations: &InvocationLog, events: Vec<LogEvent>| {
        let mut lines = selection.take(invocations, events).into_iter();
        lines.try_for_each(|line| {
            printed = true;
            printer.print_line(&line, LogLine::text)
        })
    };
    while follow && !has_ended(&described) {
        let events = log.read().await?;
        print(&log.invocations, events)?;
        sleep(PAUSE).await;
        described = execution.describe().await?;
    }
    log.end(&described);
    let counts = ExecutionCounts::read(&execution.sfn, &execution.arn).await?;
    log.read_to_end(&counts, print).await?;
    if !printed {
        eprintln!("no line of execution {} is asked for by these options", execution.name);
    }
    let of = log.statement(&counts).cost_of;
    if of.so_far {
        eprintln!("the execution still runs: --follow goes on with the lines to come");
    } else if of.missing() > 0 {
        eprintln!("warning: {} invocations have their last line: more may come in a minute", of.n_of_m());
        return Ok(Outcome::Incomplete);
    }
    Ok(Outcome::Done)
}

fn text(output: &LogsOutput) -> String {
    let rows: Vec<Vec<String>> = output.invocations.iter().map(row).collect();
    let header = ["function", "rank", "duration ms", "billed ms", "memory MB", "used MB", "cold start ms", "status"];
    let cold = output.invocations.iter().filter(|invocation| invocation.report.init_ms.is_some()).count();
    let of = &output.cost_of;
    format!(
        "{}\n{} invocations of execution {} ({}), {cold} of them cold starts\n{}",
        table(&header, &rows),
        if of.is_whole() { of.invocations.to_string() } else { of.n_of_m() },
        output.execution,
        output.status,
        cost_text(&output.cost, of, &output.execution)
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
