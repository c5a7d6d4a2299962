//! Strided access: which elements of a storage a tensor sees, and how they are read with few reads and little waste.
//!
//! A tensor is a box of elements with a distance in the storage (a stride) along each dimension. Slices, permuted and
//! expanded tensors differ from contiguous ones only in their strides, so all of them go through here.

use std::ops::Range;

/// A box may span this many elements more than it has before it is cut into pieces.
const SMALL_SPAN: u64 = 16_384;

/// The strides of a tensor as a file gives them.
///
/// # Errors
/// A sentence that names a negative one. torch knows none; a file that has one was not written by it, and elements
/// before the offset could lie in front of the storage.
pub(crate) fn checked(strides: &[i64]) -> Result<Vec<u64>, String> {
    let check = |(dimension, stride): (usize, &i64)| {
        u64::try_from(*stride).map_err(|_| {
            format!("a tensor's stride along dimension {dimension} is {stride}: save it with `.contiguous()`")
        })
    };
    strides.iter().enumerate().map(check).collect()
}

/// A box of elements: where each lies in the storage, and where it goes in the row-major result.
#[derive(Debug, Clone)]
pub(crate) struct StridedBox {
    shape: Vec<u64>,
    stride: Vec<u64>,
    /// Row-major strides of the result.
    target: Vec<u64>,
    /// First element in the storage.
    offset: u64,
    /// First element in the result.
    start: u64,
}

impl StridedBox {
    /// The box of a whole tensor.
    pub(crate) fn new(shape: &[u64], stride: &[u64], offset: u64) -> Self {
        let mut target = vec![1_u64; shape.len()];
        for dimension in (0..shape.len().saturating_sub(1)).rev() {
            target[dimension] = target[dimension + 1].saturating_mul(shape[dimension + 1]);
        }
        Self { shape: shape.to_vec(), stride: stride.to_vec(), target, offset, start: 0 }
    }

    /// The number of elements, where it fits 64 bits.
    pub(crate) fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))
    }

    /// The box of a range of the first dimension. Its result starts with the range's first row.
    pub(crate) fn rows(mut self, rows: Range<u64>) -> Self {
        if let (Some(size), Some(stride)) = (self.shape.first_mut(), self.stride.first()) {
            *size = rows.end - rows.start;
            self.offset += rows.start * stride;
        }
        self
    }

    /// The first element in the storage and one past the last; `None` where that overflows.
    pub(crate) fn span(&self) -> Option<Range<u64>> {
        if self.shape.contains(&0) {
            return Some(self.offset..self.offset);
        }
        let mut last = self.offset;
        for (size, stride) in self.shape.iter().zip(&self.stride) {
            last = last.checked_add((size - 1).checked_mul(*stride)?)?;
        }
        Some(self.offset..last.checked_add(1)?)
    }

    /// Cuts the box into boxes whose spans are read without much waste: a tensor of rows far apart becomes its rows.
    /// `None` where that would take more than `most`.
    ///
    /// Permuted tensors (channels last) stay whole: their span holds nothing but their elements.
    pub(crate) fn pieces(self, most: usize) -> Option<Vec<Self>> {
        let mut todo = vec![self];
        let mut done = Vec::new();
        while let Some(whole) = todo.pop() {
            let span = whole.span()?;
            if (span.end - span.start) / 2 <= whole.elements()?.saturating_add(SMALL_SPAN) {
                done.push(whole);
            } else {
                let (widest, _) = whole
                    .stride
                    .iter()
                    .enumerate()
                    .filter(|(dimension, _)| whole.shape[*dimension] > 1)
                    .max_by_key(|(_, stride)| **stride)?;
                let count = usize::try_from(whole.shape[widest]).ok()?;
                if todo.len() + done.len() + count > most {
                    return None;
                }
                for index in 0..whole.shape[widest] {
                    let mut piece = whole.clone();
                    piece.offset += index * piece.stride[widest];
                    piece.start += index * piece.target[widest];
                    piece.shape[widest] = 1;
                    todo.push(piece);
                }
            }
        }
        Some(done)
    }

    /// Whether the elements lie in the storage in the order of the result.
    pub(crate) fn is_row_major(&self) -> bool {
        let dimensions = self.shape.iter().zip(self.stride.iter().zip(&self.target));
        dimensions.into_iter().all(|(size, (stride, target))| *size == 1 || stride == target)
    }

    /// Copies the elements to their places in the result; `span` holds those from the first to the last of the box.
    pub(crate) fn gather<T: Copy>(&self, span: &[T], result: &mut [T]) {
        // Dimensions of one element say nothing about the order.
        let dimensions: Vec<(usize, usize, usize)> = (0..self.shape.len())
            .filter(|dimension| self.shape[*dimension] != 1)
            .map(|dimension| {
                (self.shape[dimension] as usize, self.stride[dimension] as usize, self.target[dimension] as usize)
            })
            .collect();
        copy(&dimensions, span, &mut result[self.start as usize..]);
    }
}

/// Copies a box of (size, stride in source, stride in target) dimensions.
fn copy<T: Copy>(dimensions: &[(usize, usize, usize)], source: &[T], target: &mut [T]) {
    let mut run = 1;
    let contiguous = dimensions.iter().rev().all(|(size, from, to)| {
        let next = *from == run && *to == run;
        run *= size;
        next
    });
    if contiguous {
        target[..run].copy_from_slice(&source[..run]);
        return;
    }
    if let Some(((size, from, to), rest)) = dimensions.split_first() {
        for index in 0..*size {
            copy(rest, &source[index * from..], &mut target[index * to..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_stride_is_refused_and_named() {
        assert_eq!(checked(&[5120, 1024, 32, 1]), Ok(vec![5120, 1024, 32, 1]));
        let said = checked(&[1024, -32, 1]).unwrap_err();
        assert!(said.contains("dimension 1") && said.contains("-32") && said.contains("contiguous"), "{said}");
    }
}
