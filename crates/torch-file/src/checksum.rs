//! The checksum of a member that is read range by range.

use std::sync::{Mutex, PoisonError};

use crc32fast::Hasher;

use crate::{error::FormatError, zip::Member};

/// Sees the ranges of a member as they are read, and knows at its end whether all of them together have the checksum
/// that the archive gives it.
///
/// It follows the ranges that lie one behind the other from the tensor's first byte, which in NumPy's files is behind a
/// header. A reader of some rows in the middle never comes to the end, and one that starts again starts it again: so it
/// needs to be told nothing.
pub(crate) struct RunningChecksum {
    member: Member,
    expected: u32,
    /// At the first byte that is followed.
    start: State,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    hasher: Hasher,
    /// Where the bytes seen so far end.
    end: u64,
}

impl RunningChecksum {
    /// Of a member for which the archive has a checksum, and whose first bytes are these: the ranges follow behind
    /// them.
    pub(crate) fn behind(member: &Member, first: &[u8]) -> Option<Self> {
        let expected = member.crc()?;
        let mut start = State::default();
        start.hasher.update(first);
        start.end = first.len() as u64;
        Some(Self { member: member.clone(), expected, state: Mutex::new(start.clone()), start })
    }

    /// Takes in the bytes that were read from `start` on, which counts from the first byte that is followed.
    ///
    /// # Errors
    /// [`FormatError::Checksum`] where they were the last ones and the whole is not right.
    pub(crate) fn saw(&self, file: &str, start: u64, bytes: &[u8]) -> Result<(), FormatError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if start == 0 {
            *state = self.start.clone();
        }
        let start = self.start.end.saturating_add(start);
        if start != state.end {
            return Ok(());
        }
        let mut hasher = state.hasher.clone();
        hasher.update(bytes);
        let end = state.end + bytes.len() as u64;
        if end == self.member.size() && hasher.clone().finalize() != self.expected {
            // The last range may be read again, and is right then only if the earlier ones were.
            return Err(FormatError::Checksum { file: file.to_owned(), member: self.member.name().to_owned() });
        }
        *state = State { hasher, end };
        Ok(())
    }
}
