//! Executions of the state machine: finding, starting, following and stopping them.

use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use aws_config::{Region, SdkConfig, retry::RetryConfig};
use aws_sdk_sfn::{
    Client,
    config::Builder,
    error::ProvideErrorMetadata,
    operation::describe_execution::DescribeExecutionOutput,
    types::{ExecutionListItem, ExecutionStatus, StateMachineListItem},
};
use pipeline::storage::printable;
use serde::Serialize;
use serde_json::Value;

use crate::{
    called_functions::called_functions,
    execution_arn::{ExecutionArn, region_of},
};

/// How alike two names must be for one to be taken for a misspelling of the other (Jaro-Winkler, 1 is equality).
const ALIKE: f64 = 0.9;

/// Names of executions that a message lists.
const LISTED: usize = 5;

/// An execution and the services that know about it.
pub(crate) struct Execution {
    /// Configuration for the services of its region.
    pub(crate) aws: SdkConfig,
    pub(crate) sfn: Client,
    pub(crate) arn: String,
    pub(crate) name: String,
}

/// The ranks of an execution, by their state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Ranks {
    pub(crate) total: u64,
    pub(crate) running: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Stopped while they ran.
    pub(crate) aborted: u64,
}

impl Execution {
    /// Starts an execution of a state machine, given by name or ARN.
    pub(crate) async fn start(aws: &SdkConfig, machine: &str, name: &str, input: &Value) -> Result<Self> {
        let aws = in_region_of(aws, machine);
        let sfn = client(&aws);
        let machine = machine_arn(&sfn, machine).await?;
        let started = sfn
            .start_execution()
            .state_machine_arn(&machine)
            .name(name)
            .input(input.to_string())
            .send()
            .await
            .with_context(|| format!("failed to start execution {name} of {machine}"))?;
        Ok(Self { aws, sfn, arn: started.execution_arn, name: name.to_owned() })
    }

    /// Finds an execution by its ARN, or by its name and state machine; gives with it what Step Functions says of it.
    pub(crate) async fn find(
        aws: &SdkConfig,
        execution: &str,
        machine: &str,
    ) -> Result<(Self, DescribeExecutionOutput)> {
        if execution.starts_with("arn:") {
            return Self::at(aws, ExecutionArn::parse(execution)?).await;
        }
        if execution.is_empty() || execution.contains(|c: char| c.is_whitespace() || ":/".contains(c)) {
            bail!("{:?} is not the name of an execution", printable(execution));
        }
        let machine = machine_arn(&client(&in_region_of(aws, machine)), machine).await?;
        Self::at(aws, ExecutionArn::of(&machine, execution)?).await
    }

    /// Finds an execution in the region that its ARN names.
    pub(crate) async fn at(aws: &SdkConfig, arn: ExecutionArn) -> Result<(Self, DescribeExecutionOutput)> {
        let aws = in_region_of(aws, &arn.arn);
        let sfn = client(&aws);
        match sfn.describe_execution().execution_arn(&arn.arn).send().await {
            Ok(described) => Ok((Self { aws, sfn, arn: arn.arn, name: arn.name }, described)),
            Err(error) => {
                let absent = error.code() == Some("ExecutionDoesNotExist");
                let refused = error.code() == Some("AccessDeniedException");
                let error = Error::new(error).context(format!("failed to look at execution {}", arn.arn));
                if !absent && !refused {
                    return Err(error);
                }
                // Where nothing more can be found out, the service's own words must do.
                let absence = absence(&sfn, &arn).await.ok().filter(|absence| absent || absence.of_account);
                Err(absence.map_or(error, |absence| absence.error))
            }
        }
    }

    /// Finds an execution like [`Self::at`]; `None` where there is none. Step Functions forgets executions some time
    /// after their end, and those of a state machine that is deleted.
    pub(crate) async fn if_there(
        aws: &SdkConfig,
        arn: ExecutionArn,
    ) -> Result<Option<(Self, DescribeExecutionOutput)>> {
        let aws = in_region_of(aws, &arn.arn);
        let sfn = client(&aws);
        match sfn.describe_execution().execution_arn(&arn.arn).send().await {
            Ok(described) => Ok(Some((Self { aws, sfn, arn: arn.arn, name: arn.name }, described))),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Ok(None),
            Err(error) => Err(Error::new(error).context(format!("failed to look at execution {}", arn.arn))),
        }
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
            if has_ended(&described) {
                return Ok(described);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Asks Step Functions to stop it, and its ranks with it. Functions that run are not interrupted.
    pub(crate) async fn stop(&self) -> Result<()> {
        let stopped = self
            .sfn
            .stop_execution()
            .execution_arn(&self.arn)
            .error("Stopped")
            .cause("stopped by `cosmic run --stop`")
            .send()
            .await;
        stopped.map(drop).with_context(|| format!("failed to stop execution {}", self.arn))
    }

    /// Counts the ranks that it has started, by their state.
    pub(crate) async fn ranks(&self) -> Result<Ranks> {
        let runs = self.sfn.list_map_runs().execution_arn(&self.arn).send().await?;
        let mut ranks = Ranks::default();
        for run in runs.map_runs {
            let run = self.sfn.describe_map_run().map_run_arn(run.map_run_arn).send().await?;
            if let Some(counts) = run.item_counts {
                let count = |value: i64| u64::try_from(value).unwrap_or(0);
                ranks.total += count(counts.total);
                ranks.running += count(counts.running);
                ranks.done += count(counts.succeeded);
                ranks.failed += count(counts.failed) + count(counts.timed_out);
                ranks.aborted += count(counts.aborted);
            }
        }
        Ok(ranks)
    }

    /// The functions that the state machine calls, by name.
    pub(crate) async fn functions(&self) -> Result<Vec<String>> {
        let described = self.sfn.describe_state_machine_for_execution().execution_arn(&self.arn).send().await;
        let described = described.context("failed to read the state machine's definition")?;
        let definition: Value =
            serde_json::from_str(&described.definition).context("the state machine's definition is not JSON")?;
        let called = called_functions(&definition);
        let mut functions: Vec<String> = called.iter().map(|called| called.name().to_owned()).collect();
        functions.sort();
        functions.dedup();
        Ok(functions)
    }
}

/// Whether an execution runs no more.
pub(crate) fn has_ended(described: &DescribeExecutionOutput) -> bool {
    !matches!(described.status, ExecutionStatus::Running | ExecutionStatus::PendingRedrive)
}

/// The configuration for the region that an ARN names; the given one for a name.
pub(crate) fn in_region_of(aws: &SdkConfig, arn_or_name: &str) -> SdkConfig {
    match region_of(arn_or_name) {
        Some(region) => aws.to_builder().region(Region::new(region.to_owned())).build(),
        None => aws.clone(),
    }
}

fn client(aws: &SdkConfig) -> Client {
    // Following takes hours: a service that does not answer for some seconds must not end it.
    Client::from_conf(Builder::from(aws).retry_config(RetryConfig::standard().with_max_attempts(8)).build())
}

/// Why an execution is not found.
struct Absence {
    error: Error,
    /// Whether it is because the credentials are of another account.
    of_account: bool,
}

/// Finds out why there is no such execution.
async fn absence(sfn: &Client, arn: &ExecutionArn) -> Result<Absence> {
    let ExecutionArn { region, account, machine, name, .. } = arn;
    let there_is_none = format!("there is no execution {:?} of {machine} in {region}", printable(name));
    let machines = machines(sfn).await?;
    let account_of = |machine: &StateMachineListItem| machine.state_machine_arn.split(':').nth(4).map(str::to_owned);
    if let Some(own) = machines.iter().find_map(account_of).filter(|own| own != account) {
        let error = anyhow!("{there_is_none} here: its ARN is of account {account}, and your credentials are of {own}");
        return Ok(Absence { error, of_account: true });
    }
    let error = if machines.iter().any(|found| found.name == *machine) {
        let listed = sfn.list_executions().state_machine_arn(arn.machine_arn()).max_results(1000).send().await?;
        anyhow!("{there_is_none}: {}", others(name, &listed.executions))
    } else {
        anyhow!(
            "{there_is_none}, where {}. Step Functions forgets a state machine's executions when it is deleted; what \
             they have written is still under their result paths",
            no_machine(machine, &machines)
        )
    };
    Ok(Absence { error, of_account: false })
}

/// The executions that may have been meant instead.
fn others(name: &str, listed: &[ExecutionListItem]) -> String {
    if listed.is_empty() {
        return "there is none at all".into();
    }
    let likeness = |found: &&ExecutionListItem| strsim::jaro_winkler(&found.name, name);
    let mut near: Vec<&ExecutionListItem> = listed.iter().filter(|found| likeness(found) >= ALIKE).collect();
    near.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    let show = |found: &[&ExecutionListItem]| {
        let shown = found.iter().take(LISTED).map(|found| format!("{} ({})", found.name, found.status.as_str()));
        shown.collect::<Vec<_>>().join(", ")
    };
    let latest: Vec<&ExecutionListItem> = listed.iter().collect();
    let mut text = format!("the latest are {}", show(&latest));
    if !near.is_empty() {
        text = format!("did you mean {}? {text}", show(&near[..near.len().min(3)]));
    }
    text + ". Step Functions forgets executions 90 days after their end"
}

async fn machines(sfn: &Client) -> Result<Vec<StateMachineListItem>> {
    let listed = sfn.list_state_machines().into_paginator().items().send().collect::<Result<_, _>>().await;
    listed.context("failed to list the state machines")
}

pub(crate) async fn machine_arn(sfn: &Client, machine: &str) -> Result<String> {
    if machine.starts_with("arn:") {
        return Ok(machine.to_owned());
    }
    let machines = machines(sfn).await?;
    let found = machines.iter().find(|found| found.name == machine);
    found.map(|found| found.state_machine_arn.clone()).ok_or_else(|| anyhow!(no_machine(machine, &machines)))
}

fn no_machine(machine: &str, machines: &[StateMachineListItem]) -> String {
    let names: Vec<&str> = machines.iter().map(|found| found.name.as_str()).collect();
    match names[..] {
        [] => {
            format!("there is no state machine {machine:?}, nor any other: deploy the stack first (scripts/deploy.sh)")
        }
        [..] => format!("there is no state machine {machine:?}: there are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::primitives::DateTime;

    use super::*;

    #[test]
    fn a_name_that_is_not_there_is_answered_with_the_nearest_and_the_latest() {
        let item = |name: &str| {
            ExecutionListItem::builder()
                .execution_arn(name)
                .state_machine_arn("m")
                .name(name)
                .status(ExecutionStatus::Running)
                .start_date(DateTime::from_secs(0))
                .build()
                .unwrap()
        };
        let listed = ["soak-3", "demo-1732406400123", "soak-2"].map(item);
        let said = others("demo-1732406400132", &listed);
        assert!(
            said.starts_with("did you mean demo-1732406400123 (RUNNING)? the latest are soak-3 (RUNNING), "),
            "{said}"
        );
        assert!(others("x", &listed).starts_with("the latest are soak-3"));
        assert_eq!(others("x", &[]), "there is none at all");
    }
}
