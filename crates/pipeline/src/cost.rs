//! What an execution cost: billed duration × configured memory, requests and state transitions.
//!
//! Prices are AWS's list prices for us-east-1 (first tier, without the free tier or taxes), from
//! <https://aws.amazon.com/lambda/pricing/> and <https://aws.amazon.com/step-functions/pricing/>: AWS's to change, and
//! to be looked up there before a large run.

use serde::{Deserialize, Serialize};

use crate::invocations::{Architecture, Invocation};

/// US dollars per Lambda request.
pub const LAMBDA_REQUEST: f64 = 0.20 / 1e6;
/// US dollars per state transition of a standard workflow.
pub const STATE_TRANSITION: f64 = 0.025 / 1e3;

/// What an execution cost, in US dollars, and what it was computed from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Invocations.
    pub invocations: u64,
    /// Billed GB-seconds: billed duration × configured memory.
    pub gb_seconds: f64,
    /// State transitions of the machine and of its map's children.
    pub state_transitions: u64,
    /// Lambda: duration and requests.
    pub lambda_usd: f64,
    /// Step Functions.
    pub step_functions_usd: f64,
    /// The two together. Not in it: S3 requests (about ten a rank), log storage, and ephemeral disk above 512 MB (0.03 %).
    pub total_usd: f64,
}

/// US dollars per GB-second of billed Lambda time; a GB is 1024 MB.
pub fn gb_second(architecture: Architecture) -> f64 {
    match architecture {
        Architecture::X86_64 => 0.000_016_666_7,
        Architecture::Arm64 => 0.000_013_333_4,
    }
}

impl Cost {
    /// Adds up an execution.
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
    use crate::invocations::Report;

    #[test]
    fn memory_is_billed_as_configured_not_as_used() {
        // The published log's first line: 40.908 s × 10 GB, used 5.9.
        let report = Report {
            request_id: "r".into(),
            duration_ms: 40243.33,
            billed_ms: 40908.0,
            memory_mb: 10240,
            used_mb: Some(5948),
            init_ms: Some(663.81),
            status: None,
        };
        for (architecture, price) in [(Architecture::X86_64, 0.0000166667), (Architecture::Arm64, 0.0000133334)] {
            let invocation =
                Invocation { function: "inference".into(), architecture, rank: Some(0), report: report.clone() };
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
