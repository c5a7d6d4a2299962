//! Tensors as a file describes them: a shape and strides over a storage.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    dtype::DType,
    printable::Printable,
    strides::{self, StridedBox},
};

/// A tensor has at most this many dimensions.
const MAX_DIMENSIONS: usize = 16;

/// A storage, by its key in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageRef {
    /// The key: in the zip form, the name of a member of the folder `data`.
    pub key: Arc<str>,
    /// Type of the elements.
    pub dtype: DType,
    /// Number of elements, as the pickle says.
    pub elements: u64,
    /// First element that a tensor of it sees: above 0 only for the views of the legacy form.
    pub(crate) first: u64,
    /// Number of elements that a tensor of it sees.
    pub(crate) visible: u64,
    /// Whether the most significant byte of an element comes first, as in NumPy arrays that astropy gives of FITS
    /// files.
    pub(crate) big_endian: bool,
    /// The bytes, where they lie in the pickle: those of a NumPy array.
    pub(crate) held: Option<Bytes>,
}

/// A tensor: a strided view of a storage. Counts are in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorRef {
    /// Size of each dimension.
    pub shape: Vec<u64>,
    /// Distance in the storage between neighbours along each dimension.
    pub stride: Vec<u64>,
    /// First element in the storage.
    pub offset: u64,
    /// The storage that holds the elements.
    pub storage: StorageRef,
    /// Whether the values are the opposite of those in the storage.
    pub(crate) negated: bool,
}

impl TensorRef {
    /// Makes a tensor of the numbers that a pickle gives for it.
    ///
    /// # Errors
    /// A sentence on what no tensor can have: a negative number, strides that are not one for each dimension, more than
    /// 16 dimensions.
    pub(crate) fn new(storage: StorageRef, offset: i64, shape: &[i64], stride: &[i64]) -> Result<Self, String> {
        Self::check_dimensions(shape.len().max(stride.len()))?;
        if shape.len() != stride.len() {
            return Err("a tensor's size and stride differ in length".into());
        }
        let not_negative = |value: i64, what| {
            u64::try_from(value).map_err(|_| format!("a tensor's {what} is {value}, and must be 0 or more"))
        };
        Ok(Self {
            shape: shape.iter().map(|size| not_negative(*size, "size")).collect::<Result<_, _>>()?,
            stride: strides::checked(stride)?,
            offset: not_negative(offset, "offset")?,
            storage,
            negated: false,
        })
    }

    /// Refuses a number of dimensions that no tensor has.
    pub(crate) fn check_dimensions(count: usize) -> Result<(), String> {
        if count > MAX_DIMENSIONS { Err(format!("a tensor of more than {MAX_DIMENSIONS} dimensions")) } else { Ok(()) }
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.storage.dtype
    }

    /// Type and shape, such as `float32 [3, 5, 32, 32]`.
    pub fn describe(&self) -> String {
        format!("{} {:?}", self.dtype().name(), self.shape)
    }

    /// The number of elements, where it fits 64 bits.
    pub fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))
    }

    /// Whether it has no more elements than its storage: an expanded tensor, whose rows all lie in one place, has more.
    pub fn fits_its_storage(&self) -> bool {
        self.elements().is_some_and(|elements| elements <= self.storage.visible)
    }

    /// The bytes of the elements, each counted as often as the tensor has it; `None` where they overflow 64 bits.
    pub fn bytes(&self) -> Option<u64> {
        self.elements()?.checked_mul(self.dtype().size())
    }

    /// Checks that no element lies outside the storage. The error says what does.
    pub(crate) fn check(&self) -> Result<(), String> {
        let storage = &self.storage;
        if storage.first.checked_add(storage.visible).is_none_or(|end| end > storage.elements) {
            return Err(format!(
                "its storage {} is a view beyond the storage's {} elements",
                Printable(&storage.key),
                storage.elements
            ));
        }
        if self.elements().is_none() {
            return Err(format!("its size {:?} overflows", self.shape));
        }
        match self.elements_in_storage().span() {
            Some(span) if span.is_empty() || span.end <= storage.visible => Ok(()),
            Some(span) => Err(format!(
                "it reaches to element {}, its storage {} has {}",
                span.end,
                Printable(&storage.key),
                storage.visible
            )),
            None => Err(format!("its size {:?} and stride {:?} overflow", self.shape, self.stride)),
        }
    }

    /// Where the elements lie among those of the storage that the tensor sees.
    pub(crate) fn elements_in_storage(&self) -> StridedBox {
        StridedBox::new(&self.shape, &self.stride, self.offset)
    }
}
