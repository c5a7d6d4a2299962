//! Which tensors of a file are the network's, told by their names and shapes before any of them is read.

use std::collections::BTreeMap;

use torch_file::Printable;

use crate::{
    config::{Config, Hyperparameters, INCEPTION_BLOCKS, check_no_other, inception_branches},
    error::{Error, Result},
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
    remove_unused_branch(&mut shapes)?;
    let (config, mut expected) = Config::of_shapes(&shapes, hyperparameters)?;
    // Counters of training steps, and what else is no number of the network's.
    let floats = shapes.0.keys().filter(|name| listed.get(*name).is_some_and(|listed| listed.is_float));
    check_no_other(floats, &expected)?;
    expected.extend(SECOND_NAMES.map(|(second, _)| second.to_owned()));
    listed.retain(|name, _| expected.contains(name));
    Ok((config, listed))
}

/// Finds the one network among the tensors by a name that it must have, and names them as if it were alone: training
/// scripts keep it as `model`, say, of something larger.
pub(crate) fn only_network<T>(listed: BTreeMap<String, T>) -> Result<(String, BTreeMap<String, T>)> {
    let prefix = |name: &String| {
        name.strip_suffix(ANCHOR).filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).map(str::to_owned)
    };
    let mut prefixes: Vec<String> = listed.keys().filter_map(prefix).collect();
    if let Some(own) = prefixes.iter().position(|prefix| prefix.is_empty() || prefix == "model.") {
        prefixes = vec![prefixes.swap_remove(own)];
    }
    match &prefixes[..] {
        [] => Ok((String::new(), listed)),
        [prefix] => {
            let below = |(name, value): (String, T)| Some((name.strip_prefix(prefix.as_str())?.to_owned(), value));
            Ok((prefix.clone(), listed.into_iter().filter_map(below).collect()))
        }
        several => {
            let names: Vec<String> = several.iter().take(5).map(|name| Printable(name).to_string()).collect();
            let reason = format!(
                "it holds {} networks ({}): save one of them, `torch.save(network.state_dict(), path)`",
                several.len(),
                names.join(", ")
            );
            Err(Error::Config { reason })
        }
    }
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
