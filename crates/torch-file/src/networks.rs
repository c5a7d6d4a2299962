//! Which value of a file is the network. Training scripts keep it in a dictionary or a list of other things, and often
//! beside an average of its weights.

use std::collections::{HashMap, HashSet};

use crate::{
    printable::Printable,
    value::{Id, Value},
};

/// Dictionaries and lists around a network are nested at most so deep.
const MAX_DEPTH: usize = 3;
/// More networks than these are not told apart.
const MAX_NETWORKS: usize = 100;
/// Keys under which training scripts keep the network, the first one first.
const NETWORK_KEYS: [&str; 7] = ["state_dict", "model_state_dict", "model", "module", "net", "network", "weights"];
/// Keys under which they keep an average of its weights, which is taken where there is nothing else.
const AVERAGE_KEYS: [&str; 4] = ["ema_state_dict", "model_ema", "state_dict_ema", "ema"];
/// The most names of a message.
const MAX_NAMES: usize = 20;

/// What training scripts save after the network, with the line of Python that saves the network.
const SAVE_NETWORK: &str = "save the network's weights, `torch.save(model.state_dict(), path)`";

/// Tells modules from other objects.
#[derive(Default)]
pub(crate) struct Modules {
    /// The states that were looked at, and whether they are those of modules.
    states: HashMap<Id, bool>,
}

impl Modules {
    /// Whether a value is an object whose state has what every `torch.nn.Module` has.
    pub(crate) fn is_module(&mut self, value: Value<'_>) -> bool {
        let Some(state) = value.state() else {
            return false;
        };
        let has_both = || state.get("_modules").is_some() && state.get("_parameters").is_some();
        *self.states.entry(state.id).or_insert_with(has_both)
    }
}

/// The network of a file.
pub(crate) struct Network<'a> {
    /// The module or state dict.
    pub(crate) value: Value<'a>,
    /// The way to it from the file's object, as Python's indices: `["model"]`; empty where it is that object.
    pub(crate) place: String,
    /// The ways to the other networks of the file.
    pub(crate) others: Vec<String>,
}

struct Candidate<'a> {
    value: Value<'a>,
    place: String,
    /// How usual the keys are, from the outermost on.
    ranks: Vec<usize>,
    /// Whether it is a module or has layers. What it is not may be anything that has a tensor by name.
    is_certain: bool,
}

/// Finds the network: the object itself, or one in it. Of several, the one under the most usual keys is taken, and
/// averages of weights last.
///
/// # Errors
/// A sentence on what there is instead, and the line of Python that makes it right.
pub(crate) fn find<'a>(root: Value<'a>, modules: &mut Modules) -> Result<Network<'a>, String> {
    let mut search = Search { modules, seen: HashSet::new(), found: Vec::new() };
    search.visit(root, String::new(), &[]);
    let mut found = search.found;
    if found.iter().any(|candidate| candidate.is_certain) {
        found.retain(|candidate| candidate.is_certain);
    }
    let Some(best) = found.iter().map(|candidate| candidate.ranks.clone()).min() else {
        return Err(describe(root));
    };
    let places: Vec<String> = found.iter().map(|candidate| candidate.place.clone()).collect();
    let mut first = found.into_iter().filter(|candidate| candidate.ranks == best);
    match (first.next(), first.next()) {
        (Some(Candidate { value, place, .. }), None) => {
            let others = places.into_iter().filter(|other| *other != place).collect();
            Ok(Network { value, place, others })
        }
        _ => Err(format!(
            "{} with {} networks, at {}: save one of them, `torch.save(torch.load(path, weights_only=False){}, \
             new_path)`",
            root.describe(),
            places.len(),
            places[..places.len().min(MAX_NAMES)].join(", "),
            places[0]
        )),
    }
}

struct Search<'a, 'm> {
    modules: &'m mut Modules,
    /// What was looked at: each value once, since a dictionary may hold itself.
    seen: HashSet<Id>,
    found: Vec<Candidate<'a>>,
}

impl<'a> Search<'a, '_> {
    fn visit(&mut self, value: Value<'a>, place: String, ranks: &[usize]) {
        if self.found.len() >= MAX_NETWORKS || ranks.len() > MAX_DEPTH {
            return;
        }
        let mut candidate = Candidate { value, place, ranks: ranks.to_vec(), is_certain: true };
        if self.modules.is_module(value) {
            if self.seen.insert(value.id) {
                self.found.push(candidate);
            }
            return;
        }
        if (value.entries().is_none() && value.elements().is_none()) || !self.seen.insert(value.id) {
            return;
        }
        let before = self.found.len();
        let below = |rank: usize| [ranks, &[rank]].concat();
        let unusual = NETWORK_KEYS.len();
        let (mut has_tensor, mut has_layers) = (false, false);
        for (key, child) in value.entries().into_iter().flatten() {
            let Some(key) = key.as_name() else { continue };
            if child.as_tensor().is_some() {
                has_tensor = true;
                has_layers |= key.contains('.');
                continue;
            }
            let rank = match NETWORK_KEYS.iter().position(|usual| *usual == key) {
                Some(rank) => rank,
                None => unusual + usize::from(AVERAGE_KEYS.contains(&key)),
            };
            self.visit(child, format!("{}[\"{}\"]", candidate.place, Printable(key)), &below(rank));
        }
        for (index, child) in value.elements().into_iter().flatten().enumerate() {
            self.visit(child, format!("{}[{index}]", candidate.place), &below(unusual));
        }
        let is_around_another = self.found[before..].iter().any(|inner| inner.is_certain);
        if has_tensor && !is_around_another {
            candidate.is_certain = has_layers;
            self.found.push(candidate);
        }
    }
}

/// What is there instead of a network, with the keys of a dictionary, and what to do.
fn describe(root: Value<'_>) -> String {
    let keys: Vec<String> = root
        .entries()
        .into_iter()
        .flatten()
        .take(MAX_NAMES)
        .map(|(key, _)| key.as_name().map_or_else(|| key.describe(), |text| Printable(text).to_string()))
        .collect();
    let is_optimizer = root.get("param_groups").is_some()
        || root.class().is_some_and(|(module, _)| module.starts_with("torch.optim."));
    let what = if is_optimizer { ", an optimizer's, which holds no weights" } else { "" };
    let with = if keys.is_empty() { String::new() } else { format!(" with the keys {}", keys.join(", ")) };
    format!("{}{with}{what}: {SAVE_NETWORK}", root.describe())
}
