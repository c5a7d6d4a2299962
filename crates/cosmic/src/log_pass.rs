//! One pass over the functions' log groups that goes on where it stopped.
//!
//! An execution of 10,000 ranks leaves about 100,000 lines, 40 MB. CloudWatch gives them by FilterLogEvents at up to 1 MB
//! a page, and allows an account [5 such calls a second](https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html):
//! about ten seconds for all of them, if nothing is read twice. So the pass keeps the time of the newest line of each
//! group and starts the next time a little before it, because a line may come in after one that was written later; what
//! it has seen before it leaves out by the event's identifier. All groups share one pace of calls. CloudWatch filters
//! by the execution's name, so that lines of other executions cost no pages; Lambda's own lines do not have that name,
//! and come along for all executions of that time.
//!
//! Logs Insights is no better for it: a query costs $0.005 a GB scanned, ends after
//! [10,000 rows](https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Limit.html), which one large
//! execution exceeds, cannot go on where an earlier one stopped, and sees lines later than FilterLogEvents does.

use std::{collections::HashSet, mem, time::Duration};

use anyhow::{Context, Result};
use aws_config::{SdkConfig, retry::RetryConfig};
use aws_sdk_cloudwatchlogs::{Client, config};
use tokio::time::{Instant, sleep_until};

/// Calls of FilterLogEvents a second, for all groups together.
const CALLS_PER_SECOND: u32 = 5;

/// How much earlier than the newest line the next reading starts. Lambda hands lines over within seconds.
const OVERLAP_MS: i64 = 10_000;

/// A line of a log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEvent {
    /// The function that the group is of.
    pub(crate) function: String,
    /// Milliseconds since 1970.
    pub(crate) timestamp_ms: i64,
    pub(crate) message: String,
}

/// What to read of a log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRequest<'a> {
    pub(crate) function: &'a str,
    pub(crate) pattern: &'a str,
    pub(crate) from_ms: i64,
    pub(crate) until_ms: Option<i64>,
    /// Of the page before, in the same reading.
    pub(crate) token: Option<String>,
}

/// A page of a log group: the identifier, time and text of each event, and where the next page starts.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<(String, i64, String)>,
    pub(crate) next: Option<String>,
}

/// Where log lines come from.
pub(crate) trait LogStore {
    fn page(&self, request: PageRequest<'_>) -> impl Future<Output = Result<Page>>;
}

/// CloudWatch Logs, with a group for each function.
pub(crate) struct CloudWatch(Client);

impl CloudWatch {
    pub(crate) fn new(aws: &SdkConfig) -> Self {
        // Others of the account may use up its calls meanwhile: a throttled one is tried again, ever later.
        let patient = RetryConfig::standard()
            .with_max_attempts(10)
            .with_initial_backoff(Duration::from_secs(1))
            .with_max_backoff(Duration::from_secs(20));
        Self(Client::from_conf(config::Builder::from(aws).retry_config(patient).build()))
    }
}

impl LogStore for CloudWatch {
    async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
        let group = format!("/aws/lambda/{}", request.function);
        let page = self
            .0
            .filter_log_events()
            .log_group_name(&group)
            .filter_pattern(request.pattern)
            .start_time(request.from_ms)
            .set_end_time(request.until_ms)
            .set_next_token(request.token)
            .send()
            .await
            .with_context(|| format!("failed to read the log group {group}"))?;
        let events = page.events.unwrap_or_default().into_iter();
        let events = events.filter_map(|event| Some((event.event_id?, event.timestamp?, event.message?)));
        Ok(Page { events: events.collect(), next: page.next_token })
    }
}

/// The lines that belong to an execution, or may: its own, which have its name, and Lambda's on requests.
fn pattern(execution: &str) -> String {
    // Names of executions hold no quotation marks.
    format!(r#"?"{execution}" ?"RequestId:" ?"Task timed out""#)
}

/// Lets through so many calls a second.
#[derive(Debug)]
struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    fn per_second(calls: u32) -> Self {
        Self { interval: Duration::from_secs(1) / calls.max(1), next: Instant::now() }
    }

    /// Waits until a call may be made.
    async fn turn(&mut self) {
        sleep_until(self.next).await;
        self.next = Instant::now() + self.interval;
    }
}

/// How far a log group has been read.
struct Group {
    function: String,
    /// Where the next reading starts, in milliseconds since 1970.
    from_ms: i64,
    newest_ms: i64,
    /// Identifiers of the events that were given out.
    seen: HashSet<String>,
}

/// The pass.
pub(crate) struct LogPass<S> {
    store: S,
    pace: Pace,
    pattern: String,
    start_ms: i64,
    /// Later lines are of no interest; none while the execution runs.
    until_ms: Option<i64>,
    groups: Vec<Group>,
    /// What was read and not given out yet: a reading may break off between two pages.
    found: Vec<LogEvent>,
}

impl<S: LogStore> LogPass<S> {
    /// A pass over the functions' lines of an execution that started at `start_ms`.
    pub(crate) fn new(store: S, functions: Vec<String>, execution: &str, start_ms: i64) -> Self {
        let group = |function| Group { function, from_ms: start_ms, newest_ms: start_ms, seen: HashSet::new() };
        Self {
            store,
            pace: Pace::per_second(CALLS_PER_SECOND),
            pattern: pattern(execution),
            start_ms,
            until_ms: None,
            groups: functions.into_iter().map(group).collect(),
            found: Vec::new(),
        }
    }

    /// Leaves out lines after this time from now on.
    pub(crate) fn end_at(&mut self, until_ms: i64) {
        self.until_ms = Some(until_ms);
    }

    /// Lets the next reading start at the beginning once more, for lines that came in later than the overlap.
    pub(crate) fn start_over(&mut self) {
        for group in &mut self.groups {
            group.from_ms = self.start_ms;
        }
    }

    /// The lines that have come since the last reading, in the order of their times.
    pub(crate) async fn read(&mut self) -> Result<Vec<LogEvent>> {
        for group in &mut self.groups {
            let mut token = None;
            loop {
                self.pace.turn().await;
                let request = PageRequest {
                    function: &group.function,
                    pattern: &self.pattern,
                    from_ms: group.from_ms,
                    until_ms: self.until_ms,
                    token,
                };
                // A page may be empty and yet have a next one: CloudWatch has looked at 1 MB, and found nothing there.
                let page = self.store.page(request).await?;
                for (id, timestamp_ms, message) in page.events {
                    if group.seen.insert(id) {
                        group.newest_ms = group.newest_ms.max(timestamp_ms);
                        self.found.push(LogEvent { function: group.function.clone(), timestamp_ms, message });
                    }
                }
                token = page.next;
                if token.is_none() {
                    break;
                }
            }
            group.from_ms = self.start_ms.max(group.newest_ms - OVERLAP_MS);
        }
        let mut found = mem::take(&mut self.found);
        found.sort_by_key(|event| event.timestamp_ms);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use anyhow::bail;

    use super::*;

    /// Events of two functions, in pages of two; what is asked is noted.
    #[derive(Default)]
    struct Fake {
        events: RefCell<Vec<(&'static str, &'static str, i64)>>,
        asked: RefCell<Vec<(String, i64, Instant)>>,
        fail_once_at: RefCell<Option<usize>>,
    }

    impl LogStore for &Fake {
        async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
            let mut asked = self.asked.borrow_mut();
            asked.push((request.function.to_owned(), request.from_ms, Instant::now()));
            if self.fail_once_at.borrow_mut().take_if(|at| *at == asked.len()).is_some() {
                bail!("no answer");
            }
            let first: usize = request.token.map_or(0, |token| token.parse().unwrap());
            let inside = |time: i64| time >= request.from_ms && request.until_ms.is_none_or(|end| time <= end);
            let events = self.events.borrow();
            let events: Vec<_> = events.iter().filter(|(f, _, time)| *f == request.function && inside(*time)).collect();
            let page = events.iter().skip(first).take(2);
            Ok(Page {
                events: page.map(|(_, id, time)| (id.to_string(), *time, id.to_string())).collect(),
                next: (first + 2 < events.len()).then(|| (first + 2).to_string()),
            })
        }
    }

    fn pass(fake: &Fake) -> LogPass<&Fake> {
        LogPass::new(fake, vec!["one".into(), "two".into()], "run", 0)
    }

    fn names(events: &[LogEvent]) -> Vec<&str> {
        events.iter().map(|event| event.message.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_line_is_given_out_once_and_in_order_also_those_that_come_late() {
        let fake = Fake::default();
        fake.events.borrow_mut().extend([("one", "a", 10), ("one", "c", 30_000), ("one", "b", 20), ("two", "d", 15)]);
        let mut pass = pass(&fake);
        assert_eq!(names(&pass.read().await.unwrap()), ["a", "d", "b", "c"]);
        assert!(pass.read().await.unwrap().is_empty());
        // `e` was written before `c` and comes after it.
        fake.events.borrow_mut().extend([("one", "e", 25_000), ("one", "f", 31_000), ("two", "g", 40_000)]);
        assert_eq!(names(&pass.read().await.unwrap()), ["e", "f", "g"]);
        // The second reading began the overlap before the newest line of its group, and not at the beginning.
        let from: Vec<_> = fake.asked.borrow().iter().map(|(function, from, _)| (function.clone(), *from)).collect();
        assert_eq!(from[3], ("one".into(), 30_000 - OVERLAP_MS));
        assert_eq!(from.last(), Some(&("two".into(), 0)));
    }

    #[tokio::test(start_paused = true)]
    async fn lines_later_than_the_overlap_are_found_by_starting_over() {
        let fake = Fake::default();
        fake.events.borrow_mut().extend([("one", "a", 10), ("one", "b", 60_000)]);
        let mut pass = pass(&fake);
        pass.read().await.unwrap();
        fake.events.borrow_mut().push(("one", "late", 20));
        assert!(pass.read().await.unwrap().is_empty());
        pass.start_over();
        assert_eq!(names(&pass.read().await.unwrap()), ["late"]);
    }

    #[tokio::test(start_paused = true)]
    async fn all_groups_together_keep_the_pace() {
        let fake = Fake::default();
        fake.events.borrow_mut().extend((0..40).map(|time| ("one", ["a", "b"][time as usize % 2], time)));
        let mut pass = pass(&fake);
        for _ in 0..3 {
            pass.read().await.unwrap();
        }
        let asked = fake.asked.borrow();
        assert!(asked.len() > 60);
        for calls in asked.windows(CALLS_PER_SECOND as usize + 1) {
            let [(.., first), .., (.., last)] = calls else { unreachable!() };
            assert!(*last - *first >= Duration::from_secs(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_breaks_off_loses_no_line() {
        let fake = Fake::default();
        fake.events.borrow_mut().extend([("one", "a", 1), ("one", "b", 2), ("one", "c", 3), ("two", "d", 4)]);
        *fake.fail_once_at.borrow_mut() = Some(2);
        let mut pass = pass(&fake);
        assert!(pass.read().await.is_err());
        assert_eq!(names(&pass.read().await.unwrap()), ["a", "b", "c", "d"]);
    }

    /// 1,000 ranks at a time of 10,000, which take 15 s and write ten lines each; a page has as many as a megabyte does.
    struct Large {
        started: Instant,
        calls: RefCell<usize>,
    }

    const LINES: i64 = 100_000;
    const LINES_A_PAGE: i64 = 2_500;

    impl LogStore for &Large {
        async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
            *self.calls.borrow_mut() += 1;
            if request.function != "one" {
                return Ok(Page::default());
            }
            // Line `i` is written at `1.5 i` milliseconds.
            let written = ((self.started.elapsed().as_millis() as i64) * 2 / 3).min(LINES);
            let first = request.token.map_or(request.from_ms.max(0) * 2 / 3, |token| token.parse().unwrap());
            let end = (first + LINES_A_PAGE).min(written);
            let events = (first..end).map(|line| (line.to_string(), line * 3 / 2, String::new())).collect();
            Ok(Page { events, next: (end < written).then(|| end.to_string()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_execution_of_ten_thousand_ranks_is_followed_with_few_more_calls_than_it_has_pages() {
        let large = Large { started: Instant::now(), calls: RefCell::new(0) };
        let mut pass = LogPass::new(&large, ["one", "two", "three"].map(str::to_owned).into(), "run", 0);
        let (mut lines, mut readings) = (0, 0);
        while lines < LINES {
            lines += pass.read().await.unwrap().len() as i64;
            readings += 1;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(lines, LINES);
        let seconds = large.started.elapsed().as_secs();
        assert!(seconds < 160, "it lags {seconds} s behind");
        let calls = *large.calls.borrow();
        assert!(calls as u64 <= seconds * u64::from(CALLS_PER_SECOND), "{calls} calls in {seconds} s");
        // Of the three groups a page each, and of the large one those of the overlap and of what is new.
        let large_pages = (OVERLAP_MS + 4_000) * 2 / 3 / LINES_A_PAGE + 2;
        assert!(calls as i64 <= readings * (2 + large_pages), "{calls} calls in {readings} readings");
        // Afterwards, all of it in one reading.
        let mut pass = LogPass::new(&large, vec!["one".into()], "run", 0);
        *large.calls.borrow_mut() = 0;
        assert_eq!(pass.read().await.unwrap().len() as i64, LINES);
        assert_eq!(*large.calls.borrow() as i64, LINES / LINES_A_PAGE);
    }

    #[test]
    fn the_pattern_takes_the_executions_lines_and_lambdas() {
        assert_eq!(pattern("demo-1"), r#"?"demo-1" ?"RequestId:" ?"Task timed out""#);
    }
}
