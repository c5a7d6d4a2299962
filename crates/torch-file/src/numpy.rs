//! NumPy's arrays in a pickle, as tensors.
//!
//! An array is a call of `_reconstruct`, whose state is `(version, shape, type, is in Fortran's order, bytes)`; one of
//! protocol 5 is a call of `_frombuffer` with bytes, type, shape and order. Its bytes lie in the pickle.

use bytes::Bytes;

use crate::{
    dtype::DType,
    tensor::{StorageRef, TensorRef},
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

/// The tensor that an array is; `None` where its elements are none of torch's. The error says what contradicts itself.
pub(crate) fn array(arena: &Arena, shape: Id, dtype: Id, order: Order, bytes: Id) -> Result<Option<TensorRef>, String> {
    let Node::NumpyType { name, big_endian } = arena.node(dtype) else {
        return Ok(None);
    };
    let (Some(dtype), Some(mut bytes)) = (DType::of_numpy(arena.span_bytes(*name)), arena.byte_string(bytes)) else {
        return Ok(None);
    };
    let shape = arena.integers(shape, "size")?;
    let mut stride = vec![1_i64; shape.len()];
    let mut elements = 1_i64;
    let overflow = || format!("a NumPy array of size {shape:?}");
    let fastest_first: Vec<usize> = match order {
        Order::Fortran => (0..shape.len()).collect(),
        Order::C | Order::Transposed(_) => (0..shape.len()).rev().collect(),
    };
    for dimension in fastest_first {
        stride[dimension] = elements;
        elements = elements.checked_mul(shape[dimension]).filter(|count| *count >= 0).ok_or_else(overflow)?;
    }
    let elements = elements as u64;
    if elements.checked_mul(dtype.size()) != Some(bytes.len() as u64) {
        return Err(format!("a NumPy array of {elements} values of {} in {} bytes", dtype.name(), bytes.len()));
    }
    if *big_endian && dtype.size() > 1 {
        let mut swapped = bytes.to_vec();
        swapped.chunks_exact_mut(dtype.size() as usize).for_each(<[u8]>::reverse);
        bytes = Bytes::from(swapped);
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
    let storage =
        StorageRef { key: "of a NumPy array".into(), dtype, elements, first: 0, visible: elements, held: Some(bytes) };
    TensorRef::new(storage, 0, &shape, &stride).map(Some)
}
