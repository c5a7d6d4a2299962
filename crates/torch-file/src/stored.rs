//! Tensors that are bound to their bytes in a file, to be read whole or by rows.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use crate::{
    checksum::RunningChecksum,
    dtype::{DType, Element},
    error::{Error, FormatError},
    range::{RangeRead, read},
    tensor::TensorRef,
    zip::Member,
};

/// The largest result of one read, in bytes.
const MAX_RESULT: u64 = 16 << 30;
/// A storage's first bytes are read together with the header in front of them where they are no more than these: one
/// request of a small column instead of two.
const WITH_HEADER: u64 = 1 << 20;
/// The largest number of reads that one range of rows may take.
const MAX_PIECES: usize = 100_000;

/// Where a storage lies.
pub(crate) enum Place {
    /// In the file, from this byte on.
    Known(u64),
    /// Behind a local header that is still to be read.
    BehindHeader(Member, OnceLock<u64>),
    /// Behind its number of elements, which is still to be read, and should be this one.
    BehindCount { count: Range<u64>, elements: u64, checked: OnceLock<()> },
    /// In the pickle, which has been read.
    Held(Bytes),
}

/// A tensor of a file, known to lie within its storage.
pub struct StoredTensor<R> {
    reader: Arc<R>,
    tensor: TensorRef,
    storage: Place,
    /// Of what was read of the storage so far, where the archive says what it should be.
    checksum: Option<RunningChecksum>,
}

impl<R: RangeRead> StoredTensor<R> {
    pub(crate) fn new(reader: Arc<R>, tensor: TensorRef, storage: Place, checksum: Option<RunningChecksum>) -> Self {
        Self { reader, tensor, storage, checksum }
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
                self.rows_of(&scalar, 0..1, T::decode, |value| *value = -*value).await
            }
        }
    }

    /// Reads rows (indices of the first dimension), row-major, converted from whichever floating-point type the tensor
    /// has. Reads and holds no more than about twice those rows.
    ///
    /// Who reads all rows in order, in ranges one after the other, has the whole storage's bytes checked against the
    /// archive's checksum by the read of the last range; bytes that no row has, in front of the tensor or behind it,
    /// leave it unchecked.
    ///
    /// # Errors
    /// [`FormatError::Checksum`] for the last of all rows where any of the bytes was not the right one,
    /// [`FormatError::Rows`] where the rows are not there, [`FormatError::Tensor`] where the tensor is not of a
    /// floating-point type or is spread too far, [`Error::Read`] where the reader fails.
    pub async fn read_rows<T: Element>(&self, rows: Range<u64>) -> Result<Vec<T>, Error<R::Error>> {
        self.rows_of(&self.tensor, rows, T::decode, |value| *value = -*value).await
    }

    /// Reads rows as [`read_rows`](Self::read_rows) does, as the bytes of their elements, little-endian and of the
    /// tensor's own type, whichever that is.
    ///
    /// # Errors
    /// Those of [`read_rows`](Self::read_rows), but for the type's.
    pub async fn read_row_bytes(&self, rows: Range<u64>) -> Result<Vec<u8>, Error<R::Error>> {
        match self.tensor.dtype().size() {
            1 => self.row_bytes::<1>(rows).await,
            2 => self.row_bytes::<2>(rows).await,
            4 => self.row_bytes::<4>(rows).await,
            8 => self.row_bytes::<8>(rows).await,
            _ => self.row_bytes::<16>(rows).await,
        }
    }

    async fn row_bytes<const N: usize>(&self, rows: Range<u64>) -> Result<Vec<u8>, Error<R::Error>>
    where
        [u8; N]: Default,
    {
        let decode = |_, bytes: &[u8]| Some(bytes.as_chunks::<N>().0.to_vec());
        // Only what torch makes of complex numbers is negated, whose parts have their sign in the highest bit.
        let negate = |element: &mut [u8; N]| element[N - 1] ^= 0x80;
        Ok(self.rows_of(&self.tensor, rows, decode, negate).await?.into_flattened())
    }

    async fn rows_of<T: Copy + Default>(
        &self,
        tensor: &TensorRef,
        rows: Range<u64>,
        decode: impl Fn(DType, &[u8]) -> Option<Vec<T>>,
        negate: impl Fn(&mut T),
    ) -> Result<Vec<T>, Error<R::Error>> {
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
        let first = tensor.storage.first * size;
        let mut result: Vec<T> = Vec::new();
        for piece in pieces {
            let span = piece.span().unwrap_or_default();
            let bytes = self.storage_bytes(first + span.start * size..first + span.end * size).await?;
            let mut elements =
                decode(tensor.dtype(), &bytes).ok_or_else(|| fail("it is not of a floating-point type".into()))?;
            if tensor.negated {
                elements.iter_mut().for_each(&negate);
            }
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

    /// Reads a range of whole elements of the storage, as little-endian bytes.
    async fn storage_bytes(&self, range: Range<u64>) -> Result<Bytes, Error<R::Error>> {
        let bytes = self.bytes_as_stored(range).await?;
        if !self.tensor.storage.big_endian {
            return Ok(bytes);
        }
        let mut swapped = bytes.to_vec();
        swapped.chunks_exact_mut(self.tensor.dtype().size() as usize).for_each(<[u8]>::reverse);
        Ok(swapped.into())
    }

    async fn bytes_as_stored(&self, range: Range<u64>) -> Result<Bytes, Error<R::Error>> {
        if let Place::Held(bytes) = &self.storage {
            // The tensor lies within its storage, which has these bytes.
            return Ok(bytes.slice(range.start as usize..range.end as usize));
        }
        let bytes = match &self.storage {
            Place::BehindHeader(member, known) if known.get().is_none() && range.end <= WITH_HEADER => {
                let (payload, bytes) = member.payload_with_start(&*self.reader, None, range.end).await?;
                known.get_or_init(|| payload.start);
                // The directory has the member's size, within which the tensor lies.
                bytes.slice(range.start as usize..range.end as usize)
            }
            _ => {
                let start = self.storage_start().await?;
                let member = format!("storage {}", self.tensor.storage.key);
                read(&*self.reader, &member, start + range.start..start + range.end).await?
            }
        };
        if let Some(checksum) = &self.checksum {
            checksum.saw(self.reader.name(), range.start, &bytes)?;
        }
        Ok(bytes)
    }

    /// Where the storage's first byte lies in the file.
    async fn storage_start(&self) -> Result<u64, Error<R::Error>> {
        match &self.storage {
            Place::Held(_) => Ok(0),
            Place::Known(start) => Ok(*start),
            Place::BehindHeader(member, known) => match known.get() {
                Some(start) => Ok(*start),
                // Two reads at the same time may both come here, and find the same.
                None => {
                    let payload = member.payload(&*self.reader).await?;
                    Ok(*known.get_or_init(|| payload.start))
                }
            },
            Place::BehindCount { count, elements, checked } => {
                if checked.get().is_none() {
                    let member = format!("storage {}", self.tensor.storage.key);
                    let bytes = read(&*self.reader, &member, count.clone()).await?;
                    let found = i64::from_le_bytes(bytes.as_ref().try_into().unwrap_or_default());
                    if u64::try_from(found) != Ok(*elements) {
                        let reason = format!("it has {found} elements, its tensors were promised {elements}");
                        let file = self.reader.name().to_owned();
                        return Err(FormatError::Tensor { file, tensor: member, reason }.into());
                    }
                    checked.get_or_init(|| ());
                }
                Ok(count.end)
            }
        }
    }
}
