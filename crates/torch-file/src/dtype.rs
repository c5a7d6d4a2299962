//! Element types: torch's names for them, their sizes, and the way from bytes to numbers.

/// The element type of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of torch")]
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
    /// Finds the type by the name of torch's storage class. Untyped storages count bytes.
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

    /// Finds the type by the name that NumPy's arrays carry.
    pub(crate) fn of_numpy(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"f8" => Self::F64,
            b"f4" => Self::F32,
            b"f2" => Self::F16,
            b"i8" => Self::I64,
            b"i4" => Self::I32,
            b"i2" => Self::I16,
            b"i1" => Self::I8,
            b"u1" => Self::U8,
            b"b1" => Self::Bool,
            _ => return None,
        })
    }

    /// The name of torch's storage class.
    pub(crate) fn storage_class(self) -> &'static str {
        match self {
            Self::F64 => "DoubleStorage",
            Self::F32 => "FloatStorage",
            Self::F16 => "HalfStorage",
            Self::Bf16 => "BFloat16Storage",
            Self::I64 => "LongStorage",
            Self::I32 => "IntStorage",
            Self::I16 => "ShortStorage",
            Self::I8 => "CharStorage",
            Self::U8 => "ByteStorage",
            Self::Bool => "BoolStorage",
            Self::Complex64 => "ComplexFloatStorage",
            Self::Complex128 => "ComplexDoubleStorage",
        }
    }

    /// Size of an element in bytes.
    pub fn size(self) -> u64 {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 | Self::Complex64 => 8,
            Self::Complex128 => 16,
        }
    }

    /// Tells real floating-point types from integers, booleans and complex numbers.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// The type's name in torch, such as `float32`.
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

/// A number type that tensors of any floating-point type are read as.
pub trait Element: Copy + Default + Send + std::ops::Neg<Output = Self> + 'static {
    /// Decodes little-endian elements of a floating-point type, and answers `None` for any other type.
    fn decode(dtype: DType, bytes: &[u8]) -> Option<Vec<Self>>;
}

fn decode_each<const N: usize, T>(bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| decode(*chunk)).collect()
}

impl Element for f32 {
    fn decode(dtype: DType, bytes: &[u8]) -> Option<Vec<Self>> {
        Some(match dtype {
            DType::F64 => decode_each(bytes, |chunk| f64::from_le_bytes(chunk) as f32),
            DType::F32 => decode_each(bytes, f32::from_le_bytes),
            DType::F16 => decode_each(bytes, |chunk| half::f16::from_le_bytes(chunk).to_f32()),
            DType::Bf16 => decode_each(bytes, |chunk| half::bf16::from_le_bytes(chunk).to_f32()),
            _ => return None,
        })
    }
}

impl Element for f64 {
    fn decode(dtype: DType, bytes: &[u8]) -> Option<Vec<Self>> {
        Some(match dtype {
            DType::F64 => decode_each(bytes, f64::from_le_bytes),
            DType::F32 => decode_each(bytes, |chunk| f32::from_le_bytes(chunk).into()),
            DType::F16 => decode_each(bytes, |chunk| half::f16::from_le_bytes(chunk).to_f64()),
            DType::Bf16 => decode_each(bytes, |chunk| half::bf16::from_le_bytes(chunk).to_f64()),
            _ => return None,
        })
    }
}
