//! Tensors as the file describes them, and the way from their bytes to numbers.

use std::ops::Range;

/// Element type of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DType {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
    Complex64,
    Complex128,
}

impl DType {
    /// From the name of torch's storage class. Untyped storages count bytes.
    pub(crate) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" | "UntypedStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            "ComplexFloatStorage" => Self::Complex64,
            "ComplexDoubleStorage" => Self::Complex128,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub fn size(self) -> u64 {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 | Self::Complex64 => 8,
            Self::Complex128 => 16,
        }
    }

    /// Whether it is a real floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// torch's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I16 => "int16",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::Bool => "bool",
            Self::Complex64 => "complex64",
            Self::Complex128 => "complex128",
        }
    }
}

/// A storage by its key in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageRef {
    /// The key.
    pub key: String,
    /// Type of its elements.
    pub dtype: DType,
    /// Elements it has, as the pickle says.
    pub elements: u64,
    /// First element a tensor of it sees: above 0 only for the views of the legacy form.
    pub(crate) first: u64,
    /// Elements a tensor of it sees.
    pub(crate) visible: u64,
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
    /// The storage.
    pub storage: StorageRef,
}

impl TensorRef {
    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.storage.dtype
    }

    /// `float32 [3, 5, 32, 32]`.
    pub fn describe(&self) -> String {
        format!("{} {:?}", self.dtype().name(), self.shape)
    }

    /// Number of elements, where it fits 64 bits.
    pub fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))
    }

    /// Checks that no element lies outside the storage.
    pub(crate) fn check(&self) -> Result<(), String> {
        let storage = &self.storage;
        if storage.first.checked_add(storage.visible).is_none_or(|end| end > storage.elements) {
            return Err(format!(
                "its storage {} is a view beyond the storage's {} elements",
                storage.key, storage.elements
            ));
        }
        let layout = self.layout();
        if layout.elements().is_none() {
            return Err(format!("its size {:?} overflows", self.shape));
        }
        match layout.span() {
            Some(span) if span.is_empty() || span.end <= storage.visible => Ok(()),
            Some(span) => {
                Err(format!("it reaches to element {}, its storage {} has {}", span.end, storage.key, storage.visible))
            }
            None => Err(format!("its size {:?} and stride {:?} overflow", self.shape, self.stride)),
        }
    }

    /// Where its elements lie, before the storage's own first element is added.
    pub(crate) fn layout(&self) -> Layout {
        let mut target = vec![1_u64; self.shape.len()];
        for dimension in (0..self.shape.len().saturating_sub(1)).rev() {
            target[dimension] = target[dimension + 1].saturating_mul(self.shape[dimension + 1]);
        }
        Layout { shape: self.shape.clone(), stride: self.stride.clone(), target, offset: self.offset, start: 0 }
    }
}

/// A box of elements: where each lies in the storage and where it goes in the row-major result.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    shape: Vec<u64>,
    stride: Vec<u64>,
    /// Row-major strides of the result.
    target: Vec<u64>,
    offset: u64,
    /// First element in the result.
    start: u64,
}

impl Layout {
    /// Number of elements.
    pub(crate) fn elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))
    }

    /// The same for a range of the first dimension; the result starts at its first row.
    pub(crate) fn rows(mut self, rows: Range<u64>) -> Self {
        if let (Some(size), Some(stride)) = (self.shape.first_mut(), self.stride.first()) {
            *size = rows.end - rows.start;
            self.offset += rows.start * stride;
        }
        self
    }

    /// First element in the storage, and one past the last one; `None` where that overflows.
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

    /// Cuts it into boxes whose spans are read without much waste: a tensor of rows far apart becomes its rows.
    ///
    /// Permuted tensors (channels last) stay whole: their span holds nothing but their elements.
    pub(crate) fn pieces(self, most: usize) -> Option<Vec<Self>> {
        let mut todo = vec![self];
        let mut done = Vec::new();
        while let Some(layout) = todo.pop() {
            let span = layout.span()?;
            if (span.end - span.start) / 2 <= layout.elements()?.saturating_add(SMALL_SPAN) {
                done.push(layout);
            } else {
                let (widest, _) = layout
                    .stride
                    .iter()
                    .enumerate()
                    .filter(|(dimension, _)| layout.shape[*dimension] > 1)
                    .max_by_key(|(_, stride)| **stride)?;
                let count = usize::try_from(layout.shape[widest]).ok()?;
                if todo.len() + done.len() + count > most {
                    return None;
                }
                for index in 0..layout.shape[widest] {
                    let mut piece = layout.clone();
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

    /// Puts the elements into the result, from those of the span.
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

/// Elements that may be read in vain before a layout is cut into pieces.
const SMALL_SPAN: u64 = 16_384;

/// Copies a box of (size, stride in source, stride in target) dimensions.
fn copy<T: Copy>(dimensions: &[(usize, usize, usize)], source: &[T], target: &mut [T]) {
    // The rest is a run of neighbours on both sides?
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

/// A number type that tensors are read as.
pub trait Element: Copy + Default + Send + 'static {
    /// Decodes little-endian elements of a floating-point type; `None` for other types.
    fn decode(dtype: DType, bytes: &[u8]) -> Option<Vec<Self>>;
}

fn each<const N: usize, T>(bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| decode(*chunk)).collect()
}

impl Element for f32 {
    fn decode(dtype: DType, bytes: &[u8]) -> Option<Vec<Self>> {
        Some(match dtype {
            DType::F64 => each(bytes, |chunk| f64::from_le_bytes(chunk) as f32),
            DType::F32 => each(bytes, f32::from_le_bytes),
            DType::F16 => each(bytes, |chunk| half::f16::from_le_bytes(chunk).to_f32()),
            DType::Bf16 => each(bytes, |chunk| half::bf16::from_le_bytes(chunk).to_f32()),
            _ => return None,
        })
    }
}

impl Element for f64 {
    fn decode(dtype: DType, bytes: &[u8]) -> Option<Vec<Self>> {
        Some(match dtype {
            DType::F64 => each(bytes, f64::from_le_bytes),
            DType::F32 => each(bytes, |chunk| f32::from_le_bytes(chunk).into()),
            DType::F16 => each(bytes, |chunk| half::f16::from_le_bytes(chunk).to_f64()),
            DType::Bf16 => each(bytes, |chunk| half::bf16::from_le_bytes(chunk).to_f64()),
            _ => return None,
        })
    }
}
