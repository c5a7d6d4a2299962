//! The network in the fewest layers that compute the same, exactly up to rounding.
//!
//! Folded, in f64: batch norms into their convolutions; the affine part of layer norms into the linear layer behind
//! them; attention's scale into the query's weights; and `head` into `vit_block.0`.
//!
//! The last layers of the three branches could be folded into `concat_block.0` too, since no nonlinearity lies between.
//! They are not: it would save 2.9 % of the multiplications, and cost products of large matrices whenever a model is
//! loaded. With the native engine's own kernels these took 20 ms on two cores with AVX-512, which pays for itself after some
//! 1,200 galaxies, as many as a partition of 25 MB has, and makes every cold start slower by a fifth.

use ndarray::Array2;
use rayon::prelude::*;

use crate::{
    Result,
    config::{Config, INCEPTION_BLOCKS, inception_branches},
    model::Model,
    weights::{Tensor, Weights},
};

/// `y = W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Width of x.
    pub inputs: usize,
    /// Width of y.
    pub outputs: usize,
    /// W, `[outputs, inputs]`, row-major.
    pub weight: Vec<f32>,
    /// b, `[outputs]`.
    pub bias: Vec<f32>,
}

/// A convolution of stride 1 that keeps the map's size (padding `kernel / 2`).
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Kernel side.
    pub kernel: usize,
    /// Groups.
    pub groups: usize,
    /// `[outputs, inputs / groups, kernel, kernel]`, row-major.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// A transformer block:
///
/// ```text
/// x ← x + proj(attention(qkv(normalize(x)))), and to the patches of x: + conv_out(silu(conv_in(patches of x before)))
/// x ← x + fc2(gelu(fc1(normalize(x))))
/// ```
///
/// `normalize` is a layer norm without affine part, `gelu` the exact one. The query comes scaled out of `qkv`.
#[derive(Debug, Clone)]
pub struct Block {
    /// To query, key and value, each of `embed_dim`, heads one after the other.
    pub qkv: Linear,
    /// Behind the attention.
    pub proj: Linear,
    /// The convolution branch.
    pub conv: Option<(Conv, Conv)>,
    /// Into the MLP.
    pub fc1: Linear,
    /// Out of the MLP.
    pub fc2: Linear,
}

/// An inception block: its branches side by side, each convolution followed by ReLU.
#[derive(Debug, Clone)]
pub struct Inception {
    /// 1×1.
    pub one: Conv,
    /// 1×1, then 3×3.
    pub three: (Conv, Conv),
    /// 1×1, then 5×5; the last block has none.
    pub five: Option<(Conv, Conv)>,
    /// 3×3 maximum of stride 1, then 1×1.
    pub pool: Conv,
}

/// The folded network. With images `[n, 5, 32, 32]` and magnitudes `[n, 5]`:
///
/// ```text
/// x ← class token, then the patches through `patch` plus `positions`      [n, 1 + patches, embed_dim]
/// x ← the blocks
/// v ← hidden(normalize(mean of x's patches))                              [n, hidden_dim]
/// y ← image, mean over 2×2, stem, blocks 0 and 1, mean over 2×2, blocks 2 and 3,
///     mean over 2×2, block 4, flattened [channels, 4, 4]; inception_hidden(y)
/// m ← magnitude(magnitudes)                                               [n, magnitude_dim]
/// z ← concat(v, y, m)                                                     [n, 1]
/// ```
///
/// `hidden`, `inception_hidden`, `magnitude` and `concat` are perceptrons: linear layers with ReLU between them.
/// The published network has the mean behind `stem`; both are linear, and this order has a quarter of the work.
#[derive(Debug, Clone)]
pub struct Network {
    /// Dimensions.
    pub config: Config,
    /// From a patch's values (`[5, patch, patch]`, row-major) to its token.
    pub patch: Linear,
    /// Added to the tokens of the patches, `[patches, embed_dim]`.
    pub positions: Vec<f32>,
    /// The class token with its position, `[embed_dim]`.
    pub class_token: Vec<f32>,
    /// The transformer.
    pub blocks: Vec<Block>,
    /// Behind the transformer.
    pub hidden: Vec<Linear>,
    /// First layer of the inception branch, 1×1.
    pub stem: Conv,
    /// The inception blocks.
    pub inception: Vec<Inception>,
    /// Behind the inception blocks.
    pub inception_hidden: Vec<Linear>,
    /// The magnitude branch.
    pub magnitude: Vec<Linear>,
    /// From the three branches, side by side, to the redshift.
    pub concat: Vec<Linear>,
}

impl Network {
    /// Folds a model, on the cores of the thread pool it is called in. Weights are changed where they are: loading a model
    /// is part of a cold start, and touching new memory is most of it.
    ///
    /// # Errors
    /// [`crate::Error::Missing`]; a [`Model`] that was read has all its tensors.
    pub fn fold(model: Model) -> Result<Self> {
        let Model { config, mut weights, .. } = model;
        let width = config.embed_dim;
        let blocks = (0..config.depth).map(|block| weights.take_all(&format!("blocks.{block}."))).collect::<Vec<_>>();
        let blocks = blocks.into_par_iter().enumerate().map(|(block, mut own)| fold_block(&config, &mut own, block));
        let blocks = blocks.collect::<Result<_>>()?;
        let inception = INCEPTION_BLOCKS.iter().map(|block| fold_inception(&config, &mut weights, *block));
        let inception = inception.collect::<Result<_>>()?;
        let head = linear(&mut weights, "head")?.after_norm(&mut weights, "fc_norm")?;
        let hidden = linear(&mut weights, "vit_block.0")?.after(&head);
        let positions = weights.take("pos_embed")?.data;
        let class_token = weights.take("cls_token")?.data;
        let mut perceptron = |name: &str, layers: &[usize]| {
            layers.iter().map(|layer| linear(&mut weights, &format!("{name}.{layer}"))).collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            hidden: [hidden].into_iter().chain(perceptron("vit_block", &[2])?).collect(),
            inception_hidden: perceptron("inception_model.vis_inception", &[10, 12])?,
            magnitude: perceptron("inception_model.magnitude_block", &[0, 2, 4, 6, 8])?,
            concat: perceptron("concat_block", &[0, 2])?,
            patch: linear(&mut weights, "patch_embed.proj")?,
            class_token: class_token.iter().zip(&positions).map(|(token, position)| token + position).collect(),
            positions: positions[width..].to_vec(),
            blocks,
            stem: conv(&mut weights, "inception_model.vis_inception.0", 1)?,
            inception,
            config,
        })
    }
}

fn fold_block(config: &Config, weights: &mut Weights, block: usize) -> Result<Block> {
    let at = |name: &str| format!("blocks.{block}.{name}");
    let width = config.embed_dim;
    let weight = weights.take(&at("attn.qkv.weight"))?;
    let mut bias = weights.take(&at("attn.q_bias"))?.data;
    // Keys have none.
    bias.resize(2 * width, 0.0);
    bias.extend(weights.take(&at("attn.v_bias"))?.data);
    let mut qkv = Linear::of(weight, bias).after_norm(weights, &at("norm1"))?;
    let scale = ((width / config.hyperparameters.num_heads) as f64).powf(-0.5);
    for value in qkv.weight[..width * width].iter_mut().chain(&mut qkv.bias[..width]) {
        *value = (f64::from(*value) * scale) as f32;
    }
    let branch = config.conv_branch.as_ref();
    let branch = branch.map(|branch| {
        let into = conv(weights, &at("PCM.0"), branch.groups)?.then_norm(config, weights, &at("PCM.1"))?;
        Ok::<_, crate::Error>((into, conv(weights, &at("PCM.3"), branch.groups_out)?))
    });
    Ok(Block {
        qkv,
        proj: linear(weights, &at("attn.proj"))?,
        conv: branch.transpose()?,
        fc1: linear(weights, &at("mlp.fc1"))?.after_norm(weights, &at("norm2"))?,
        fc2: linear(weights, &at("mlp.fc2"))?,
    })
}

fn fold_inception(config: &Config, weights: &mut Weights, block: usize) -> Result<Inception> {
    let with_five = inception_branches(weights, block).iter().any(|(branch, _)| *branch == "branch3.1");
    let mut layer = |branch: &str| {
        let at = format!("inception_model.vis_inception.{block}.{branch}");
        conv(weights, &format!("{at}.conv"), 1)?.then_norm(config, weights, &format!("{at}.bn"))
    };
    let five = with_five.then(|| Ok::<_, crate::Error>((layer("branch3.0")?, layer("branch3.1")?)));
    Ok(Inception {
        five: five.transpose()?,
        one: layer("branch1")?,
        three: (layer("branch2.0")?, layer("branch2.1")?),
        pool: layer("branch4.1")?,
    })
}

fn linear(weights: &mut Weights, name: &str) -> Result<Linear> {
    Ok(Linear::of(weights.take(&format!("{name}.weight"))?, weights.take(&format!("{name}.bias"))?.data))
}

fn conv(weights: &mut Weights, name: &str, groups: usize) -> Result<Conv> {
    let Tensor { shape, data } = weights.take(&format!("{name}.weight"))?;
    Ok(Conv {
        inputs: shape[1] * groups,
        outputs: shape[0],
        kernel: shape[2],
        groups,
        weight: data,
        bias: weights.take(&format!("{name}.bias"))?.data,
    })
}

impl Conv {
    /// The convolution followed by a batch norm: `(y - mean) / sqrt(var + eps) · gamma + beta`.
    fn then_norm(mut self, config: &Config, weights: &mut Weights, name: &str) -> Result<Self> {
        let mut part = |part: &str| Ok::<_, crate::Error>(wide(&weights.take(&format!("{name}.{part}"))?.data));
        let (gamma, beta) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let per_output = self.weight.len() / self.outputs;
        for (output, weights) in self.weight.chunks_exact_mut(per_output).enumerate() {
            let scale = gamma[output] / (variance[output] + config.hyperparameters.batch_norm_eps).sqrt();
            weights.iter_mut().for_each(|value| *value = (f64::from(*value) * scale) as f32);
            let bias = &mut self.bias[output];
            *bias = ((f64::from(*bias) - mean[output]) * scale + beta[output]) as f32;
        }
        Ok(self)
    }
}

impl Linear {
    /// A convolution over whole patches is one too, over their values.
    fn of(weight: Tensor, bias: Vec<f32>) -> Self {
        let (outputs, inputs) = (weight.shape[0], weight.shape[1..].iter().product());
        Self { inputs, outputs, weight: weight.data, bias }
    }

    /// This layer behind a norm's affine part: `W (γ x + β) + b`.
    fn after_norm(mut self, weights: &mut Weights, name: &str) -> Result<Self> {
        let gamma = weights.take(&format!("{name}.weight"))?.data;
        let beta = weights.take(&format!("{name}.bias"))?.data;
        for (row, bias) in self.weight.chunks_exact_mut(self.inputs).zip(&mut self.bias) {
            *bias = (f64::from(*bias) + dot(row, &beta)) as f32;
            row.iter_mut().zip(&gamma).for_each(|(weight, gamma)| *weight *= gamma);
        }
        Ok(self)
    }

    /// This layer behind another linear one, as one: `W (V x + c) + b`.
    fn after(&self, first: &Self) -> Self {
        let rows = self.weight.chunks_exact(self.inputs).zip(&self.bias);
        Self {
            inputs: first.inputs,
            outputs: self.outputs,
            bias: rows.map(|(row, bias)| (f64::from(*bias) + dot(row, &first.bias)) as f32).collect(),
            weight: narrow(self.matrix().dot(&first.matrix()).into_raw_vec_and_offset().0),
        }
    }

    #[expect(clippy::expect_used, reason = "the length is outputs × inputs wherever one is made")]
    fn matrix(&self) -> Array2<f64> {
        Array2::from_shape_vec((self.outputs, self.inputs), wide(&self.weight)).expect("outputs × inputs values")
    }
}

fn dot(one: &[f32], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn narrow(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}
