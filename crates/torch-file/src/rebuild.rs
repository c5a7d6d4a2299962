//! What the calls in a pickle mean: the few functions of which every saved tensor is made, as data.
//!
//! torch.save writes a tensor as a call of `torch._utils._rebuild_tensor_v2` with a storage, an offset, a size and a
//! stride, and a storage as a persistent id. Those, NumPy's arrays ([`numpy`]) and a few of Python's own functions are
//! understood here. Every other function is only named in an inert object.

use bytes::Bytes;

use crate::{
    dtype::DType,
    numpy,
    printable::Printable,
    tensor::{StorageRef, TensorRef},
    value::{Arena, Id, Node},
};

/// What a call gives.
pub(crate) enum Rebuilt {
    New(Node),
    /// A value that is there already.
    Existing(Id),
}

/// What calling `function` gives. The error says what is wrong with the arguments.
pub(crate) fn call(arena: &Arena, function: Id, arguments: Id) -> Result<Rebuilt, String> {
    let Some((module, name)) = arena.global(function) else {
        return Ok(Rebuilt::New(object(arena, function)));
    };
    let given = arena.sequence(arguments).unwrap_or_default();
    let copied = |sequence: Id| arena.sequence(sequence).unwrap_or_default().to_vec();
    let built = match (module, name, given) {
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor", [storage, offset, size, stride, rest @ ..]) => {
            let mut tensor = tensor(arena, *storage, *offset, *size, *stride)?;
            // Behind whether it wants gradients and its hooks.
            if let Some(bits) = rest.get(2) {
                set_bits(arena, &mut tensor, *bits)?;
            }
            Node::Tensor(Box::new(tensor))
        }
        // The wider unsigned integers and the newer types, which have no storage class of their own: the storage counts
        // bytes, and the element type is named behind the hooks.
        ("torch._utils", "_rebuild_tensor_v3", [storage, offset, size, stride, _grad, _hooks, dtype, rest @ ..]) => {
            let named = arena.global(*dtype).filter(|(module, _)| *module == "torch");
            match named.and_then(|(_, name)| DType::of_torch(name)) {
                Some(dtype) => {
                    let mut tensor = tensor(arena, *storage, *offset, *size, *stride)?;
                    retype(&mut tensor.storage, dtype)?;
                    if let Some(bits) = rest.first() {
                        set_bits(arena, &mut tensor, *bits)?;
                    }
                    Node::Tensor(Box::new(tensor))
                }
                // A type of less than a byte, say: its name is all that is kept.
                None => Node::Object { class: function, state: Some(*dtype) },
            }
        }
        // A parameter is its tensor.
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state", [tensor, ..]) => {
            return Ok(Rebuilt::Existing(*tensor));
        }
        // (function, type, its arguments, state): a tensor with Python attributes of its own.
        ("torch._tensor", "_rebuild_from_type_v2", [inner, _, inner_arguments, ..])
            if arena.is_global(*inner, "torch._utils", "_rebuild_tensor_v2")
                || arena.is_global(*inner, "torch._utils", "_rebuild_tensor_v3") =>
        {
            return call(arena, *inner, *inner_arguments);
        }
        // (module, settings of the compiler): what torch.compile gives for a module.
        ("torch._dynamo.eval_frame", "OptimizedModule", [module, _]) => return Ok(Rebuilt::Existing(*module)),
        ("collections", "OrderedDict", []) => Node::Dict(Vec::new()),
        ("collections", "OrderedDict", [pairs]) => {
            let pair = |pair: &Id| match arena.sequence(*pair) {
                Some([key, value]) => Ok((*key, *value)),
                _ => Err("an OrderedDict of something else than pairs".to_owned()),
            };
            Node::Dict(arena.sequence(*pairs).unwrap_or_default().iter().map(pair).collect::<Result<_, _>>()?)
        }
        ("__builtin__" | "builtins", "set" | "frozenset", [elements]) => Node::Set(copied(*elements)),
        ("__builtin__" | "builtins", "bytes" | "bytearray", []) => Node::DecodedBytes(Box::default()),
        ("__builtin__" | "builtins", "bytearray", [bytes]) if arena.byte_string(*bytes).is_some() => {
            return Ok(Rebuilt::Existing(*bytes));
        }
        // Bytes, as protocols before 3 write them.
        ("_codecs", "encode", [text, encoding]) if arena.is_text(*encoding, "latin1") => {
            Node::DecodedBytes(Box::new(latin1(arena.text(*text).unwrap_or_default())?))
        }
        // (class, base, its state): an object, as protocols before 2 write them.
        ("copy_reg" | "copyreg", "_reconstructor", [class, ..]) => object(arena, *class),
        ("torch", "Size", [elements]) => Node::Tuple(copied(*elements)),
        ("numpy", "dtype", [name, ..]) => numpy::element_type(arena, *name),
        (module, "_frombuffer", [bytes, dtype, shape, order, axes @ ..]) if numpy::is_module(module) => {
            let order = match axes.first() {
                // The array is the transposed of what the bytes are.
                Some(axes) if arena.is_text(*order, "K") => numpy::Order::Transposed(*axes),
                _ if arena.is_text(*order, "F") => numpy::Order::Fortran,
                _ => numpy::Order::C,
            };
            // The type is kept of an array that is not read.
            numpy::array(arena, *shape, *dtype, order, *bytes)?
                .unwrap_or(Node::Object { class: function, state: Some(*dtype) })
        }
        (module, "scalar", [dtype, bytes]) if numpy::is_module(module) => {
            numpy::scalar(arena, *dtype, *bytes).unwrap_or(Node::Object { class: function, state: Some(*dtype) })
        }
        _ => object(arena, function),
    };
    Ok(Rebuilt::New(built))
}

/// What Latin-1 has a byte for each character of.
fn latin1(text: &str) -> Result<Bytes, String> {
    let byte = |character| u8::try_from(u32::from(character));
    let bytes: Result<Vec<u8>, _> = text.chars().map(byte).collect();
    bytes.map(Bytes::from).map_err(|_| "bytes that are not Latin-1".into())
}

/// A new object of a class.
pub(crate) fn object(arena: &Arena, class: Id) -> Node {
    match arena.is_global(class, "collections", "OrderedDict") {
        true => Node::Dict(Vec::new()),
        false => Node::Object { class, state: None },
    }
}

/// What an object becomes when it is given its state; `None` where that is of no use to a reader.
pub(crate) fn with_state(arena: &Arena, object: Id, state: Id) -> Result<Option<Node>, String> {
    match arena.node(object) {
        Node::NumpyType { name, .. } => Ok(numpy::with_byte_order(arena, *name, state)),
        Node::Object { class, .. } => {
            let is_array =
                arena.global(*class).is_some_and(|(module, name)| name == "_reconstruct" && numpy::is_module(module));
            if let (true, Some([_version, shape, dtype, fortran, bytes])) = (is_array, arena.sequence(state)) {
                let order = match arena.node(*fortran) {
                    Node::Bool(true) => numpy::Order::Fortran,
                    _ => numpy::Order::C,
                };
                let unread = || Node::Object { class: *class, state: Some(*dtype) };
                return numpy::array(arena, *shape, *dtype, order, *bytes)
                    .map(|array| Some(array.unwrap_or_else(unread)));
            }
            Ok(Some(Node::Object { class: *class, state: Some(state) }))
        }
        _ => Ok(None),
    }
}

/// What a persistent id names: `('storage', class, key, device, elements[, view])`, or the class in the legacy form's
/// `('module', class, …)`.
pub(crate) fn persistent(arena: &Arena, id: Id) -> Result<Rebuilt, String> {
    let Some(parts) = arena.sequence(id) else {
        return Err("a persistent id that is no tuple".into());
    };
    let is = |kind| parts.first().is_some_and(|id| arena.is_text(*id, kind));
    match parts {
        [_, class, ..] if is("module") => Ok(Rebuilt::Existing(*class)),
        [_, class, key, _device, elements, view @ ..] if is("storage") => {
            let Some((_, name)) = arena.global(*class) else {
                return Err("a storage without a class".into());
            };
            let dtype =
                DType::of_storage(name).ok_or_else(|| format!("the storage class {} is not known", Printable(name)))?;
            // Old savers numbered the keys, newer ones write them as text.
            let key = match arena.node(*key) {
                Node::Int(key) => key.to_string().into(),
                _ => arena.text(*key).ok_or("a storage whose key is no text")?.into(),
            };
            let elements = count(arena, *elements, "storage size")?;
            let (mut first, mut visible) = (0, elements);
            // The legacy form's view of a part of a storage: (key, first element, elements).
            if let Some(&[_, from, number]) = view.first().and_then(|view| arena.sequence(*view)) {
                (first, visible) = (count(arena, from, "view")?, count(arena, number, "view")?);
            }
            Ok(Rebuilt::New(Node::Storage(Box::new(StorageRef {
                key,
                dtype,
                elements,
                first,
                visible,
                big_endian: false,
                held: None,
            }))))
        }
        _ => Err("a persistent id that names no storage".into()),
    }
}

/// What a persistent id of protocol 0 names, which is what Python prints of the tuple:
/// `('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 6)`, or with `None` for a view at its end. `torch.load` does
/// not read what `torch.save` writes there, but nothing is missing.
pub(crate) fn persistent_text(printed: &str) -> Result<Rebuilt, String> {
    let refused = || format!("the persistent id {}", Printable(printed));
    let parts: Vec<&str> =
        printed.trim_start_matches('(').trim_end_matches(')').split(',').map(str::trim).take(7).collect();
    let [kind, class, key, _device, elements, view @ ..] = &parts[..] else {
        return Err(refused());
    };
    let unquoted = |text: &str| text.trim_matches('\'').to_owned();
    if unquoted(kind) != "storage" || !matches!(view, [] | ["None"]) {
        return Err(refused());
    }
    let class = class.trim_end_matches("'>").rsplit('.').next().unwrap_or_default();
    let dtype = DType::of_storage(class).ok_or_else(refused)?;
    let elements = elements.parse().map_err(|_| refused())?;
    let key = unquoted(key).into();
    let storage = StorageRef { key, dtype, elements, first: 0, visible: elements, big_endian: false, held: None };
    Ok(Rebuilt::New(Node::Storage(Box::new(storage))))
}

fn tensor(arena: &Arena, storage: Id, offset: Id, shape: Id, stride: Id) -> Result<TensorRef, String> {
    let Node::Storage(storage) = arena.node(storage) else {
        return Err("a tensor without a storage".into());
    };
    let (shape, stride) = (arena.integers(shape, "size")?, arena.integers(stride, "stride")?);
    TensorRef::new((**storage).clone(), arena.integer(offset, "offset")?, &shape, &stride)
}

/// Makes of a storage that counts bytes one of another element type.
fn retype(storage: &mut StorageRef, dtype: DType) -> Result<(), String> {
    let size = dtype.size();
    let count = |elements: u64| {
        let bytes = elements.saturating_mul(storage.dtype.size());
        let is_whole = bytes.is_multiple_of(size) && bytes < u64::MAX;
        is_whole.then_some(bytes / size).ok_or_else(|| format!("a tensor of {} in {bytes} bytes", dtype.name()))
    };
    (storage.first, storage.visible, storage.elements) =
        (count(storage.first)?, count(storage.visible)?, count(storage.elements)?);
    storage.dtype = dtype;
    Ok(())
}

/// Takes in the bits by which torch says that a tensor's values are not what its bytes say: `{"neg": True}`, say, of
/// the imaginary part of a conjugate.
fn set_bits(arena: &Arena, tensor: &mut TensorRef, bits: Id) -> Result<(), String> {
    let Node::Dict(entries) = arena.node(bits) else {
        return Ok(());
    };
    for (name, value) in entries {
        if !matches!(arena.node(*value), Node::Bool(true)) {
            continue;
        }
        if arena.is_text(*name, "neg") {
            tensor.negated = !tensor.negated;
        } else {
            // A conjugate is complex, and no complex tensor is read; others are not known.
            let name = arena.text(*name).unwrap_or_default();
            return Err(format!(
                "a tensor with the bit \"{}\": save it with `.resolve_conj().resolve_neg()`",
                Printable(name)
            ));
        }
    }
    Ok(())
}

fn count(arena: &Arena, id: Id, what: &str) -> Result<u64, String> {
    u64::try_from(arena.integer(id, what)?).map_err(|_| format!("a tensor's {what} is below 0"))
}
