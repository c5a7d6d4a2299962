//! A machine for an allow-list of pickle opcodes. It builds inert [`Node`]s and never calls anything.
//!
//! Python's pickle is a program: `REDUCE` calls whatever function the file names. Here a call becomes an
//! [`Node::Object`] with the function's name in it. Only the few functions of which every saved tensor is made are
//! understood, as data: see [`rebuild`].

use std::collections::HashMap;

use crate::{
    error::FormatError,
    rebuild::{self, Rebuilt},
    value::{Id, Node, Pickle},
};

/// The largest pickle that is read. That of a network of 10,000 tensors has 3 MB.
pub(crate) const MAX_PICKLE: u64 = 16 << 20;
/// A pickle builds at most this many values.
const MAX_NODES: usize = 2_000_000;
/// At most this many marks are open at a time.
const MAX_MARKS: usize = 10_000;

/// A pickle that was read, and where it ended.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) pickle: Pickle,
    /// Length of the pickle in bytes.
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

/// Reads one pickle. What lies behind it is not looked at, as Python does not.
pub(crate) fn parse_whole(file: &str, member: &str, bytes: &[u8]) -> Result<Pickle, FormatError> {
    match parse(bytes) {
        Ok(parsed) => Ok(parsed.pickle),
        Err(stop) => Err(stop.into_error(file, member, bytes.len())),
    }
}

impl Stop {
    pub(crate) fn into_error(self, file: &str, member: &str, length: usize) -> FormatError {
        let (reason, at) = match self {
            Self::Short => ("it ends in the middle".to_owned(), length),
            Self::Bad { reason, at } => (reason, at),
        };
        FormatError::Pickle { file: file.to_owned(), member: member.to_owned(), reason, at }
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
                    let names = (rebuild::text(&self.nodes, module), rebuild::text(&self.nodes, name));
                    let (Some(module), Some(name)) = names else {
                        return self.bad("a class whose name is not text");
                    };
                    let (module, name) = (module.to_owned(), name.to_owned());
                    self.push(Node::Global { module, name })?;
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.push_rebuilt(rebuild::call(&self.nodes, function, arguments))?;
                }
                0x81 => {
                    let (_arguments, class) = (self.pop()?, self.pop()?);
                    self.push(rebuild::object(&self.nodes, class))?;
                }
                0x92 => {
                    let (_keywords, _arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                    self.push(rebuild::object(&self.nodes, class))?;
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
                    self.push_rebuilt(rebuild::persistent(&self.nodes, id))?;
                }
                other => {
                    return self.bad(format!("opcode 0x{other:02x} is not one that torch.save writes"));
                }
            }
        }
    }

    fn push_rebuilt(&mut self, rebuilt: Result<Rebuilt, String>) -> Step<()> {
        match rebuilt {
            Ok(Rebuilt::New(node)) => self.push(node),
            Ok(Rebuilt::Existing(id)) => {
                self.stack.push(id);
                Ok(())
            }
            Err(reason) => self.bad(reason),
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
            Node::List(elements) | Node::Set(elements) => {
                elements.extend(ids);
                Ok(())
            }
            // What a subclass of list holds is of no use to a reader.
            Node::Object { .. } => Ok(()),
            _ => self.bad("elements for something that is no list"),
        }
    }

    fn set_items(&mut self, ids: &[Id]) -> Step<()> {
        if !ids.len().is_multiple_of(2) {
            return self.bad("a key without a value");
        }
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::Dict(entries) => {
                entries.extend(ids.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            Node::Object { .. } => Ok(()),
            _ => self.bad("entries for something that is no dictionary"),
        }
    }
}
