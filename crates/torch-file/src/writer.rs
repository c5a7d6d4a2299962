//! Writes data sets in the zip form, as `torch.load` reads them.
//!
//! The tensors are members one after the other, while rows come one by one. Since the number of rows is known
//! beforehand, so is every offset: rows are written to their places as they come, and the checksums last. Memory does
//! not grow with the number of rows, and the same rows give the same bytes.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use crate::{
    dtype::DType,
    error::WriteError,
    pickler::{self, Entry, Form},
    zip_writer::{WrittenMember, directory_entry, end_records, local_header},
};

/// The size of a tensor's row in bytes.
fn row_size(dtype: DType, row_shape: &[u64]) -> u64 {
    dtype.size() * row_shape.iter().product::<u64>()
}

/// A data set that is being written.
pub struct DataSetWriter {
    name: String,
    file: File,
    /// The size of a row of each tensor, in bytes.
    row_sizes: Vec<u64>,
    rows: u64,
    written: u64,
    members: Vec<WrittenMember>,
}

/// The members in front of the tensors': the pickle and the byte order.
const FIRST_TENSOR: usize = 2;

impl DataSetWriter {
    /// Starts a data set of exactly `rows` rows.
    ///
    /// # Errors
    /// [`WriteError::Rows`] where a list has another number of items, [`WriteError::Io`] where the file cannot be made.
    pub fn create(path: impl AsRef<Path>, rows: u64, form: Form, entries: &[Entry]) -> Result<Self, WriteError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let mut row_sizes = Vec::new();
        for entry in entries {
            match entry {
                Entry::Tensor { dtype, row_shape, .. } => row_sizes.push(row_size(*dtype, row_shape)),
                Entry::List { name: list, items } if items.len() as u64 != rows => {
                    let reason = format!("the list {list} has {} items for {rows} rows", items.len());
                    return Err(WriteError::Rows { file: name, reason });
                }
                Entry::List { .. } => {}
            }
        }
        let file = File::create(path).map_err(|source| WriteError::Io { file: name.clone(), source })?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("archive").to_owned();
        let pickle = pickler::data_set(form, entries, rows);
        let mut writer = Self { name, file, row_sizes, rows, written: 0, members: Vec::new() };
        writer.place(&stem, "data.pkl", pickle.len() as u64);
        writer.place(&stem, "byteorder", 6);
        for index in 0..writer.row_sizes.len() {
            writer.place(&stem, &format!("data/{index}"), writer.row_sizes[index] * rows);
        }
        writer.place(&stem, "version", 2);
        let last = writer.members.len() - 1;
        writer.put(0, 0, &pickle)?;
        writer.put(1, 0, b"little")?;
        writer.put(last, 0, b"3\n")?;
        Ok(writer)
    }

    /// Gives the next member its place.
    fn place(&mut self, stem: &str, name: &str, size: u64) {
        let header = self.members.last().map_or(0, WrittenMember::end);
        self.members.push(WrittenMember::at(header, format!("{stem}/{name}"), size));
    }

    fn put(&mut self, member: usize, at: u64, bytes: &[u8]) -> Result<(), WriteError> {
        let member = &mut self.members[member];
        member.crc.update(bytes);
        let written = self.file.write_all_at(bytes, member.payload + at);
        written.map_err(|source| WriteError::Io { file: self.name.clone(), source })
    }

    fn refuse(&self, reason: String) -> WriteError {
        WriteError::Rows { file: self.name.clone(), reason }
    }

    /// Appends rows: the bytes of each tensor, row-major and little-endian.
    ///
    /// # Errors
    /// [`WriteError::Rows`] where lengths do not fit each other or the number of rows, [`WriteError::Io`] where the
    /// disk does not take them.
    pub fn write(&mut self, tensors: &[&[u8]]) -> Result<(), WriteError> {
        let rows_of = |(size, bytes): (&u64, &&[u8])| {
            let (size, length) = ((*size).max(1), bytes.len() as u64);
            length.is_multiple_of(size).then_some(length / size)
        };
        let counts: Vec<Option<u64>> = self.row_sizes.iter().zip(tensors).map(rows_of).collect();
        let count = counts.first().copied().flatten().unwrap_or(0);
        if tensors.len() != self.row_sizes.len() || counts.iter().any(|rows| *rows != Some(count)) {
            let lengths: Vec<usize> = tensors.iter().map(|bytes| bytes.len()).collect();
            return Err(self.refuse(format!("tensors of {lengths:?} bytes do not have the same number of rows")));
        }
        if self.written + count > self.rows {
            return Err(self.refuse(format!("more than the {} rows it was started with", self.rows)));
        }
        for (index, bytes) in tensors.iter().enumerate() {
            self.put(FIRST_TENSOR + index, self.written * self.row_sizes[index], bytes)?;
        }
        self.written += count;
        Ok(())
    }

    /// Writes headers and directory.
    ///
    /// # Errors
    /// [`WriteError::Rows`] where rows are missing, [`WriteError::Io`] where the disk does not take the bytes.
    pub fn finish(self) -> Result<(), WriteError> {
        if self.written != self.rows {
            return Err(self.refuse(format!("{} of its {} rows were written", self.written, self.rows)));
        }
        let failed = |source| WriteError::Io { file: self.name.clone(), source };
        let mut directory = Vec::new();
        for member in &self.members {
            let crc = member.crc.clone().finalize();
            self.file.write_all_at(&local_header(member, crc), member.header).map_err(failed)?;
            directory.extend(directory_entry(member, crc));
        }
        let start = self.members.last().map_or(0, WrittenMember::end);
        let end = end_records(self.members.len() as u64, start, directory.len() as u64);
        directory.extend(end);
        self.file.write_all_at(&directory, start).map_err(failed)
    }
}
