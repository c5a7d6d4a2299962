//! The network's dimensions.
//!
//! All but three of them follow from the shapes of the tensors. The three that do not, the [`Hyperparameters`], come
//! from the attributes of a pickled module, from a safetensors file's metadata, or from the user.

use std::collections::BTreeSet;

use galaxies::{BANDS, SIDE};
use serde::{Deserialize, Serialize};
use torch_file::Printable;

use crate::{
    error::{Error, Result},
    names::name_some,
    weights::{Shapes, Weights},
};

/// No dimension of a network is larger, so that products of two of them fit a `usize`.
const MAX_DIMENSION: usize = 1 << 24;

/// The dimensions and constants that the shapes of the tensors do not give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hyperparameters {
    /// Attention heads of each transformer block; they divide the width.
    pub num_heads: usize,
    /// What is added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// What is added to the variance in batch norms.
    pub batch_norm_eps: f64,
}

/// Dimensions of the convolution branch of a transformer block, which the published classes call PCM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvBranchConfig {
    /// Channels between its two convolutions.
    pub dim: usize,
    /// Side of both kernels in pixels, an odd number.
    pub kernel: usize,
    /// Groups of its first convolution.
    pub groups: usize,
    /// Groups of its second convolution.
    pub groups_out: usize,
}

/// All dimensions of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Width of the transformer: values of a token.
    pub embed_dim: usize,
    /// Side of a patch in pixels; it divides the image's side.
    pub patch_size: usize,
    /// Number of transformer blocks.
    pub depth: usize,
    /// Hidden width of the transformer blocks' MLP.
    pub mlp_dim: usize,
    /// The transformer blocks' convolution branch; a plain ViT has none.
    pub conv_branch: Option<ConvBranchConfig>,
    /// Width of the linear layers behind the transformer and behind the inception network.
    pub hidden_dim: usize,
    /// Width of the magnitudes' perceptron.
    pub magnitude_dim: usize,
    /// Width of the hidden layer behind the three joined branches.
    pub concat_dim: usize,
    /// What no shape gives.
    #[serde(flatten)]
    pub hyperparameters: Hyperparameters,
}

impl Config {
    /// Infers the dimensions from the tensors' shapes, and checks that every tensor of such a network is there, with
    /// its shape, and no other one.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Shape`] or [`Error::Unexpected`], with the tensor's name; [`Error::Config`] where
    /// the dimensions do not divide each other as they must.
    pub fn infer(weights: &Weights, hyperparameters: Hyperparameters) -> Result<Self> {
        let shapes = weights.shapes();
        let (config, expected) = Self::of_shapes(&shapes, hyperparameters)?;
        check_no_other(shapes.0.keys(), &expected)?;
        Ok(config)
    }

    /// The dimensions, and the names of all tensors of such a network, which are there with their shapes. Others may be
    /// there too.
    pub(crate) fn of_shapes(shapes: &Shapes, hyperparameters: Hyperparameters) -> Result<(Self, BTreeSet<String>)> {
        for (name, shape) in &shapes.0 {
            if let Some(size) = shape.iter().find(|size| **size > MAX_DIMENSION) {
                return Err(Error::Config { reason: format!("tensor {} has a dimension of {size}", Printable(name)) });
            }
        }
        let size = |name: &str, dimension| shapes.size(name, dimension);
        let embed_dim = size("patch_embed.proj.weight", 0)?;
        let depth = (0..).take_while(|block| shapes.contains(&format!("blocks.{block}.norm1.weight"))).count();
        let conv_branch = match shapes.contains("blocks.0.PCM.0.weight") {
            false => None,
            true => {
                let (dim, dim_per_group) = (size("blocks.0.PCM.0.weight", 0)?, size("blocks.0.PCM.3.weight", 1)?);
                Some(ConvBranchConfig {
                    dim,
                    kernel: size("blocks.0.PCM.0.weight", 2)?,
                    groups: embed_dim / size("blocks.0.PCM.0.weight", 1)?.max(1),
                    groups_out: dim / dim_per_group.max(1),
                })
            }
        };
        let config = Self {
            embed_dim,
            patch_size: size("patch_embed.proj.weight", 2)?,
            depth,
            mlp_dim: size("blocks.0.mlp.fc1.weight", 0)?,
            conv_branch,
            hidden_dim: size("vit_block.0.weight", 0)?,
            magnitude_dim: size("inception_model.magnitude_block.0.weight", 0)?,
            concat_dim: size("concat_block.0.weight", 0)?,
            hyperparameters,
        };
        config.check_divisions()?;
        config.check_constants()?;
        let expected = config.tensors(shapes)?;
        for (name, shape) in &expected {
            let found = shapes.get(name)?;
            if found != shape {
                return Err(Error::Shape { name: name.clone(), found: found.clone(), expected: format!("{shape:?}") });
            }
            if shape.contains(&0) {
                return Err(Error::Config { reason: format!("tensor {name} has no values") });
            }
        }
        Ok((config, expected.into_iter().map(|(name, _)| name).collect()))
    }

    /// The number of patches of an image, which is that of tokens without the class token.
    pub fn patches(&self) -> usize {
        self.grid() * self.grid()
    }

    /// The number of patches along each side of an image.
    pub fn grid(&self) -> usize {
        SIDE / self.patch_size
    }

    fn check_divisions(&self) -> Result<()> {
        let heads = self.hyperparameters.num_heads;
        let refuse = |reason: String| Err(Error::Config { reason });
        if self.depth == 0 {
            return refuse("its transformer has no blocks".to_owned());
        }
        if heads == 0 || !self.embed_dim.is_multiple_of(heads) {
            return refuse(format!("{heads} attention heads do not divide the width {}", self.embed_dim));
        }
        if self.patch_size == 0 || !SIDE.is_multiple_of(self.patch_size) {
            return refuse(format!("patches of {} pixels do not divide {SIDE}", self.patch_size));
        }
        if let Some(branch) = &self.conv_branch {
            let divides = |groups: usize| {
                groups > 0 && self.embed_dim.is_multiple_of(groups) && branch.dim.is_multiple_of(groups)
            };
            if branch.kernel > SIDE {
                return refuse(format!("its convolution branch has a kernel of {} pixels", branch.kernel));
            }
            if branch.kernel.is_multiple_of(2) || !divides(branch.groups) || !divides(branch.groups_out) {
                return refuse(format!(
                    "its convolution branch has {} and {} groups and a kernel of {}: groups must divide {} and {}, \
                     the kernel must be odd",
                    branch.groups, branch.groups_out, branch.kernel, self.embed_dim, branch.dim
                ));
            }
        }
        Ok(())
    }

    /// Refuses what no norm adds to a variance.
    fn check_constants(&self) -> Result<()> {
        let Hyperparameters { layer_norm_eps, batch_norm_eps, .. } = self.hyperparameters;
        for (norm, eps) in [("layer", layer_norm_eps), ("batch", batch_norm_eps)] {
            if !(eps > 0.0 && eps <= 1.0) {
                return Err(Error::Config { reason: format!("the eps of its {norm} norms is {eps}") });
            }
        }
        Ok(())
    }

    /// Names and shapes of all tensors of such a network. The inception branch's widths are those found: any that fit
    /// each other will do.
    fn tensors(&self, shapes: &Shapes) -> Result<Vec<(String, Vec<usize>)>> {
        let mut list = ShapeList(Vec::new());
        let (width, bands) = (self.embed_dim, BANDS);
        list.add("cls_token", &[1, 1, width]);
        list.add("pos_embed", &[1, self.patches() + 1, width]);
        list.add("patch_embed.proj.weight", &[width, bands, self.patch_size, self.patch_size]);
        list.add("patch_embed.proj.bias", &[width]);
        for block in 0..self.depth {
            let at = |name: &str| format!("blocks.{block}.{name}");
            list.norm(&at("norm1"), width);
            // timm's blocks have one bias for queries, keys and values.
            if shapes.contains(&at("attn.qkv.bias")) {
                list.add(at("attn.qkv.bias"), &[3 * width]);
            } else {
                list.add(at("attn.q_bias"), &[width]);
                list.add(at("attn.v_bias"), &[width]);
            }
            list.add(at("attn.qkv.weight"), &[3 * width, width]);
            list.linear(&at("attn.proj"), width, width);
            list.norm(&at("norm2"), width);
            list.linear(&at("mlp.fc1"), width, self.mlp_dim);
            list.linear(&at("mlp.fc2"), self.mlp_dim, width);
            if let Some(ConvBranchConfig { dim, kernel, groups, groups_out }) = self.conv_branch {
                list.conv(&at("PCM.0"), &[dim, width / groups, kernel, kernel]);
                list.batch_norm(&at("PCM.1"), dim);
                list.conv(&at("PCM.3"), &[width, dim / groups_out, kernel, kernel]);
            }
        }
        list.norm("fc_norm", width);
        list.linear("head", width, width);
        list.linear("vit_block.0", width, self.hidden_dim);
        list.linear("vit_block.2", self.hidden_dim, self.hidden_dim);

        let first = "inception_model.vis_inception.0";
        let mut channels = shapes.size(&format!("{first}.weight"), 0)?;
        list.conv(first, &[channels, bands, 1, 1]);
        for block in INCEPTION_BLOCKS {
            let at = |name: &str| format!("inception_model.vis_inception.{block}.{name}");
            let mut out = 0;
            for (branch, kernel) in inception_branches(|name| shapes.contains(name), block) {
                let found = shapes.size(&at(&format!("{branch}.conv.weight")), 0)?;
                let into = if kernel == 1 { channels } else { shapes.size(&at(&reducing(branch)), 0)? };
                list.conv(&at(&format!("{branch}.conv")), &[found, into, kernel, kernel]);
                list.batch_norm(&at(&format!("{branch}.bn")), found);
                if !branch.ends_with(".0") {
                    out += found;
                }
            }
            channels = out;
        }
        // Three average pools by two: 32 → 4 pixels.
        let pixels = (SIDE / 8).pow(2);
        list.linear("inception_model.vis_inception.10", channels * pixels, self.hidden_dim);
        list.linear("inception_model.vis_inception.12", self.hidden_dim, self.hidden_dim);
        for (layer, into) in [(0, bands), (2, self.magnitude_dim), (4, self.magnitude_dim), (6, self.magnitude_dim)] {
            list.linear(&format!("inception_model.magnitude_block.{layer}"), into, self.magnitude_dim);
        }
        list.linear("inception_model.magnitude_block.8", self.magnitude_dim, self.magnitude_dim);
        list.linear("concat_block.0", 2 * self.hidden_dim + self.magnitude_dim, self.concat_dim);
        list.linear("concat_block.2", self.concat_dim, 1);
        Ok(list.0)
    }
}

/// Refuses tensors that are not among the `expected` ones.
pub(crate) fn check_no_other<'a>(
    names: impl IntoIterator<Item = &'a String>,
    expected: &BTreeSet<String>,
) -> Result<()> {
    let others: Vec<&str> = names.into_iter().filter(|name| !expected.contains(*name)).map(String::as_str).collect();
    match &others[..] {
        [] => Ok(()),
        [name, others @ ..] => {
            let others = if others.is_empty() { String::new() } else { format!(", nor have {}", name_some(others)) };
            Err(Error::Unexpected { name: (*name).to_owned(), others })
        }
    }
}

/// Positions of the inception blocks in the sequence.
pub(crate) const INCEPTION_BLOCKS: [usize; 5] = [2, 3, 5, 6, 8];

/// The convolutions of an inception block, with their kernels. The last block has no 5×5 branch.
pub(crate) fn inception_branches(contains: impl Fn(&str) -> bool, block: usize) -> Vec<(&'static str, usize)> {
    let five = [("branch3.0", 1), ("branch3.1", 5)];
    let with_five = contains(&format!("inception_model.vis_inception.{block}.branch3.0.conv.weight"));
    let mut branches = vec![("branch1", 1), ("branch2.0", 1), ("branch2.1", 3)];
    branches.extend(five.into_iter().filter(|_| with_five));
    branches.push(("branch4.1", 1));
    branches
}

/// The 1×1 convolution before a larger one.
fn reducing(branch: &str) -> String {
    format!("{}.0.conv.weight", branch.trim_end_matches(".1"))
}

/// Names and shapes of tensors, layer by layer.
struct ShapeList(Vec<(String, Vec<usize>)>);

impl ShapeList {
    fn add(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.push((name.into(), shape.to_vec()));
    }

    fn linear(&mut self, name: &str, into: usize, out: usize) {
        self.add(format!("{name}.weight"), &[out, into]);
        self.add(format!("{name}.bias"), &[out]);
    }

    fn conv(&mut self, name: &str, shape: &[usize]) {
        self.add(format!("{name}.weight"), shape);
        self.add(format!("{name}.bias"), &shape[..1]);
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width]);
        self.add(format!("{name}.bias"), &[width]);
    }

    fn batch_norm(&mut self, name: &str, channels: usize) {
        self.norm(name, channels);
        self.add(format!("{name}.running_mean"), &[channels]);
        self.add(format!("{name}.running_var"), &[channels]);
    }
}
