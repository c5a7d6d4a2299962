//! Invocations of an execution: Lambda's REPORT lines, joined with executions and ranks by our own log lines.
//!
//! Lambda's lines (START, REPORT) have a request's id and not the execution's name; our own lines, JSON objects, have
//! both in their `span`. Lines come in any order, because CloudWatch takes them in when they reach it. So
//! [`InvocationLog`] takes one line after the other and joins what it has whenever it is asked.

use std::collections::HashMap;

use pipeline::storage::Requests;
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

/// An invocation of one of the functions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    pub function: String,
    pub architecture: Architecture,
    /// The rank that was computed, by the inference function.
    pub rank: Option<u64>,
    /// When the handler was called, in seconds since 1970: the time of the START line or, where that is not known, of
    /// the REPORT line less the duration. The initialization of a cold start comes before it.
    pub started_at: f64,
    /// S3 requests by its last line that counts them; 0 where it ended before.
    pub requests: Requests,
    #[serde(flatten)]
    pub report: InvocationReport,
}

/// What a function's log lines say of an execution.
#[derive(Debug, Default)]
pub struct JoinedInvocations {
    /// Invocations whose REPORT line is there, sorted by rank and start; those without a rank come first.
    pub invocations: Vec<Invocation>,
    /// Invocations of the execution that have no REPORT line yet: those without a rank, and those of ranks.
    pub unreported: Unreported,
}

/// Numbers of invocations that were seen to start and have no REPORT line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unreported {
    pub without_rank: u64,
    pub of_ranks: u64,
}

/// Whose a request is, by the lines so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The execution's, with the rank that it computed.
    Ours(Option<u64>),
    /// Another execution's.
    Others,
    /// None of our own lines has told yet.
    Unknown,
}

/// A request, as far as its lines have come.
#[derive(Debug)]
struct Request {
    function: String,
    owner: Owner,
    architecture: Architecture,
    /// Milliseconds since 1970.
    started_ms: Option<i64>,
    report: Option<(i64, InvocationReport)>,
    /// The S3 requests and the time of the line that counts them.
    requests: Option<(i64, Requests)>,
}

/// The log lines of an execution's functions, reduced to its invocations.
///
/// A request that was killed before its first log line cannot be told from another execution's, and is left out.
#[derive(Debug)]
pub struct InvocationLog {
    execution: String,
    requests: HashMap<String, Request>,
}

impl InvocationLog {
    /// A log of the execution of this name, without any line yet.
    pub fn new(execution: &str) -> Self {
        Self { execution: execution.to_owned(), requests: HashMap::new() }
    }

    /// Takes a line of a function, with the time that CloudWatch has for it, in milliseconds since 1970.
    pub fn add(&mut self, function: &str, timestamp_ms: i64, line: &str) {
        if line.starts_with('{') {
            // First of all: a text of ours may quote a line of Lambda's.
            if let Ok(line) = serde_json::from_str::<Value>(line) {
                self.add_own(function, timestamp_ms, &line);
            }
        } else if let Some(report) = InvocationReport::parse(line) {
            let id = report.request_id.clone();
            self.request(&id, function).report = Some((timestamp_ms, report));
        } else if let Some(id) = line.strip_prefix("START RequestId: ").and_then(|rest| rest.split_whitespace().next())
        {
            self.request(id, function).started_ms = Some(timestamp_ms);
        }
    }

    fn add_own(&mut self, function: &str, timestamp_ms: i64, line: &Value) -> Option<()> {
        let span = line.get("span")?;
        let ours = span.get("execution")?.as_str()? == self.execution;
        let request = self.request(span.get("requestId")?.as_str()?, function);
        request.owner = if ours { Owner::Ours(span.get("rank").and_then(Value::as_u64)) } else { Owner::Others };
        let architecture = span.get("architecture").and_then(|name| Architecture::deserialize(name).ok());
        request.architecture = architecture.unwrap_or_default();
        let counted = Requests { reads: line.get("reads")?.as_u64()?, writes: line.get("writes")?.as_u64()? };
        if request.requests.is_none_or(|(before, _)| before <= timestamp_ms) {
            request.requests = Some((timestamp_ms, counted));
        }
        Some(())
    }

    fn request(&mut self, id: &str, function: &str) -> &mut Request {
        self.requests.entry(id.to_owned()).or_insert_with(|| Request {
            function: function.to_owned(),
            owner: Owner::Unknown,
            architecture: Architecture::default(),
            started_ms: None,
            report: None,
            requests: None,
        })
    }

    /// Whose a request is.
    pub fn owner(&self, request_id: &str) -> Owner {
        self.requests.get(request_id).map_or(Owner::Unknown, |request| request.owner)
    }

    /// The execution's invocations by the lines so far.
    pub fn joined(&self) -> JoinedInvocations {
        let mut joined = JoinedInvocations::default();
        for request in self.requests.values() {
            let Owner::Ours(rank) = request.owner else { continue };
            let Some((reported_ms, report)) = &request.report else {
                let unreported = &mut joined.unreported;
                *(if rank.is_some() { &mut unreported.of_ranks } else { &mut unreported.without_rank }) += 1;
                continue;
            };
            let started_ms = match request.started_ms {
                Some(started) => started as f64,
                None => *reported_ms as f64 - report.duration_ms,
            };
            joined.invocations.push(Invocation {
                function: request.function.clone(),
                architecture: request.architecture,
                rank,
                started_at: started_ms / 1e3,
                requests: request.requests.map(|(_, counted)| counted).unwrap_or_default(),
                report: report.clone(),
            });
        }
        joined.invocations.sort_by(|a, b| {
            let key = |invocation: &Invocation| (invocation.rank, invocation.started_at);
            key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal)
        });
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: &str) -> String {
        format!(
            "REPORT RequestId: {id}\tDuration: 250.00 ms\tBilled Duration: 251 ms\tMemory Size: 3 MB\tMax Memory Used: 1 MB\t"
        )
    }

    fn own(id: &str, execution: &str, rank: u64, fields: &str) -> String {
        format!(
            r#"{{"level":"INFO","message":"x"{fields},"span":{{"requestId":"{id}","execution":"{execution}","architecture":"aarch64","rank":{rank},"name":"rank"}}}}"#
        )
    }

    fn log(lines: &[(i64, String)]) -> InvocationLog {
        let mut log = InvocationLog::new("run");
        for (time, line) in lines {
            log.add("inference", *time, line);
        }
        log
    }

    #[test]
    fn reports_find_their_ranks_whatever_the_order() {
        let log = log(&[
            (0, report("b")),
            (0, own("a", "run", 7, "")),
            (0, "START RequestId: a Version: $LATEST".into()),
            (0, own("b", "run", 3, "")),
            (0, report("a")),
            (0, own("c", "other", 1, "")),
            (0, report("c")),
            (0, own("d", "run", 9, "")),
            (0, "START RequestId: e".into()),
        ]);
        let joined = log.joined();
        let ranks: Vec<_> = joined.invocations.iter().map(|invocation| invocation.rank).collect();
        assert_eq!(ranks, [Some(3), Some(7)]);
        assert!(joined.invocations.iter().all(|invocation| invocation.architecture == Architecture::Arm64));
        assert_eq!(joined.unreported, Unreported { without_rank: 0, of_ranks: 1 });
        assert_eq!((log.owner("a"), log.owner("c")), (Owner::Ours(Some(7)), Owner::Others));
        assert_eq!((log.owner("e"), log.owner("f")), (Owner::Unknown, Owner::Unknown));
    }

    #[test]
    fn an_invocation_starts_at_its_start_line_or_its_duration_before_its_report() {
        let lines = [
            (9_000, "START RequestId: a Version: $LATEST".to_owned()),
            (9_010, own("a", "run", 0, "")),
            (9_300, report("a")),
            (9_010, own("b", "run", 1, "")),
            (9_300, report("b")),
        ];
        let started: Vec<f64> = log(&lines).joined().invocations.iter().map(|found| found.started_at).collect();
        assert_eq!(started, [9.0, 9.05]);
    }

    #[test]
    fn requests_are_those_of_the_last_line_that_counts_them() {
        let lines = [
            (3, own("a", "run", 0, r#","reads":20,"writes":2"#)),
            (2, own("a", "run", 0, r#","reads":5,"writes":0"#)),
            (4, own("a", "run", 0, "")),
            (5, report("a")),
            (5, own("b", "run", 1, "")),
            (6, report("b")),
        ];
        let found: Vec<Requests> = log(&lines).joined().invocations.iter().map(|found| found.requests).collect();
        assert_eq!(found, [Requests { reads: 20, writes: 2 }, Requests::default()]);
    }
}
