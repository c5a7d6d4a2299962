//! Tensors that are bound to their bytes in a file, to be read whole or by rows.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use crate::{
    dtype::Element,
    error::{Error, FormatError},
    range::{RangeRead, read},
    tensor::TensorRef,
    zip::Member,
};

/// The largest result of one read, in bytes.
const MAX_RESULT: u64 = 16 << 30;
/// The largest number of reads that one range of rows may take.
const MAX_PIECES: usize = 100_000;

/// Where a storage lies in the file.
pub(crate) enum Place {
    /// At these bytes.
    Known(Range<u64>),
    /// Behind a local header that is still to be read.
    Behind(Member, OnceLock<Range<u64>>),
}

/// A tensor of a file, known to lie within its storage.
pub struct StoredTensor<R> {
    reader: Arc<R>,
    tensor: TensorRef,
    storage: Place,
}

impl<R: RangeRead> StoredTensor<R> {
    pub(crate) fn new(reader: Arc<R>, tensor: TensorRef, storage: Place) -> Self {
        Self { reader, tensor, storage }
    }

    /// Type, shape and strides.
    pub fn description(&self) -> &TensorRef {
        &self.tensor
    }

    /// Reads the whole tensor, row-major, converted from whichever floating-point type it has.
    ///
    /// # Errors
    /// Those of [`read_rows`](Self::read_rows).
    pub async fn read<T: Element>(&self) -> Result<Vec<T>, Error<R::Error>> {
        match self.tensor.shape.first() {
            Some(rows) => self.read_rows(0..*rows).await,
            None => {
                // A scalar is one row of a tensor of one dimension.
                let mut scalar = self.tensor.clone();
                (scalar.shape, scalar.stride) = (vec![1], vec![1]);
                self.rows_of(&scalar, 0..1).await
            }
        }
    }

    /// Reads rows (indices of the first dimension), row-major, converted from whichever floating-point type the tensor
    /// has. Reads and holds no more than about twice those rows.
    ///
    /// # Errors
    /// [`FormatError::Rows`] where the rows are not there, [`FormatError::Tensor`] where the tensor is not of a
    /// floating-point type or is spread too far, [`Error::Read`] where the reader fails.
    pub async fn read_rows<T: Element>(&self, rows: Range<u64>) -> Result<Vec<T>, Error<R::Error>> {
        self.rows_of(&self.tensor, rows).await
    }

    async fn rows_of<T: Element>(&self, tensor: &TensorRef, rows: Range<u64>) -> Result<Vec<T>, Error<R::Error>> {
        let file = || self.reader.name().to_owned();
        let there = tensor.shape.first().copied().unwrap_or(0);
        if rows.start > rows.end || rows.end > there {
            return Err(FormatError::Rows { file: file(), start: rows.start, end: rows.end, rows: there }.into());
        }
        if rows.is_empty() || tensor.shape.contains(&0) {
            return Ok(Vec::new());
        }
        let fail = |reason: String| FormatError::Tensor { file: file(), tensor: tensor.describe(), reason };
        let wanted = tensor.elements_in_storage().rows(rows);
        let count = wanted.elements().unwrap_or(u64::MAX);
        let bytes = count.saturating_mul(size_of::<T>() as u64);
        if bytes > MAX_RESULT {
            return Err(FormatError::TooLarge {
                file: file(),
                what: format!("the bytes to read of a tensor of {}", tensor.describe()),
                found: bytes,
                limit: MAX_RESULT,
            }
            .into());
        }
        let pieces = wanted
            .pieces(MAX_PIECES)
            .ok_or_else(|| fail("its elements lie too far apart: save it with `.contiguous()`".into()))?;
        let size = tensor.dtype().size();
        let first = self.storage_start().await? + tensor.storage.first * size;
        let member = format!("storage {}", tensor.storage.key);
        let mut result: Vec<T> = Vec::new();
        for piece in pieces {
            let span = piece.span().unwrap_or_default();
            let bytes = read(&*self.reader, &member, first + span.start * size..first + span.end * size).await?;
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

    async fn storage_start(&self) -> Result<u64, Error<R::Error>> {
        match &self.storage {
            Place::Known(range) => Ok(range.start),
            Place::Behind(member, known) => match known.get() {
                Some(payload) => Ok(payload.start),
                // Two reads at the same time may both come here, and find the same.
                None => {
                    let payload = member.payload(&*self.reader).await?;
                    Ok(known.get_or_init(|| payload).start)
                }
            },
        }
    }
}
