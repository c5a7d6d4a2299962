//! Executions of the state machine: finding, starting and following them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_config::SdkConfig;
use aws_sdk_cloudwatchlogs as logs;
use aws_sdk_sfn::{
    Client,
    operation::describe_execution::DescribeExecutionOutput,
    types::{ExecutionStatus, HistoryEventType},
};
use bill::{Cost, Invocation, JoinedInvocations, join};
use serde_json::Value;

/// How long log lines may take to arrive once an execution has ended.
const LOGS_TIMEOUT: Duration = Duration::from_secs(20);

/// An execution and the services that know about it.
pub(crate) struct Execution {
    sfn: Client,
    logs: logs::Client,
    pub(crate) arn: String,
    pub(crate) name: String,
}

/// The ranks of an execution, by their state.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ranks {
    pub(crate) total: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
}

/// The invocations of an execution as its logs show them, and their cost.
pub(crate) struct Statement {
    pub(crate) invocations: Vec<Invocation>,
    pub(crate) cost: Cost,
    /// Invocations whose REPORT line did not come in time: the cost lacks them.
    pub(crate) unreported: usize,
}

impl Execution {
    /// Starts an execution of a state machine, given by name or ARN.
    pub(crate) async fn start(aws: &SdkConfig, machine: &str, name: &str, input: &Value) -> Result<Self> {
        let sfn = Client::new(aws);
        let machine = machine_arn(&sfn, machine).await?;
        let started = sfn
            .start_execution()
            .state_machine_arn(&machine)
            .name(name)
            .input(input.to_string())
            .send()
            .await
            .with_context(|| format!("failed to start execution {name} of {machine}"))?;
        Ok(Self { logs: logs::Client::new(aws), sfn, arn: started.execution_arn, name: name.to_owned() })
    }

    /// Finds an execution by its ARN, or by its name and state machine.
    pub(crate) async fn find(aws: &SdkConfig, execution: &str, machine: &str) -> Result<Self> {
        let sfn = Client::new(aws);
        let arn = if execution.starts_with("arn:") {
            execution.to_owned()
        } else {
            let machine = machine_arn(&sfn, machine).await?;
            format!("{}:{execution}", machine.replace(":stateMachine:", ":execution:"))
        };
        let name = arn.rsplit(':').next().unwrap_or(&arn).to_owned();
        let found = Self { logs: logs::Client::new(aws), sfn, arn, name };
        found.describe().await?;
        Ok(found)
    }

    /// What Step Functions says of it.
    pub(crate) async fn describe(&self) -> Result<DescribeExecutionOutput> {
        let described = self.sfn.describe_execution().execution_arn(&self.arn).send().await;
        described.with_context(|| format!("failed to look at execution {}", self.arn))
    }

    /// Waits until it has ended, telling `progress` how far its ranks are.
    pub(crate) async fn follow(&self, mut progress: impl FnMut(Ranks)) -> Result<DescribeExecutionOutput> {
        let mut pause = Duration::from_millis(250);
        loop {
            let described = self.describe().await?;
            // The ranks are for the bar only: that they cannot be counted must not end the wait.
            if let Ok(ranks) = self.ranks().await {
                progress(ranks);
            }
            if described.status != ExecutionStatus::Running {
                return Ok(described);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn ranks(&self) -> Result<Ranks> {
        let runs = self.sfn.list_map_runs().execution_arn(&self.arn).send().await?;
        let mut ranks = Ranks::default();
        for run in runs.map_runs {
            let run = self.sfn.describe_map_run().map_run_arn(run.map_run_arn).send().await?;
            if let Some(counts) = run.item_counts {
                let count = |value: i64| u64::try_from(value).unwrap_or(0);
                ranks.total += count(counts.total);
                ranks.done += count(counts.succeeded);
                ranks.failed += count(counts.failed) + count(counts.timed_out) + count(counts.aborted);
            }
        }
        Ok(ranks)
    }

    /// The functions that the state machine calls, by name.
    async fn functions(&self) -> Result<Vec<String>> {
        let described = self.sfn.describe_state_machine_for_execution().execution_arn(&self.arn).send().await;
        let described = described.context("failed to read the state machine's definition")?;
        let definition: Value =
            serde_json::from_str(&described.definition).context("the state machine's definition is not JSON")?;
        let mut functions = Vec::new();
        collect_functions(&definition, &mut functions);
        functions.sort();
        functions.dedup();
        Ok(functions)
    }

    /// The invocations of the functions with their ranks, and their cost. Waits a little for late log lines.
    pub(crate) async fn statement(&self) -> Result<Statement> {
        let described = self.describe().await?;
        let functions = self.functions().await?;
        let started = Instant::now();
        loop {
            let mut found = Vec::new();
            let mut unreported = 0;
            for function in &functions {
                let joined = self.joined(function, &described).await?;
                found.extend(joined.invocations);
                unreported += joined.unreported;
            }
            let timed_out = started.elapsed() > LOGS_TIMEOUT;
            if (unreported == 0 && !found.is_empty()) || timed_out {
                let transitions = self.state_transitions(&found).await?;
                return Ok(Statement { cost: Cost::of(&found, transitions), invocations: found, unreported });
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn joined(&self, function: &str, described: &DescribeExecutionOutput) -> Result<JoinedInvocations> {
        let group = format!("/aws/lambda/{function}");
        let milliseconds = |time: &aws_sdk_sfn::primitives::DateTime| time.to_millis().unwrap_or(0);
        let start = milliseconds(&described.start_date) - 1_000;
        let stop = described.stop_date.as_ref().map(|stop| milliseconds(stop) + 60_000);
        let mut pages = self
            .logs
            .filter_log_events()
            .log_group_name(&group)
            .start_time(start)
            .set_end_time(stop)
            .into_paginator()
            .send();
        let mut lines = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.with_context(|| format!("failed to read the log group {group}"))?;
            lines.extend(page.events.unwrap_or_default().into_iter().filter_map(|event| event.message));
        }
        Ok(join(function, lines.iter().map(String::as_str), &self.name))
    }

    /// State transitions as AWS counts them: each state entered and each execution's end; retries enter again.
    async fn state_transitions(&self, invocations: &[Invocation]) -> Result<u64> {
        let mut pages = self
            .sfn
            .get_execution_history()
            .execution_arn(&self.arn)
            .include_execution_data(false)
            .into_paginator()
            .send();
        let mut transitions = 1;
        while let Some(page) = pages.next().await {
            let page = page.context("failed to read the execution's history")?;
            let entered = |kind: &HistoryEventType| kind.as_str().ends_with("StateEntered");
            transitions += page.events.iter().filter(|event| entered(&event.r#type)).count() as u64;
        }
        // A map's child enters its one state once an attempt, and ends.
        let attempts = invocations.iter().filter(|invocation| invocation.rank.is_some()).count() as u64;
        let ranks: std::collections::BTreeSet<_> =
            invocations.iter().filter_map(|invocation| invocation.rank).collect();
        Ok(transitions + attempts + ranks.len() as u64)
    }
}

fn collect_functions(definition: &Value, functions: &mut Vec<String>) {
    match definition {
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str() {
                    // arn:aws:lambda:region:account:function:NAME, perhaps with a version behind it
                    Some(text) if key == "FunctionName" || key == "Resource" => {
                        let name = match text.split_once(":function:") {
                            Some((_, name)) => name.split(':').next(),
                            None if key == "FunctionName" => Some(text),
                            None => None,
                        };
                        functions.extend(name.map(str::to_owned));
                    }
                    _ => collect_functions(value, functions),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_functions(value, functions)),
        _ => {}
    }
}

pub(crate) async fn machine_arn(sfn: &Client, machine: &str) -> Result<String> {
    if machine.starts_with("arn:") {
        return Ok(machine.to_owned());
    }
    let mut pages = sfn.list_state_machines().into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(found) = pages.next().await {
        let found = found.context("failed to list the state machines")?;
        if found.name == machine {
            return Ok(found.state_machine_arn);
        }
        names.push(found.name);
    }
    if names.is_empty() {
        bail!("there is no state machine {machine:?}, nor any other: deploy the stack first (scripts/deploy.sh)");
    }
    bail!("there is no state machine {machine:?}: there are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_however_the_machine_names_them() {
        let definition = serde_json::json!({
            "States": {
                "A": {"Resource": "arn:aws:states:::lambda:invoke",
                      "Parameters": {"FunctionName": "arn:aws:lambda:us-east-1:1:function:one:$LATEST"}},
                "B": {"ItemProcessor": {"States": {"C": {"Resource": "arn:aws:lambda:us-east-1:1:function:two"}}}},
                "D": {"Parameters": {"FunctionName": "three"}},
            }
        });
        let mut found = Vec::new();
        collect_functions(&definition, &mut found);
        assert_eq!(found, ["one", "two", "three"]);
    }
}
