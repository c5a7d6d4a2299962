//! NumPy's arrays in a pickle, as tensors or texts.
//!
//! An array is a call of `_reconstruct`, whose state is `(version, shape, type, is in Fortran's order, bytes)`; one of
//! protocol 5 is a call of `_frombuffer` with bytes, type, shape and order. Its bytes lie in the pickle. An array of
//! Python's objects, as pandas makes them of text, has a list of them instead. One number of an array is a call of
//! `scalar` with type and bytes: `list(array)` is a list of those.

use bytes::Bytes;

use crate::{
    dtype::{DType, Element},
    tensor::{StorageRef, TensorRef},
    text_array::{TextArray, TextType},
    value::{Arena, Id, Node, Span},
};

/// Whether a function of this module may make arrays. NumPy 2 has renamed `core`.
pub(crate) fn is_module(module: &str) -> bool {
    matches!(module, "numpy.core.multiarray" | "numpy._core.multiarray" | "numpy.core.numeric" | "numpy._core.numeric")
}

/// The type that `numpy.dtype` makes of a name.
pub(crate) fn element_type(arena: &Arena, name: Id) -> Node {
    match arena.node(name) {
        Node::Str(name) => Node::NumpyType { name: *name, big_endian: false },
        // Not a name that a type of numbers has.
        _ => Node::None,
    }
}

/// A type with its state, `(version, byte order, …)`.
pub(crate) fn with_byte_order(arena: &Arena, name: Span, state: Id) -> Option<Node> {
    let order = *arena.sequence(state)?.get(1)?;
    Some(Node::NumpyType { name, big_endian: arena.is_text(order, ">") })
}

/// How an array's elements follow each other.
pub(crate) enum Order {
    /// The last dimension is the fastest.
    C,
    /// The first dimension is the fastest.
    Fortran,
    /// As in C, in an array whose dimensions are then put into the order that this tuple names.
    Transposed(Id),
}

/// The value that an array is; `None` where its elements are of a type that is not read, times among them. The error
/// says what contradicts itself.
pub(crate) fn array(arena: &Arena, shape: Id, dtype: Id, order: Order, bytes: Id) -> Result<Option<Node>, String> {
    let Node::NumpyType { name, big_endian } = arena.node(dtype) else {
        return Ok(None);
    };
    let name = arena.span_bytes(*name);
    if let (b"O" | b"O8", Some(objects)) = (name, arena.sequence(bytes)) {
        let shape = arena.integers(shape, "size")?;
        return Ok((shape == [objects.len() as i64]).then(|| Node::List(objects.to_vec())));
    }
    let Some(bytes) = arena.byte_string(bytes) else {
        return Ok(None);
    };
    if let Some(element) = TextType::of_numpy(name, *big_endian) {
        let texts = TextArray::new(element, &arena.integers(shape, "size")?, bytes)?;
        return Ok(texts.map(|texts| Node::Texts(Box::new(texts))));
    }
    let Some(dtype) = DType::of_numpy(name) else {
        return Ok(None);
    };
    tensor(arena, shape, dtype, *big_endian, order, bytes).map(|tensor| Some(Node::Tensor(Box::new(tensor))))
}

/// The value that one number or text is; `None` where its type is none that is read.
pub(crate) fn scalar(arena: &Arena, dtype: Id, bytes: Id) -> Option<Node> {
    let Node::NumpyType { name, big_endian } = arena.node(dtype) else {
        return None;
    };
    let (name, bytes) = (arena.span_bytes(*name), arena.byte_string(bytes)?);
    if let Some(element) = TextType::of_numpy(name, *big_endian) {
        return Some(Node::DecodedStr(element.decode(&bytes).into()));
    }
    let dtype = DType::of_numpy(name).filter(|dtype| dtype.size() == bytes.len() as u64)?;
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(&bytes);
    if *big_endian {
        wide[..bytes.len()].reverse();
    }
    let unsigned = u64::from_le_bytes(wide);
    let unused = 64 - 8 * dtype.size();
    Some(match dtype {
        DType::F64 | DType::F32 | DType::F16 => Node::Float(*f64::decode(dtype, &wide[..bytes.len()])?.first()?),
        DType::Bool => Node::Bool(unsigned != 0),
        DType::I64 | DType::I32 | DType::I16 | DType::I8 => Node::Int((unsigned << unused) as i64 >> unused),
        _ => i64::try_from(unsigned).map_or(Node::UInt(unsigned), Node::Int),
    })
}

/// The strides of an array without gaps, in elements, and the number of its elements.
///
/// # Errors
/// A sentence on a shape that no array has.
pub(crate) fn contiguous(shape: &[i64], fortran_order: bool) -> Result<(Vec<i64>, u64), String> {
    TensorRef::check_dimensions(shape.len())?;
    let mut stride = vec![1_i64; shape.len()];
    let mut elements = 1_i64;
    for step in 0..shape.len() {
        let dimension = if fortran_order { step } else { shape.len() - 1 - step };
        stride[dimension] = elements;
        let product = elements.checked_mul(shape[dimension]).filter(|count| *count >= 0);
        elements = product.ok_or_else(|| format!("a NumPy array of size {shape:?}"))?;
    }
    Ok((stride, elements as u64))
}

fn tensor(
    arena: &Arena,
    shape: Id,
    dtype: DType,
    big_endian: bool,
    order: Order,
    bytes: Bytes,
) -> Result<TensorRef, String> {
    let shape = arena.integers(shape, "size")?;
    let (stride, elements) = contiguous(&shape, matches!(order, Order::Fortran))?;
    if elements.checked_mul(dtype.size()) != Some(bytes.len() as u64) {
        return Err(format!("a NumPy array of {elements} values of {} in {} bytes", dtype.name(), bytes.len()));
    }
    let (shape, stride) = match order {
        Order::C | Order::Fortran => (shape, stride),
        Order::Transposed(axes) => {
            let axes = arena.integers(axes, "order of dimensions")?;
            let mut sorted = axes.clone();
            sorted.sort_unstable();
            if !sorted.iter().copied().eq(0..shape.len() as i64) {
                return Err(format!("a NumPy array of dimensions in the order {axes:?}"));
            }
            let transposed = |sizes: &[i64]| axes.iter().map(|axis| sizes[*axis as usize]).collect::<Vec<_>>();
            (transposed(&shape), transposed(&stride))
        }
    };
    let storage = StorageRef {
        key: "of a NumPy array".into(),
        dtype,
        elements,
        first: 0,
        visible: elements,
        big_endian,
        held: Some(bytes),
    };
    TensorRef::new(storage, 0, &shape, &stride)
}
