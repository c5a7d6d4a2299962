//! `cosmic run --stop`: end an execution, and say what of it is kept.

use std::time::Duration;

use anyhow::Result;
use aws_config::SdkConfig;
use pipeline::payload::Payload;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    execution::{Execution, Ranks, has_ended},
    global::Global,
    outcome::Outcome,
    output::Printer,
    resume::resume_command,
};

/// How long Step Functions may take to stop an execution and its ranks.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct StopOutput {
    execution: String,
    execution_arn: String,
    status: String,
    /// Whether this command has stopped it: it may have ended before.
    stopped: bool,
    ranks: Ranks,
    /// Where what the finished ranks have written stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    /// The command that computes the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    resume: Option<String>,
}

/// Stops an execution, given by name or ARN, and waits until its ranks have stopped too.
pub(crate) async fn stop(
    aws: &SdkConfig,
    execution: &str,
    machine: &str,
    global: &Global,
    printer: Printer,
) -> Result<Outcome> {
    let (execution, mut described) = Execution::find(aws, execution, machine).await?;
    let stopped = !has_ended(&described);
    if stopped {
        execution.stop().await?;
        let started = Instant::now();
        loop {
            described = execution.describe().await?;
            // Step Functions ends the ranks after the execution.
            let running = execution.ranks().await.map_or(0, |ranks| ranks.running);
            if (has_ended(&described) && running == 0) || started.elapsed() > PATIENCE {
                break;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
    let input: Value = serde_json::from_str(described.input.as_deref().unwrap_or_default()).unwrap_or_default();
    // Of an execution with a bad payload nothing is kept.
    let payload = Payload::parse(&input, &execution.name).ok().map(|(payload, _)| payload);
    let succeeded = described.status.as_str() == "SUCCEEDED";
    let output = StopOutput {
        execution: execution.name.clone(),
        execution_arn: execution.arn.clone(),
        status: described.status.as_str().to_owned(),
        stopped,
        ranks: execution.ranks().await.unwrap_or_default(),
        kept: payload.as_ref().map(|payload| format!("s3://{}/{}/", payload.bucket, payload.result_path)),
        resume: payload.filter(|_| !succeeded).map(|payload| resume_command(&execution, &payload, &input, global)),
    };
    printer.print(&output, text)?;
    Ok(Outcome::Done)
}

fn text(output: &StopOutput) -> String {
    let StopOutput { execution, status, ranks, .. } = output;
    let mut text = match (output.stopped, status.as_str()) {
        (true, "RUNNING") => {
            format!("execution {execution} is being stopped, and still runs: look again in a minute\n")
        }
        (true, "ABORTED") => format!("execution {execution} was stopped\n"),
        (true, _) => format!("execution {execution} ended as {status} before it could be stopped\n"),
        (false, _) => format!("execution {execution} had ended before, as {status}: there is nothing to stop\n"),
    };
    if ranks.total > 0 {
        text += &format!("{} of the {} ranks that it had to compute have finished\n", ranks.done, ranks.total);
    }
    if let (Some(kept), Some(resume)) = (&output.kept, &output.resume) {
        text += &format!(
            "What they have written stays under {kept}, and functions that ran may finish their ranks yet. \
             To compute the rest:\n  {resume}\n"
        );
    }
    text
}
