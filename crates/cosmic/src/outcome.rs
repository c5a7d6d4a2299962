//! How a command ends, and its exit code.

use std::process::ExitCode;

/// How a command ended that could do its work. A failure exits with 1, bad usage with 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 0: done.
    Done,
    /// 3: done, but the result is not complete, and says what is missing; or it is beyond a limit that was asked for.
    Incomplete,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Incomplete => Self::from(3),
        }
    }
}
