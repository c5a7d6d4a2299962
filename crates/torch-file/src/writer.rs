//! Writes data sets in the zip form, as `torch.load` reads them.
//!
//! The three tensors are three members one after the other, while galaxies come row by row. Since the number of
//! rows is known beforehand, so is every offset: rows are written to their places as they come, and the checksums
//! last. Memory does not grow with the number of rows, and the same rows give the same bytes.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crc32fast::Hasher;

use crate::{
    Error, Result,
    dataset::{BANDS, SIDE},
};

/// Members start at multiples of this, as torch aligns them.
const ALIGNMENT: u64 = 64;
const PIXELS: u64 = BANDS * SIDE * SIDE;
/// Sizes from here on need the zip64 fields.
const FULL: u64 = 0xffff_ffff;

/// How redshifts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redshifts {
    /// As f32, like the published files.
    F32,
    /// As f64.
    F64,
    /// Not at all: nobody knows them.
    None,
}

/// A data set being written.
pub struct DatasetWriter {
    name: String,
    file: File,
    rows: u64,
    written: u64,
    redshifts: Redshifts,
    members: Vec<Member>,
}

struct Member {
    name: String,
    size: u64,
    header: u64,
    payload: u64,
    crc: Hasher,
}

impl DatasetWriter {
    /// Starts a data set of exactly `rows` galaxies.
    ///
    /// # Errors
    /// [`Error::Write`] where the file cannot be made.
    pub fn create(path: impl AsRef<Path>, rows: u64, redshifts: Redshifts) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let file = File::create(path).map_err(|source| Error::Write { file: name.clone(), source })?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("archive");
        let pickle = pickle(rows, redshifts);
        let redshift_size = match redshifts {
            Redshifts::F32 => Some(4),
            Redshifts::F64 => Some(8),
            Redshifts::None => None,
        };
        let tensors = [Some(4 * PIXELS), Some(8 * BANDS), redshift_size];
        let tensors = tensors.into_iter().flatten().enumerate();
        let mut writer = Self { name, file, rows, written: 0, redshifts, members: Vec::new() };
        writer.place(stem, "data.pkl", pickle.len() as u64);
        writer.place(stem, "byteorder", 6);
        for (index, row_size) in tensors {
            writer.place(stem, &format!("data/{index}"), row_size * rows);
        }
        writer.place(stem, "version", 2);
        let last = writer.members.len() - 1;
        writer.put(0, 0, &pickle)?;
        writer.put(1, 0, b"little")?;
        writer.put(last, 0, b"3\n")?;
        Ok(writer)
    }

    /// Gives the next member its place.
    fn place(&mut self, stem: &str, name: &str, size: u64) {
        let header = self.members.last().map_or(0, |last| last.payload + last.size);
        let name = format!("{stem}/{name}");
        let fixed = header + 30 + name.len() as u64 + zip64_extra(size);
        // The padding is an extra field of its own, with four bytes of header.
        let payload = (fixed + 4).next_multiple_of(ALIGNMENT);
        self.members.push(Member { name, size, header, payload, crc: Hasher::new() });
    }

    fn put(&mut self, member: usize, at: u64, bytes: &[u8]) -> Result<()> {
        let member = &mut self.members[member];
        member.crc.update(bytes);
        let written = self.file.write_all_at(bytes, member.payload + at);
        written.map_err(|source| Error::Write { file: self.name.clone(), source })
    }

    fn refuse(&self, reason: String) -> Error {
        Error::Write { file: self.name.clone(), source: io::Error::new(io::ErrorKind::InvalidInput, reason) }
    }

    /// Appends galaxies: images `[n, 5, 32, 32]`, magnitudes `[n, 5]` and, unless the data set has none, redshifts
    /// `[n]`.
    ///
    /// # Errors
    /// [`Error::Write`] where lengths do not fit each other or the number of rows, or the disk is full.
    pub fn write(&mut self, images: &[f32], magnitudes: &[f64], redshifts: Option<&[f64]>) -> Result<()> {
        let count = magnitudes.len() as u64 / BANDS;
        let lengths_fit = images.len() as u64 == count * PIXELS
            && magnitudes.len() as u64 == count * BANDS
            && redshifts.map_or(self.redshifts == Redshifts::None, |redshifts| {
                self.redshifts != Redshifts::None && redshifts.len() as u64 == count
            });
        if !lengths_fit {
            return Err(self.refuse(format!(
                "{} pixels, {} magnitudes and {:?} redshifts are not the same number of galaxies",
                images.len(),
                magnitudes.len(),
                redshifts.map(<[f64]>::len)
            )));
        }
        if self.written + count > self.rows {
            return Err(self.refuse(format!("more than the {} rows it was started with", self.rows)));
        }
        let at = self.written;
        let images: Vec<u8> = images.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.put(2, at * 4 * PIXELS, &images)?;
        let magnitudes: Vec<u8> = magnitudes.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.put(3, at * 8 * BANDS, &magnitudes)?;
        match (self.redshifts, redshifts) {
            (Redshifts::F32, Some(redshifts)) => {
                let bytes: Vec<u8> = redshifts.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
                self.put(4, at * 4, &bytes)?;
            }
            (Redshifts::F64, Some(redshifts)) => {
                let bytes: Vec<u8> = redshifts.iter().flat_map(|value| value.to_le_bytes()).collect();
                self.put(4, at * 8, &bytes)?;
            }
            _ => {}
        }
        self.written += count;
        Ok(())
    }

    /// Writes headers and directory.
    ///
    /// # Errors
    /// [`Error::Write`] where rows are missing, or the disk is full.
    pub fn finish(self) -> Result<()> {
        if self.written != self.rows {
            return Err(self.refuse(format!("{} of its {} rows were written", self.written, self.rows)));
        }
        let mut directory = Vec::new();
        for member in &self.members {
            let crc = member.crc.clone().finalize();
            let header = local_header(member, crc);
            let failed = |source| Error::Write { file: self.name.clone(), source };
            self.file.write_all_at(&header, member.header).map_err(failed)?;
            directory.extend(directory_entry(member, crc));
        }
        let start = self.members.last().map_or(0, |last| last.payload + last.size);
        let end = end_records(self.members.len() as u64, start, directory.len() as u64);
        directory.extend(end);
        let failed = |source| Error::Write { file: self.name.clone(), source };
        self.file.write_all_at(&directory, start).map_err(failed)
    }
}

fn zip64_extra(size: u64) -> u64 {
    if size >= FULL { 20 } else { 0 }
}

/// A value, or the mark that it stands in the zip64 field.
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

fn local_header(member: &Member, crc: u32) -> Vec<u8> {
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

fn directory_entry(member: &Member, crc: u32) -> Vec<u8> {
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

fn end_records(count: u64, start: u64, length: u64) -> Vec<u8> {
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

/// The pickle of `TensorDataset(images, magnitudes[, redshifts])`, opcode by opcode as torch writes it.
fn pickle(rows: u64, redshifts: Redshifts) -> Vec<u8> {
    let mut out = Pickler(vec![0x80, 2]);
    out.global("torch.utils.data.dataset", "TensorDataset");
    out.0.extend(b")\x81}");
    out.text("tensors");
    out.0.push(b'(');
    out.tensor("FloatStorage", 0, &[rows, BANDS, SIDE, SIDE]);
    out.tensor("DoubleStorage", 1, &[rows, BANDS]);
    match redshifts {
        Redshifts::F32 => out.tensor("FloatStorage", 2, &[rows]),
        Redshifts::F64 => out.tensor("DoubleStorage", 2, &[rows]),
        Redshifts::None => {}
    }
    out.0.extend(b"tsb.");
    out.0
}

struct Pickler(Vec<u8>);

impl Pickler {
    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn int(&mut self, value: u64) {
        if let Ok(value) = i32::try_from(value) {
            self.0.push(b'J');
            self.0.extend(value.to_le_bytes());
        } else {
            self.0.extend([0x8a, 8]);
            self.0.extend(value.to_le_bytes());
        }
    }

    fn tuple(&mut self, values: &[u64]) {
        self.0.push(b'(');
        for value in values {
            self.int(*value);
        }
        self.0.push(b't');
    }

    fn tensor(&mut self, storage: &str, key: usize, shape: &[u64]) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.0.extend(b"((");
        self.text("storage");
        self.global("torch", storage);
        self.text(&key.to_string());
        self.text("cpu");
        self.int(shape.iter().product());
        self.0.extend(b"tQ");
        self.int(0);
        self.tuple(shape);
        let stride: Vec<u64> = (0..shape.len()).map(|dimension| shape[dimension + 1..].iter().product()).collect();
        self.tuple(&stride);
        self.0.push(0x89);
        self.global("collections", "OrderedDict");
        self.0.extend(b")RtR");
    }
}
