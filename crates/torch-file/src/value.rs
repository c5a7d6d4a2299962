//! What a pickle holds, as inert data.
//!
//! The values live in one flat arena and point at each other by index. So shared and even cyclic objects cost
//! nothing, and dropping a value nested a million deep needs no stack.

use crate::tensor::{StorageRef, TensorRef};

/// Index of a value in the arena of its pickle.
pub(crate) type Id = u32;

/// One value of the arena.
#[derive(Debug)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 64 bits: two's complement, little-endian.
    Long(Vec<u8>),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global {
        module: String,
        name: String,
    },
    Storage(StorageRef),
    Tensor(TensorRef),
    Object {
        class: Id,
        state: Option<Id>,
    },
}

/// The values of a pickle.
#[derive(Debug)]
pub(crate) struct Pickle {
    pub(crate) nodes: Vec<Node>,
    pub(crate) root: Id,
}

impl Pickle {
    pub(crate) fn root(&self) -> Value<'_> {
        Value { pickle: self, id: self.root }
    }
}

/// One value of a pickle.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pickle: &'a Pickle,
    pub(crate) id: Id,
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

impl<'a> Value<'a> {
    fn node(self) -> &'a Node {
        &self.pickle.nodes[self.id as usize]
    }

    fn at(self, id: Id) -> Self {
        Self { pickle: self.pickle, id }
    }

    /// The text, if the value is a `str`.
    pub fn as_str(self) -> Option<&'a str> {
        match self.node() {
            Node::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if the value is one of at most 64 bits.
    pub fn as_int(self) -> Option<i64> {
        match self.node() {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if the value is a float or an integer.
    pub fn as_float(self) -> Option<f64> {
        match self.node() {
            Node::Float(value) => Some(*value),
            Node::Int(value) => Some(*value as f64),
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

    /// The tensor, if the value is one.
    pub fn as_tensor(self) -> Option<&'a TensorRef> {
        match self.node() {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
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
        let mut found = None;
        for (name, value) in self.entries()? {
            if name.as_str() == Some(key) {
                found = Some(value);
            }
        }
        found
    }

    /// The module and the name of an object's class.
    pub fn class(self) -> Option<(&'a str, &'a str)> {
        match self.node() {
            Node::Object { class, .. } => self.at(*class).global(),
            _ => None,
        }
    }

    /// The module and the name of a class or function.
    pub fn global(self) -> Option<(&'a str, &'a str)> {
        match self.node() {
            Node::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    /// What an object was restored with: usually the dictionary of its attributes.
    pub fn state(self) -> Option<Value<'a>> {
        match self.node() {
            Node::Object { state, .. } => state.map(|id| self.at(id)),
            _ => None,
        }
    }

    /// What the value is, in a few words, for errors and listings.
    pub fn describe(self) -> String {
        match self.node() {
            Node::None => "None".into(),
            Node::Bool(value) => format!("the boolean {value}"),
            Node::Int(value) => format!("the integer {value}"),
            Node::Long(bytes) => format!("an integer of {} bytes", bytes.len()),
            Node::Float(value) => format!("the number {value}"),
            Node::Str(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
            Node::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Node::List(ids) => format!("a list of {}", ids.len()),
            Node::Tuple(ids) => format!("a tuple of {}", ids.len()),
            Node::Set(ids) => format!("a set of {}", ids.len()),
            Node::Dict(entries) => format!("a dictionary of {}", entries.len()),
            Node::Global { module, name } => format!("the name {module}.{name}"),
            Node::Storage(storage) => format!("the storage {}", storage.key),
            Node::Tensor(tensor) => format!("a tensor of {}", tensor.describe()),
            Node::Object { class, .. } => match self.at(*class).global() {
                Some((module, name)) => format!("an object of class {module}.{name}"),
                None => "an object".into(),
            },
        }
    }
}
