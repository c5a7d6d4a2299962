//! What a pickle holds, as inert data.
//!
//! The values live in one flat arena and point at each other by index. So shared and even cyclic objects cost
//! nothing, and dropping a value nested a million deep needs no stack. Texts and byte strings stay where they are in
//! the pickle.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;

use crate::{
    printable::Printable,
    tensor::{StorageRef, TensorRef},
    text_array::{self, TextArray},
};

/// No name of a tensor or column is longer, in bytes.
const MAX_NAME: usize = 1000;

/// Index of a value in the arena of its pickle.
pub(crate) type Id = u32;

/// A part of the pickle's own bytes, which are fewer than 2³².
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(range: Range<usize>) -> Self {
        Self { start: range.start as u32, end: range.end as u32 }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One value of the arena. A pickle may hold millions: what is large lies behind a pointer.
#[derive(Debug)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer from 2⁶³ to 2⁶⁴ − 1.
    UInt(u64),
    /// An integer of more than 64 bits, which no reader wants to know.
    Long,
    Float(f64),
    /// Text, which is known to be UTF-8.
    Str(Span),
    /// Text that was not UTF-8, with what was not replaced.
    DecodedStr(Box<str>),
    Bytes(Span),
    /// Bytes that the pickle holds in another form.
    DecodedBytes(Box<Bytes>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global {
        module: Span,
        name: Span,
    },
    Storage(Box<StorageRef>),
    Tensor(Box<TensorRef>),
    /// A NumPy array of text.
    Texts(Box<TextArray>),
    /// NumPy's element type, by the name it gives it: `f4`.
    NumpyType {
        name: Span,
        big_endian: bool,
    },
    Object {
        class: Id,
        state: Option<Id>,
    },
}

/// The values of a pickle, and the bytes that they are parts of.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) bytes: Bytes,
    pub(crate) nodes: Vec<Node>,
}

impl Arena {
    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub(crate) fn span_bytes(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }

    fn span_text(&self, span: Span) -> Option<&str> {
        std::str::from_utf8(self.span_bytes(span)).ok()
    }

    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Str(span) => self.span_text(*span),
            Node::DecodedStr(text) => Some(text),
            _ => None,
        }
    }

    /// Whether a value is this text. Unlike [`text`](Self::text), it does not look at all of a long one.
    pub(crate) fn is_text(&self, id: Id, expected: &str) -> bool {
        match self.node(id) {
            Node::Str(span) => self.span_bytes(*span) == expected.as_bytes(),
            Node::DecodedStr(text) => **text == *expected,
            _ => false,
        }
    }

    /// A byte string's bytes, which are not copied.
    pub(crate) fn byte_string(&self, id: Id) -> Option<Bytes> {
        match self.node(id) {
            Node::Bytes(span) => Some(self.bytes.slice(span.range())),
            Node::DecodedBytes(bytes) => Some(Bytes::clone(bytes)),
            _ => None,
        }
    }

    /// The elements of a list or tuple.
    pub(crate) fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(ids) | Node::List(ids) => Some(ids),
            _ => None,
        }
    }

    /// The module and the name of a class or function.
    pub(crate) fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Global { module, name } => self.span_text(*module).zip(self.span_text(*name)),
            _ => None,
        }
    }

    pub(crate) fn is_global(&self, id: Id, expected_module: &str, expected_name: &str) -> bool {
        matches!(self.node(id), Node::Global { module, name }
            if self.span_bytes(*module) == expected_module.as_bytes() && self.span_bytes(*name) == expected_name.as_bytes())
    }

    /// The integers of a tensor's size or stride. The error says what is there instead.
    pub(crate) fn integers(&self, sequence: Id, what: &str) -> Result<Vec<i64>, String> {
        let ids = self.sequence(sequence).ok_or_else(|| format!("a tensor's {what} is no tuple"))?;
        TensorRef::check_dimensions(ids.len())?;
        ids.iter().map(|id| self.integer(*id, what)).collect()
    }

    /// An integer that describes a tensor.
    pub(crate) fn integer(&self, id: Id, what: &str) -> Result<i64, String> {
        match self.node(id) {
            Node::Int(value) => Ok(*value),
            _ => Err(format!("a tensor's {what} is no integer of 64 bits")),
        }
    }

    /// Whether anything of NumPy is named.
    pub(crate) fn names_numpy(&self) -> bool {
        let is_numpy = |module: &[u8]| module == b"numpy" || module.starts_with(b"numpy.");
        self.nodes.iter().any(|node| matches!(node, Node::Global { module, .. } if is_numpy(self.span_bytes(*module))))
    }
}

/// The values of a pickle.
#[derive(Debug)]
pub(crate) struct Pickle {
    pub(crate) arena: Arena,
    pub(crate) root: Id,
}

impl Pickle {
    pub(crate) fn root(&self) -> Value<'_> {
        Value { arena: &self.arena, id: self.root }
    }
}

/// One value of a pickle.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) id: Id,
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

impl<'a> Value<'a> {
    fn node(self) -> &'a Node {
        self.arena.node(self.id)
    }

    fn at(self, id: Id) -> Self {
        Self { arena: self.arena, id }
    }

    /// Whether the value is Python's `None`.
    pub fn is_none(self) -> bool {
        matches!(self.node(), Node::None)
    }

    /// The text, if the value is a `str`.
    pub fn as_str(self) -> Option<&'a str> {
        self.arena.text(self.id)
    }

    /// The text, if the value is a `str` that may be a name: one of at most 1,000 bytes. A hostile pickle can use a long
    /// text for any number of keys, and this looks at none of it.
    pub fn as_name(self) -> Option<&'a str> {
        match self.node() {
            Node::Str(span) if span.range().len() > MAX_NAME => None,
            Node::DecodedStr(text) if text.len() > MAX_NAME => None,
            _ => self.as_str(),
        }
    }

    /// The integer, if the value is one from −2⁶³ to 2⁶³ − 1.
    pub fn as_int(self) -> Option<i64> {
        match self.node() {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if the value is one from 0 to 2⁶⁴ − 1.
    pub fn as_u64(self) -> Option<u64> {
        match self.node() {
            Node::Int(value) => u64::try_from(*value).ok(),
            Node::UInt(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if the value is a float or an integer.
    pub fn as_float(self) -> Option<f64> {
        match self.node() {
            Node::Float(value) => Some(*value),
            Node::Int(value) => Some(*value as f64),
            Node::UInt(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The truth value, if the value is a `bool`.
    pub fn as_bool(self) -> Option<bool> {
        match self.node() {
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The tensor, if the value is one. A NumPy array of numbers is one too.
    pub fn as_tensor(self) -> Option<&'a TensorRef> {
        match self.node() {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The texts of a list or tuple of nothing but `str` and `bytes`, or those of a NumPy array of text with one for
    /// each row: what `numpy.array(names)` makes. Bytes are taken for UTF-8, and for Latin-1 where they are not.
    pub fn texts(self) -> Option<impl ExactSizeIterator<Item = Cow<'a, str>>> {
        let (array, ids): (Option<&TextArray>, &[Id]) = match self.node() {
            Node::Texts(array) => (Some(array), &[]),
            Node::List(ids) | Node::Tuple(ids) if ids.iter().all(|id| self.at(*id).is_text()) => (None, ids),
            _ => return None,
        };
        let count = array.map_or(ids.len(), TextArray::len);
        Some((0..count).map(move |index| match array {
            Some(array) => array.get(index),
            None => self.at(ids[index]).text().unwrap_or_default(),
        }))
    }

    /// Whether it is a `str` or `bytes`, which may be long: nothing of it is looked at.
    fn is_text(self) -> bool {
        matches!(self.node(), Node::Str(_) | Node::DecodedStr(_) | Node::Bytes(_) | Node::DecodedBytes(_))
    }

    /// Whether it is a set, whose elements come in any order.
    pub fn is_set(self) -> bool {
        matches!(self.node(), Node::Set(_))
    }

    /// The text that a `str` or `bytes` is.
    fn text(self) -> Option<Cow<'a, str>> {
        match self.node() {
            Node::Bytes(span) => Some(text_array::decoded(self.arena.span_bytes(*span))),
            Node::DecodedBytes(bytes) => Some(text_array::decoded(bytes)),
            _ => self.as_str().map(Cow::Borrowed),
        }
    }

    /// The elements of a list, tuple or set.
    pub fn elements(self) -> Option<impl ExactSizeIterator<Item = Value<'a>>> {
        match self.node() {
            Node::List(ids) | Node::Tuple(ids) | Node::Set(ids) => Some(ids.iter().map(move |id| self.at(*id))),
            _ => None,
        }
    }

    /// The entries of a dictionary, in the order in which they were set.
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (Value<'a>, Value<'a>)>> {
        match self.node() {
            Node::Dict(entries) => Some(entries.iter().map(move |(key, value)| (self.at(*key), self.at(*value)))),
            _ => None,
        }
    }

    /// A dictionary's value for a text key: the last one, as in Python, where the key is there twice.
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        match self.node() {
            Node::Dict(entries) => {
                let found = entries.iter().rev().find(|(name, _)| self.arena.is_text(*name, key));
                found.map(|(_, value)| self.at(*value))
            }
            _ => None,
        }
    }

    /// The module and the name of an object's class.
    pub fn class(self) -> Option<(&'a str, &'a str)> {
        match self.node() {
            Node::Object { class, .. } => self.arena.global(*class),
            _ => None,
        }
    }

    /// The module and the name of a class or function.
    pub fn global(self) -> Option<(&'a str, &'a str)> {
        self.arena.global(self.id)
    }

    /// What an object was restored with: usually the dictionary of its attributes.
    pub fn state(self) -> Option<Value<'a>> {
        match self.node() {
            Node::Object { state, .. } => state.map(|id| self.at(id)),
            _ => None,
        }
    }

    /// What the value is, in a few words, for errors and listings. Nothing in it can move a terminal's cursor.
    pub fn describe(self) -> String {
        match self.node() {
            Node::None => "None".into(),
            Node::Bool(value) => format!("the boolean {value}"),
            Node::Int(value) => format!("the integer {value}"),
            Node::UInt(value) => format!("the integer {value}"),
            Node::Long => "an integer of more than 64 bits".into(),
            Node::Float(value) => format!("the number {value}"),
            Node::Str(span) if span.range().len() > MAX_NAME => format!("a text of {} bytes", span.range().len()),
            Node::DecodedStr(text) if text.len() > MAX_NAME => format!("a text of {} bytes", text.len()),
            Node::Str(_) | Node::DecodedStr(_) => {
                format!("the text \"{}\"", Printable(self.as_str().unwrap_or_default()))
            }
            Node::Bytes(span) => format!("{} bytes", span.range().len()),
            Node::DecodedBytes(bytes) => format!("{} bytes", bytes.len()),
            Node::List(ids) => format!("a list of {}", ids.len()),
            Node::Tuple(ids) => format!("a tuple of {}", ids.len()),
            Node::Set(ids) => format!("a set of {}", ids.len()),
            Node::Dict(entries) => format!("a dictionary of {}", entries.len()),
            Node::Global { .. } => match self.global() {
                Some((module, name)) => format!("the name {}.{}", Printable(module), Printable(name)),
                None => "a name".into(),
            },
            Node::Storage(storage) => format!("the storage {}", Printable(&storage.key)),
            Node::Tensor(tensor) => format!("a tensor of {}", tensor.describe()),
            Node::Texts(texts) => format!("a NumPy array of {} texts", texts.len()),
            Node::NumpyType { name, .. } => {
                let name = self.arena.span_text(*name).unwrap_or_default();
                format!("NumPy's element type {}", Printable(name))
            }
            Node::Object { .. } => match self.class() {
                Some((_, "_reconstruct" | "_frombuffer" | "scalar")) => self.describe_unread_array(),
                Some((_, "_rebuild_tensor_v3")) => match self.state().and_then(Value::global) {
                    Some((module, name)) => {
                        format!("a tensor of the type {}.{}, which is not read", Printable(module), Printable(name))
                    }
                    None => "a tensor of a type that is not read".into(),
                },
                Some((module, name)) => format!("an object of class {}.{}", Printable(module), Printable(name)),
                None => "an object".into(),
            },
        }
    }

    /// Says of a NumPy array that is not read of which type it is, and which type would be read.
    fn describe_unread_array(self) -> String {
        let name = match self.state().map(Value::node) {
            Some(Node::NumpyType { name, .. }) => self.arena.span_text(*name).unwrap_or_default(),
            _ => "",
        };
        let (kind, instead) = match name.as_bytes().first() {
            Some(b'M' | b'm') => ("times", "save it as `array.astype('int64')` or `array.astype('U')`"),
            Some(b'V') => ("records", "save each of its fields, `array['name']`, under a key of its own"),
            Some(b'O') => {
                ("Python objects", "save it as `array.astype('U')`, or as `array.astype('int64')` or `'float64'`")
            }
            Some(b'U' | b'S') => ("texts", "save one text for each row"),
            Some(b'c') => ("complex numbers", "save `array.real` and `array.imag`"),
            _ => ("another type", "save it as an array of numbers or of text"),
        };
        format!("a NumPy array of {kind} ({}), which is not read: {instead}", Printable(name))
    }

    /// Says of a list of samples, one tuple, list or dictionary for each, what it is and how one tensor is made of all
    /// of them; `None` for anything else.
    pub fn describe_samples(self) -> Option<String> {
        let samples = self.elements()?;
        let count = samples.len();
        let first = self.elements()?.next()?;
        let parts: Vec<String> = match (first.elements(), first.entries()) {
            (Some(parts), _) => parts.take(5).map(Value::describe).collect(),
            (None, Some(parts)) => {
                parts.take(5).map(|(key, part)| format!("{}: {}", key.describe(), part.describe())).collect()
            }
            (None, None) => return None,
        };
        let columns = match first.entries() {
            Some(_) => "zip(*(sample.values() for sample in samples))",
            None => "zip(*samples)",
        };
        Some(format!(
            "a list of {count} samples, each {} ({}): stack them, `torch.save(TensorDataset(*(torch.stack([\
             torch.as_tensor(value) for value in column]) for column in {columns})), path)`",
            first.describe(),
            parts.join(", ")
        ))
    }
}
