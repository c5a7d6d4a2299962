//! A machine for an allow-list of pickle opcodes. It builds inert [`Node`]s and never calls anything.
//!
//! Python's pickle is a program: `REDUCE` calls whatever function the file names. Here a call becomes an
//! [`Node::Object`] with the function's name and arguments in it. Only the handful of functions of which every
//! saved tensor is made (`torch._utils._rebuild_tensor_v2`, `OrderedDict` …) are understood, as data.

use std::collections::HashMap;

use crate::{
    Error, Result,
    tensor::{DType, StorageRef, TensorRef},
    value::{Id, Node, Pickle},
};

/// Largest pickle read. The pickle of a network of 10,000 parameters has 3 MB.
pub(crate) const MAX_PICKLE: u64 = 16 << 20;
/// Largest number of values built.
const MAX_NODES: usize = 2_000_000;
/// Largest number of open marks.
const MAX_MARKS: usize = 10_000;
/// Most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 16;

/// A pickle that was read, and where it ended.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) pickle: Pickle,
    /// Bytes it took.
    pub(crate) length: usize,
}

/// Why reading stopped before the end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The bytes ended first: more of them may help.
    Short,
    /// No number of further bytes would help.
    Bad { reason: String, at: usize },
}

/// Reads one pickle from the start of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Stop> {
    let mut machine = Machine {
        bytes,
        at: 0,
        opcode_at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = machine.run()?;
    Ok(Parsed { length: machine.at, pickle: Pickle { nodes: machine.nodes, root } })
}

/// Reads one pickle that fills `bytes`.
pub(crate) fn parse_whole(file: &str, member: &str, bytes: &[u8]) -> Result<Pickle> {
    match parse(bytes) {
        Ok(parsed) => Ok(parsed.pickle),
        Err(stop) => Err(stop.into_error(file, member, bytes.len())),
    }
}

impl Stop {
    pub(crate) fn into_error(self, file: &str, member: &str, length: usize) -> Error {
        let (reason, at) = match self {
            Self::Short => ("it ends in the middle".to_owned(), length),
            Self::Bad { reason, at } => (reason, at),
        };
        Error::Pickle { file: file.to_owned(), member: member.to_owned(), reason, at }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    opcode_at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

type Step<T> = Result<T, Stop>;

impl<'a> Machine<'a> {
    fn bad<T>(&self, reason: impl Into<String>) -> Step<T> {
        Err(Stop::Bad { reason: reason.into(), at: self.opcode_at })
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        if count > rest.len() {
            return Err(Stop::Short);
        }
        self.at += count;
        Ok(&rest[..count])
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Step<usize> {
        Ok(usize::from(self.array::<1>()?[0]))
    }

    /// A length of four or eight bytes, no longer than any pickle we read.
    fn length<const N: usize>(&mut self) -> Step<usize> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.array::<N>()?);
        match u64::from_le_bytes(wide) {
            length if length <= MAX_PICKLE => Ok(length as usize),
            length => self.bad(format!("a value of {length} bytes")),
        }
    }

    /// A line of the text opcodes, without its end.
    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Stop::Short)?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).or_else(|_| self.bad("a name that is not UTF-8"))
    }

    fn text(&mut self, length: usize) -> Step<String> {
        let bytes = self.take(length)?;
        // Python writes lone surrogates in its own way; in a name they do not matter.
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn node(&mut self, node: Node) -> Step<Id> {
        if self.nodes.len() >= MAX_NODES {
            return self.bad(format!("more than {MAX_NODES} values"));
        }
        self.nodes.push(node);
        Ok((self.nodes.len() - 1) as Id)
    }

    fn push(&mut self, node: Node) -> Step<()> {
        let id = self.node(node)?;
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= floor => Ok(id),
            _ => self.bad("the stack is empty"),
        }
    }

    fn top(&self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(id) if self.stack.len() > floor => Ok(*id),
            _ => self.bad("the stack is empty"),
        }
    }

    fn pop_mark(&mut self) -> Step<Vec<Id>> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => self.bad("no mark is open"),
        }
    }

    fn tuple(&mut self, count: usize) -> Step<()> {
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            ids.push(self.pop()?);
        }
        ids.reverse();
        self.push(Node::Tuple(ids))
    }

    fn remember(&mut self, index: u32) -> Step<()> {
        // Bounded by the pickle's own length: every entry takes an opcode.
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Step<()> {
        match self.memo.get(&index) {
            Some(id) => {
                self.stack.push(*id);
                Ok(())
            }
            None => self.bad(format!("memo {index} was never set")),
        }
    }

    /// Runs to STOP, and returns the one value left.
    fn run(&mut self) -> Step<Id> {
        loop {
            self.opcode_at = self.at;
            let opcode = self.array::<1>()?[0];
            match opcode {
                b'.' => {
                    let root = self.pop()?;
                    if !self.stack.is_empty() || !self.marks.is_empty() {
                        return self.bad("values are left over at the end");
                    }
                    return Ok(root);
                }
                0x80 => {
                    let protocol = self.u8()?;
                    if !(2..=5).contains(&protocol) {
                        return self.bad(format!("protocol {protocol}"));
                    }
                }
                0x95 => drop(self.array::<8>()?),
                b'(' => {
                    if self.marks.len() >= MAX_MARKS {
                        return self.bad(format!("more than {MAX_MARKS} open marks"));
                    }
                    self.marks.push(self.stack.len());
                }
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),

                // Constants.
                b'N' => self.push(Node::None)?,
                0x88 => self.push(Node::Bool(true))?,
                0x89 => self.push(Node::Bool(false))?,
                b'K' => {
                    let value = self.array::<1>()?[0];
                    self.push(Node::Int(value.into()))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Node::Int(value.into()))?;
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Node::Int(value.into()))?;
                }
                0x8a => {
                    let length = self.u8()?;
                    self.long(length)?;
                }
                0x8b => {
                    let length = self.length::<4>()?;
                    self.long(length)?;
                }
                b'G' => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.push(Node::Float(value))?;
                }
                b'X' => {
                    let length = self.length::<4>()?;
                    self.push_text(length)?;
                }
                0x8c => {
                    let length = self.u8()?;
                    self.push_text(length)?;
                }
                0x8d => {
                    let length = self.length::<8>()?;
                    self.push_text(length)?;
                }
                // Byte strings of Python 2 hold text where we meet them.
                b'U' => {
                    let length = self.u8()?;
                    self.push_text(length)?;
                }
                b'T' => {
                    let length = self.length::<4>()?;
                    self.push_text(length)?;
                }
                b'C' => {
                    let length = self.u8()?;
                    self.push_bytes(length)?;
                }
                b'B' => {
                    let length = self.length::<4>()?;
                    self.push_bytes(length)?;
                }
                0x8e => {
                    let length = self.length::<8>()?;
                    self.push_bytes(length)?;
                }

                // The memo.
                b'q' => {
                    let index = self.array::<1>()?[0];
                    self.remember(index.into())?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.array()?);
                    self.remember(index)?;
                }
                0x94 => {
                    let index = self.memo.len() as u32;
                    self.remember(index)?;
                }
                b'h' => {
                    let index = self.array::<1>()?[0];
                    self.recall(index.into())?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.array()?);
                    self.recall(index)?;
                }

                // Containers.
                b')' => self.push(Node::Tuple(Vec::new()))?,
                b']' => self.push(Node::List(Vec::new()))?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                0x8f => self.push(Node::Set(Vec::new()))?,
                b't' => {
                    let ids = self.pop_mark()?;
                    self.push(Node::Tuple(ids))?;
                }
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                0x91 => {
                    let ids = self.pop_mark()?;
                    self.push(Node::Set(ids))?;
                }
                b'a' => {
                    let id = self.pop()?;
                    self.extend(vec![id])?;
                }
                b'e' | 0x90 => {
                    let ids = self.pop_mark()?;
                    self.extend(ids)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let ids = self.pop_mark()?;
                    self.set_items(&ids)?;
                }

                // Classes, calls and objects, as data.
                b'c' => {
                    let (module, name) = (self.line()?.to_owned(), self.line()?.to_owned());
                    self.push(Node::Global { module, name })?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Some(module), Some(name)) = (self.str(module), self.str(name)) else {
                        return self.bad("a class whose name is not text");
                    };
                    let (module, name) = (module.to_owned(), name.to_owned());
                    self.push(Node::Global { module, name })?;
                }
                b'R' => {
                    let (args, function) = (self.pop()?, self.pop()?);
                    let id = self.call(function, args)?;
                    self.stack.push(id);
                }
                0x81 => {
                    let (args, class) = (self.pop()?, self.pop()?);
                    let id = self.object(class, args)?;
                    self.stack.push(id);
                }
                0x92 => {
                    let (_keywords, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                    let id = self.object(class, args)?;
                    self.stack.push(id);
                }
                b'b' => {
                    let given = self.pop()?;
                    let object = self.top()?;
                    // State of anything but an object (the metadata of a state dict, say) is of no use to a reader.
                    if let Node::Object { state, .. } = &mut self.nodes[object as usize] {
                        *state = Some(given);
                    }
                }
                b'Q' => {
                    let id = self.pop()?;
                    let id = self.persistent(id)?;
                    self.stack.push(id);
                }
                other => {
                    return self.bad(format!("opcode 0x{other:02x} is not one that torch.save writes"));
                }
            }
        }
    }

    fn push_text(&mut self, length: usize) -> Step<()> {
        let text = self.text(length)?;
        self.push(Node::Str(text))
    }

    fn push_bytes(&mut self, length: usize) -> Step<()> {
        let bytes = self.take(length)?.to_vec();
        self.push(Node::Bytes(bytes))
    }

    fn long(&mut self, length: usize) -> Step<()> {
        let bytes = self.take(length)?;
        let node = if length <= 8 {
            let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
            let mut wide = [sign; 8];
            wide[..length].copy_from_slice(bytes);
            Node::Int(i64::from_le_bytes(wide))
        } else {
            Node::Long(bytes.to_vec())
        };
        self.push(node)
    }

    fn extend(&mut self, ids: Vec<Id>) -> Step<()> {
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::List(elements) | Node::Set(elements) | Node::Object { elements, .. } => {
                elements.extend(ids);
                Ok(())
            }
            _ => self.bad("elements for something that is no list"),
        }
    }

    fn set_items(&mut self, ids: &[Id]) -> Step<()> {
        if !ids.len().is_multiple_of(2) {
            return self.bad("a key without a value");
        }
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::Dict(entries) | Node::Object { entries, .. } => {
                entries.extend(ids.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => self.bad("entries for something that is no dictionary"),
        }
    }

    fn str(&self, id: Id) -> Option<&str> {
        match &self.nodes[id as usize] {
            Node::Str(text) => Some(text),
            _ => None,
        }
    }

    fn ids(&self, id: Id) -> Option<&[Id]> {
        match &self.nodes[id as usize] {
            Node::Tuple(ids) | Node::List(ids) => Some(ids),
            _ => None,
        }
    }

    fn object(&mut self, class: Id, args: Id) -> Step<Id> {
        if self.is(class, "collections", "OrderedDict") {
            return self.node(Node::Dict(Vec::new()));
        }
        self.node(Node::Object { class, args, state: None, elements: Vec::new(), entries: Vec::new() })
    }

    fn is(&self, id: Id, expected_module: &str, expected_name: &str) -> bool {
        matches!(&self.nodes[id as usize], Node::Global { module, name } if module == expected_module && name == expected_name)
    }

    /// What a call would give, for the few functions that are data to us; an inert object for every other.
    fn call(&mut self, function: Id, args: Id) -> Step<Id> {
        let Node::Global { module, name } = &self.nodes[function as usize] else {
            return self.object(function, args);
        };
        let given = self.ids(args).map(<[Id]>::to_vec).unwrap_or_default();
        match (module.as_str(), name.as_str(), given.as_slice()) {
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor", [storage, offset, size, stride, ..]) => {
                self.tensor(*storage, *offset, *size, *stride)
            }
            // A parameter is its tensor.
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state", [tensor, ..]) => Ok(*tensor),
            // (function, type, its arguments, state): a tensor with Python attributes of its own.
            ("torch._tensor", "_rebuild_from_type_v2", [inner, _, inner_args, ..])
                if self.is(*inner, "torch._utils", "_rebuild_tensor_v2") =>
            {
                self.call(*inner, *inner_args)
            }
            ("collections", "OrderedDict", []) => self.node(Node::Dict(Vec::new())),
            ("collections", "OrderedDict", [pairs]) => {
                let pairs = self.ids(*pairs).map(<[Id]>::to_vec).unwrap_or_default();
                let mut entries = Vec::with_capacity(pairs.len());
                for pair in pairs {
                    match self.ids(pair) {
                        Some([key, value]) => entries.push((*key, *value)),
                        _ => return self.bad("an OrderedDict of something else than pairs"),
                    }
                }
                self.node(Node::Dict(entries))
            }
            ("__builtin__" | "builtins", "set" | "frozenset", [elements]) => {
                let elements = self.ids(*elements).map(<[Id]>::to_vec).unwrap_or_default();
                self.node(Node::Set(elements))
            }
            ("torch", "Size", [elements]) => {
                let elements = self.ids(*elements).map(<[Id]>::to_vec).unwrap_or_default();
                self.node(Node::Tuple(elements))
            }
            _ => self.object(function, args),
        }
    }

    fn unsigned(&self, id: Id, what: &str) -> Step<u64> {
        match &self.nodes[id as usize] {
            Node::Int(value) if *value >= 0 => Ok(value.unsigned_abs()),
            _ => self.bad(format!("a tensor's {what} is not a number of 0 or more")),
        }
    }

    fn dimensions(&self, id: Id, what: &str) -> Step<Vec<u64>> {
        match self.ids(id) {
            Some(ids) if ids.len() <= MAX_DIMENSIONS => ids.iter().map(|id| self.unsigned(*id, what)).collect(),
            _ => self.bad(format!("a tensor's {what} is not a short tuple")),
        }
    }

    fn tensor(&mut self, storage: Id, offset: Id, shape: Id, stride: Id) -> Step<Id> {
        let Node::Storage(storage) = &self.nodes[storage as usize] else {
            return self.bad("a tensor without a storage");
        };
        let storage = storage.clone();
        let (shape, stride) = (self.dimensions(shape, "size")?, self.dimensions(stride, "stride")?);
        if shape.len() != stride.len() {
            return self.bad("a tensor's size and stride differ in length");
        }
        let offset = self.unsigned(offset, "offset")?;
        self.node(Node::Tensor(TensorRef { shape, stride, offset, storage }))
    }

    /// `('storage', class, key, device, elements[, view])`, or the legacy form's `('module', class, …)`.
    fn persistent(&mut self, id: Id) -> Step<Id> {
        let Some(ids) = self.ids(id).map(<[Id]>::to_vec) else {
            return self.bad("a persistent id that is no tuple");
        };
        let kind = ids.first().and_then(|id| self.str(*id));
        match (kind, ids.as_slice()) {
            (Some("module"), [_, class, ..]) => Ok(*class),
            (Some("storage"), [_, class, key, _device, elements, view @ ..]) => {
                let Node::Global { name, .. } = &self.nodes[*class as usize] else {
                    return self.bad("a storage without a class");
                };
                let Some(dtype) = DType::of_storage(name) else {
                    let reason = format!("the storage class {name} is not known");
                    return self.bad(reason);
                };
                // Old savers numbered the keys, newer ones write them as text.
                let key = match &self.nodes[*key as usize] {
                    Node::Str(key) => key.clone(),
                    Node::Int(key) => key.to_string(),
                    _ => return self.bad("a storage whose key is no text"),
                };
                let elements = self.unsigned(*elements, "storage size")?;
                let (mut first, mut visible) = (0, elements);
                // The legacy form's view of a part of a storage: (key, first element, elements).
                if let Some(&[_, from, count]) = view.first().and_then(|view| self.ids(*view)) {
                    (first, visible) = (self.unsigned(from, "view")?, self.unsigned(count, "view")?);
                }
                self.node(Node::Storage(StorageRef { key, dtype, elements, first, visible }))
            }
            _ => self.bad("a persistent id that names no storage"),
        }
    }
}
