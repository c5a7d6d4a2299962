//! What the machine for pickles works on: the bytes, the values, the stack, the marks and the memo.
//!
//! A small pickle can ask for much memory, by copying what it has built again and again. So everything that is built is
//! counted in bytes, and not more of it than [`MAX_HELD`]; and since nothing is done that is not counted or does not
//! use up bytes of the pickle, time is bounded with it.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    tensor::TensorRef,
    value::{Arena, Id, Node, Span, Value},
};

/// The largest pickle that is read. That of a network of 10,000 tensors has 3 MB; one with NumPy arrays holds all their
/// bytes.
pub(crate) const MAX_PICKLE: u64 = 64 << 20;
/// The bytes that the values of a pickle may take: those of some hundred thousand tensors, or of three million numbers.
pub(crate) const MAX_HELD: usize = 96 << 20;
/// What an allocation takes beside its contents.
const ALLOCATION: usize = 32;
/// What an index takes in a list that grows.
pub(crate) const INDEX: usize = 2 * size_of::<Id>();
/// A place of the memo that was never set.
const UNSET: Id = Id::MAX;

/// Why the machine stopped.
pub(crate) enum Halt {
    Short,
    TooMuch,
    Bad(String),
}

pub(crate) struct Machine {
    pub(crate) at: usize,
    pub(crate) opcode_at: usize,
    pub(crate) arena: Arena,
    pub(crate) stack: Vec<Id>,
    /// The greatest height of the stack so far.
    highest: usize,
    /// Heights of the stack at the open marks.
    pub(crate) marks: Vec<usize>,
    memo: Vec<Id>,
    pub(crate) memo_entries: usize,
    /// Bytes that the values take.
    held: usize,
    /// Bytes that they may take.
    pub(crate) most: usize,
}

pub(crate) type Step<T> = Result<T, Halt>;

pub(crate) fn bad<T>(reason: impl Into<String>) -> Step<T> {
    Err(Halt::Bad(reason.into()))
}

impl Machine {
    /// A machine at the start of `bytes`, whose values may take `most` bytes.
    pub(crate) fn new(bytes: &Bytes, most: usize) -> Self {
        Self {
            at: 0,
            opcode_at: 0,
            arena: Arena { bytes: bytes.clone(), nodes: Vec::new() },
            stack: Vec::new(),
            highest: 0,
            marks: Vec::new(),
            memo: Vec::new(),
            memo_entries: 0,
            held: 0,
            most,
        }
    }

    /// The next bytes, as their place in the pickle.
    pub(crate) fn take(&mut self, count: usize) -> Step<Range<usize>> {
        if count > self.arena.bytes.len() - self.at {
            return Err(Halt::Short);
        }
        self.at += count;
        Ok(self.at - count..self.at)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let range = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.arena.bytes[range]);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Step<usize> {
        Ok(usize::from(self.array::<1>()?[0]))
    }

    /// A length of four or eight bytes. Whether there is so much shows when it is taken.
    pub(crate) fn length<const N: usize>(&mut self) -> Step<usize> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.array::<N>()?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| Halt::Short)
    }

    /// A line of the text opcodes, without its end.
    pub(crate) fn line(&mut self) -> Step<Range<usize>> {
        let start = self.at;
        let end = self.arena.bytes[start..].iter().position(|byte| *byte == b'\n').ok_or(Halt::Short)?;
        self.at += end + 1;
        Ok(start..start + end)
    }

    pub(crate) fn line_text(&mut self) -> Step<&str> {
        let range = self.line()?;
        std::str::from_utf8(&self.arena.bytes[range]).or_else(|_| bad("a line that is not UTF-8"))
    }

    /// A line that is a name.
    pub(crate) fn name(&mut self) -> Step<Span> {
        let range = self.line()?;
        match std::str::from_utf8(&self.arena.bytes[range.clone()]) {
            Ok(_) => Ok(Span::new(range)),
            Err(_) => bad("a name that is not UTF-8"),
        }
    }

    /// Counts what the values take.
    pub(crate) fn charge(&mut self, bytes: usize) -> Step<()> {
        self.held = self.held.saturating_add(bytes);
        if self.held > self.most { Err(Halt::TooMuch) } else { Ok(()) }
    }

    pub(crate) fn node(&mut self, node: Node) -> Step<Id> {
        self.charge(size_of::<Node>() + behind(&node))?;
        self.arena.nodes.push(node);
        Ok((self.arena.nodes.len() - 1) as Id)
    }

    pub(crate) fn push(&mut self, node: Node) -> Step<()> {
        let id = self.node(node)?;
        self.push_id(id)
    }

    pub(crate) fn push_id(&mut self, id: Id) -> Step<()> {
        self.stack.push(id);
        if self.stack.len() > self.highest {
            self.highest = self.stack.len();
            self.charge(INDEX)?;
        }
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= floor => Ok(id),
            _ => bad("the stack is empty"),
        }
    }

    pub(crate) fn top(&self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(id) if self.stack.len() > floor => Ok(*id),
            _ => bad("the stack is empty"),
        }
    }

    pub(crate) fn pop_mark(&mut self) -> Step<Vec<Id>> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => bad("no mark is open"),
        }
    }

    pub(crate) fn tuple(&mut self, count: usize) -> Step<()> {
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            ids.push(self.pop()?);
        }
        ids.reverse();
        self.push(Node::Tuple(ids))
    }

    pub(crate) fn remember(&mut self, index: usize) -> Step<()> {
        let top = self.top()?;
        if index >= self.memo.len() {
            // Python numbers the memo from 0 or 1 on.
            if index > self.at {
                return bad(format!("memo {index}, of a number that no pickler gives"));
            }
            self.charge(INDEX * (index + 1 - self.memo.len()))?;
            self.memo.resize(index + 1, UNSET);
        }
        self.memo_entries += usize::from(self.memo[index] == UNSET);
        self.memo[index] = top;
        Ok(())
    }

    pub(crate) fn recall(&mut self, index: usize) -> Step<()> {
        match self.memo.get(index) {
            Some(id) if *id != UNSET => self.push_id(*id),
            _ => bad(format!("memo {index} was never set")),
        }
    }

    /// The number of a memo entry as the text opcodes write it.
    pub(crate) fn memo_index(&mut self) -> Step<usize> {
        self.line_text()?.parse().or_else(|_| bad("a memo entry without a number"))
    }

    /// What was being built, for a message.
    pub(crate) fn building(&self) -> Option<String> {
        if self.arena.names_numpy() {
            return Some(
                "NumPy arrays, which torch saves within the pickle: save tensors, made of them by \
                         `torch.from_numpy`"
                    .to_owned(),
            );
        }
        let outermost = Value { arena: &self.arena, id: *self.stack.first()? };
        outermost.describe_samples()
    }
}

/// Bytes that a value takes behind its pointers.
pub(crate) fn behind(node: &Node) -> usize {
    match node {
        Node::List(ids) | Node::Tuple(ids) | Node::Set(ids) => {
            if ids.is_empty() {
                0
            } else {
                ALLOCATION + ids.len() * size_of::<Id>()
            }
        }
        Node::Dict(entries) => {
            if entries.is_empty() {
                0
            } else {
                ALLOCATION + entries.len() * size_of::<(Id, Id)>()
            }
        }
        Node::DecodedStr(text) => ALLOCATION + text.len(),
        Node::DecodedBytes(bytes) => 2 * ALLOCATION + bytes.len(),
        Node::Storage(storage) => 3 * ALLOCATION + size_of_val(&**storage) + storage.key.len(),
        Node::Tensor(tensor) => {
            let held = tensor.storage.held.as_ref().map_or(0, Bytes::len);
            3 * ALLOCATION + size_of::<TensorRef>() + 16 * tensor.shape.len() + held
        }
        Node::Texts(texts) => 3 * ALLOCATION + size_of_val(&**texts) + texts.size(),
        _ => 0,
    }
}
