//! The directory of a zip file: which member lies where.
//!
//! Members of torch.save's and of NumPy's files are stored, not compressed, so a tensor is a byte range of the file.
//! The directory is not believed where it can be checked: entries outside the file, over each other, or compressed are
//! refused.

use std::{collections::HashMap, ops::Range};

use bytes::Bytes;

use crate::{
    edges::Edges,
    error::{Error, FormatError},
    printable::Printable,
    range::{RangeRead, read},
};

/// Length of the end record, without its comment.
const END_RECORD: usize = 22;
/// The largest directory that is read: that of 150,000 members.
const MAX_DIRECTORY: u64 = 16 << 20;
/// Length of a member's local header, without its name and extra fields.
const LOCAL_HEADER: u64 = 30;

/// What the directory says of a member.
#[derive(Debug, Clone, Copy)]
struct Listed {
    /// Offset of the local header.
    header: u64,
    /// Size of the payload in bytes.
    size: u64,
    /// The payload's CRC-32; 0 where none was computed, which PyTorch can be told.
    crc: u32,
    /// Where the next member's local header, or the directory, starts.
    limit: u64,
}

/// A member of a file.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Name in the file, with its folder.
    name: String,
    listed: Listed,
}

/// The members of a file, by name.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The folder that members are asked for in, with its slash; empty where they are asked for by their whole names.
    prefix: String,
    /// By their whole names.
    members: HashMap<String, Listed>,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?).into())
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn malformed(file: &str, member: &str, reason: impl Into<String>) -> FormatError {
    FormatError::Zip { file: file.to_owned(), member: member.to_owned(), reason: reason.into() }
}

/// What the end record says of the directory.
struct End {
    count: u64,
    start: u64,
    length: u64,
}

impl Directory {
    /// Reads the directory, which lies in the file's tail in all but the largest modules.
    pub(crate) async fn read<R: RangeRead>(reader: &R, edges: &Edges) -> Result<Self, Error<R::Error>> {
        let file = reader.name();
        let End { count, start, length } = Self::find(reader, edges).await?;
        let bytes = edges.get_or_read(reader, "the zip directory", start..start + length).await?;
        let entries = parse_entries(file, &bytes, count)?;
        Ok(Self::checked(file, entries, start)?)
    }

    /// Finds the directory through the end record, and checks that it lies in front of that.
    async fn find<R: RangeRead>(reader: &R, edges: &Edges) -> Result<End, Error<R::Error>> {
        let file = reader.name();
        let (tail, tail_start) = edges.tail();
        let bad = |reason: &str| malformed(file, "the directory", reason);
        let end = tail
            .windows(4)
            .rposition(|window| window == b"PK\x05\x06")
            .filter(|end| tail.len() - end >= END_RECORD)
            .ok_or_else(|| bad("there is no end record at the file's end: the file is truncated"))?;
        let missing = || bad("its end record is cut short");
        let mut count = u16_at(tail, end + 10).ok_or_else(missing)?;
        let mut length = u32_at(tail, end + 12).ok_or_else(missing)?;
        let mut start = u32_at(tail, end + 16).ok_or_else(missing)?;
        // The record of files above 4 GiB, found through its locator right before the end record.
        if let Some(locator) = end.checked_sub(20).filter(|at| tail[*at..].starts_with(b"PK\x06\x07")) {
            let at = u64_at(tail, locator + 8).ok_or_else(missing)?;
            let record = edges.get_or_read(reader, "the zip64 end record", at..at.saturating_add(56)).await?;
            if !record.starts_with(b"PK\x06\x06") {
                return Err(bad("the zip64 locator points at something else").into());
            }
            count = u64_at(&record, 32).ok_or_else(missing)?;
            length = u64_at(&record, 40).ok_or_else(missing)?;
            start = u64_at(&record, 48).ok_or_else(missing)?;
        }
        if length > MAX_DIRECTORY {
            return Err(FormatError::TooLarge {
                file: file.to_owned(),
                what: "the zip directory".into(),
                found: length,
                limit: MAX_DIRECTORY,
            }
            .into());
        }
        match start.checked_add(length) {
            None => Err(bad("its position overflows").into()),
            Some(after) if after > tail_start + end as u64 => Err(bad("it lies beyond its own end record").into()),
            Some(_) => Ok(End { count, start, length }),
        }
    }

    /// Refuses members that lie over each other or outside the file.
    fn checked(file: &str, mut entries: Vec<Entry>, directory: u64) -> Result<Self, FormatError> {
        entries.sort_by_key(|entry| entry.listed.header);
        let mut members = HashMap::with_capacity(entries.len());
        let starts: Vec<u64> = entries.iter().map(|entry| entry.listed.header).skip(1).chain([directory]).collect();
        for (Entry { name, mut listed }, limit) in entries.into_iter().zip(starts) {
            listed.limit = limit;
            let least = listed
                .header
                .checked_add(LOCAL_HEADER + name.len() as u64)
                .and_then(|payload| payload.checked_add(listed.size));
            if least.is_none_or(|end| end > limit) || limit > directory {
                return Err(malformed(file, &name, "it lies over another member or outside the file"));
            }
            if let Some(twice) = members.insert(name, listed) {
                let reason = format!("of the members at {} and {} both have its name", twice.header, listed.header);
                return Err(malformed(file, "the directory", reason));
            }
        }
        Ok(Self { prefix: String::new(), members })
    }

    /// The same members, by their names below the one folder that torch.save puts all of them into.
    ///
    /// # Errors
    /// [`FormatError::Zip`] where there is another folder, or none.
    pub(crate) fn into_folder(self, file: &str) -> Result<Self, FormatError> {
        let mut folder: Option<&str> = None;
        for name in self.names() {
            let Some((found, _)) = name.split_once('/') else {
                return Err(malformed(file, name, "it lies outside the folder that torch.save makes"));
            };
            if *folder.get_or_insert(found) != found {
                return Err(malformed(file, name, "it lies in a second folder"));
            }
        }
        let prefix = folder.map_or(String::new(), |folder| format!("{folder}/"));
        Ok(Self { prefix, ..self })
    }

    /// The whole names of all members, in any order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// All members, in the order in which they lie in the file.
    pub(crate) fn members(&self) -> Vec<Member> {
        let members = self.members.iter().map(|(name, listed)| Member { name: name.clone(), listed: *listed });
        let mut members: Vec<Member> = members.collect();
        members.sort_by_key(|member| member.listed.header);
        members
    }

    /// A member by its name, below the folder where there is one.
    pub(crate) fn member(&self, name: &str) -> Option<Member> {
        let name = format!("{}{name}", self.prefix);
        let listed = *self.members.get(&name)?;
        Some(Member { name, listed })
    }
}

impl Member {
    /// Name in the file, with its folder.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Size of the payload in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.listed.size
    }

    /// The checksum of the payload, where the archive carries one.
    pub(crate) fn crc(&self) -> Option<u32> {
        Some(self.listed.crc).filter(|crc| *crc != 0)
    }

    /// Checks the bytes of the whole payload against the checksum that the archive carries.
    pub(crate) fn check(&self, file: &str, payload: &[u8]) -> Result<(), FormatError> {
        match self.crc() {
            Some(crc) if crc != crc32fast::hash(payload) => {
                Err(FormatError::Checksum { file: file.to_owned(), member: self.name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Where the fixed part of the local header lies, whose lengths say where the payload starts: the padding that
    /// aligns the payload is in it, and in no other place.
    fn local_header(&self) -> Range<u64> {
        self.listed.header..self.listed.header + LOCAL_HEADER
    }

    /// Where the payload lies, if the local header is among the bytes that were read already.
    pub(crate) fn payload_in(&self, file: &str, edges: &Edges) -> Result<Option<Range<u64>>, FormatError> {
        edges.get(&self.local_header()).map(|header| self.payload_behind(file, &header)).transpose()
    }

    /// Where the payload lies, for which the local header is read.
    pub(crate) async fn payload<R: RangeRead>(&self, reader: &R) -> Result<Range<u64>, Error<R::Error>> {
        let header = read(reader, &self.name, self.local_header()).await?;
        Ok(self.payload_behind(reader.name(), &header)?)
    }

    /// Where the payload lies, and its first bytes: all of it, or `count` of them. Takes one read, or none where `edges`
    /// have the bytes.
    pub(crate) async fn payload_with_start<R: RangeRead>(
        &self,
        reader: &R,
        edges: Option<&Edges>,
        count: u64,
    ) -> Result<(Range<u64>, Bytes), Error<R::Error>> {
        let at_hand = |range: &Range<u64>| edges.and_then(|edges| edges.get(range));
        // Where the payload starts stands in the header, whose fields are not longer than this in any file of NumPy or
        // torch.
        let before = LOCAL_HEADER + self.name.len() as u64 + 128;
        let end = self.listed.header.saturating_add(before.saturating_add(count)).min(self.listed.limit);
        let guess = self.listed.header..end;
        let bytes = match at_hand(&guess) {
            Some(bytes) => bytes,
            None => read(reader, &self.name, guess.clone()).await?,
        };
        let payload = self.payload_behind(reader.name(), &bytes.slice(..bytes.len().min(LOCAL_HEADER as usize)))?;
        let wanted = payload.start..payload.end.min(payload.start.saturating_add(count));
        let start = if wanted.end <= guess.end {
            bytes.slice((wanted.start - guess.start) as usize..(wanted.end - guess.start) as usize)
        } else {
            match at_hand(&wanted) {
                Some(bytes) => bytes,
                None => read(reader, &self.name, wanted).await?,
            }
        };
        Ok((payload, start))
    }

    fn payload_behind(&self, file: &str, header: &Bytes) -> Result<Range<u64>, FormatError> {
        let lengths = u16_at(header, 26).zip(u16_at(header, 28));
        let Some((name_length, extra_length)) = lengths.filter(|_| header.starts_with(b"PK\x03\x04")) else {
            return Err(malformed(file, &self.name, "there is no local header where the directory says"));
        };
        let start = self.listed.header + LOCAL_HEADER + name_length + extra_length;
        match start.checked_add(self.listed.size).filter(|end| *end <= self.listed.limit) {
            Some(end) => Ok(start..end),
            None => Err(malformed(file, &self.name, "its local header leaves no room for its payload")),
        }
    }
}

/// An entry of the directory, before it is checked against the others.
struct Entry {
    name: String,
    listed: Listed,
}

fn parse_entries(file: &str, bytes: &[u8], count: u64) -> Result<Vec<Entry>, FormatError> {
    let mut entries = Vec::new();
    let mut at = 0;
    for _ in 0..count {
        let cut = || malformed(file, "the directory", "it is cut short");
        let header = bytes.get(at..at + 46).ok_or_else(cut)?;
        if !header.starts_with(b"PK\x01\x02") {
            return Err(malformed(file, "the directory", format!("no entry at its byte {at}")));
        }
        let field = |at| u16_at(header, at).ok_or_else(cut);
        let (flags, method) = (field(8)?, field(10)?);
        let (name_length, extra_length, comment_length) =
            (field(28)? as usize, field(30)? as usize, field(32)? as usize);
        let name = bytes.get(at + 46..at + 46 + name_length).ok_or_else(cut)?;
        let extra = bytes.get(at + 46 + name_length..at + 46 + name_length + extra_length).ok_or_else(cut)?;
        let name =
            std::str::from_utf8(name).map_err(|_| malformed(file, "the directory", "a name is not UTF-8"))?.to_owned();
        if method != 0 {
            let instead = match name.ends_with(".npy") {
                true => "save the arrays with numpy.savez instead of numpy.savez_compressed",
                false => "torch.save does not compress: unpack the file and save it again with torch.save",
            };
            let what = format!("a compressed member ({})", Printable(&name));
            return Err(FormatError::Unsupported { file: file.to_owned(), what, instead });
        }
        if flags & 1 != 0 {
            return Err(FormatError::Unsupported {
                file: file.to_owned(),
                what: format!("an encrypted member ({})", Printable(&name)),
                instead: "save it again with torch.save",
            });
        }
        let wide = [u32_at(header, 20), u32_at(header, 24), u32_at(header, 42)].map(|field| field.ok_or_else(cut));
        let [compressed, size, header_at] = wide;
        let [compressed, size, header_at] = widen(extra, [compressed?, size?, header_at?])
            .ok_or_else(|| malformed(file, &name, "its zip64 sizes are missing"))?;
        if compressed != size {
            return Err(malformed(file, &name, "its two sizes differ, though it is not compressed"));
        }
        let crc = u32_at(header, 16).ok_or_else(cut)? as u32;
        entries.push(Entry { name, listed: Listed { header: header_at, size, crc, limit: 0 } });
        at += 46 + name_length + extra_length + comment_length;
    }
    Ok(entries)
}

/// Replaces `[compressed size, size, header offset]` by the zip64 extra field's where they did not fit 32 bits.
fn widen(extra: &[u8], [compressed, size, header]: [u64; 3]) -> Option<[u64; 3]> {
    const FULL: u64 = 0xffff_ffff;
    if compressed != FULL && size != FULL && header != FULL {
        return Some([compressed, size, header]);
    }
    let mut at = 0;
    let zip64 = loop {
        let (id, length) = (u16_at(extra, at)?, u16_at(extra, at + 2)? as usize);
        let field = extra.get(at + 4..at + 4 + length)?;
        if id == 1 {
            break field;
        }
        at += 4 + length;
    };
    // In this order, and only those that did not fit.
    let mut next = 0;
    let mut take = |value: u64| {
        if value != FULL {
            return Some(value);
        }
        next += 8;
        u64_at(zip64, next - 8)
    };
    let size = take(size)?;
    let compressed = take(compressed)?;
    Some([compressed, size, take(header)?])
}
