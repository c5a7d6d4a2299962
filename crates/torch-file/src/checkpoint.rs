//! Checkpoints: the tensors and attributes of a whole pickled module or of a state dict, by flat names.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::FormatError,
    file::TorchFile,
    networks::{self, Modules},
    printable::Printable,
    range::RangeRead,
    tensor::TensorRef,
    value::Value,
};

/// Modules are nested at most so deep.
const MAX_DEPTH: usize = 64;
/// What the names and tensors of a network may take, in bytes. The same module may stand under many names, each of
/// which is one more, so this also bounds the time it takes to collect them.
const MAX_HELD: usize = 64 << 20;
/// What a tensor or an attribute takes beside its name.
const ENTRY: usize = 256;
/// What looking at an entry counts as.
const VISIT: usize = 16;

/// What PyTorch's own wrappers call the module they wrap: `DataParallel`, `DistributedDataParallel` and
/// `AveragedModel`; `torch.compile`; FSDP; activation checkpointing; Lightning's Fabric.
const WRAPPED: [&str; 5] =
    ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];
/// A plain attribute of a module.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A Python `bool`.
    Bool(bool),
    /// A Python `int` of at most 64 bits.
    Int(i64),
    /// A Python `float`.
    Float(f64),
    /// A Python `str`.
    Text(String),
    /// A tuple of integers, such as the size of a kernel.
    Ints(Vec<i64>),
}

/// A network as it was saved.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// Class of the outermost module that is no wrapper of PyTorch's; `None` for a state dict.
    pub class: Option<String>,
    /// Parameters and buffers, by name: `blocks.0.attn.qkv.weight`.
    pub tensors: BTreeMap<String, TensorRef>,
    /// Attributes of whole modules, by name: `blocks.0.attn.num_heads`.
    pub attributes: BTreeMap<String, Attribute>,
    /// The way to the network from the file's object, as Python's indices: `["model"]`; empty where it is that object.
    pub place: String,
    /// The ways to other networks that the file holds, such as averages of this one's weights.
    pub others: Vec<String>,
}

/// Tensors under their names without what PyTorch's wrappers put into them, at any depth: `blocks.0.norm1.weight`
/// instead of `module._orig_mod.blocks.0.norm1.weight`.
///
/// All keep their names where two would get the same one: then a part that is called like a wrapper's is none.
pub fn without_wrappers<T>(named: BTreeMap<String, T>) -> BTreeMap<String, T> {
    match is_clear_without_wrappers(&named) {
        true => named.into_iter().map(|(name, value)| (without_wrapper_parts(&name), value)).collect(),
        false => named,
    }
}

/// Whether all names differ still when what wrappers put into them is taken out.
fn is_clear_without_wrappers<T>(named: &BTreeMap<String, T>) -> bool {
    let names: BTreeSet<String> = named.keys().map(|name| without_wrapper_parts(name)).collect();
    names.len() == named.len()
}

fn without_wrapper_parts(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').filter(|part| !WRAPPED.contains(part)).collect();
    parts.join(".")
}

/// Attributes under the names that the tensors beside them have. A wrapper has attributes of its own, and those of the
/// module that it wraps count.
fn attributes_without_wrappers(named: BTreeMap<String, Attribute>) -> BTreeMap<String, Attribute> {
    let mut named: Vec<(String, Attribute)> = named.into_iter().collect();
    named.sort_by_key(|(name, _)| name.len());
    named.into_iter().map(|(name, value)| (without_wrapper_parts(&name), value)).collect()
}

impl Checkpoint {
    /// The network in an open file: a module or a state dict, wrapped or not, alone or in a dictionary or list of other
    /// things. Of several it takes the one under the key that training scripts use most, and an average of weights
    /// last.
    ///
    /// # Errors
    /// [`FormatError::Content`] where the file holds something else.
    pub fn of<R: RangeRead>(file: &TorchFile<R>) -> Result<Self, FormatError> {
        let root = file.root();
        let content = |found: String| FormatError::Content {
            file: file.name().to_owned(),
            expected: "a network (a module or a state dict)",
            found,
        };
        let mut collector = Collector::default();
        let network = networks::find(root, &mut collector.modules).map_err(content)?;
        let class = if collector.modules.is_module(network.value) {
            let module = collector.unwrapped(network.value);
            collector.walk(module).map_err(content)?;
            module.class().map(|(_, name)| name.to_owned())
        } else {
            for (name, value) in network.value.entries().into_iter().flatten() {
                if let (Some(name), Some(tensor)) = (name.as_name(), value.as_tensor()) {
                    collector.add_tensor(name.to_owned(), tensor).map_err(content)?;
                }
            }
            None
        };
        let Collector { tensors, attributes, .. } = collector;
        if tensors.is_empty() {
            return Err(content(format!("{} without any tensor", root.describe())));
        }
        let attributes = match is_clear_without_wrappers(&tensors) {
            true => attributes_without_wrappers(attributes),
            false => attributes,
        };
        let tensors = without_wrappers(tensors);
        Ok(Self { class, tensors, attributes, place: network.place, others: network.others })
    }
}

/// Collects the tensors and attributes of a network, and counts what they take.
#[derive(Default)]
struct Collector {
    tensors: BTreeMap<String, TensorRef>,
    attributes: BTreeMap<String, Attribute>,
    held: usize,
    modules: Modules,
}

impl Collector {
    fn charge(&mut self, bytes: usize) -> Result<(), String> {
        self.held = self.held.saturating_add(bytes);
        match self.held {
            ..=MAX_HELD => Ok(()),
            _ => Err(format!("a network whose names take more than {} MB", MAX_HELD >> 20)),
        }
    }

    fn add_tensor(&mut self, name: String, tensor: &TensorRef) -> Result<(), String> {
        self.charge(ENTRY + name.len())?;
        self.tensors.insert(name, tensor.clone());
        Ok(())
    }

    /// The module inside PyTorch's wrappers.
    fn unwrapped<'a>(&mut self, mut module: Value<'a>) -> Value<'a> {
        for _ in 0..MAX_DEPTH {
            let Some((_, "DataParallel" | "DistributedDataParallel" | "OptimizedModule" | "AveragedModel")) =
                module.class()
            else {
                break;
            };
            let modules = module.state().and_then(|state| state.get("_modules"));
            let inner = modules.and_then(|modules| WRAPPED.iter().find_map(|name| modules.get(name)));
            match inner.filter(|inner| self.modules.is_module(*inner)) {
                Some(inner) => module = inner,
                None => break,
            }
        }
        module
    }

    /// Collects a module and its submodules. The error says what is odd about them.
    fn walk(&mut self, root: Value<'_>) -> Result<(), String> {
        let mut todo = vec![(String::new(), root, 0)];
        while let Some((path, module, depth)) = todo.pop() {
            if depth > MAX_DEPTH || (depth > 0 && module.id == root.id) {
                return Err(format!("a module that is nested without end, at {}", Printable(&path)));
            }
            let Some(state) = module.state() else {
                continue;
            };
            let full = |inner: &str| {
                if path.is_empty() { inner.to_owned() } else { format!("{path}.{inner}") }
            };
            for (name, value) in state.entries().into_iter().flatten() {
                let Some(name) = name.as_name() else { continue };
                self.charge(VISIT + name.len())?;
                let members = value.entries().into_iter().flatten();
                match name {
                    "_parameters" | "_buffers" => {
                        for (name, value) in members {
                            self.charge(VISIT)?;
                            if let (Some(name), Some(tensor)) = (name.as_name(), value.as_tensor()) {
                                self.add_tensor(full(name), tensor)?;
                            }
                        }
                    }
                    "_modules" => {
                        for (name, value) in members {
                            self.charge(VISIT)?;
                            if let Some(name) = name.as_name().filter(|_| self.modules.is_module(value)) {
                                self.charge(ENTRY + path.len() + name.len())?;
                                todo.push((full(name), value, depth + 1));
                            }
                        }
                    }
                    hidden if hidden.starts_with('_') => {}
                    _ => {
                        if let Some(attribute) = attribute(value) {
                            let text = if let Attribute::Text(text) = &attribute { text.len() } else { 0 };
                            self.charge(ENTRY + path.len() + name.len() + text)?;
                            self.attributes.insert(full(name), attribute);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn attribute(value: Value<'_>) -> Option<Attribute> {
    if let Some(value) = value.as_bool() {
        return Some(Attribute::Bool(value));
    }
    if let Some(value) = value.as_int() {
        return Some(Attribute::Int(value));
    }
    if let Some(value) = value.as_float() {
        return Some(Attribute::Float(value));
    }
    if let Some(value) = value.as_str() {
        return Some(Attribute::Text(value.to_owned()));
    }
    let elements = value.elements().filter(|elements| (1..=8).contains(&elements.len()))?;
    elements.map(Value::as_int).collect::<Option<_>>().map(Attribute::Ints)
}
