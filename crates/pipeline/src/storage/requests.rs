//! How many requests this process has sent to S3, which are paid for.
//!
//! They are counted where the SDK sends them, so that every attempt counts, also one that fails. Like what the
//! operating system counts of a process, the numbers are the process's and only ever grow.

use std::{
    ops::{AddAssign, Sub},
    sync::atomic::{AtomicU64, Ordering},
};

use aws_sdk_s3::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef},
    error::BoxError,
};
use serde::{Deserialize, Serialize};

static READS: AtomicU64 = AtomicU64::new(0);
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Requests to S3, by what they cost: <https://aws.amazon.com/s3/pricing/>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// GET and HEAD.
    pub reads: u64,
    /// PUT and LIST, which cost more than ten times as much. Deleting is free, and not counted.
    pub writes: u64,
}

impl Requests {
    /// Those of this process so far.
    pub fn so_far() -> Self {
        Self { reads: READS.load(Ordering::Relaxed), writes: WRITES.load(Ordering::Relaxed) }
    }
}

impl AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.writes += other.writes;
    }
}

impl Sub for Requests {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { reads: self.reads.saturating_sub(other.reads), writes: self.writes.saturating_sub(other.writes) }
    }
}

/// Counts what a client sends.
#[derive(Debug)]
pub(super) struct Counting;

impl Intercept for Counting {
    fn name(&self) -> &'static str {
        "Counting"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let query = request.uri().split_once('?').map_or("", |(_, query)| query);
        let has = |parameter: &str| query.split('&').any(|found| found == parameter);
        let counter = match request.method() {
            "GET" if has("list-type=2") => &WRITES,
            "GET" | "HEAD" => &READS,
            "DELETE" => return Ok(()),
            "POST" if has("delete") => return Ok(()),
            _ => &WRITES,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
