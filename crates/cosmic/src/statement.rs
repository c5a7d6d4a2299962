//! What an execution's logs say of it: its lines, its invocations, and their cost.
//!
//! REPORT lines, by which Lambda bills, arrive seconds after an invocation's end, and nothing in the logs tells how many
//! are still to come. The histories do ([`ExecutionCounts`]), so that a statement waits for the lines that must come and
//! for no longer, and says "n of m" where some have not come in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_sdk_sfn::{operation::describe_execution::DescribeExecutionOutput, primitives::DateTime};
use bill::{Cost, Invocation, InvocationLog, JoinedInvocations, Prices, Usage};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{
    execution::{Execution, has_ended},
    execution_arn::region_of,
    execution_history::{Children, ExecutionCounts},
    log_pass::{CloudWatch, LogEvent, LogPass},
};

/// How long log lines may take to arrive once an execution has ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long after its end an execution's lines have all arrived, or never will.
const SETTLED_MS: i64 = 120_000;

/// Functions that ran when an execution was stopped go on: for 15 minutes at most.
const LONGEST_FUNCTION_MS: i64 = 16 * 60_000;

/// The log of an execution, as far as it was read.
pub(crate) struct ExecutionLog {
    pass: LogPass<CloudWatch>,
    pub(crate) invocations: InvocationLog,
    /// When the execution ended, in milliseconds since 1970.
    ended_ms: Option<i64>,
    /// Those of the region that it runs in.
    prices: Prices,
}

/// The invocations of an execution as its logs show them, and their cost.
pub(crate) struct Statement {
    pub(crate) invocations: Vec<Invocation>,
    pub(crate) cost: Cost,
    pub(crate) cost_of: CostOf,
}

/// What a cost was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct CostOf {
    /// Invocations whose REPORT line was found: the cost has these.
    pub(crate) invocations: u64,
    /// Invocations that there are, by the histories. The least there can be where not all ranks were read.
    pub(crate) expected_invocations: u64,
    /// Attempts that Lambda refused for lack of concurrency: a state transition each, and no invocation.
    pub(crate) throttled_attempts: u64,
    /// Ranks that have started, and those whose history was read. Where these are fewer, transitions and throttled
    /// attempts are estimated by them.
    pub(crate) ranks: Children,
    /// Whether the execution still runs.
    pub(crate) so_far: bool,
}

impl CostOf {
    fn new(joined: &JoinedInvocations, counts: &ExecutionCounts, so_far: bool) -> Self {
        let of_ranks = joined.invocations.iter().filter(|found| found.rank.is_some()).count() as u64;
        let found = joined.invocations.len() as u64;
        // Lines can be ahead of the histories while an execution runs.
        let own = counts.own.invocations.max(found - of_ranks + joined.unreported.without_rank);
        let ranks = counts.ranks.invocations.max(of_ranks + joined.unreported.of_ranks);
        Self {
            invocations: found,
            expected_invocations: own + ranks,
            throttled_attempts: counts.throttled(),
            ranks: counts.children,
            so_far,
        }
    }

    /// Whether the cost has all invocations there are, and there will be no more.
    pub(crate) fn is_whole(&self) -> bool {
        !self.so_far && self.missing() == 0
    }

    pub(crate) fn missing(&self) -> u64 {
        self.expected_invocations - self.invocations
    }

    /// The invocations that were found, as a sweep records them.
    pub(crate) fn found(&self) -> experiments::CostOf {
        experiments::CostOf {
            invocations: self.invocations,
            expected_invocations: self.expected_invocations,
            at_least: !self.ranks.all(),
        }
    }

    /// `6 of 8`, or `6 of at least 8` where not all ranks were read.
    pub(crate) fn n_of_m(&self) -> String {
        self.found().to_string()
    }
}

impl ExecutionLog {
    /// The log of an execution, nothing of it read yet.
    pub(crate) async fn open(execution: &Execution, described: &DescribeExecutionOutput) -> Result<Self> {
        let functions = execution.functions().await?;
        let started = milliseconds(&described.start_date) - 1_000;
        let mut log = Self {
            pass: LogPass::new(CloudWatch::new(&execution.aws), functions, &execution.name, started),
            invocations: InvocationLog::new(&execution.name),
            ended_ms: None,
            prices: Prices::of(region_of(&execution.arn).unwrap_or_default())?,
        };
        log.end(described);
        Ok(log)
    }

    /// Takes note that the execution has ended, if it has.
    pub(crate) fn end(&mut self, described: &DescribeExecutionOutput) {
        if has_ended(described) {
            let ended = described.stop_date.as_ref().map_or_else(now, milliseconds);
            self.pass.end_at(ended + LONGEST_FUNCTION_MS);
            self.ended_ms = Some(ended);
        }
    }

    /// The lines that have come since the last reading, those of other executions among them.
    pub(crate) async fn read(&mut self) -> Result<Vec<LogEvent>> {
        let events = self.pass.read().await?;
        for event in &events {
            self.invocations.add(&event.function, event.timestamp_ms, &event.message);
        }
        Ok(events)
    }

    /// Reads until the lines of all invocations are there, or as long as they may take; hands what comes to `take`.
    pub(crate) async fn read_to_end(
        &mut self,
        counts: &ExecutionCounts,
        mut take: impl FnMut(&InvocationLog, Vec<LogEvent>) -> Result<()>,
    ) -> Result<()> {
        let settled = self.ended_ms.is_some_and(|ended| now() > ended + SETTLED_MS);
        let patience = if settled { Duration::ZERO } else { PATIENCE };
        let started = Instant::now();
        let mut started_over = false;
        loop {
            let events = self.read().await?;
            take(&self.invocations, events)?;
            let found = CostOf::new(&self.invocations.joined(), counts, self.ended_ms.is_none());
            if found.so_far || found.is_whole() || (started_over && started.elapsed() >= patience) {
                return Ok(());
            }
            if !started_over && started.elapsed() * 2 >= patience {
                // Lines that came in later than the pass looks back.
                self.pass.start_over();
                started_over = true;
            }
            if !settled {
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// The invocations, and their cost.
    pub(crate) fn statement(&self, counts: &ExecutionCounts) -> Statement {
        let joined = self.invocations.joined();
        let cost_of = CostOf::new(&joined, counts, self.ended_ms.is_none());
        let usage = Usage::of(&joined.invocations, cost_of.expected_invocations, counts.transitions());
        let cost = Cost::of(&usage, &self.prices);
        Statement { invocations: joined.invocations, cost, cost_of }
    }
}

/// The invocations of an execution and their cost: so far, where it still runs; else with the lines that come in a
/// little late.
pub(crate) async fn statement(execution: &Execution, described: &DescribeExecutionOutput) -> Result<Statement> {
    let counts = ExecutionCounts::read(&execution.sfn, &execution.arn).await?;
    let mut log = ExecutionLog::open(execution, described).await?;
    log.read_to_end(&counts, |_, _| Ok(())).await?;
    Ok(log.statement(&counts))
}

fn milliseconds(time: &DateTime) -> i64 {
    time.to_millis().unwrap_or(0)
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use bill::{Architecture, InvocationReport, Requests, Unreported};

    use super::*;
    use crate::execution_history::Counts;

    fn joined(ranks: &[Option<u64>], of_ranks: u64) -> JoinedInvocations {
        let report = "REPORT RequestId: r Duration: 1 ms Billed Duration: 1 ms Memory Size: 1 MB";
        let report = InvocationReport::parse(report).unwrap();
        let invocation = |rank: &Option<u64>| Invocation {
            function: "f".into(),
            architecture: Architecture::Arm64,
            rank: *rank,
            started_at: 0.0,
            requests: Requests::default(),
            report: report.clone(),
        };
        let unreported = Unreported { without_rank: 0, of_ranks };
        JoinedInvocations { invocations: ranks.iter().map(invocation).collect(), unreported }
    }

    fn counts(own: u64, ranks: u64) -> ExecutionCounts {
        let counts = |invocations| Counts { transitions: 0, invocations, throttled: 0 };
        ExecutionCounts { own: counts(own), ranks: counts(ranks), children: Children::default() }
    }

    #[test]
    fn lines_that_must_come_are_missing_until_they_have() {
        let found = CostOf::new(&joined(&[None, Some(0)], 0), &counts(2, 3), false);
        assert_eq!((found.missing(), found.n_of_m().as_str()), (3, "2 of 5"));
        let ranks = Children { started: 10_000, read: 200 };
        assert_eq!(CostOf { ranks, ..found }.n_of_m(), "2 of at least 5");
        assert!(!found.is_whole());
        let found = CostOf::new(&joined(&[None, None, Some(0), Some(1), Some(1)], 0), &counts(2, 3), false);
        assert!(found.is_whole());
        assert!(!CostOf { so_far: true, ..found }.is_whole());
    }

    #[test]
    fn lines_that_histories_do_not_know_of_are_expected_too() {
        // A second invocation of the function that Lambda made by itself, and a rank that the histories do not show yet.
        let found = CostOf::new(&joined(&[None, None, Some(0)], 1), &counts(1, 1), false);
        assert_eq!((found.invocations, found.expected_invocations), (3, 4));
    }
}
