//! What an execution cost: billed duration × configured memory, requests and state transitions, at a region's prices.

use pipeline::storage::Requests;
use serde::{Deserialize, Serialize};

use crate::{
    invocations::{Architecture, Invocation},
    prices::Prices,
};

/// What an execution used of what AWS asks money for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Invocations of functions whose billed time is in here.
    pub invocations: u64,
    /// Invocations that there were, as far as is known.
    pub expected_invocations: u64,
    /// Billed duration × configured memory, by processor.
    pub gb_seconds: GbSeconds,
    /// Billed duration × temporary storage above the 512 MB that each function has.
    pub temporary_gb_seconds: f64,
    /// State transitions of the state machine and of its map's children, throttled attempts among them.
    pub state_transitions: u64,
    /// Requests to S3.
    pub requests: Requests,
}

/// GB-seconds by processor, whose prices differ. A GB is 1024 MB of configured memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct GbSeconds {
    pub x86_64: f64,
    pub arm64: f64,
}

impl GbSeconds {
    pub fn add(&mut self, architecture: Architecture, gb_seconds: f64) {
        match architecture {
            Architecture::X86_64 => self.x86_64 += gb_seconds,
            Architecture::Arm64 => self.arm64 += gb_seconds,
        }
    }

    pub fn total(self) -> f64 {
        self.x86_64 + self.arm64
    }
}

impl Usage {
    /// Adds up invocations. Temporary storage is not in REPORT lines, and so not in the sum.
    pub fn of(invocations: &[Invocation], expected_invocations: u64, state_transitions: u64) -> Self {
        let mut usage = Self {
            invocations: invocations.len() as u64,
            expected_invocations: expected_invocations.max(invocations.len() as u64),
            state_transitions,
            ..Self::default()
        };
        for Invocation { architecture, report, requests, .. } in invocations {
            usage.gb_seconds.add(*architecture, report.billed_ms / 1e3 * report.memory_mb as f64 / 1024.0);
            usage.requests.reads += requests.reads;
            usage.requests.writes += requests.writes;
        }
        usage
    }
}

/// What an execution cost, in US dollars, and what it was computed from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The region that the execution ran in.
    pub region: String,
    /// The region whose prices these are, where those of `region` are not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prices_of_region: Option<String>,
    /// When the prices were gathered.
    pub prices_date: String,
    /// Invocations whose billed time is known, and in the sum.
    pub invocations: u64,
    /// Invocations that there were, as far as is known: where they are more, the sum lacks some.
    pub expected_invocations: u64,
    /// Billed GB-seconds: billed duration × configured memory.
    pub gb_seconds: f64,
    /// State transitions of the state machine and of its map's children.
    pub state_transitions: u64,
    /// Requests to S3.
    pub requests: Requests,
    /// Lambda's part for duration.
    pub lambda_duration_usd: f64,
    /// Lambda's part for requests.
    pub lambda_requests_usd: f64,
    /// Lambda's part for temporary storage above 512 MB.
    pub lambda_storage_usd: f64,
    /// Step Functions' part, for state transitions.
    pub step_functions_usd: f64,
    /// S3's part, for requests.
    pub s3_usd: f64,
    /// The parts together. The storage of data and logs is not in it.
    pub total_usd: f64,
}

impl Cost {
    /// What `usage` costs at these prices.
    pub fn of(usage: &Usage, prices: &Prices) -> Self {
        let Usage { invocations, expected_invocations, gb_seconds, state_transitions, requests, .. } = *usage;
        let lambda_duration_usd =
            gb_seconds.x86_64 * prices.gb_second.x86_64 + gb_seconds.arm64 * prices.gb_second.arm64;
        let lambda_requests_usd = invocations as f64 * prices.lambda_request;
        let lambda_storage_usd = usage.temporary_gb_seconds * prices.temporary_gb_second;
        let step_functions_usd = state_transitions as f64 * prices.state_transition;
        let s3_usd = requests.reads as f64 * prices.s3_read + requests.writes as f64 * prices.s3_write;
        Self {
            region: prices.region.clone(),
            prices_of_region: prices.stand_in.clone(),
            prices_date: prices.date.clone(),
            invocations,
            expected_invocations,
            gb_seconds: gb_seconds.total(),
            state_transitions,
            requests,
            lambda_duration_usd,
            lambda_requests_usd,
            lambda_storage_usd,
            step_functions_usd,
            s3_usd,
            total_usd: lambda_duration_usd + lambda_requests_usd + lambda_storage_usd + step_functions_usd + s3_usd,
        }
    }

    /// Lambda's parts together.
    pub fn lambda_usd(&self) -> f64 {
        self.lambda_duration_usd + self.lambda_requests_usd + self.lambda_storage_usd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report_line::InvocationReport;

    fn invocation(architecture: Architecture) -> Invocation {
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
        let requests = Requests { reads: 20, writes: 2 };
        Invocation { function: "inference".into(), architecture, rank: Some(0), started_at: 0.0, requests, report }
    }

    #[test]
    fn memory_is_billed_as_configured_not_as_used() {
        for (architecture, price) in [(Architecture::X86_64, 0.0000166667), (Architecture::Arm64, 0.0000133334)] {
            let cost = Cost::of(&Usage::of(&[invocation(architecture)], 1, 0), &Prices::of("us-east-1").unwrap());
            assert!((cost.gb_seconds - 409.08).abs() < 1e-9);
            assert!((cost.lambda_usd() - (409.08 * price + 0.0000002)).abs() < 1e-12);
            assert!((cost.s3_usd - (20.0 * 0.0000004 + 2.0 * 0.000005)).abs() < 1e-12);
            assert!((cost.total_usd - cost.lambda_usd() - cost.s3_usd).abs() < 1e-12);
        }
    }

    #[test]
    fn what_is_missing_shows_in_the_number_of_invocations() {
        let cost = Cost::of(&Usage::of(&[invocation(Architecture::X86_64)], 3, 0), &Prices::of("us-east-1").unwrap());
        assert_eq!((cost.invocations, cost.expected_invocations), (1, 3));
    }

    #[test]
    fn a_thousand_transitions_cost_what_the_region_asks() {
        for (region, usd) in [("us-east-1", 0.025), ("sa-east-1", 0.0375)] {
            let cost = Cost::of(&Usage { state_transitions: 1000, ..Usage::default() }, &Prices::of(region).unwrap());
            assert!((cost.total_usd - usd).abs() < 1e-12);
            assert_eq!(cost.region, region);
        }
    }

    /// Reports of the published system's log of 17 November 2024 (<https://github.com/UVA-MLSys/AI-for-Astronomy>):
    /// inference of partitions of 75 MB by functions of 10,240 MB. Its paper states $0.30 for 12.6 GB, which takes the
    /// memory used and the time of the inference alone. AWS bills the configured memory and the whole time.
    #[test]
    fn the_published_runs_cost_what_their_log_says() {
        let log = include_str!("../tests/published-cloudwatch-log.txt");
        let reports: Vec<_> = log.lines().filter_map(InvocationReport::parse).collect();
        assert_eq!(reports.len(), 9);
        let invocations: Vec<_> = reports
            .into_iter()
            .map(|report| Invocation { report, requests: Requests::default(), ..invocation(Architecture::X86_64) })
            .collect();
        let prices = Prices::of("us-east-1").unwrap();
        let of_nine = Cost::of(&Usage::of(&invocations, 9, 0), &prices);
        // 12.6 GB are 173 partitions of 75 MB, one rank each.
        let of_all = of_nine.total_usd / 9.0 * 173.0;
        assert!((of_all - 0.99).abs() < 0.005, "{of_all}");
        // All but the first were warm.
        let of_warm = Cost::of(&Usage::of(&invocations[1..], 8, 0), &prices).total_usd / 8.0 * 173.0;
        assert!((of_warm - 0.97).abs() < 0.005, "{of_warm}");
    }
}
