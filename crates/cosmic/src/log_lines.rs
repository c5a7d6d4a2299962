//! Log lines of an execution for a person or a program: whose they are, which are wanted, and how they look.
//!
//! Our functions write JSON objects, `{"timestamp", "level", "message", …fields…, "span": {"requestId", "execution",
//! "rank", …}}`. Lambda's own lines are text and know the request's id alone: they are the execution's if one of our
//! lines says so of their request, and wait for it until then.

use std::collections::BTreeMap;

use aws_sdk_sfn::primitives::{DateTime, DateTimeFormat};
use bill::{InvocationLog, Owner};
use clap::ValueEnum;
use pipeline::storage::printable;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::log_pass::LogEvent;

/// How important a line is, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Which lines are wanted.
#[derive(Debug, Default)]
pub(crate) struct LineFilter {
    /// Lines of these ranks; of everything where it is empty.
    pub(crate) ranks: Vec<u64>,
    /// Lines of this level and more important ones.
    pub(crate) level: Option<Level>,
    /// Lines with this text in their message or fields, upper and lower case being the same.
    pub(crate) text: Option<String>,
}

/// A line, in the form in which `cosmic logs --json` prints it.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct LogLine {
    /// When CloudWatch says that it was written: RFC 3339, in UTC, to the millisecond.
    pub(crate) time: String,
    pub(crate) function: String,
    pub(crate) rank: Option<u64>,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub(crate) level: String,
    pub(crate) message: String,
    /// What the line says beside its message.
    pub(crate) fields: Map<String, Value>,
    pub(crate) request_id: String,
}

impl LogLine {
    /// The line as text, without anything in it that could move the cursor.
    pub(crate) fn text(&self) -> String {
        let rank = self.rank.map_or(String::new(), |rank| format!(" rank {rank}"));
        let said = printable(&self.said());
        format!("{} {}{rank} {} {said}", self.time, self.function, self.level)
    }

    /// The message and the fields.
    fn said(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text += &format!(" {name}={value}");
        }
        text
    }

    /// A line of ours, with the execution that it is of.
    fn own(event: &LogEvent) -> Option<(Self, String)> {
        let Value::Object(mut fields) = serde_json::from_str(&event.message).ok()? else { return None };
        let span = fields.remove("span")?;
        fields.remove("timestamp");
        // What CloudWatch is told of a line of metrics; the metrics are fields as others are.
        fields.remove("_aws");
        let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        let line = Self {
            time: time(event.timestamp_ms),
            function: event.function.clone(),
            rank: span.get("rank").and_then(Value::as_u64),
            level: text(fields.remove("level")).unwrap_or_else(|| "INFO".into()),
            message: text(fields.remove("message")).unwrap_or_default(),
            fields,
            request_id: span.get("requestId")?.as_str()?.to_owned(),
        };
        Some((line, span.get("execution")?.as_str()?.to_owned()))
    }

    /// A line of Lambda's on a request.
    fn of_lambda(event: &LogEvent, request_id: &str, rank: Option<u64>) -> Self {
        let message = event.message.trim_end().replace('\t', "  ");
        // A request that failed has a REPORT line with its status, or a line of its own.
        let failed = ["Status: error", "Status: timeout", " Error: ", "Task timed out"];
        let failed = failed.iter().any(|sign| message.contains(sign));
        Self {
            time: time(event.timestamp_ms),
            function: event.function.clone(),
            rank,
            level: if failed { "ERROR" } else { "INFO" }.into(),
            message,
            fields: Map::new(),
            request_id: request_id.to_owned(),
        }
    }
}

impl LineFilter {
    fn wants(&self, line: &LogLine) -> bool {
        let level = Level::from_str(&line.level, true).unwrap_or(Level::Info);
        let ranks = self.ranks.is_empty() || line.rank.is_some_and(|rank| self.ranks.contains(&rank));
        let text = self.text.as_ref().is_none_or(|text| line.said().to_lowercase().contains(&text.to_lowercase()));
        ranks && text && self.level.is_none_or(|least| level <= least)
    }
}

/// The lines of one execution among those that were read.
pub(crate) struct LineSelection {
    execution: String,
    filter: LineFilter,
    /// Lines of Lambda's on requests of which nobody knows yet whose they are.
    held: BTreeMap<String, Vec<LogEvent>>,
}

impl LineSelection {
    pub(crate) fn new(execution: &str, filter: LineFilter) -> Self {
        Self { execution: execution.to_owned(), filter, held: BTreeMap::new() }
    }

    /// The wanted lines among these, and among those held so far that have found their request, in the order of their
    /// times. `invocations` knows these lines already.
    pub(crate) fn take(&mut self, invocations: &InvocationLog, events: Vec<LogEvent>) -> Vec<LogLine> {
        let mut lines = Vec::new();
        for event in events {
            if let Some((line, execution)) = LogLine::own(&event) {
                if execution == self.execution {
                    lines.push((event.timestamp_ms, line));
                }
            } else if let Some(id) = request_id(&event.message) {
                self.held.entry(id.to_owned()).or_default().push(event);
            }
        }
        self.held.retain(|id, events| match invocations.owner(id) {
            Owner::Unknown => true,
            Owner::Others => false,
            Owner::Ours(rank) => {
                lines.extend(events.iter().map(|event| (event.timestamp_ms, LogLine::of_lambda(event, id, rank))));
                false
            }
        });
        lines.retain(|(_, line)| self.filter.wants(line));
        // Within a millisecond, START comes before our lines and REPORT after them.
        let place = |line: &LogLine| match line.message.split(' ').next() {
            Some("START") => 0,
            Some("END") => 2,
            Some("REPORT") => 3,
            _ => 1,
        };
        lines.sort_by_key(|(timestamp, line)| (*timestamp, place(line)));
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

/// The request that a line of Lambda's is on: `START RequestId: 5f… Version: 3`, or
/// `2026-11-25T12:00:00.000Z 5f… Task timed out after 900.00 seconds`.
fn request_id(line: &str) -> Option<&str> {
    match line.split_once("RequestId: ") {
        Some((_, rest)) => rest.split_whitespace().next(),
        None => line.split_once(" Task timed out")?.0.split_whitespace().next_back(),
    }
}

/// `2026-11-25T12:00:00.000Z`.
fn time(milliseconds: i64) -> String {
    let seconds = DateTime::from_secs(milliseconds.div_euclid(1000)).fmt(DateTimeFormat::DateTime).unwrap_or_default();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), milliseconds.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(timestamp_ms: i64, message: &str) -> LogEvent {
        LogEvent { function: "inference".into(), timestamp_ms, message: message.to_owned() }
    }

    fn own(time: i64, id: &str, execution: &str, rank: u64, level: &str, message: &str) -> LogEvent {
        event(
            time,
            &format!(
                r#"{{"timestamp":"x","level":"{level}","message":"{message}","rows":25,"file":"a\u001b[2J","span":{{"requestId":"{id}","execution":"{execution}","rank":{rank}}}}}"#
            ),
        )
    }

    fn taken(filter: LineFilter, readings: Vec<Vec<LogEvent>>) -> Vec<String> {
        let mut invocations = InvocationLog::new("run");
        let mut selection = LineSelection::new("run", filter);
        let mut lines = Vec::new();
        for events in readings {
            for event in &events {
                invocations.add(&event.function, event.timestamp_ms, &event.message);
            }
            lines.extend(selection.take(&invocations, events));
        }
        lines.iter().map(LogLine::text).collect()
    }

    #[test]
    fn lines_of_lambda_wait_for_one_of_ours_and_those_of_others_never_come() {
        let lines = taken(
            LineFilter::default(),
            vec![
                vec![event(1_000, "START RequestId: a Version: 1"), event(1_000, "START RequestId: b Version: 1")],
                vec![own(1_001, "a", "run", 7, "INFO", "read"), own(1_001, "b", "other", 1, "INFO", "read")],
                vec![event(61_002, "REPORT RequestId: a\tDuration: 1.00 ms\tStatus: timeout")],
                vec![event(61_002, "1970-01-01T00:01:01.002Z a Task timed out after 60.00 seconds")],
            ],
        );
        assert_eq!(
            lines,
            [
                "1970-01-01T00:00:01.000Z inference rank 7 INFO START RequestId: a Version: 1",
                r"1970-01-01T00:00:01.001Z inference rank 7 INFO read file=a\u{1b}[2J rows=25",
                "1970-01-01T00:01:01.002Z inference rank 7 ERROR REPORT RequestId: a  Duration: 1.00 ms  Status: timeout",
                "1970-01-01T00:01:01.002Z inference rank 7 ERROR 1970-01-01T00:01:01.002Z a Task timed out after 60.00 seconds",
            ]
        );
    }

    #[test]
    fn a_line_of_metrics_is_a_line_of_its_rank() {
        let line = r#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[]},"Galaxies":640,"level":"INFO","message":"rank metrics","span":{"requestId":"a","execution":"run","rank":7}}"#;
        assert_eq!(
            taken(LineFilter::default(), vec![vec![event(1_000, line)]]),
            ["1970-01-01T00:00:01.000Z inference rank 7 INFO rank metrics Galaxies=640"]
        );
    }

    #[test]
    fn lines_are_chosen_by_rank_level_and_text() {
        let events = || {
            vec![
                own(1, "a", "run", 3, "INFO", "read"),
                own(2, "b", "run", 7, "WARN", "slow"),
                own(3, "c", "run", 8, "ERROR", "no answer"),
                own(4, "c", "run", 8, "DEBUG", "more"),
            ]
        };
        let count = |filter: LineFilter| taken(filter, vec![events()]).len();
        assert_eq!(count(LineFilter { ranks: vec![3, 8], ..LineFilter::default() }), 3);
        assert_eq!(count(LineFilter { level: Some(Level::Warn), ..LineFilter::default() }), 2);
        assert_eq!(count(LineFilter { text: Some("SLOW".into()), ..LineFilter::default() }), 1);
        assert_eq!(count(LineFilter { text: Some("rows=25".into()), ..LineFilter::default() }), 4);
        let both = LineFilter { ranks: vec![8], level: Some(Level::Info), text: Some("answer".into()) };
        assert_eq!(count(both), 1);
    }
}
