//! What a rank tells CloudWatch when it has ended, well or not: one line, [`lambda::embedded_metrics`]. A rank that is
//! killed (its time or memory has run out) writes none; Lambda counts it under `Errors`.

use std::{
    env::consts::ARCH,
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::SystemTime,
};

use lambda::embedded_metrics::{EmbeddedMetrics, Metric, Unit};
use pipeline::{
    Error,
    events::{RankAnswer, RankEvent},
};
use serde_json::{Map, Value, json};

/// Writes the lines of the ranks of a process.
pub(crate) struct RankMetrics {
    metrics: EmbeddedMetrics,
    /// Whether an event has come before.
    warm: AtomicBool,
}

/// A rank that has begun.
pub(crate) struct BegunRank<'a> {
    of: &'a RankMetrics,
    cold_start: bool,
    span: Value,
}

impl RankMetrics {
    pub(crate) fn new(metrics: EmbeddedMetrics) -> Self {
        Self { metrics, warm: AtomicBool::new(false) }
    }

    /// Notes that a rank begins.
    pub(crate) fn begin(&self, event: &RankEvent, request_id: &str) -> BegunRank<'_> {
        let span = json!({
            "name": "rank",
            "requestId": request_id,
            "execution": event.owner.execution,
            "architecture": ARCH,
            "rank": event.task.rank,
        });
        BegunRank { of: self, cold_start: !self.warm.swap(true, Ordering::Relaxed), span }
    }
}

impl BegunRank<'_> {
    /// Writes the rank's line on standard output.
    pub(crate) fn end(self, outcome: Result<&RankAnswer, &Error>) {
        let line = self.line(SystemTime::now(), outcome);
        // A function without a standard output has no log either.
        let _ = writeln!(io::stdout().lock(), "{line}");
    }

    fn line(self, at: SystemTime, outcome: Result<&RankAnswer, &Error>) -> String {
        let Self { of, cold_start, span } = self;
        let (failed, incomplete) = match outcome {
            Ok(answer) => (false, answer.unreadable_files > 0),
            Err(_) => (true, false),
        };
        let mut metrics: Vec<Metric> = vec![
            ("ColdStart", Unit::Count, u8::from(cold_start).into()),
            ("Failed", Unit::Count, u8::from(failed).into()),
            ("Incomplete", Unit::Count, u8::from(incomplete).into()),
        ];
        let mut others = Map::new();
        match outcome {
            // Its work was counted by the attempt that did it.
            Ok(answer) if answer.skipped => {
                others.insert("skipped".into(), true.into());
            }
            Ok(answer) => {
                let seconds = answer.milliseconds as f64 / 1e3;
                // A rank without galaxies has no speed.
                let speed = if answer.rows == 0 { f64::NAN } else { answer.rows as f64 / seconds };
                metrics.extend([
                    ("Galaxies", Unit::Count, answer.rows.into()),
                    ("BytesRead", Unit::Bytes, answer.bytes.into()),
                    ("GalaxiesPerSecond", Unit::CountPerSecond, speed.into()),
                    ("WaitingSeconds", Unit::Seconds, answer.waiting_seconds.into()),
                    ("InferenceSeconds", Unit::Seconds, answer.inference_seconds.into()),
                ]);
                others.insert("seconds".into(), seconds.into());
                others.insert("flagged".into(), answer.flagged.into());
                others.insert("unreadable_files".into(), answer.unreadable_files.into());
            }
            Err(error) => {
                others.insert("error_type".into(), error.name().into());
            }
        }
        of.metrics.line(at, "rank metrics", span, metrics, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> RankEvent {
        serde_json::from_value(json!({
            "execution": "run",
            "execution_arn": "arn",
            "bucket": "bucket",
            "result_path": "results",
            "fingerprint": "0",
            "files": { "key": "files.jsonl", "size": 1, "etag": "0" },
            "rank": 7,
            "object": "0",
            "lines": [0, 1],
            "rows": null,
        }))
        .unwrap()
    }

    fn answer() -> RankAnswer {
        RankAnswer {
            rank: 7,
            rows: 640,
            flagged: 2,
            bytes: 13_149_248,
            unreadable_files: 0,
            milliseconds: 2000,
            waiting_seconds: 0.25,
            inference_seconds: 1.5,
            skipped: false,
        }
    }

    fn lines(outcomes: &[Result<&RankAnswer, &Error>]) -> Vec<Value> {
        let metrics = RankMetrics::new(EmbeddedMetrics::new(true, "cosmic-inference".into()));
        let line =
            |outcome: &Result<&RankAnswer, &Error>| metrics.begin(&event(), "id").line(SystemTime::now(), *outcome);
        outcomes.iter().map(|outcome| serde_json::from_str(&line(outcome)).unwrap()).collect()
    }

    /// The metrics by their names, in the order of the directive.
    fn metrics(line: &Value) -> Vec<(String, f64)> {
        let names = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        let names = names.iter().map(|metric| metric["Name"].as_str().unwrap());
        names.map(|name| (name.to_owned(), line[name].as_f64().unwrap())).collect()
    }

    fn named(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn a_finished_rank_says_what_it_did_and_whose_it_was() {
        let line = &lines(&[Ok(&answer())])[0];
        assert_eq!(
            metrics(line),
            named(&[
                ("ColdStart", 1.0),
                ("Failed", 0.0),
                ("Incomplete", 0.0),
                ("Galaxies", 640.0),
                ("BytesRead", 13_149_248.0),
                ("GalaxiesPerSecond", 320.0),
                ("WaitingSeconds", 0.25),
                ("InferenceSeconds", 1.5),
            ])
        );
        assert_eq!(line["span"]["rank"], 7);
        assert_eq!((&line["span"]["requestId"], &line["span"]["execution"]), (&json!("id"), &json!("run")));
        assert_eq!((&line["seconds"], &line["flagged"]), (&json!(2.0), &json!(2)));
    }

    #[test]
    fn only_the_first_rank_of_a_process_is_a_cold_start() {
        let answer = answer();
        let starts: Vec<Value> = lines(&[Ok(&answer); 3]).iter().map(|line| line["ColdStart"].clone()).collect();
        assert_eq!(starts, [1, 0, 0]);
    }

    #[test]
    fn a_failed_rank_says_its_errors_name_and_no_work() {
        let error = Error::BadPayload("no".into());
        let line = &lines(&[Err(&error)])[0];
        assert_eq!(metrics(line), named(&[("ColdStart", 1.0), ("Failed", 1.0), ("Incomplete", 0.0)]));
        assert_eq!(line["error_type"], "BadPayload");
    }

    #[test]
    fn a_rank_with_unreadable_files_is_incomplete_and_one_that_was_finished_counts_nothing_twice() {
        let incomplete = RankAnswer { unreadable_files: 1, ..answer() };
        let skipped = RankAnswer { skipped: true, ..answer() };
        let lines = lines(&[Ok(&incomplete), Ok(&skipped)]);
        assert_eq!((&lines[0]["Incomplete"], &lines[0]["Failed"]), (&json!(1), &json!(0)));
        assert_eq!(metrics(&lines[1]), named(&[("ColdStart", 0.0), ("Failed", 0.0), ("Incomplete", 0.0)]));
        assert_eq!(lines[1]["skipped"], true);
    }

    #[test]
    fn a_rank_without_galaxies_or_time_has_no_speed() {
        let empty = RankAnswer { rows: 0, ..answer() };
        let instant = RankAnswer { milliseconds: 0, ..answer() };
        for line in lines(&[Ok(&empty), Ok(&instant)]) {
            assert!(metrics(&line).iter().all(|(name, _)| name != "GalaxiesPerSecond"), "{line}");
        }
    }
}
