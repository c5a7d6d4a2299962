//! The REPORT line that Lambda logs at the end of each invocation.

use serde::{Deserialize, Serialize};

/// What Lambda logs of an invocation when it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InvocationReport {
    pub request_id: String,
    /// Time in the handler, in milliseconds.
    pub duration_ms: f64,
    /// Time that is billed, in milliseconds: the handler's and, on a cold start, the initialisation's
    /// (<https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase>).
    pub billed_ms: f64,
    /// Memory that the function is configured with and paid for, in MB.
    pub memory_mb: u64,
    /// The most memory that was used, in MB.
    pub used_mb: Option<u64>,
    /// Time of the initialisation, in milliseconds; only cold starts have one.
    pub init_ms: Option<f64>,
    /// `timeout` or `error`, where the invocation did not end well.
    pub status: Option<String>,
}

impl InvocationReport {
    /// Reads a `REPORT` line, as Lambda writes it (tabs) or as log viewers copy it (spaces). `None` for other lines.
    pub fn parse(line: &str) -> Option<Self> {
        let (_, report) = line.split_once("REPORT RequestId:")?;
        let (request_id, fields) = report.trim_start().split_once(char::is_whitespace)?;
        let text = |label: &str| fields.split_once(label)?.1.split_whitespace().next();
        let number = |label: &str| text(label)?.parse::<f64>().ok();
        let megabytes = |label: &str| text(label)?.parse::<u64>().ok();
        Some(Self {
            request_id: request_id.to_owned(),
            // The first of the three durations: AWS writes it right after the request's id.
            duration_ms: number("Duration:")?,
            billed_ms: number("Billed Duration:")?,
            memory_mb: megabytes("Memory Size:")?,
            used_mb: megabytes("Max Memory Used:"),
            init_ms: number("Init Duration:"),
            status: text("Status:").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "2024-11-17 02:41:24.412000+00:00 - REPORT RequestId: adbca9aa-fe3a-4fd6-b4e7-5e7b46ae71f1       \
        Duration: 40243.33 ms   Billed Duration: 40908 ms       Memory Size: 10240 MB      Max Memory Used: 5948 MB        \
        Init Duration: 663.81 ms";

    #[test]
    fn a_published_report_line_is_read_whole() {
        let report = InvocationReport::parse(PUBLISHED).unwrap();
        assert_eq!(report.request_id, "adbca9aa-fe3a-4fd6-b4e7-5e7b46ae71f1");
        assert_eq!((report.duration_ms, report.billed_ms), (40243.33, 40908.0));
        assert_eq!((report.memory_mb, report.used_mb), (10240, Some(5948)));
        assert_eq!((report.init_ms, report.status), (Some(663.81), None));
    }

    #[test]
    fn a_warm_invocation_that_timed_out_says_so() {
        let line = "REPORT RequestId: r1\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 512 MB\tMax Memory Used: 60 MB\tStatus: timeout";
        let report = InvocationReport::parse(line).unwrap();
        assert_eq!(report.init_ms, None);
        assert_eq!(report.status.as_deref(), Some("timeout"));
        assert_eq!(report.duration_ms, 3000.0);
    }
}
