//! How long a request to S3 may take, and how often it is tried.
//!
//! The SDK's own retries end where the body of an answer begins, share one budget among all requests of a process, and
//! stop for all of them when it is used up. Here one loop covers a request from its first byte to its last: each
//! operation has its own attempts and its own deadline, so that a hang costs seconds, and a body goes on where it broke
//! off.

use std::time::{Duration, Instant};

use crate::storage::error::{BoxError, StorageError, explain};

/// The limits of each request. The tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the start of an attempt to the head of its answer. Opening the connection is part of it.
    pub answer: Duration,
    /// A body that brings less than `slowest` for as long as this is stalled.
    pub stall: Duration,
    /// Bytes a second that a body must bring.
    pub slowest: u64,
    /// Bytes a second that the first attempt of an upload must take. Each further one may take twice as long, down to
    /// `slowest`: an upload that is not answered costs seconds, and a slow line still gets it through.
    pub upload: u64,
    /// How often an operation is tried.
    pub attempts: u32,
    /// The pause after the first attempt, on average; it doubles from one to the next.
    pub first_pause: Duration,
    /// The pause at which the doubling ends, on average as well.
    pub longest_pause: Duration,
    /// All attempts of an operation together. What it sends and reads adds to it at the rate of `slowest`.
    pub operation: Duration,
}

impl Default for Limits {
    /// S3 is taken to answer in 0.2 s, and in some seconds where it deletes a thousand keys. Ten attempts take 20 s of
    /// pauses. A prefix that is throttled gets more room after a while, AWS does not say which:
    /// <https://repost.aws/knowledge-center/s3-object-key-naming-pattern>.
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            stall: Duration::from_secs(5),
            slowest: 20_000,
            upload: 2_000_000,
            attempts: 10,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            operation: Duration::from_secs(120),
        }
    }
}

impl Limits {
    /// The time that so many bytes may take.
    pub(crate) fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1000) / self.slowest.max(1))
    }

    /// The pause after so many attempts, half of it by chance, so that clients that failed together do not come back
    /// together.
    fn pause(&self, attempts: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << attempts.saturating_sub(1).min(16));
        doubled.min(self.longest_pause).mul_f64(0.5 + fastrand::f64())
    }
}

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: StorageError,
    /// Whether another attempt may end otherwise.
    pub(crate) passing: bool,
    /// HTTP status of the answer, where one came.
    pub(crate) status: Option<u16>,
}

/// The attempts of one operation.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    limits: &'a Limits,
    action: &'static str,
    location: &'a str,
    started: Instant,
    deadline: Instant,
    made: u32,
}

impl<'a> Attempts<'a> {
    /// The attempts of an operation that moves up to `bytes` bytes.
    pub(crate) fn new(limits: &'a Limits, action: &'static str, location: &'a str, bytes: u64) -> Self {
        let started = Instant::now();
        let deadline = started + limits.operation + limits.time_of(bytes);
        Self { limits, action, location, started, deadline, made: 0 }
    }

    /// Gives the operation the time of so many bytes more, once it is known how many they are.
    pub(crate) fn extend(&mut self, bytes: u64) {
        self.deadline += self.limits.time_of(bytes);
    }

    /// Waits for one thing within its own time and within the operation's.
    pub(crate) async fn in_time<T>(
        &self,
        limit: Duration,
        what: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let limit = limit.min(self.deadline.saturating_duration_since(Instant::now()));
        tokio::time::timeout(limit, work)
            .await
            .map_err(|_| self.passing(format!("{what} for {:.1} s", limit.as_secs_f64())))
    }

    /// How long the next attempt of an upload may take.
    pub(crate) fn upload_limit(&self, bytes: u64) -> Duration {
        let rate = (self.limits.upload >> self.made.min(63)).max(self.limits.slowest).max(1);
        self.limits.answer + Duration::from_millis(bytes.saturating_mul(1000) / rate)
    }

    /// A failure that another attempt may not meet.
    pub(crate) fn passing(&self, source: impl Into<BoxError>) -> Failure {
        let error = StorageError::Unavailable {
            action: self.action,
            location: self.location.to_owned(),
            status: None,
            source: source.into(),
        };
        Failure { error, passing: true, status: None }
    }

    /// Pauses before the next attempt.
    ///
    /// # Errors
    /// The failure itself where no attempt would help or none is left.
    pub(crate) async fn again(&mut self, failure: Failure) -> Result<(), StorageError> {
        self.made += 1;
        let Failure { error, passing, .. } = failure;
        if !passing {
            return Err(error);
        }
        let pause = self.limits.pause(self.made);
        if self.made >= self.limits.attempts || Instant::now() + pause >= self.deadline {
            return Err(self.gave_up(error));
        }
        let (attempt, reason) = (self.made, explain(&error));
        let pause_ms = pause.as_millis() as u64;
        // One attempt in a thousand fails on a good day. A request that fails twice is worth a line.
        match attempt {
            1 => tracing::debug!(attempt, pause_ms, reason, "S3: trying again"),
            _ => tracing::warn!(attempt, pause_ms, reason, "S3: trying again"),
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Adds to an error how often and for how long it was tried.
    fn gave_up(&self, error: StorageError) -> StorageError {
        let tried = format!("gave up after {} attempts in {:.1} s", self.made, self.started.elapsed().as_secs_f64());
        match error {
            StorageError::Unavailable { action, location, status, source } => {
                StorageError::Unavailable { action, location, status, source: Box::new(GaveUp { tried, source }) }
            }
            other => other,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{tried}")]
struct GaveUp {
    tried: String,
    source: BoxError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let limits = Limits::default();
        for (attempts, average) in [(1, 0.1), (2, 0.2), (5, 1.6), (7, 5.0), (400, 5.0)] {
            let pause = limits.pause(attempts).as_secs_f64();
            assert!((average * 0.49..average * 1.51).contains(&pause), "{attempts}: {pause} s");
        }
    }
}
