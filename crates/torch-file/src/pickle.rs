//! A machine for an allow-list of pickle opcodes. It builds inert [`Node`]s and never calls anything.
//!
//! Python's pickle is a program: `REDUCE` calls whatever function the file names. Here a call becomes an
//! [`Node::Object`] with the function's name in it. Only the few functions of which every saved tensor is made are
//! understood, as data: see [`rebuild`].

use std::{borrow::Cow, num::IntErrorKind, ops::Range};

use bytes::Bytes;

pub(crate) use crate::machine::{MAX_HELD, MAX_PICKLE};
use crate::{
    error::FormatError,
    machine::{Halt, INDEX, Machine, Step, bad, behind},
    printable::Printable,
    rebuild::{self, Rebuilt},
    value::{Id, Node, Pickle, Span, Value},
};

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
    Short {
        /// What the pickle was about to build, where that can be told.
        building: Option<String>,
    },
    /// No number of further bytes would help.
    Bad { reason: String, at: usize },
}

/// Reads one pickle from the start of `bytes`, whose values may take `most` bytes.
pub(crate) fn parse(bytes: &Bytes, most: usize) -> Result<Parsed, Stop> {
    let mut machine = Machine::new(bytes, most);
    match machine.run() {
        Ok(root) => Ok(Parsed { length: machine.at, pickle: Pickle { arena: machine.arena, root } }),
        Err(Halt::Short) => Err(Stop::Short { building: machine.building() }),
        Err(Halt::TooMuch) => {
            let building = machine.building().map(|what| format!(", and was to be {what}")).unwrap_or_default();
            let reason = format!("its values take more than {} MB{building}", most >> 20);
            Err(Stop::Bad { reason, at: machine.opcode_at })
        }
        Err(Halt::Bad(reason)) => Err(Stop::Bad { reason, at: machine.opcode_at }),
    }
}

/// What the pickle at the start of some bytes holds, or begins to; `None` where there is no pickle.
pub(crate) fn describe_start(bytes: &Bytes) -> Option<String> {
    let mut machine = Machine::new(bytes, MAX_HELD);
    let id = match machine.run() {
        Ok(root) => root,
        Err(Halt::Short) => *machine.stack.first()?,
        Err(Halt::TooMuch | Halt::Bad(_)) => return None,
    };
    Some(Value { arena: &machine.arena, id }.describe())
}

/// Reads one pickle. What lies behind it is not looked at, as Python does not.
pub(crate) fn parse_whole(file: &str, member: &str, bytes: &Bytes) -> Result<Pickle, FormatError> {
    match parse(bytes, MAX_HELD) {
        Ok(parsed) => Ok(parsed.pickle),
        Err(stop) => Err(stop.into_error(file, member, bytes.len())),
    }
}

impl Stop {
    pub(crate) fn into_error(self, file: &str, member: &str, length: usize) -> FormatError {
        let (reason, at) = match self {
            Self::Short { .. } => ("it ends in the middle".to_owned(), length),
            Self::Bad { reason, at } => (reason, at),
        };
        FormatError::Pickle { file: file.to_owned(), member: member.to_owned(), reason, at }
    }
}

impl Machine {
    /// Runs to STOP, and returns the one value left.
    fn run(&mut self) -> Step<Id> {
        loop {
            self.opcode_at = self.at;
            let opcode = self.array::<1>()?[0];
            match opcode {
                b'.' => {
                    let root = self.pop()?;
                    if !self.stack.is_empty() || !self.marks.is_empty() {
                        return bad("values are left over at the end");
                    }
                    return Ok(root);
                }
                0x80 => {
                    let protocol = self.u8()?;
                    if protocol > 5 {
                        return bad(format!("protocol {protocol}"));
                    }
                }
                0x95 => drop(self.array::<8>()?),
                b'(' => {
                    if self.marks.len() >= MAX_MARKS {
                        return bad(format!("more than {MAX_MARKS} open marks"));
                    }
                    self.marks.push(self.stack.len());
                }
                b'0' => {
                    // As in Python, a mark that is on top is what is dropped.
                    if self.marks.last() == Some(&self.stack.len()) {
                        self.marks.pop();
                    } else {
                        self.pop()?;
                    }
                }
                b'1' => drop(self.pop_mark()?),
                b'2' => {
                    let id = self.top()?;
                    self.push_id(id)?;
                }

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
                b'I' => {
                    let node = match self.line_text()? {
                        "00" => Node::Bool(false),
                        "01" => Node::Bool(true),
                        digits => decimal(digits)?,
                    };
                    self.push(node)?;
                }
                b'L' => {
                    let node = decimal(self.line_text()?.trim_end_matches('L'))?;
                    self.push(node)?;
                }
                b'F' => match self.line_text()?.parse() {
                    Ok(value) => self.push(Node::Float(value))?,
                    Err(_) => return bad("a number that is none"),
                },
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
                b'V' => {
                    let line = self.line()?;
                    self.push_raw_unicode(line)?;
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
                b'S' => {
                    let line = self.line()?;
                    let quoted = &self.arena.bytes[line.clone()];
                    match quoted {
                        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
                            let node = self.text(line.start + 1..line.end - 1);
                            self.push(node)?;
                        }
                        _ => return bad("a string with escapes, as Python 2 wrote them"),
                    }
                }
                b'C' => {
                    let length = self.u8()?;
                    self.push_bytes(length)?;
                }
                b'B' => {
                    let length = self.length::<4>()?;
                    self.push_bytes(length)?;
                }
                // BINBYTES8, and BYTEARRAY8 of protocol 5.
                0x8e | 0x96 => {
                    let length = self.length::<8>()?;
                    self.push_bytes(length)?;
                }
                // READONLY_BUFFER: bytes are not changed here anyway.
                0x98 => drop(self.top()?),

                // The memo.
                b'q' => {
                    let index = self.u8()?;
                    self.remember(index)?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.array()?);
                    self.remember(index as usize)?;
                }
                b'p' => {
                    let index = self.memo_index()?;
                    self.remember(index)?;
                }
                0x94 => self.remember(self.memo_entries)?,
                b'h' => {
                    let index = self.u8()?;
                    self.recall(index)?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.array()?);
                    self.recall(index as usize)?;
                }
                b'g' => {
                    let index = self.memo_index()?;
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
                b'l' => {
                    let ids = self.pop_mark()?;
                    self.push(Node::List(ids))?;
                }
                b'd' => {
                    let ids = self.pop_mark()?;
                    self.push(Node::Dict(Vec::new()))?;
                    self.set_items(&ids)?;
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
                    self.extend(&[id])?;
                }
                b'e' | 0x90 => {
                    let ids = self.pop_mark()?;
                    self.extend(&ids)?;
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
                    let (module, name) = (self.name()?, self.name()?);
                    self.push(Node::Global { module, name })?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (&Node::Str(module), &Node::Str(name)) = (self.arena.node(module), self.arena.node(name))
                    else {
                        return bad("a class whose name is not text");
                    };
                    self.push(Node::Global { module, name })?;
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let rebuilt = rebuild::call(&self.arena, function, arguments);
                    self.push_rebuilt(rebuilt)?;
                }
                0x81 => {
                    let (_arguments, class) = (self.pop()?, self.pop()?);
                    self.push(rebuild::object(&self.arena, class))?;
                }
                0x92 => {
                    let (_keywords, _arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                    self.push(rebuild::object(&self.arena, class))?;
                }
                // INST and OBJ: a class with its arguments since the mark.
                b'i' => {
                    let (module, name) = (self.name()?, self.name()?);
                    self.pop_mark()?;
                    let class = self.node(Node::Global { module, name })?;
                    self.push(rebuild::object(&self.arena, class))?;
                }
                b'o' => match self.pop_mark()?.first() {
                    Some(class) => self.push(rebuild::object(&self.arena, *class))?,
                    None => return bad("an object without a class"),
                },
                b'b' => {
                    let given = self.pop()?;
                    let object = self.top()?;
                    // State of anything but an object (the metadata of a state dict, say) is of no use to a reader.
                    if let Some(node) = rebuild::with_state(&self.arena, object, given).or_else(bad)? {
                        self.charge(behind(&node))?;
                        self.arena.nodes[object as usize] = node;
                    }
                }
                b'Q' => {
                    let id = self.pop()?;
                    let rebuilt = rebuild::persistent(&self.arena, id);
                    self.push_rebuilt(rebuilt)?;
                }
                b'P' => {
                    let rebuilt = rebuild::persistent_text(self.line_text()?);
                    self.push_rebuilt(rebuilt)?;
                }
                other => {
                    return bad(format!("opcode 0x{other:02x} is not one that torch.save writes"));
                }
            }
        }
    }

    fn push_rebuilt(&mut self, rebuilt: Result<Rebuilt, String>) -> Step<()> {
        match rebuilt {
            Ok(Rebuilt::New(node)) => self.push(node),
            Ok(Rebuilt::Existing(id)) => self.push_id(id),
            Err(reason) => bad(reason),
        }
    }

    fn text(&self, range: Range<usize>) -> Node {
        match String::from_utf8_lossy(&self.arena.bytes[range.clone()]) {
            Cow::Borrowed(_) => Node::Str(Span::new(range)),
            // Python writes lone surrogates in its own way; in a name they do not matter.
            Cow::Owned(text) => Node::DecodedStr(text.into()),
        }
    }

    fn push_text(&mut self, length: usize) -> Step<()> {
        let range = self.take(length)?;
        let node = self.text(range);
        self.push(node)
    }

    /// Text of protocol 0: Latin-1, with what is beyond it as `\u0394` or `\U0001f30c`.
    fn push_raw_unicode(&mut self, range: Range<usize>) -> Step<()> {
        let line = &self.arena.bytes[range.clone()];
        if line.is_ascii() && !line.contains(&b'\\') {
            return self.push(Node::Str(Span::new(range)));
        }
        let mut text = String::with_capacity(2 * line.len());
        let mut rest = line;
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            let digits = match (first, rest.first()) {
                (b'\\', Some(b'u')) => 4,
                (b'\\', Some(b'U')) => 8,
                _ => 0,
            };
            let code = rest.get(1..1 + digits).and_then(|digits| std::str::from_utf8(digits).ok());
            match code.filter(|_| digits > 0).and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
                Some(code) => {
                    text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    rest = &rest[1 + digits..];
                }
                None => text.push(char::from(*first)),
            }
        }
        self.push(Node::DecodedStr(text.into()))
    }

    fn push_bytes(&mut self, length: usize) -> Step<()> {
        let range = self.take(length)?;
        self.push(Node::Bytes(Span::new(range)))
    }

    fn long(&mut self, length: usize) -> Step<()> {
        let range = self.take(length)?;
        let bytes = &self.arena.bytes[range];
        let node = if length <= 8 {
            let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
            let mut wide = [sign; 8];
            wide[..length].copy_from_slice(bytes);
            Node::Int(i64::from_le_bytes(wide))
        } else if let ([low @ .., 0], 9) = (bytes, length) {
            // The ninth byte is there for the sign.
            let mut wide = [0; 8];
            wide.copy_from_slice(low);
            let value = u64::from_le_bytes(wide);
            i64::try_from(value).map_or(Node::UInt(value), Node::Int)
        } else {
            Node::Long
        };
        self.push(node)
    }

    fn extend(&mut self, ids: &[Id]) -> Step<()> {
        let top = self.top()?;
        self.charge(INDEX * ids.len())?;
        match &mut self.arena.nodes[top as usize] {
            Node::List(elements) | Node::Set(elements) => {
                elements.extend(ids);
                Ok(())
            }
            // What a subclass of list holds is of no use to a reader.
            Node::Object { .. } => Ok(()),
            _ => bad("elements for something that is no list"),
        }
    }

    fn set_items(&mut self, ids: &[Id]) -> Step<()> {
        if !ids.len().is_multiple_of(2) {
            return bad("a key without a value");
        }
        let top = self.top()?;
        self.charge(INDEX * ids.len())?;
        match &mut self.arena.nodes[top as usize] {
            Node::Dict(entries) => {
                entries.extend(ids.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            Node::Object { .. } => Ok(()),
            _ => bad("entries for something that is no dictionary"),
        }
    }
}

/// An integer in decimal digits.
fn decimal(digits: &str) -> Step<Node> {
    match digits.parse() {
        Ok(value) => Ok(Node::Int(value)),
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow => Ok(digits.parse().map_or(Node::Long, Node::UInt)),
            IntErrorKind::NegOverflow => Ok(Node::Long),
            _ => bad(format!("the integer \"{}\"", Printable(digits))),
        },
    }
}
