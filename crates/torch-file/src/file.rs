//! A torch.save file of either form: its object, and the numbers of its tensors by row ranges.

use std::{collections::HashMap, ops::Range, sync::Arc};

use crate::{
    Error, Result, legacy,
    pickle::{MAX_PICKLE, parse_whole},
    range::{RangeRead, read},
    tensor::{Element, TensorRef},
    value::{Pickle, Value},
    zip::Directory,
};

/// Largest result of one read, in bytes.
const MAX_RESULT: u64 = 16 << 30;
/// Largest number of reads that one range of rows may take.
const MAX_PIECES: usize = 100_000;

/// How a file was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// PyTorch 1.6 and later.
    Zip,
    /// PyTorch 0.1.10 to 1.5.
    Legacy,
}

enum Storages {
    Zip(Directory),
    Legacy(HashMap<String, Range<u64>>),
}

/// An open torch.save file. Opening reads its description, never its tensors.
pub struct TorchFile {
    reader: Arc<dyn RangeRead>,
    pickle: Pickle,
    storages: Storages,
}

impl TorchFile {
    /// Reads a file's object, with its tensors as references.
    ///
    /// # Errors
    /// One variant per malformation: see [`Error`].
    pub async fn open(reader: Arc<dyn RangeRead>) -> Result<Self> {
        let size = reader.size();
        let start = read(reader.as_ref(), "the start", 0..size.min(512)).await?;
        if start.starts_with(b"PK\x03\x04") {
            return Self::open_zip(reader).await;
        }
        if start.starts_with(&legacy::MAGIC) {
            let legacy = legacy::open(reader.as_ref()).await?;
            return Ok(Self { pickle: legacy.pickle, storages: Storages::Legacy(legacy.storages), reader });
        }
        let file = reader.name().to_owned();
        if start.get(257..262) == Some(b"ustar") {
            return Err(Error::Unsupported {
                file,
                what: "the tar form of PyTorch before 0.1.10".into(),
                instead: "load it with the PyTorch that wrote it and save it again",
            });
        }
        Err(Error::NotTorch { file, reason: looks_like(&start) })
    }

    async fn open_zip(reader: Arc<dyn RangeRead>) -> Result<Self> {
        let file = reader.name();
        let directory = Directory::read(reader.as_ref()).await?;
        let Some(size) = directory.size("data.pkl") else {
            return Err(Error::NotTorch {
                file: file.to_owned(),
                reason: "it is a zip file without a data.pkl".into(),
            });
        };
        if directory.contains("constants.pkl") {
            return Err(Error::Unsupported {
                file: file.to_owned(),
                what: "a TorchScript archive".into(),
                instead: "save the module itself, or its state dict, with torch.save",
            });
        }
        if size > MAX_PICKLE {
            return Err(Error::TooLarge {
                file: file.to_owned(),
                what: directory.full_name("data.pkl"),
                found: size,
                limit: MAX_PICKLE,
            });
        }
        if directory.contains("byteorder") {
            let range = directory.locate(reader.as_ref(), "byteorder").await?;
            let order = read(reader.as_ref(), "byteorder", range.start..range.end.min(range.start + 16)).await?;
            if order.as_ref() != b"little" {
                return Err(legacy::big_endian(file));
            }
        }
        let range = directory.locate(reader.as_ref(), "data.pkl").await?;
        let bytes = read(reader.as_ref(), "data.pkl", range).await?;
        let pickle = parse_whole(file, &directory.full_name("data.pkl"), &bytes)?;
        Ok(Self { pickle, storages: Storages::Zip(directory), reader })
    }

    /// The file's name, as its reader calls it.
    pub fn name(&self) -> &str {
        self.reader.name()
    }

    /// How it was saved.
    pub fn format(&self) -> Format {
        match self.storages {
            Storages::Zip(_) => Format::Zip,
            Storages::Legacy(_) => Format::Legacy,
        }
    }

    /// The saved object.
    pub fn root(&self) -> Value<'_> {
        self.pickle.root()
    }

    /// Where a tensor's storage lies, checked against what the tensor wants of it.
    async fn storage(&self, tensor: &TensorRef) -> Result<Range<u64>> {
        let storage = &tensor.storage;
        let fail = |reason| Error::Tensor { file: self.name().to_owned(), tensor: tensor.describe(), reason };
        tensor.check().map_err(fail)?;
        let range = match &self.storages {
            Storages::Legacy(storages) => storages.get(&storage.key).cloned(),
            Storages::Zip(directory) => {
                let member = format!("data/{}", storage.key);
                match directory.contains(&member) {
                    true => Some(directory.locate(self.reader.as_ref(), &member).await?),
                    false => None,
                }
            }
        };
        let range = range.ok_or_else(|| fail(format!("its storage {} is not in the file", storage.key)))?;
        let wanted = storage.elements.checked_mul(storage.dtype.size());
        if wanted != Some(range.end - range.start) {
            return Err(fail(format!(
                "its storage {} should have {} elements, the file has {} bytes of it",
                storage.key,
                storage.elements,
                range.end - range.start
            )));
        }
        Ok(range)
    }

    /// Checks that a tensor's elements are all there, without reading them.
    ///
    /// # Errors
    /// [`Error::Tensor`] where they are not.
    pub async fn check(&self, tensor: &TensorRef) -> Result<()> {
        self.storage(tensor).await.map(drop)
    }

    /// A whole tensor, row-major, converted from whichever floating-point type it has.
    ///
    /// # Errors
    /// A tensor that is not floating-point or not wholly in the file.
    pub async fn tensor<T: Element>(&self, tensor: &TensorRef) -> Result<Vec<T>> {
        match tensor.shape.first() {
            Some(rows) => self.rows(tensor, 0..*rows).await,
            None => {
                // A scalar is one row of a tensor of one dimension.
                let mut scalar = tensor.clone();
                (scalar.shape, scalar.stride) = (vec![1], vec![1]);
                self.rows(&scalar, 0..1).await
            }
        }
    }

    /// Rows of a tensor (indices of its first dimension), row-major, converted from whichever floating-point type it
    /// has. Reads and holds no more than about twice those rows.
    ///
    /// # Errors
    /// A tensor that is not floating-point or not wholly in the file, and rows it does not have.
    pub async fn rows<T: Element>(&self, tensor: &TensorRef, rows: Range<u64>) -> Result<Vec<T>> {
        let there = tensor.shape.first().copied().unwrap_or(0);
        if rows.start > rows.end || rows.end > there {
            return Err(Error::Rows { file: self.name().to_owned(), start: rows.start, end: rows.end, rows: there });
        }
        let storage = self.storage(tensor).await?;
        if rows.is_empty() || tensor.shape.contains(&0) {
            return Ok(Vec::new());
        }
        let fail = |reason: String| Error::Tensor { file: self.name().to_owned(), tensor: tensor.describe(), reason };
        let layout = tensor.layout().rows(rows);
        let count = layout.elements().unwrap_or(u64::MAX);
        let bytes = count.saturating_mul(size_of::<T>() as u64);
        if bytes > MAX_RESULT {
            return Err(Error::TooLarge {
                file: self.name().to_owned(),
                what: format!("the bytes to read of a tensor of {}", tensor.describe()),
                found: bytes,
                limit: MAX_RESULT,
            });
        }
        let pieces = layout
            .pieces(MAX_PIECES)
            .ok_or_else(|| fail("its elements lie too far apart: save it with `.contiguous()`".into()))?;
        let size = tensor.dtype().size();
        let first = storage.start + tensor.storage.first * size;
        let mut result: Vec<T> = Vec::new();
        for piece in pieces {
            let span = piece.span().unwrap_or_default();
            let member = format!("storage {}", tensor.storage.key);
            let bytes = read(self.reader.as_ref(), &member, first + span.start * size..first + span.end * size).await?;
            let elements =
                T::decode(tensor.dtype(), &bytes).ok_or_else(|| fail("it is not of a floating-point type".into()))?;
            if elements.len() as u64 == count && piece.is_row_major() {
                return Ok(elements);
            }
            if result.is_empty() {
                result = vec![T::default(); count as usize];
            }
            piece.gather(&elements, &mut result);
        }
        Ok(result)
    }
}

/// What a file's first bytes say it is.
fn looks_like(start: &[u8]) -> String {
    let known: [(&[u8], &str); 8] = [
        (b"\x89HDF", "an HDF5 file"),
        (b"SIMPLE  =", "a FITS file"),
        (b"\x93NUMPY", "a NumPy file"),
        (b"\x1f\x8b", "gzip data"),
        (b"PAR1", "a Parquet file"),
        (b"PK\x05\x06", "an empty zip file"),
        (b"<", "a web page or XML"),
        (b"\x80", "a plain pickle"),
    ];
    match known.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, what)) => format!("it looks like {what}"),
        None if start.get(8) == Some(&b'{') => "it looks like a safetensors file".into(),
        None if start.is_empty() => "it is empty".into(),
        None => format!("it starts with {:02x?}", &start[..start.len().min(4)]),
    }
}
