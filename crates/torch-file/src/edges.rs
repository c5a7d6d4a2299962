//! A file's head and tail, read at once when it is opened.
//!
//! A torch.save file describes itself at both ends: the zip form has its pickle and the first members' headers at its
//! head, the directory and the last members' headers at its tail; the legacy form has its pickles at its head. On
//! object storage a request's latency outweighs the transfer of 64 KiB, so two requests at the same time take the place
//! of about nine small ones in a row.

use std::ops::Range;

use bytes::Bytes;
use futures::try_join;

use crate::{
    error::Error,
    range::{RangeRead, read},
};

/// Bytes read at each end: a zip's end record with the longest comment, which is 64 KiB and 21 bytes.
pub(crate) const EDGE: u64 = 22 + 65_535;

/// The bytes at both ends of a file.
pub(crate) struct Edges {
    head: Bytes,
    tail: Bytes,
    tail_start: u64,
}

impl Edges {
    /// Reads both ends at the same time, or the whole of a file that is no longer than the two.
    pub(crate) async fn read<R: RangeRead>(reader: &R) -> Result<Self, Error<R::Error>> {
        let size = reader.size();
        if size <= 2 * EDGE {
            let all = read(reader, "the file", 0..size).await?;
            return Ok(Self { head: all.clone(), tail: all, tail_start: 0 });
        }
        let tail_start = size - EDGE;
        let (head, tail) = try_join!(read(reader, "the head", 0..EDGE), read(reader, "the tail", tail_start..size))?;
        Ok(Self { head, tail, tail_start })
    }

    pub(crate) fn head(&self) -> &Bytes {
        &self.head
    }

    /// The file's last bytes, and the offset of the first of them.
    pub(crate) fn tail(&self) -> (&Bytes, u64) {
        (&self.tail, self.tail_start)
    }

    /// A range of the file, where it lies within one of the ends.
    pub(crate) fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        let within = |bytes: &Bytes, start: u64| {
            let (from, to) = (range.start.checked_sub(start)?, range.end.checked_sub(start)?);
            (from <= to && to <= bytes.len() as u64).then(|| bytes.slice(from as usize..to as usize))
        };
        within(&self.head, 0).or_else(|| within(&self.tail, self.tail_start))
    }

    /// A range of the file, read where it does not lie within one of the ends.
    pub(crate) async fn get_or_read<R: RangeRead>(
        &self,
        reader: &R,
        member: &str,
        range: Range<u64>,
    ) -> Result<Bytes, Error<R::Error>> {
        match self.get(&range) {
            Some(bytes) => Ok(bytes),
            None => read(reader, member, range).await,
        }
    }
}
