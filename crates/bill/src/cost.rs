//! What an execution cost: billed duration × configured memory, requests and state transitions.

use serde::{Deserialize, Serialize};

use crate::{
    invocations::Invocation,
    prices::{LAMBDA_REQUEST, STATE_TRANSITION, gb_second},
};

/// What an execution cost, in US dollars, and what it was computed from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub invocations: u64,
    /// Billed GB-seconds: billed duration × configured memory.
    pub gb_seconds: f64,
    /// State transitions of the state machine and of its map's children.
    pub state_transitions: u64,
    /// Lambda's part, for duration and requests.
    pub lambda_usd: f64,
    /// Step Functions' part, for state transitions.
    pub step_functions_usd: f64,
    /// The two together. S3 requests, the storage of logs and ephemeral disk above 512 MB are not in it.
    pub total_usd: f64,
}

impl Cost {
    /// Adds up the invocations and state transitions of an execution.
    pub fn of(invocations: &[Invocation], state_transitions: u64) -> Self {
        let billed =
            |invocation: &Invocation| invocation.report.billed_ms / 1e3 * invocation.report.memory_mb as f64 / 1024.0;
        let gb_seconds = invocations.iter().map(billed).sum();
        let duration_usd: f64 =
            invocations.iter().map(|invocation| billed(invocation) * gb_second(invocation.architecture)).sum();
        let lambda_usd = duration_usd + invocations.len() as f64 * LAMBDA_REQUEST;
        let step_functions_usd = state_transitions as f64 * STATE_TRANSITION;
        Self {
            invocations: invocations.len() as u64,
            gb_seconds,
            state_transitions,
            lambda_usd,
            step_functions_usd,
            total_usd: lambda_usd + step_functions_usd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        invocations::{Architecture, Requests},
        report_line::InvocationReport,
    };

    #[test]
    fn memory_is_billed_as_configured_not_as_used() {
        // The published log's first line: 40.908 s × 10 GB, used 5.9.
        let report = InvocationReport {
            request_id: "r".into(),
            duration_ms: 40243.33,
            billed_ms: 40908.0,
            memory_mb: 10240,
            used_mb: Some(5948),
            init_ms: Some(663.81),
            status: None,
        };
        for (architecture, price) in [(Architecture::X86_64, 0.0000166667), (Architecture::Arm64, 0.0000133334)] {
            let invocation = Invocation {
                function: "inference".into(),
                architecture,
                rank: Some(0),
                started_at: 0.0,
                requests: Requests::default(),
                report: report.clone(),
            };
            let cost = Cost::of(&[invocation], 0);
            assert!((cost.gb_seconds - 409.08).abs() < 1e-9);
            assert!((cost.lambda_usd - (409.08 * price + 0.0000002)).abs() < 1e-12);
        }
    }

    #[test]
    fn a_thousand_transitions_cost_two_and_a_half_cents() {
        assert!((Cost::of(&[], 1000).total_usd - 0.025).abs() < 1e-12);
    }
}
