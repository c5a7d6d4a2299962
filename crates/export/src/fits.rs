//! A FITS binary table: an empty primary HDU, and the extension `CATALOGUE`, by
//! [version 4.0 of the standard](https://fits.gsfc.nasa.gov/fits_standard.html).
//!
//! | column of the catalogue | in FITS | null |
//! | --- | --- | --- |
//! | bool | `L` | a zero byte |
//! | uint8; int16; int32; int64 | `B`; `I`; `J`; `K` | TNULL: a number that no row has, in the next wider type where there is none |
//! | int8 | `I`: as a byte with TZERO it is a float to astropy | TNULL |
//! | uint16, uint32, uint64 | `I`, `J`, `K` with TZERO | the next wider type with TNULL: astropy compares TNULL with values to which TZERO has been added, and the standard those before |
//! | float32; float64 | `E`; `D` | NaN |
//! | text | `rA`, as long as the longest | empty, which FITS does not tell from null |
//! | vector of n numbers | `nE`, … | as above, for each number |
//!
//! FITS has printable ASCII alone, and drops spaces at a text's end. A column that has any other text is
//! percent-encoded: its texts stay distinct, and `urllib.parse.unquote` gives them back. The caller hears of it.
//!
//! FITS wants the width of texts before the rows, and a number that stands for null, so that the rows are read twice.
//! The crates that write FITS in Rust alone either take a table from memory as a whole or have no nulls (`fitskit`,
//! `fits-io`, `fitsio-pure` in November 2026), and `fitsio` binds a library in C; hence these few hundred lines.

mod cards;
mod checksum;
mod layout;
mod plain_text;
mod survey;

use std::io::{Seek, SeekFrom, Write};

use arrow_array::RecordBatch;

use crate::{columns::Values, error::Error, parquet_file::CatalogueFile};
use cards::{BLOCK, Header};
use checksum::Checksum;
use layout::{Cell, Column, columns};
use survey::survey;

/// Bytes of rows that are put together at a time.
const BATCH_BYTES: usize = 8 << 20;

/// Writes a catalogue as a FITS file, and gives what a person should know of it. `date` is the time in UTC, as
/// `2026-11-25T12:00:00`.
///
/// # Errors
/// Those of reading and writing; [`Error::Type`], [`Error::TooManyColumns`], [`Error::NoFreeNumber`].
pub fn write_fits(catalogue: &CatalogueFile, mut to: impl Write + Seek, date: &str) -> Result<Vec<String>, Error> {
    let found = survey(catalogue)?;
    let (columns, notices) = columns(catalogue.schema(), &found)?;
    let width: usize = columns.iter().map(Column::width).sum();
    let header = |data: Checksum| table_header(catalogue, &columns, width, &notices, date).with_checksums(data);

    to.write_all(&primary_header(date).with_checksums(Checksum::default()))?;
    let start = to.stream_position()?;
    to.write_all(&header(Checksum::default()))?;
    let (mut sum, mut rows) = (Checksum::default(), 0);
    let batch_rows = (BATCH_BYTES / width.max(1)).clamp(1, 8192);
    for batch in catalogue.batches(batch_rows, 0..columns.len())? {
        let batch = batch?;
        let bytes = packed(&batch, &columns, width);
        sum.add(&bytes);
        to.write_all(&bytes)?;
        rows += batch.num_rows() as u64;
    }
    if rows != catalogue.rows() {
        return Err(Error::RowCount { expected: catalogue.rows(), found: rows });
    }
    let used = (rows % BLOCK as u64 * width as u64) % BLOCK as u64;
    to.write_all(&vec![0; (BLOCK - used as usize) % BLOCK])?;
    to.seek(SeekFrom::Start(start))?;
    to.write_all(&header(sum))?;
    to.flush()?;
    Ok(notices)
}

fn primary_header(date: &str) -> Header {
    let mut header = Header::default();
    header.logical("SIMPLE", true, "a file of the FITS standard");
    header.integer("BITPIX", 8, "");
    header.integer("NAXIS", 0, "no data: the table is the extension");
    header.logical("EXTEND", true, "");
    header.text("DATE", date, "when this file was written, UTC");
    header
}

fn table_header(catalogue: &CatalogueFile, columns: &[Column], width: usize, notices: &[String], date: &str) -> Header {
    let mut header = Header::default();
    header.text("XTENSION", "BINTABLE", "a binary table");
    header.integer("BITPIX", 8, "");
    header.integer("NAXIS", 2, "");
    header.integer("NAXIS1", width as u64, "bytes in a row");
    header.integer("NAXIS2", catalogue.rows(), "rows");
    header.integer("PCOUNT", 0, "");
    header.integer("GCOUNT", 1, "");
    header.integer("TFIELDS", columns.len() as u64, "columns");
    header.text("EXTNAME", "CATALOGUE", "");
    header.text("LONGSTRN", "OGIP 1.0", "long texts go on in CONTINUE cards");
    header.text("DATE", date, "when this file was written, UTC");
    for (number, column) in (1..).zip(columns) {
        header.text(&format!("TTYPE{number}"), &column.name, "");
        header.text(&format!("TFORM{number}"), &column.form(), "");
        if let Some(unit) = &column.unit {
            header.text(&format!("TUNIT{number}"), unit, "");
        }
        if let Some(zero) = column.zero() {
            header.integer(&format!("TZERO{number}"), zero, "an unsigned integer");
        }
        if let Some(null) = column.null() {
            header.integer(&format!("TNULL{number}"), null, "stands for null");
        }
        if let Some(description) = &column.description {
            header.text(&format!("TCOMM{number}"), description, "");
        }
    }
    for (key, text) in provenance(catalogue) {
        header.text(&format!("HIERARCH COSMIC {}", key.to_uppercase()), text, "");
    }
    for comment in flags(catalogue) {
        header.comment(&comment);
    }
    for notice in notices {
        header.comment(notice);
    }
    header
}

/// What made the catalogue: the entries `cosmic.*` of its metadata, but for the long ones, which are JSON.
fn provenance(catalogue: &CatalogueFile) -> impl Iterator<Item = (&str, &str)> {
    let entries = catalogue.notes().filter_map(|(key, text)| Some((key.strip_prefix("cosmic.")?, text)));
    let is_keyword = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    entries.filter(move |(key, text)| text.len() <= 200 && is_keyword(key) && key.len() <= 20)
}

/// What the bits of the column `flags` mean.
fn flags(catalogue: &CatalogueFile) -> Vec<String> {
    let entry = catalogue.notes().find(|(key, _)| *key == "cosmic.flags");
    let flags = entry.and_then(|(_, json)| serde_json::from_str::<serde_json::Map<_, _>>(json).ok());
    let line = |(name, flag): (String, serde_json::Value)| {
        Some(format!("flags, bit {}, {name}: {}", flag.get("bit")?, flag.get("meaning")?.as_str()?))
    };
    flags.into_iter().flatten().filter_map(line).collect()
}

/// The rows of a batch as they lie in the file: row after row, big-endian.
fn packed(batch: &RecordBatch, columns: &[Column], width: usize) -> Vec<u8> {
    let mut bytes = vec![0; batch.num_rows() * width];
    let mut offset = 0;
    for (array, column) in std::iter::zip(batch.columns(), columns) {
        let values = Values::of(array);
        let size = column.cell.size();
        for row in 0..batch.num_rows() {
            let start = row * width + offset;
            let cells = bytes[start..start + column.width()].chunks_exact_mut(size);
            for (cell, index) in std::iter::zip(cells, values.of_row(row)) {
                pack(cell, column.cell, &values, index);
            }
        }
        offset += column.width();
    }
    bytes
}

/// Writes one value into its bytes, which are zero.
fn pack(to: &mut [u8], cell: Cell, values: &Values, index: Option<usize>) {
    match cell {
        Cell::Logical => to[0] = index.map_or(0, |index| if values.bool(index) { b'T' } else { b'F' }),
        Cell::Integer { bytes, zero, null } => {
            let number = match index {
                Some(index) => values.integer(index) - zero,
                None => null.unwrap_or_default().into(),
            };
            to.copy_from_slice(&number.to_be_bytes()[16 - bytes..]);
        }
        Cell::Float32 => to.copy_from_slice(&index.map_or(f32::NAN, |index| values.float32(index)).to_be_bytes()),
        Cell::Float64 => to.copy_from_slice(&index.map_or(f64::NAN, |index| values.float64(index)).to_be_bytes()),
        Cell::Text { encoded, .. } => {
            let text = index.map_or("", |index| values.text(index));
            let text = if encoded { plain_text::encode(text) } else { text.into() };
            to[..text.len()].copy_from_slice(text.as_bytes());
        }
    }
}
