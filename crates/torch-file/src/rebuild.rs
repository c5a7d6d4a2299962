//! What the calls in a pickle mean: the few functions of which every saved tensor is made, as data.
//!
//! torch.save writes a tensor as a call of `torch._utils._rebuild_tensor_v2` with a storage, an offset, a size and a
//! stride, and a storage as a persistent id. Those and a few of Python's own functions are understood here. Every
//! other function is only named in an inert object.

use crate::{
    dtype::DType,
    tensor::{StorageRef, TensorRef},
    value::{Id, Node},
};

/// What a call gives.
pub(crate) enum Rebuilt {
    New(Node),
    /// A value that is there already.
    Existing(Id),
}

/// What calling `function` gives. The error says what is wrong with the arguments.
pub(crate) fn call(nodes: &[Node], function: Id, arguments: Id) -> Result<Rebuilt, String> {
    let Node::Global { module, name } = &nodes[function as usize] else {
        return Ok(Rebuilt::New(object(nodes, function)));
    };
    let given = ids(nodes, arguments).unwrap_or_default();
    let copied = |sequence: Id| ids(nodes, sequence).unwrap_or_default().to_vec();
    let built = match (module.as_str(), name.as_str(), given) {
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor", [storage, offset, size, stride, ..]) => {
            Node::Tensor(tensor(nodes, *storage, *offset, *size, *stride)?)
        }
        // A parameter is its tensor.
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state", [tensor, ..]) => {
            return Ok(Rebuilt::Existing(*tensor));
        }
        // (function, type, its arguments, state): a tensor with Python attributes of its own.
        ("torch._tensor", "_rebuild_from_type_v2", [inner, _, inner_arguments, ..])
            if is_global(nodes, *inner, "torch._utils", "_rebuild_tensor_v2") =>
        {
            return call(nodes, *inner, *inner_arguments);
        }
        ("collections", "OrderedDict", []) => Node::Dict(Vec::new()),
        ("collections", "OrderedDict", [pairs]) => {
            let pair = |pair: &Id| match ids(nodes, *pair) {
                Some([key, value]) => Ok((*key, *value)),
                _ => Err("an OrderedDict of something else than pairs".to_owned()),
            };
            Node::Dict(ids(nodes, *pairs).unwrap_or_default().iter().map(pair).collect::<Result<_, _>>()?)
        }
        ("__builtin__" | "builtins", "set" | "frozenset", [elements]) => Node::Set(copied(*elements)),
        ("torch", "Size", [elements]) => Node::Tuple(copied(*elements)),
        _ => object(nodes, function),
    };
    Ok(Rebuilt::New(built))
}

/// A new object of a class.
pub(crate) fn object(nodes: &[Node], class: Id) -> Node {
    match is_global(nodes, class, "collections", "OrderedDict") {
        true => Node::Dict(Vec::new()),
        false => Node::Object { class, state: None },
    }
}

/// What a persistent id names: `('storage', class, key, device, elements[, view])`, or the class in the legacy form's
/// `('module', class, …)`.
pub(crate) fn persistent(nodes: &[Node], id: Id) -> Result<Rebuilt, String> {
    let Some(parts) = ids(nodes, id) else {
        return Err("a persistent id that is no tuple".into());
    };
    let kind = parts.first().and_then(|id| text(nodes, *id));
    match (kind, parts) {
        (Some("module"), [_, class, ..]) => Ok(Rebuilt::Existing(*class)),
        (Some("storage"), [_, class, key, _device, elements, view @ ..]) => {
            let Node::Global { name, .. } = &nodes[*class as usize] else {
                return Err("a storage without a class".into());
            };
            let dtype = DType::of_storage(name).ok_or_else(|| format!("the storage class {name} is not known"))?;
            // Old savers numbered the keys, newer ones write them as text.
            let key = match &nodes[*key as usize] {
                Node::Str(key) => key.clone(),
                Node::Int(key) => key.to_string(),
                _ => return Err("a storage whose key is no text".into()),
            };
            let elements = count(nodes, *elements, "storage size")?;
            let (mut first, mut visible) = (0, elements);
            // The legacy form's view of a part of a storage: (key, first element, elements).
            if let Some(&[_, from, number]) = view.first().and_then(|view| ids(nodes, *view)) {
                (first, visible) = (count(nodes, from, "view")?, count(nodes, number, "view")?);
            }
            Ok(Rebuilt::New(Node::Storage(StorageRef { key, dtype, elements, first, visible })))
        }
        _ => Err("a persistent id that names no storage".into()),
    }
}

fn tensor(nodes: &[Node], storage: Id, offset: Id, shape: Id, stride: Id) -> Result<TensorRef, String> {
    let Node::Storage(storage) = &nodes[storage as usize] else {
        return Err("a tensor without a storage".into());
    };
    let integers = |sequence: Id, what: &str| {
        let ids = ids(nodes, sequence).ok_or_else(|| format!("a tensor's {what} is no tuple"))?;
        ids.iter().map(|id| integer(nodes, *id, what)).collect::<Result<Vec<_>, _>>()
    };
    let (shape, stride) = (integers(shape, "size")?, integers(stride, "stride")?);
    TensorRef::new(storage.clone(), integer(nodes, offset, "offset")?, &shape, &stride)
}

fn integer(nodes: &[Node], id: Id, what: &str) -> Result<i64, String> {
    match nodes[id as usize] {
        Node::Int(value) => Ok(value),
        _ => Err(format!("a tensor's {what} is no integer of 64 bits")),
    }
}

fn count(nodes: &[Node], id: Id, what: &str) -> Result<u64, String> {
    u64::try_from(integer(nodes, id, what)?).map_err(|_| format!("a tensor's {what} is below 0"))
}

/// The text, if the value is one.
pub(crate) fn text(nodes: &[Node], id: Id) -> Option<&str> {
    match &nodes[id as usize] {
        Node::Str(text) => Some(text),
        _ => None,
    }
}

fn ids(nodes: &[Node], id: Id) -> Option<&[Id]> {
    match &nodes[id as usize] {
        Node::Tuple(ids) | Node::List(ids) => Some(ids),
        _ => None,
    }
}

fn is_global(nodes: &[Node], id: Id, expected_module: &str, expected_name: &str) -> bool {
    matches!(&nodes[id as usize], Node::Global { module, name } if module == expected_module && name == expected_name)
}
