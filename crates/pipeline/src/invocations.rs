//! What Lambda's logs say of an execution: its REPORT lines, joined with the ranks by our own log lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What Lambda says of one invocation when it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The invocation.
    pub request_id: String,
    /// Handler time in milliseconds.
    pub duration_ms: f64,
    /// What is billed, in milliseconds: the handler and, on a cold start, the initialisation.
    pub billed_ms: f64,
    /// Configured memory in MB: what is paid for.
    pub memory_mb: u64,
    /// Largest memory used in MB.
    pub used_mb: Option<u64>,
    /// Initialisation in milliseconds; only cold starts have one.
    pub init_ms: Option<f64>,
    /// `timeout` or `error`, where it did not end well.
    pub status: Option<String>,
}

impl Report {
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

/// A function's kind of processor, as Lambda names it: their prices differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// x86-64, which is Lambda's default.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    #[serde(rename = "arm64", alias = "aarch64")]
    Arm64,
}

/// One invocation of one of the functions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// The function's name.
    pub function: String,
    /// The function's processor.
    pub architecture: Architecture,
    /// The rank, where it is the inference function.
    pub rank: Option<u64>,
    /// What Lambda said.
    #[serde(flatten)]
    pub report: Report,
}

/// Which request a log line of ours belongs to.
#[derive(Debug, PartialEq)]
struct Request {
    id: String,
    execution: String,
    architecture: Architecture,
    rank: Option<u64>,
}

impl Request {
    fn parse(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let span = line.get("span")?;
        Some(Self {
            id: span.get("requestId")?.as_str()?.to_owned(),
            execution: span.get("execution")?.as_str()?.to_owned(),
            architecture: span
                .get("architecture")
                .and_then(|name| Architecture::deserialize(name).ok())
                .unwrap_or_default(),
            rank: span.get("rank").and_then(Value::as_u64),
        })
    }
}

/// What one function's log lines say of an execution.
#[derive(Debug, Default)]
pub struct Joined {
    /// Invocations that have their REPORT line, by rank.
    pub invocations: Vec<Invocation>,
    /// Requests that were seen to start and have no REPORT line yet.
    pub unreported: usize,
}

/// Joins a function's log lines, in any order, and keeps what belongs to `execution`.
///
/// A request that was killed before its first log line cannot be told from another execution's, and is left out.
pub fn join<'a>(function: &str, lines: impl IntoIterator<Item = &'a str>, execution: &str) -> Joined {
    let mut requests = BTreeMap::new();
    let mut reports = BTreeMap::new();
    for line in lines {
        if let Some(report) = Report::parse(line) {
            reports.insert(report.request_id.clone(), report);
        } else if let Some(request) = Request::parse(line)
            && request.execution == execution
        {
            requests.insert(request.id, (request.architecture, request.rank));
        }
    }
    let mut joined = Joined::default();
    for (id, (architecture, rank)) in requests {
        match reports.remove(&id) {
            Some(report) => {
                joined.invocations.push(Invocation { function: function.to_owned(), architecture, rank, report });
            }
            None => joined.unreported += 1,
        }
    }
    joined.invocations.sort_by_key(|invocation| invocation.rank);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "2024-11-17 02:41:24.412000+00:00 - REPORT RequestId: adbca9aa-fe3a-4fd6-b4e7-5e7b46ae71f1       \
        Duration: 40243.33 ms   Billed Duration: 40908 ms       Memory Size: 10240 MB      Max Memory Used: 5948 MB        \
        Init Duration: 663.81 ms";

    #[test]
    fn a_published_report_line_is_read_whole() {
        let report = Report::parse(PUBLISHED).unwrap();
        assert_eq!(report.request_id, "adbca9aa-fe3a-4fd6-b4e7-5e7b46ae71f1");
        assert_eq!((report.duration_ms, report.billed_ms), (40243.33, 40908.0));
        assert_eq!((report.memory_mb, report.used_mb), (10240, Some(5948)));
        assert_eq!((report.init_ms, report.status), (Some(663.81), None));
    }

    #[test]
    fn a_warm_invocation_that_timed_out_says_so() {
        let line = "REPORT RequestId: r1\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 512 MB\tMax Memory Used: 60 MB\tStatus: timeout";
        let report = Report::parse(line).unwrap();
        assert_eq!(report.init_ms, None);
        assert_eq!(report.status.as_deref(), Some("timeout"));
        assert_eq!(report.duration_ms, 3000.0);
    }

    #[test]
    fn reports_find_their_ranks_whatever_the_order() {
        let report = |id: &str| {
            format!(
                "REPORT RequestId: {id}\tDuration: 1.00 ms\tBilled Duration: 2 ms\tMemory Size: 3 MB\tMax Memory Used: 1 MB\t"
            )
        };
        let ours = |id: &str, execution: &str, rank: u64| {
            format!(
                r#"{{"level":"INFO","message":"x","span":{{"requestId":"{id}","execution":"{execution}","architecture":"aarch64","rank":{rank},"name":"rank"}}}}"#
            )
        };
        let lines = [
            report("b"),
            ours("a", "run", 7),
            "START RequestId: a".into(),
            ours("b", "run", 3),
            report("a"),
            ours("c", "other", 1),
            report("c"),
            ours("d", "run", 9),
        ];
        let joined = join("inference", lines.iter().map(String::as_str), "run");
        let ranks: Vec<_> = joined.invocations.iter().map(|invocation| invocation.rank).collect();
        assert_eq!(ranks, [Some(3), Some(7)]);
        assert!(joined.invocations.iter().all(|invocation| invocation.architecture == Architecture::Arm64));
        assert_eq!(joined.unreported, 1);
    }
}
