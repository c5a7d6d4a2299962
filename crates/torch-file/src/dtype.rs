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
    U64,
    U32,
    U16,
    U8,
    Bool,
    Complex64,
    Complex128,
    /// One of the types of eight bits, by its name in torch, such as `float8_e4m3fn`. Nothing decodes them.
    Float8(&'static str),
}

/// The types of eight bits that torch has.
const FLOAT8: [&str; 5] = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"];

impl DType {
    /// Finds the type by its name in torch, as [`name`](Self::name) gives it.
    pub(crate) fn of_torch(name: &str) -> Option<Self> {
        Some(match name {
            "float64" => Self::F64,
            "float32" => Self::F32,
            "float16" => Self::F16,
            "bfloat16" => Self::Bf16,
            "int64" => Self::I64,
            "int32" => Self::I32,
            "int16" => Self::I16,
            "int8" => Self::I8,
            "uint64" => Self::U64,
            "uint32" => Self::U32,
            "uint16" => Self::U16,
            "uint8" => Self::U8,
            "bool" => Self::Bool,
            "complex64" => Self::Complex64,
            "complex128" => Self::Complex128,
            _ => return FLOAT8.into_iter().find(|known| *known == name).map(Self::Float8),
        })
    }

    /// Finds the type by the name of torch's storage class. Untyped storages count bytes; those of the types that have
    /// no class, the wider unsigned integers among them, are untyped.
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
            b"u8" => Self::U64,
            b"u4" => Self::U32,
            b"u2" => Self::U16,
            b"u1" => Self::U8,
            b"b1" => Self::Bool,
            _ => return None,
        })
    }

    /// The name of torch's storage class. A type that has none is saved in an untyped storage, with its own name in
    /// the tensor's call of `_rebuild_tensor_v3`.
    pub(crate) fn storage_class(self) -> Option<&'static str> {
        Some(match self {
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
            Self::U64 | Self::U32 | Self::U16 | Self::Float8(_) => return None,
        })
    }

    /// Size of an element in bytes.
    pub fn size(self) -> u64 {
        match self {
            Self::I8 | Self::U8 | Self::Bool | Self::Float8(_) => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 | Self::Complex64 => 8,
            Self::Complex128 => 16,
        }
    }

    /// Tells the floating-point types whose values can be read from integers, booleans, complex numbers and the types
    /// of eight bits.
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
            Self::U64 => "uint64",
            Self::U32 => "uint32",
            Self::U16 => "uint16",
            Self::U8 => "uint8",
            Self::Bool => "bool",
            Self::Complex64 => "complex64",
            Self::Complex128 => "complex128",
            Self::Float8(name) => name,
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
