//! The zip form's directory: which member lies where.
//!
//! Members of a torch.save file are stored, not compressed, so a tensor is a byte range of the file. The directory
//! is not believed where it can be checked: entries outside the file, over each other, or compressed are refused.

use std::{collections::HashMap, ops::Range, sync::Mutex};

use crate::{
    Error, Result,
    range::{RangeRead, read},
};

/// The end record with the longest comment.
const END_RECORD: u64 = 22;
const LONGEST_COMMENT: u64 = 65_535;
/// Largest directory read: that of a million members.
const MAX_DIRECTORY: u64 = 128 << 20;
const LOCAL_HEADER: u64 = 30;

/// A member, as the directory has it.
#[derive(Debug, Clone)]
struct Entry {
    header: u64,
    size: u64,
    /// Where the next member's header, or the directory, starts.
    limit: u64,
}

/// The members below the one folder that a torch.save file has.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The folder's name: the file's stem when it was saved.
    stem: String,
    entries: HashMap<String, Entry>,
    /// Payloads whose local header was read.
    located: Mutex<HashMap<String, Range<u64>>>,
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

fn malformed(file: &str, member: &str, reason: impl Into<String>) -> Error {
    Error::Zip { file: file.to_owned(), member: member.to_owned(), reason: reason.into() }
}

impl Directory {
    /// Reads the directory from the file's end.
    pub(crate) async fn read(reader: &dyn RangeRead) -> Result<Self> {
        let file = reader.name();
        let size = reader.size();
        let tail_start = size.saturating_sub(END_RECORD + LONGEST_COMMENT);
        let tail = read(reader, "the zip directory", tail_start..size).await?;
        let bad = |reason: &str| malformed(file, "the directory", reason);
        let end = tail
            .windows(4)
            .rposition(|window| window == b"PK\x05\x06")
            .filter(|end| tail.len() - end >= END_RECORD as usize)
            .ok_or_else(|| Error::Truncated {
                file: file.to_owned(),
                member: "the zip directory".to_owned(),
                expected: size + END_RECORD,
                size,
            })?;
        let missing = || bad("its end record is cut short");
        let mut count = u16_at(&tail, end + 10).ok_or_else(missing)?;
        let mut length = u32_at(&tail, end + 12).ok_or_else(missing)?;
        let mut start = u32_at(&tail, end + 16).ok_or_else(missing)?;
        // The record of files above 4 GiB, found through its locator right before the end record.
        if let Some(locator) = end.checked_sub(20).filter(|at| tail[*at..].starts_with(b"PK\x06\x07")) {
            let at = u64_at(&tail, locator + 8).ok_or_else(missing)?;
            let record = read(reader, "the zip64 end record", at..at.saturating_add(56)).await?;
            if !record.starts_with(b"PK\x06\x06") {
                return Err(bad("the zip64 locator points at something else"));
            }
            count = u64_at(&record, 32).ok_or_else(missing)?;
            length = u64_at(&record, 40).ok_or_else(missing)?;
            start = u64_at(&record, 48).ok_or_else(missing)?;
        }
        if length > MAX_DIRECTORY {
            return Err(Error::TooLarge {
                file: file.to_owned(),
                what: "the zip directory".into(),
                found: length,
                limit: MAX_DIRECTORY,
            });
        }
        let end_of_directory = start.checked_add(length).ok_or_else(|| bad("its position overflows"))?;
        if end_of_directory > tail_start + end as u64 {
            return Err(bad("it lies beyond its own end record"));
        }
        let bytes = if start >= tail_start {
            // It came with the tail already, as it does for all but the largest modules.
            tail.slice((start - tail_start) as usize..(end_of_directory - tail_start) as usize)
        } else {
            read(reader, "the zip directory", start..end_of_directory).await?
        };
        let members = parse_members(file, &bytes, count)?;
        Self::check(file, members, start)
    }

    /// Refuses members that lie over each other or outside the file, and strips the common folder.
    fn check(file: &str, mut members: Vec<Member>, directory: u64) -> Result<Self> {
        members.sort_by_key(|member| member.header);
        let mut entries = HashMap::with_capacity(members.len());
        let mut stem: Option<String> = None;
        for index in 0..members.len() {
            let member = &members[index];
            let limit = members.get(index + 1).map_or(directory, |next| next.header);
            let least = member
                .header
                .checked_add(LOCAL_HEADER + member.name.len() as u64)
                .and_then(|payload| payload.checked_add(member.size));
            if least.is_none_or(|end| end > limit) || limit > directory {
                return Err(malformed(file, &member.name, "it lies over another member or outside the file"));
            }
            let Some((folder, name)) = member.name.split_once('/') else {
                return Err(malformed(file, &member.name, "it lies outside the folder that torch.save makes"));
            };
            if *stem.get_or_insert_with(|| folder.to_owned()) != folder {
                return Err(malformed(file, &member.name, "it lies in a second folder"));
            }
            let entry = Entry { header: member.header, size: member.size, limit };
            if entries.insert(name.to_owned(), entry).is_some() {
                return Err(malformed(file, &member.name, "its name is there twice"));
            }
        }
        Ok(Self { stem: stem.unwrap_or_default(), entries, located: Mutex::new(HashMap::new()) })
    }

    /// Whether there is such a member.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The member's full name in the file.
    pub(crate) fn full_name(&self, name: &str) -> String {
        format!("{}/{name}", self.stem)
    }

    /// Size of a member's payload.
    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|entry| entry.size)
    }

    /// Where a member's payload lies: known only once its local header was read, whose padding aligns it.
    pub(crate) async fn locate(&self, reader: &dyn RangeRead, name: &str) -> Result<Range<u64>> {
        let known = self.located.lock().ok().and_then(|located| located.get(name).cloned());
        if let Some(range) = known {
            return Ok(range);
        }
        let file = reader.name();
        let member = self.full_name(name);
        let entry = self.entries.get(name).ok_or_else(|| malformed(file, &member, "it is not there"))?;
        let header = read(reader, &member, entry.header..entry.header + LOCAL_HEADER).await?;
        let lengths = u16_at(&header, 26).zip(u16_at(&header, 28));
        let Some((name_length, extra_length)) = lengths.filter(|_| header.starts_with(b"PK\x03\x04")) else {
            return Err(malformed(file, &member, "there is no local header where the directory says"));
        };
        let start = entry.header + LOCAL_HEADER + name_length + extra_length;
        let end = start.checked_add(entry.size).filter(|end| *end <= entry.limit);
        let Some(end) = end else {
            return Err(malformed(file, &member, "its local header leaves no room for its payload"));
        };
        if let Ok(mut located) = self.located.lock() {
            located.insert(name.to_owned(), start..end);
        }
        Ok(start..end)
    }
}

struct Member {
    name: String,
    header: u64,
    size: u64,
}

fn parse_members(file: &str, bytes: &[u8], count: u64) -> Result<Vec<Member>> {
    let mut members = Vec::new();
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
            return Err(Error::Unsupported {
                file: file.to_owned(),
                what: format!("a compressed member ({name})"),
                instead: "torch.save does not compress: unpack the file and save it again with torch.save",
            });
        }
        if flags & 1 != 0 {
            return Err(Error::Unsupported {
                file: file.to_owned(),
                what: format!("an encrypted member ({name})"),
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
        members.push(Member { name, header: header_at, size });
        at += 46 + name_length + extra_length + comment_length;
    }
    Ok(members)
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
