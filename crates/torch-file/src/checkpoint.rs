//! Checkpoints: the tensors and attributes of a whole pickled module or of a state dict, by flat names.

use std::collections::{BTreeMap, HashSet};

use crate::{error::FormatError, file::TorchFile, range::RangeRead, tensor::TensorRef, value::Value};

/// Modules are nested at most so deep.
const MAX_DEPTH: usize = 64;
/// A network has at most this many modules.
const MAX_MODULES: usize = 100_000;

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
    /// Class of the outermost module that is not `DataParallel`; `None` for a state dict.
    pub class: Option<String>,
    /// Parameters and buffers, by name: `blocks.0.attn.qkv.weight`.
    pub tensors: BTreeMap<String, TensorRef>,
    /// Attributes of whole modules, by name: `blocks.0.attn.num_heads`.
    pub attributes: BTreeMap<String, Attribute>,
}

impl Checkpoint {
    /// The network in an open file: a module (bare or in `DataParallel`), or a state dict, with or without the
    /// `module.` before its names, alone or under the key `state_dict`, `model_state_dict` or `model`.
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
        let mut checkpoint = Self::default();
        let inner = ["state_dict", "model_state_dict", "model"]
            .iter()
            .find_map(|key| root.get(key).filter(|value| value.entries().is_some() || is_module(*value)));
        let network = inner.filter(|_| !is_module(root)).unwrap_or(root);
        if is_module(network) {
            let module = unwrap_parallel(network);
            checkpoint.class = module.class().map(|(_, name)| name.to_owned());
            checkpoint.walk(module).map_err(content)?;
        } else {
            for (name, value) in network.entries().ok_or_else(|| content(root.describe()))? {
                let (Some(name), Some(tensor)) = (name.as_str(), value.as_tensor()) else {
                    continue;
                };
                let name = name.strip_prefix("module.").unwrap_or(name);
                checkpoint.tensors.insert(name.to_owned(), tensor.clone());
            }
        }
        if checkpoint.tensors.is_empty() {
            return Err(content(format!("{} without any tensor", root.describe())));
        }
        Ok(checkpoint)
    }

    /// Collects a module and its submodules. The error says what is odd about them.
    fn walk(&mut self, root: Value<'_>) -> Result<(), String> {
        let mut todo = vec![(String::new(), root, 0)];
        // The same module may occur under several names, but never inside itself.
        let mut open = HashSet::new();
        while let Some((path, module, depth)) = todo.pop() {
            if depth > MAX_DEPTH || (depth > 0 && module.id == root.id) {
                return Err(format!("a module that is nested without end, at {path}"));
            }
            if !open.insert((path.clone(), module.id)) {
                return Err(format!("two modules under one name, {path}"));
            }
            if open.len() > MAX_MODULES {
                return Err(format!("more than {MAX_MODULES} modules"));
            }
            let Some(state) = module.state() else {
                continue;
            };
            for (name, value) in state.entries().into_iter().flatten() {
                let Some(name) = name.as_str() else { continue };
                let full = |inner: &str| {
                    if path.is_empty() { inner.to_owned() } else { format!("{path}.{inner}") }
                };
                let members = value.entries().into_iter().flatten();
                match name {
                    "_parameters" | "_buffers" => {
                        for (name, value) in members {
                            if let (Some(name), Some(tensor)) = (name.as_str(), value.as_tensor()) {
                                self.tensors.insert(full(name), tensor.clone());
                            }
                        }
                    }
                    "_modules" => {
                        for (name, value) in members {
                            if let Some(name) = name.as_str().filter(|_| is_module(value)) {
                                todo.push((full(name), value, depth + 1));
                            }
                        }
                    }
                    hidden if hidden.starts_with('_') => {}
                    _ => {
                        if let Some(attribute) = attribute(value) {
                            self.attributes.insert(full(name), attribute);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Any object whose state has what every `torch.nn.Module` has.
fn is_module(value: Value<'_>) -> bool {
    value.state().is_some_and(|state| state.get("_modules").is_some() && state.get("_parameters").is_some())
}

fn unwrap_parallel(module: Value<'_>) -> Value<'_> {
    match module.class() {
        Some((_, "DataParallel" | "DistributedDataParallel")) => {
            let inner = module.state().and_then(|state| state.get("_modules")?.get("module"));
            inner.unwrap_or(module)
        }
        _ => module,
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
