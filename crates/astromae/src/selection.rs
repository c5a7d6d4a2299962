//! Which tensors of a file are the network's, told by their names and shapes before any of them is read.

use std::collections::BTreeMap;

use torch_file::Printable;

use crate::{
    config::{Config, Hyperparameters, INCEPTION_BLOCKS, check_no_other, inception_branches},
    error::{Error, Result},
    names::{MAX_NAMES, name_some},
    weights::{Shapes, Weights},
};

/// What a file says of a tensor before it is read.
pub(crate) struct Listed<T> {
    pub(crate) shape: Vec<usize>,
    pub(crate) is_float: bool,
    /// The way to the tensor.
    pub(crate) tensor: T,
}

/// A tensor that every AstroMAE network has.
const ANCHOR: &str = "patch_embed.proj.weight";

/// Chooses the tensors that the network uses, by names and shapes alone: no other ones are read. The result has the
/// names of [`SECOND_NAMES`] where they are there.
pub(crate) fn used_tensors<T>(
    mut listed: BTreeMap<String, Listed<T>>,
    hyperparameters: Hyperparameters,
) -> Result<(Config, BTreeMap<String, Listed<T>>)> {
    let mut shapes = Shapes(listed.iter().map(|(name, listed)| (name.clone(), listed.shape.clone())).collect());
    for (second, first) in SECOND_NAMES {
        if let Some(shape) = shapes.0.remove(second)
            && shape != *shapes.get(first)?
        {
            return Err(two_tensors(second, first));
        }
    }
    // Another forward pass, which the tensors' shapes alone would not tell from this one.
    if shapes.contains("norm.weight") && !shapes.contains("fc_norm.weight") {
        let reason = "it has norm.weight instead of fc_norm.weight: a network that ends in its class token, where \
                      AstroMAE averages its patches (`global_pool=True` of its classes)";
        return Err(Error::Config { reason: reason.to_owned() });
    }
    remove_unused_branch(&mut shapes)?;
    let (config, mut expected) = Config::of_shapes(&shapes, hyperparameters)?;
    // Counters of training steps, and what else is no number of the network's.
    let floats = shapes.0.keys().filter(|name| listed.get(*name).is_some_and(|listed| listed.is_float));
    check_no_other(floats, &expected)?;
    expected.extend(SECOND_NAMES.map(|(second, _)| second.to_owned()));
    listed.retain(|name, _| expected.contains(name));
    Ok((config, listed))
}

/// The tensors of one network, named as if it were alone.
pub(crate) struct OnlyNetwork<T> {
    /// What their names begin with in the file: `model.`, say, or nothing.
    pub(crate) prefix: String,
    pub(crate) listed: BTreeMap<String, T>,
    /// What those of other networks begin with.
    pub(crate) others: Vec<String>,
}

/// Finds the network among the tensors by a name that it must have: training scripts keep it as `model`, say, of
/// something larger. Of several, the one without a prefix is taken, then `model`, then the only one whose name does not
/// say that it is an average of weights.
pub(crate) fn only_network<T>(listed: BTreeMap<String, T>) -> Result<OnlyNetwork<T>> {
    let prefix = |name: &String| {
        name.strip_suffix(ANCHOR).filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).map(str::to_owned)
    };
    let prefixes: Vec<String> = listed.keys().filter_map(prefix).collect();
    if prefixes.is_empty() {
        let names: Vec<&str> = listed.keys().map(String::as_str).collect();
        return Err(Error::Config { reason: format!("it has no tensor {ANCHOR}, but {}", name_some(&names)) });
    }
    let usual = prefixes.iter().find(|prefix| prefix.is_empty() || *prefix == "model.");
    let mut trained = prefixes.iter().filter(|prefix| !is_average(prefix));
    let only = trained.next().filter(|_| trained.next().is_none());
    let taken = usual.or(only).or(prefixes.first().filter(|_| prefixes.len() == 1)).cloned();
    let Some(taken) = taken.filter(|_| prefixes.len() <= MAX_NETWORKS) else {
        let names: Vec<String> = prefixes.iter().take(MAX_NAMES).map(|name| Printable(name).to_string()).collect();
        let reason = format!(
            "it holds {} networks ({}): save one of them, `torch.save(network.state_dict(), path)`",
            prefixes.len(),
            names.join(", ")
        );
        return Err(Error::Config { reason });
    };
    let others: Vec<String> = prefixes.into_iter().filter(|prefix| *prefix != taken).collect();
    let is_anothers = |name: &str| others.iter().any(|other| other.len() > taken.len() && name.starts_with(other));
    let own = |(name, value): (String, T)| match name.strip_prefix(taken.as_str()) {
        Some(short) if !is_anothers(&name) => Some((short.to_owned(), value)),
        _ => None,
    };
    let listed = listed.into_iter().filter_map(own).collect();
    Ok(OnlyNetwork { prefix: taken, listed, others })
}

/// More networks than these are not told apart.
const MAX_NETWORKS: usize = 100;

/// Whether a network's prefix says that it is an average of another one's weights: `ema_model.`, `swa.`.
fn is_average(prefix: &str) -> bool {
    prefix.split(['.', '_']).any(|word| ["ema", "swa", "averaged", "avg", "average"].contains(&word))
}

/// Second names of the first inception layer's tensors, with the first ones.
const SECOND_NAMES: [(&str, &str); 2] = [
    ("inception_model.conv2d_init.weight", "inception_model.vis_inception.0.weight"),
    ("inception_model.conv2d_init.bias", "inception_model.vis_inception.0.bias"),
];

fn two_tensors(second: &str, first: &str) -> Error {
    Error::Config { reason: format!("{second} and {first} should be one tensor and differ") }
}

/// Removes tensors that are there under another name too.
pub(crate) fn remove_second_names(weights: &mut Weights) -> Result<()> {
    for (second, first) in SECOND_NAMES {
        if let Some(tensor) = weights.remove(second)
            && tensor != *weights.get(first)?
        {
            return Err(two_tensors(second, first));
        }
    }
    Ok(())
}

/// Removes the 5×5 branch that the last inception block of the published classes makes and leaves out of its forward
/// pass.
fn remove_unused_branch(shapes: &mut Shapes) -> Result<()> {
    let last = INCEPTION_BLOCKS[INCEPTION_BLOCKS.len() - 1];
    let mut channels = 0_usize;
    for (branch, _) in inception_branches(|name| shapes.contains(name), last) {
        let name = format!("inception_model.vis_inception.{last}.{branch}.conv.weight");
        if !branch.ends_with(".0") && !branch.starts_with("branch3") {
            channels = channels.saturating_add(shapes.size(&name, 0)?);
        }
    }
    if Some(shapes.size("inception_model.vis_inception.10.weight", 1)?) == channels.checked_mul(16) {
        let unused = format!("inception_model.vis_inception.{last}.branch3.");
        shapes.0.retain(|name, _| !name.starts_with(&unused));
    }
    Ok(())
}
