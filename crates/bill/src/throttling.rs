//! Ranks under Lambda's limit of concurrency: when each runs, and how often it is turned away.
//!
//! Lambda answers what is above an account's limit with TooManyRequestsException
//! (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>), and the state machine tries again after a while by
//! its `Retry`. Each attempt is a state transition, and a rank fails that is turned away too often. The
//! payload's `max_concurrency` starts no more ranks than that at once, so that none is turned away. Where it does not,
//! this simulates what happens, event by event, with chance from a seed: the same asked is the same answered.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, VecDeque},
};

use pipeline::concurrency::MOST_CHILDREN;

/// How the state machine tries again, as `statemachine/redshift.asl.json` says for ranks that are turned away. A test
/// holds it against that file. The waiting time is drawn between zero and a limit that grows: full jitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// The first limit, in seconds.
    pub interval: f64,
    /// What the limit is multiplied with after each attempt.
    pub backoff: f64,
    /// The largest limit, in seconds.
    pub max_delay: f64,
    /// Further attempts, after which a rank fails.
    pub attempts: u32,
}

/// That of the state machine.
pub const RETRY: Retry = Retry { interval: 2.0, backoff: 2.0, max_delay: 120.0, attempts: 60 };

impl Retry {
    /// The longest wait after so many attempts that were turned away, in seconds.
    fn limit(&self, attempts: u32) -> f64 {
        let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        (self.interval * self.backoff.powi(exponent)).min(self.max_delay)
    }
}

/// What ranks run under.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Concurrency {
    /// Functions that Lambda runs at once.
    pub limit: u64,
    /// Children that the map runs at once; 0 is as many as there can be.
    pub max_concurrency: u64,
    /// Children that the map starts in a second.
    pub starts_per_second: f64,
}

impl Concurrency {
    /// Ranks of so many that are started at once.
    pub fn at_once(&self, ranks: u64) -> u64 {
        let most = if self.max_concurrency == 0 { MOST_CHILDREN } else { self.max_concurrency.min(MOST_CHILDREN) };
        most.min(ranks)
    }

    /// Whether more ranks are started at once than Lambda runs.
    pub fn throttles(&self, ranks: u64) -> bool {
        self.at_once(ranks) > self.limit
    }
}

/// When the ranks of a map run, from its first start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// Until the last rank has ended, in seconds.
    pub wall_seconds: f64,
    /// Attempts that Lambda turned away.
    pub throttled_attempts: u64,
    /// Ranks that were turned away too often, and never ran.
    pub failed_ranks: BTreeSet<usize>,
}

/// A moment, in nanoseconds, so that moments have an order.
type Moment = u64;

fn moment(seconds: f64) -> Moment {
    (seconds * 1e9).round() as Moment
}

/// What happens at a moment. Ends come before attempts of the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ended,
    Attempt { rank: usize, attempts: u32 },
}

/// Runs ranks of these durations, in seconds, in this order.
pub fn simulate(durations: &[f64], concurrency: &Concurrency, retry: &Retry, seed: u64) -> Schedule {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut events = BinaryHeap::new();
    let interval = if concurrency.starts_per_second > 0.0 { 1.0 / concurrency.starts_per_second } else { 0.0 };
    let mut waiting: VecDeque<usize> = (0..durations.len()).collect();
    let mut schedule = Schedule::default();
    let mut next_start = 0.0_f64;
    let mut start_next = |now: f64, events: &mut BinaryHeap<_>| {
        if let Some(rank) = waiting.pop_front() {
            let at = next_start.max(now);
            next_start = at + interval;
            events.push(Reverse((moment(at), Event::Attempt { rank, attempts: 0 })));
        }
    };
    for _ in 0..concurrency.at_once(durations.len() as u64) {
        start_next(0.0, &mut events);
    }
    let mut running = 0;
    while let Some(Reverse((at, event))) = events.pop() {
        let now = at as f64 / 1e9;
        match event {
            Event::Ended => {
                running -= 1;
                schedule.wall_seconds = now;
                start_next(now, &mut events);
            }
            Event::Attempt { rank, .. } if running < concurrency.limit => {
                running += 1;
                events.push(Reverse((moment(now + durations[rank]), Event::Ended)));
            }
            Event::Attempt { rank, attempts } => {
                schedule.throttled_attempts += 1;
                if attempts < retry.attempts {
                    let wait = random.f64() * retry.limit(attempts + 1);
                    events.push(Reverse((moment(now + wait), Event::Attempt { rank, attempts: attempts + 1 })));
                } else {
                    schedule.failed_ranks.insert(rank);
                    start_next(now, &mut events);
                }
            }
        }
    }
    schedule
}

/// When ranks of these durations run, of which as many run at once as are started: whoever ends makes room for the
/// next.
pub fn unthrottled(durations: &[f64], concurrency: &Concurrency) -> Schedule {
    let mut ends: BinaryHeap<Reverse<Moment>> = BinaryHeap::new();
    let interval = if concurrency.starts_per_second > 0.0 { 1.0 / concurrency.starts_per_second } else { 0.0 };
    let at_once = concurrency.at_once(durations.len() as u64).min(concurrency.limit).max(1);
    let (mut next_start, mut last) = (0.0_f64, 0);
    for duration in durations {
        if ends.len() as u64 >= at_once
            && let Some(Reverse(freed)) = ends.pop()
        {
            next_start = next_start.max(freed as f64 / 1e9);
        }
        let end = moment(next_start + duration);
        last = last.max(end);
        ends.push(Reverse(end));
        next_start += interval;
    }
    Schedule { wall_seconds: last as f64 / 1e9, ..Schedule::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concurrency(limit: u64, max_concurrency: u64) -> Concurrency {
        Concurrency { limit, max_concurrency, starts_per_second: 1000.0 }
    }

    /// Held against an independent simulation of the same machine, whose figures were 3,593 attempts and 369 s, 56,069
    /// attempts, 37 failed ranks and 3,439 s, and 50,199 attempts and 236 s. Chance moves them by some percent.
    #[test]
    fn ranks_above_the_limit_are_turned_away_again_and_again() {
        let cases = [
            (517, 5.0, 10, 3_593, 0..=0, 369.0),
            (1_700, 20.0, 10, 56_069, 20..=80, 3_439.0),
            (10_000, 15.0, 1_000, 50_199, 0..=0, 236.0),
        ];
        for (ranks, seconds, limit, attempts, failed, wall) in cases {
            let found = simulate(&vec![seconds; ranks], &concurrency(limit, 0), &RETRY, 1);
            let off = found.throttled_attempts as f64 / f64::from(attempts) - 1.0;
            assert!(off.abs() < 0.1, "{found:?}");
            assert!(failed.contains(&found.failed_ranks.len()), "{found:?}");
            assert!((found.wall_seconds / wall - 1.0).abs() < 0.1, "{found:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        let durations: Vec<f64> = (0..300_u32).map(|rank| 3.0 + f64::from(rank % 7)).collect();
        let simulated = |seed| simulate(&durations, &concurrency(20, 0), &RETRY, seed);
        assert_eq!(simulated(1), simulated(1));
        assert_ne!(simulated(1), simulated(2));
    }

    #[test]
    fn max_concurrency_keeps_ranks_from_being_turned_away_and_is_what_the_closed_form_says() {
        let durations: Vec<f64> = (0..517_u32).map(|rank| 5.0 + f64::from(rank % 11)).collect();
        for (limit, max_concurrency) in [(10, 10), (10, 7), (1_000, 0), (600, 517), (1, 1)] {
            let concurrency = concurrency(limit, max_concurrency);
            assert!(!concurrency.throttles(517));
            let simulated = simulate(&durations, &concurrency, &RETRY, 1);
            let expected = unthrottled(&durations, &concurrency);
            assert_eq!(simulated.throttled_attempts, 0);
            assert!((simulated.wall_seconds - expected.wall_seconds).abs() < 1e-3, "{simulated:?} {expected:?}");
        }
        // Waves of equal ranks: 52 of 5 s.
        let waves = unthrottled(&[5.0; 517], &concurrency(10, 10)).wall_seconds;
        assert!((waves - 260.0).abs() < 0.1, "{waves}");
    }

    #[test]
    fn ranks_are_started_one_after_the_other() {
        let slow = Concurrency { limit: 1_000, max_concurrency: 0, starts_per_second: 10.0 };
        assert!((unthrottled(&[5.0; 101], &slow).wall_seconds - 15.0).abs() < 1e-6);
        assert!((simulate(&[5.0; 101], &slow, &RETRY, 1).wall_seconds - 15.0).abs() < 1e-6);
    }

    #[test]
    fn the_state_machine_tries_again_as_this_says() {
        let machine: serde_json::Value =
            serde_json::from_str(include_str!("../../../statemachine/redshift.asl.json")).unwrap();
        let infer = &machine["States"]["Ranks"]["ItemProcessor"]["States"]["Infer"];
        let retry = infer["Retry"].as_array().unwrap();
        let retry = retry
            .iter()
            .find(|retry| retry["ErrorEquals"] == serde_json::json!(["Lambda.TooManyRequestsException"]))
            .unwrap();
        assert_eq!(retry["JitterStrategy"], "FULL");
        let found = Retry {
            interval: retry["IntervalSeconds"].as_f64().unwrap(),
            backoff: retry["BackoffRate"].as_f64().unwrap(),
            max_delay: retry["MaxDelaySeconds"].as_f64().unwrap(),
            attempts: u32::try_from(retry["MaxAttempts"].as_u64().unwrap()).unwrap(),
        };
        assert_eq!(found, RETRY);
    }
}
