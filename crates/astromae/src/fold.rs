//! The network in the fewest layers that compute the same, exactly up to rounding.
//!
//! Folded, in f64: batch norms into their convolutions; the affine part of layer norms into the linear layer behind
//! them; attention's scale into the query's weights; and `head` into `vit_block.0`.
//!
//! The last layers of the three branches could be folded into `concat_block.0` too, since no nonlinearity lies between.
//! They are not: it would save 2.9 % of the multiplications, and cost a fifth of a second of products of large matrices
//! whenever a model is loaded, which pays for itself after some 10,000 galaxies: more than most ranks have.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::{
    Result,
    config::{Config, INCEPTION_BLOCKS, inception_branches},
    model::Model,
    weights::Weights,
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
    /// Folds a model, on the cores of the thread pool it is called in. Layers that stay as they are are not copied.
    ///
    /// # Errors
    /// [`crate::Error::Missing`]; a [`Model`] that was read has all its tensors.
    pub fn fold(model: Model) -> Result<Self> {
        let Model { config, mut weights, .. } = model;
        let width = config.embed_dim;
        let blocks = (0..config.depth).into_par_iter().map(|block| fold_block(&config, &weights, block));
        let blocks = blocks.collect::<Result<_>>()?;
        let inception = INCEPTION_BLOCKS.iter().map(|block| fold_inception(&config, &weights, *block));
        let inception = inception.collect::<Result<_>>()?;
        let head = linear(&weights, "head")?.after_norm(&weights, "fc_norm")?;
        let hidden = linear(&weights, "vit_block.0")?.after(&head).narrow();
        let stem = conv(&weights, "inception_model.vis_inception.0", 1)?.narrow();
        let positions = weights.take("pos_embed")?.data;
        let class_token = weights.take("cls_token")?.data;
        let mut perceptron = |name: &str, layers: &[usize]| {
            layers.iter().map(|layer| take_linear(&mut weights, &format!("{name}.{layer}"))).collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            hidden: [hidden].into_iter().chain(perceptron("vit_block", &[2])?).collect(),
            inception_hidden: perceptron("inception_model.vis_inception", &[10, 12])?,
            magnitude: perceptron("inception_model.magnitude_block", &[0, 2, 4, 6, 8])?,
            concat: perceptron("concat_block", &[0, 2])?,
            patch: take_linear(&mut weights, "patch_embed.proj")?,
            class_token: class_token.iter().zip(&positions).map(|(token, position)| token + position).collect(),
            positions: positions[width..].to_vec(),
            blocks,
            stem,
            inception,
            config,
        })
    }
}

/// A layer that nothing is folded into.
fn take_linear(weights: &mut Weights, name: &str) -> Result<Linear> {
    let weight = weights.take(&format!("{name}.weight"))?;
    let bias = weights.take(&format!("{name}.bias"))?.data;
    let outputs = weight.shape[0];
    // A convolution over whole patches is a linear layer over their values.
    let inputs = weight.shape[1..].iter().product();
    Ok(Linear { inputs, outputs, weight: weight.data, bias })
}

fn fold_block(config: &Config, weights: &Weights, block: usize) -> Result<Block> {
    let at = |name: &str| format!("blocks.{block}.{name}");
    let width = config.embed_dim;
    let mut qkv = linear_without_bias(weights, &at("attn.qkv.weight"))?;
    qkv.bias[..width].copy_from_slice(&wide(&weights.get(&at("attn.q_bias"))?.data));
    qkv.bias[2 * width..].copy_from_slice(&wide(&weights.get(&at("attn.v_bias"))?.data));
    let mut qkv = qkv.after_norm(weights, &at("norm1"))?;
    let scale = ((width / config.hyperparameters.num_heads) as f64).powf(-0.5);
    qkv.weight[..width * width].iter_mut().for_each(|value| *value *= scale);
    qkv.bias[..width].iter_mut().for_each(|value| *value *= scale);
    let branch = config.conv_branch.as_ref();
    let conv = branch.map(|branch| {
        let into = conv(weights, &at("PCM.0"), branch.groups)?.then_norm(config, weights, &at("PCM.1"))?;
        let out = conv(weights, &at("PCM.3"), branch.groups_out)?;
        Ok::<_, crate::Error>((into.narrow(), out.narrow()))
    });
    Ok(Block {
        qkv: qkv.narrow(),
        proj: linear(weights, &at("attn.proj"))?.narrow(),
        conv: conv.transpose()?,
        fc1: linear(weights, &at("mlp.fc1"))?.after_norm(weights, &at("norm2"))?.narrow(),
        fc2: linear(weights, &at("mlp.fc2"))?.narrow(),
    })
}

fn fold_inception(config: &Config, weights: &Weights, block: usize) -> Result<Inception> {
    let layer = |branch: &str| {
        let at = format!("inception_model.vis_inception.{block}.{branch}");
        let conv = conv(weights, &format!("{at}.conv"), 1)?;
        Ok::<_, crate::Error>(conv.then_norm(config, weights, &format!("{at}.bn"))?.narrow())
    };
    let with_five = inception_branches(weights, block).iter().any(|(branch, _)| *branch == "branch3.1");
    let five = with_five.then(|| Ok::<_, crate::Error>((layer("branch3.0")?, layer("branch3.1")?)));
    Ok(Inception {
        one: layer("branch1")?,
        three: (layer("branch2.0")?, layer("branch2.1")?),
        five: five.transpose()?,
        pool: layer("branch4.1")?,
    })
}

/// A layer whose weights are being folded; `inputs` are per group.
struct WideConv {
    inputs: usize,
    outputs: usize,
    kernel: usize,
    groups: usize,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

fn narrow(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

fn linear_without_bias(weights: &Weights, name: &str) -> Result<WideLinear> {
    let tensor = weights.get(name)?;
    let (inputs, outputs) = (tensor.shape[1], tensor.shape[0]);
    Ok(WideLinear { inputs, outputs, weight: wide(&tensor.data), bias: vec![0.0; outputs] })
}

fn linear(weights: &Weights, name: &str) -> Result<WideLinear> {
    let bias = wide(&weights.get(&format!("{name}.bias"))?.data);
    Ok(WideLinear { bias, ..linear_without_bias(weights, &format!("{name}.weight"))? })
}

fn conv(weights: &Weights, name: &str, groups: usize) -> Result<WideConv> {
    let tensor = weights.get(&format!("{name}.weight"))?;
    Ok(WideConv {
        inputs: tensor.shape[1],
        outputs: tensor.shape[0],
        kernel: tensor.shape[2],
        groups,
        weight: wide(&tensor.data),
        bias: wide(&weights.get(&format!("{name}.bias"))?.data),
    })
}

impl WideConv {
    /// The convolution followed by a batch norm: `(y - mean) / sqrt(var + eps) · gamma + beta`.
    fn then_norm(mut self, config: &Config, weights: &Weights, name: &str) -> Result<Self> {
        let part = |part: &str| Ok::<_, crate::Error>(wide(&weights.get(&format!("{name}.{part}"))?.data));
        let (gamma, beta) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let per_output = self.weight.len() / self.outputs;
        for output in 0..self.outputs {
            let scale = gamma[output] / (variance[output] + config.hyperparameters.batch_norm_eps).sqrt();
            let own = output * per_output..(output + 1) * per_output;
            self.weight[own].iter_mut().for_each(|value| *value *= scale);
            self.bias[output] = (self.bias[output] - mean[output]) * scale + beta[output];
        }
        Ok(self)
    }

    fn narrow(self) -> Conv {
        Conv {
            inputs: self.inputs * self.groups,
            outputs: self.outputs,
            kernel: self.kernel,
            groups: self.groups,
            weight: narrow(self.weight),
            bias: narrow(self.bias),
        }
    }
}

/// A linear layer being folded.
struct WideLinear {
    inputs: usize,
    outputs: usize,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl WideLinear {
    fn row(&self, output: usize) -> &[f64] {
        &self.weight[output * self.inputs..(output + 1) * self.inputs]
    }

    /// This layer behind a norm's affine part: `W (γ x + β) + b`.
    fn after_norm(mut self, weights: &Weights, name: &str) -> Result<Self> {
        let gamma = wide(&weights.get(&format!("{name}.weight"))?.data);
        let beta = wide(&weights.get(&format!("{name}.bias"))?.data);
        for output in 0..self.outputs {
            self.bias[output] += self.row(output).iter().zip(&beta).map(|(weight, beta)| weight * beta).sum::<f64>();
        }
        for (index, value) in self.weight.iter_mut().enumerate() {
            *value *= gamma[index % self.inputs];
        }
        Ok(self)
    }

    /// This layer behind another linear one, as one: `W (V x + c) + b`.
    fn after(&self, first: &Self) -> Self {
        let bias = (0..self.outputs).map(|output| {
            self.bias[output] + self.row(output).iter().zip(&first.bias).map(|(w, c)| w * c).sum::<f64>()
        });
        let weight = self.matrix().dot(&first.matrix());
        Self {
            inputs: first.inputs,
            outputs: self.outputs,
            bias: bias.collect(),
            weight: weight.into_raw_vec_and_offset().0,
        }
    }

    #[expect(clippy::expect_used, reason = "the length is outputs × inputs wherever one is made")]
    fn matrix(&self) -> ArrayView2<'_, f64> {
        ArrayView2::from_shape((self.outputs, self.inputs), &self.weight).expect("outputs × inputs values")
    }

    fn narrow(self) -> Linear {
        Linear { inputs: self.inputs, outputs: self.outputs, weight: narrow(self.weight), bias: narrow(self.bias) }
    }
}
