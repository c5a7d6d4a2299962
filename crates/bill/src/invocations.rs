//! Invocations of an execution: Lambda's REPORT lines, joined with executions and ranks by our own log lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report_line::InvocationReport;

/// A function's kind of processor, by Lambda's names. Their prices differ.
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

/// Requests to S3, by what they cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// GET and HEAD.
    pub reads: u64,
    /// PUT and LIST.
    pub writes: u64,
}

/// An invocation of one of the functions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    pub function: String,
    pub architecture: Architecture,
    /// The rank that was computed, by the inference function.
    pub rank: Option<u64>,
    /// When it began, in seconds since 1970.
    pub started_at: f64,
    pub requests: Requests,
    #[serde(flatten)]
    pub report: InvocationReport,
}

/// The request that a log line of ours belongs to.
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

/// What a function's log lines say of an execution.
#[derive(Debug, Default)]
pub struct JoinedInvocations {
    /// Invocations whose REPORT line is there, sorted by rank.
    pub invocations: Vec<Invocation>,
    /// Number of requests that were seen to start and have no REPORT line yet.
    pub unreported: usize,
}

/// Joins a function's log lines, in any order, and keeps what belongs to `execution`.
///
/// A request that was killed before its first log line cannot be told from another execution's, and is left out.
pub fn join<'a>(function: &str, lines: impl IntoIterator<Item = &'a str>, execution: &str) -> JoinedInvocations {
    let mut requests = BTreeMap::new();
    let mut reports = BTreeMap::new();
    for line in lines {
        if let Some(report) = InvocationReport::parse(line) {
            reports.insert(report.request_id.clone(), report);
        } else if let Some(request) = Request::parse(line)
            && request.execution == execution
        {
            requests.insert(request.id, (request.architecture, request.rank));
        }
    }
    let mut joined = JoinedInvocations::default();
    for (id, (architecture, rank)) in requests {
        match reports.remove(&id) {
            Some(report) => {
                joined.invocations.push(Invocation {
                    function: function.to_owned(),
                    architecture,
                    rank,
                    started_at: 0.0,
                    requests: Requests::default(),
                    report,
                });
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
