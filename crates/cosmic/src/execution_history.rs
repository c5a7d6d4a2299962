//! State transitions and invocations of an execution, by Step Functions' histories.
//!
//! DescribeMapRun counts ranks and not attempts. What was tried again, and what Lambda refused for lack of concurrency
//! (such an attempt leaves no log line and is a transition all the same), only the histories of the ranks' own
//! executions tell, one request each. GetExecutionHistory has a
//! [bucket of some hundred requests](https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html), which
//! fills again at about 20 a second: up to [`CHILDREN`] ranks are all looked at, and the counts are exact. Of more ranks,
//! as many are looked at, evenly over the map run; then transitions and refused attempts are an estimate, and the
//! number of invocations to expect is the least that it can be.

use anyhow::{Context, Result};
use aws_sdk_sfn::{
    Client,
    types::{HistoryEvent, HistoryEventType},
};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

/// Child executions whose history is read.
const CHILDREN: usize = 200;

/// Histories that are read at once.
const AT_ONCE: usize = 8;

/// How Step Functions names an attempt that Lambda refused for lack of concurrency.
const THROTTLED: &str = "Lambda.TooManyRequestsException";

/// How Step Functions names the end of a function that ran and died.
const DIED: &str = "Lambda.Unknown";

/// What a history counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// State transitions as AWS bills them (<https://aws.amazon.com/step-functions/pricing/>): each state entered, and
    /// each attempt after the first. The end is counted too, on the safe side: that page does not say whether it is.
    pub(crate) transitions: u64,
    /// Attempts that have reached a function.
    pub(crate) invocations: u64,
    /// Attempts that Lambda refused for lack of concurrency.
    pub(crate) throttled: u64,
}

impl Counts {
    /// Counts the whole history of an execution.
    pub(crate) fn of<'a>(history: impl IntoIterator<Item = &'a HistoryEvent>) -> Self {
        let (mut states, mut tasks, mut attempts, mut refused) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut throttled = 0;
        for event in history {
            match &event.r#type {
                HistoryEventType::TaskScheduled => attempts += 1,
                HistoryEventType::TaskFailed => {
                    let error = event.task_failed_event_details().and_then(|details| details.error());
                    match error {
                        Some(THROTTLED) => throttled += 1,
                        // Of Lambda's other errors nobody knows whether the function ran.
                        Some(error) if error.starts_with("Lambda.") && error != DIED => refused += 1,
                        _ => {}
                    }
                }
                HistoryEventType::TaskStartFailed | HistoryEventType::TaskSubmitFailed => refused += 1,
                kind if kind.as_str().ends_with("StateEntered") => {
                    states += 1;
                    tasks += u64::from(*kind == HistoryEventType::TaskStateEntered);
                }
                _ => {}
            }
        }
        // A retry enters no state anew in the history, and is billed like one.
        let retries = attempts.saturating_sub(tasks);
        Self { transitions: states + retries + 1, invocations: attempts.saturating_sub(throttled + refused), throttled }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            transitions: self.transitions + other.transitions,
            invocations: self.invocations + other.invocations,
            throttled: self.throttled + other.throttled,
        }
    }
}

/// Child executions of map runs: those that have started, and those of them whose history was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Children {
    pub(crate) started: u64,
    pub(crate) read: u64,
}

impl Children {
    /// Whether all were read.
    pub(crate) fn all(self) -> bool {
        self.read == self.started
    }
}

/// The counts of an execution.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ExecutionCounts {
    /// Of its own states.
    pub(crate) own: Counts,
    /// Of its ranks, one child execution each. Where not all were read, all but `invocations` are estimates, and that is
    /// the least that it can be.
    pub(crate) ranks: Counts,
    pub(crate) children: Children,
}

impl ExecutionCounts {
    /// Reads the histories of an execution and its ranks.
    pub(crate) async fn read(sfn: &Client, execution_arn: &str) -> Result<Self> {
        let own = history(sfn, execution_arn).await?;
        let mut children = Vec::new();
        let mut runs = sfn.list_map_runs().execution_arn(execution_arn).into_paginator().items().send();
        while let Some(run) = runs.next().await {
            let run = run.context("failed to list the map runs")?;
            let listed = sfn.list_executions().map_run_arn(run.map_run_arn).max_results(1000);
            let mut pages = listed.into_paginator().items().send();
            while let Some(child) = pages.next().await {
                let child = child.context("failed to list the ranks' executions")?;
                children.push((child.execution_arn, child.status.as_str() == "SUCCEEDED"));
            }
        }
        let chosen = spread(children.len(), CHILDREN);
        let looked_at = chosen.iter().map(|index| history(sfn, &children[*index].0));
        let looked_at: Counts = stream::iter(looked_at)
            .buffer_unordered(AT_ONCE)
            .try_fold(Counts::default(), |sum, counts| async move { Ok(sum.plus(counts)) })
            .await?;
        let succeeded = children.iter().filter(|(_, succeeded)| *succeeded).count();
        let succeeded_looked_at = chosen.iter().filter(|index| children[**index].1).count();
        let others = (succeeded - succeeded_looked_at) as u64;
        let children = Children { started: children.len() as u64, read: chosen.len() as u64 };
        Ok(Self { own, ranks: scaled(looked_at, children, others), children })
    }

    pub(crate) fn transitions(&self) -> u64 {
        self.own.transitions + self.ranks.transitions
    }

    pub(crate) fn throttled(&self) -> u64 {
        self.own.throttled + self.ranks.throttled
    }
}

/// The counts of all children by those that were read, and the number of others that have succeeded, each of which has
/// taken an invocation at least.
fn scaled(read: Counts, children: Children, succeeded_others: u64) -> Counts {
    if children.all() {
        return read;
    }
    let scaled = |count: u64| (count as f64 * children.started as f64 / children.read.max(1) as f64).round() as u64;
    Counts {
        transitions: scaled(read.transitions),
        throttled: scaled(read.throttled),
        invocations: read.invocations + succeeded_others,
    }
}

/// At most `most` of the indices below `of`, spread evenly.
fn spread(of: usize, most: usize) -> Vec<usize> {
    let chosen = of.min(most);
    (0..chosen).map(|index| index * of / chosen).collect()
}

async fn history(sfn: &Client, execution_arn: &str) -> Result<Counts> {
    let pages = sfn
        .get_execution_history()
        .execution_arn(execution_arn)
        .include_execution_data(false)
        .max_results(1000)
        .into_paginator()
        .items()
        .send();
    let events: Vec<HistoryEvent> = pages
        .collect::<std::result::Result<_, _>>()
        .await
        .with_context(|| format!("failed to read the history of {execution_arn}"))?;
    Ok(Counts::of(&events))
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::{primitives::DateTime, types::TaskFailedEventDetails};

    use super::*;

    fn event(kind: HistoryEventType) -> HistoryEvent {
        HistoryEvent::builder().r#type(kind).id(1).timestamp(DateTime::from_secs(0)).build().unwrap()
    }

    fn failed(error: &str) -> HistoryEvent {
        let details = TaskFailedEventDetails::builder().resource_type("lambda").resource("invoke").error(error);
        let details = details.build().unwrap();
        let kind = HistoryEventType::TaskFailed;
        HistoryEvent::builder()
            .r#type(kind)
            .id(1)
            .timestamp(DateTime::from_secs(0))
            .task_failed_event_details(details)
            .build()
            .unwrap()
    }

    #[test]
    fn a_rank_that_ends_at_once_is_two_transitions_and_an_invocation() {
        let history = [
            event(HistoryEventType::ExecutionStarted),
            event(HistoryEventType::TaskStateEntered),
            event(HistoryEventType::TaskScheduled),
            event(HistoryEventType::TaskStarted),
            event(HistoryEventType::TaskSucceeded),
            event(HistoryEventType::TaskStateExited),
            event(HistoryEventType::ExecutionSucceeded),
        ];
        assert_eq!(Counts::of(&history), Counts { transitions: 2, invocations: 1, throttled: 0 });
    }

    #[test]
    fn attempts_that_were_refused_are_transitions_and_no_invocations() {
        let mut history = vec![event(HistoryEventType::TaskStateEntered)];
        for error in [THROTTLED, THROTTLED, "Lambda.ServiceException", DIED, "Runtime.OutOfMemory"] {
            history.extend([event(HistoryEventType::TaskScheduled), failed(error)]);
        }
        history.extend([event(HistoryEventType::TaskScheduled), event(HistoryEventType::TaskTimedOut)]);
        // Six attempts: one entered the state, and five came after it.
        assert_eq!(Counts::of(&history), Counts { transitions: 7, invocations: 3, throttled: 2 });
    }

    #[test]
    fn choices_and_maps_are_transitions_without_attempts() {
        let history = [
            event(HistoryEventType::ChoiceStateEntered),
            event(HistoryEventType::MapStateEntered),
            event(HistoryEventType::SucceedStateEntered),
        ];
        assert_eq!(Counts::of(&history), Counts { transitions: 4, invocations: 0, throttled: 0 });
    }

    #[test]
    fn of_many_ranks_transitions_are_estimated_and_invocations_the_least_there_can_be() {
        let read = Counts { transitions: 600, invocations: 210, throttled: 190 };
        let all = Children { started: 200, read: 200 };
        assert_eq!(scaled(read, all, 0), read);
        let some = Children { started: 10_000, read: 200 };
        let expected = Counts { transitions: 30_000, invocations: 10_010, throttled: 9_500 };
        assert_eq!(scaled(read, some, 9_800), expected);
    }

    #[test]
    fn the_ranks_that_are_looked_at_are_spread_over_all() {
        assert_eq!(spread(3, 200), [0, 1, 2]);
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert!(spread(0, 4).is_empty());
    }
}
