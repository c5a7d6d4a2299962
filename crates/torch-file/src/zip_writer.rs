//! The structures of a zip file whose members are stored, aligned and possibly larger than 4 GiB, as torch.save writes
//! them.

use crc32fast::Hasher;

/// Members start at multiples of this many bytes, as torch aligns them.
const ALIGNMENT: u64 = 64;
/// Sizes from here on need the zip64 fields.
const FULL: u64 = 0xffff_ffff;

/// A member that is being written, whose place is known before its bytes are.
pub(crate) struct WrittenMember {
    /// Name in the file, with its folder.
    name: String,
    size: u64,
    /// Offset of the local header.
    pub(crate) header: u64,
    /// Offset of the payload.
    pub(crate) payload: u64,
    /// Checksum of what was written so far.
    pub(crate) crc: Hasher,
}

impl WrittenMember {
    /// The member of this name and size whose local header starts at the offset `header`.
    pub(crate) fn at(header: u64, name: String, size: u64) -> Self {
        let fixed = header + 30 + name.len() as u64 + zip64_extra(size);
        // The padding is an extra field of its own, with four bytes of header.
        let payload = (fixed + 4).next_multiple_of(ALIGNMENT);
        Self { name, size, header, payload, crc: Hasher::new() }
    }

    /// One past the last byte of the payload.
    pub(crate) fn end(&self) -> u64 {
        self.payload + self.size
    }
}

fn zip64_extra(size: u64) -> u64 {
    if size >= FULL { 20 } else { 0 }
}

/// A value, or the number that says that it stands in the zip64 field.
fn narrow(value: u64) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

/// Flags (UTF-8 names), method (stored), time and date (1980-01-01), checksum and sizes, shared by both headers.
fn common_fields(crc: u32, size: u64) -> Vec<u8> {
    let mut bytes = vec![0x00, 0x08, 0, 0, 0, 0, 0x21, 0];
    bytes.extend(crc.to_le_bytes());
    bytes.extend(narrow(size));
    bytes.extend(narrow(size));
    bytes
}

pub(crate) fn local_header(member: &WrittenMember, crc: u32) -> Vec<u8> {
    let mut extra = Vec::new();
    if member.size >= FULL {
        extra.extend([1, 0, 16, 0]);
        extra.extend(member.size.to_le_bytes());
        extra.extend(member.size.to_le_bytes());
    }
    let used = 30 + member.name.len() as u64 + extra.len() as u64 + 4;
    let padding = member.payload - member.header - used;
    // "FB": the id torch gives its padding.
    extra.extend(b"FB");
    extra.extend((padding as u16).to_le_bytes());
    extra.resize(extra.len() + padding as usize, b'Z');

    let mut bytes = b"PK\x03\x04".to_vec();
    bytes.extend(if member.size >= FULL { [45, 0] } else { [20, 0] });
    bytes.extend(common_fields(crc, member.size));
    bytes.extend((member.name.len() as u16).to_le_bytes());
    bytes.extend((extra.len() as u16).to_le_bytes());
    bytes.extend(member.name.as_bytes());
    bytes.extend(extra);
    bytes
}

pub(crate) fn directory_entry(member: &WrittenMember, crc: u32) -> Vec<u8> {
    let mut zip64 = Vec::new();
    if member.size >= FULL {
        zip64.extend(member.size.to_le_bytes());
        zip64.extend(member.size.to_le_bytes());
    }
    if member.header >= FULL {
        zip64.extend(member.header.to_le_bytes());
    }
    let mut bytes = b"PK\x01\x02".to_vec();
    bytes.extend([45, 0]);
    bytes.extend(if zip64.is_empty() { [20, 0] } else { [45, 0] });
    bytes.extend(common_fields(crc, member.size));
    bytes.extend((member.name.len() as u16).to_le_bytes());
    bytes.extend(if zip64.is_empty() { 0 } else { zip64.len() as u16 + 4 }.to_le_bytes());
    // Comment, disk and attributes: none.
    bytes.extend([0; 10]);
    bytes.extend(narrow(member.header));
    bytes.extend(member.name.as_bytes());
    if !zip64.is_empty() {
        bytes.extend([1, 0]);
        bytes.extend((zip64.len() as u16).to_le_bytes());
        bytes.extend(zip64);
    }
    bytes
}

pub(crate) fn end_records(count: u64, start: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if start >= FULL {
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend([45, 0, 45, 0]);
        bytes.extend([0; 8]);
        for value in [count, count, length, start] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07");
        bytes.extend([0; 4]);
        bytes.extend((start + length).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
    }
    bytes.extend(b"PK\x05\x06");
    bytes.extend([0; 4]);
    bytes.extend((count as u16).to_le_bytes());
    bytes.extend((count as u16).to_le_bytes());
    bytes.extend(narrow(length));
    bytes.extend(narrow(start));
    bytes.extend([0; 2]);
    bytes
}
