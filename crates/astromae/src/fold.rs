//! The network in the fewest layers that compute the same, exactly up to rounding.
//!
//! These are folded, in f64: batch norms into their convolutions, the affine part of layer norms into the linear layer
//! behind them, attention's scale into the query's weights, and `head` into `vit_block.0`.
//!
//! The last layers of the three branches could be folded into `concat_block.0` too, since no nonlinearity lies between.
//! They are not: it would save 2.9 % of the multiplications, and cost products of large matrices whenever a model is
//! loaded. With the native engine's own kernels these took 20 ms on two cores with AVX-512, which pays for itself after
//! some 1,200 galaxies, as many as a partition of 25 MB has, and makes every cold start slower by a fifth. Nor would f16
//! hold the products, as it holds the weights of a model in f16, which the native engine reads in half of the bytes.

use rayon::prelude::*;

use crate::{
    config::{Config, INCEPTION_BLOCKS, inception_branches},
    error::{Error, Result},
    model::Model,
    weights::{Tensor, Weights},
};

/// A linear layer, `y = W x + b`.
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
    /// Side of the kernel in pixels, an odd number.
    pub kernel: usize,
    /// Groups of channels, which divide inputs and outputs and see only themselves.
    pub groups: usize,
    /// The kernels, `[outputs, inputs / groups, kernel, kernel]`, row-major.
    pub weight: Vec<f32>,
    /// What is added to each output, `[outputs]`.
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
pub struct TransformerBlock {
    /// From a token to its query, key and value, each of `embed_dim`, heads one after the other.
    pub qkv: Linear,
    /// From the heads' context vectors, side by side, to what attention adds to a token.
    pub proj: Linear,
    /// `conv_in` and `conv_out`, on the map of a galaxy's patches.
    pub conv_branch: Option<(Conv, Conv)>,
    /// From a token to the MLP's hidden layer.
    pub fc1: Linear,
    /// From the MLP's hidden layer to what the MLP adds to a token.
    pub fc2: Linear,
}

/// An inception block: four branches, whose outputs are side by side in this order. ReLU follows each convolution.
#[derive(Debug, Clone)]
pub struct InceptionBlock {
    /// A 1×1 convolution.
    pub branch1x1: Conv,
    /// A 1×1 convolution, then one of 3×3.
    pub branch3x3: (Conv, Conv),
    /// A 1×1 convolution, then one of 5×5; the last block has none.
    pub branch5x5: Option<(Conv, Conv)>,
    /// A 1×1 convolution, behind a 3×3 max pool of stride 1.
    pub branch_pool: Conv,
}

/// The folded network. With images `[n, 5, 32, 32]` and magnitudes `[n, 5]`:
///
/// ```text
/// x ← class token, then the patches through `patch` plus `positions`      [n, 1 + patches, embed_dim]
/// x ← the blocks
/// v ← hidden(normalize(mean of x's patches))                              [n, hidden_dim]
/// y ← image, 2×2 average pool, stem, blocks 0 and 1, 2×2 average pool, blocks 2 and 3,
///     2×2 average pool, block 4, flattened [channels, 4, 4]; inception_hidden(y)
/// m ← magnitude(magnitudes)                                               [n, magnitude_dim]
/// z ← concat(v, y, m)                                                     [n, 1]
/// ```
///
/// `hidden`, `inception_hidden`, `magnitude` and `concat` are perceptrons: linear layers with ReLU between them.
/// The published network pools behind `stem`; both are linear, and this order has a quarter of the work.
#[derive(Debug, Clone)]
pub struct FoldedNetwork {
    /// The dimensions of the network that was folded.
    pub config: Config,
    /// From a patch's values (`[5, patch, patch]`, row-major) to its token.
    pub patch: Linear,
    /// The position embedding, which is added to the tokens of the patches, `[patches, embed_dim]`.
    pub positions: Vec<f32>,
    /// The class token with its position embedding, `[embed_dim]`.
    pub class_token: Vec<f32>,
    /// The transformer's blocks, the first one first.
    pub blocks: Vec<TransformerBlock>,
    /// The perceptron behind the transformer.
    pub hidden: Vec<Linear>,
    /// The inception network's first layer, a 1×1 convolution.
    pub stem: Conv,
    /// The five inception blocks.
    pub inception: Vec<InceptionBlock>,
    /// The perceptron behind the inception blocks.
    pub inception_hidden: Vec<Linear>,
    /// The perceptron of the magnitudes.
    pub magnitude: Vec<Linear>,
    /// The perceptron from the three branches' outputs, side by side, to the redshift.
    pub concat: Vec<Linear>,
}

impl FoldedNetwork {
    /// Folds a model, on the cores of the thread pool it is called in. Weights are changed where they are: loading a
    /// model is part of a cold start, and touching new memory is most of it.
    ///
    /// # Errors
    /// [`Error::Missing`]; a [`Model`] that was read has all its tensors.
    pub fn new(model: Model) -> Result<Self> {
        let Model { config, mut weights, .. } = model;
        let width = config.embed_dim;
        let blocks =
            (0..config.depth).map(|block| weights.split_off_prefix(&format!("blocks.{block}."))).collect::<Vec<_>>();
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

fn fold_block(config: &Config, weights: &mut Weights, block: usize) -> Result<TransformerBlock> {
    let at = |name: &str| format!("blocks.{block}.{name}");
    let width = config.embed_dim;
    let weight = weights.take(&at("attn.qkv.weight"))?;
    let bias = match weights.remove(&at("attn.qkv.bias")) {
        Some(bias) => bias.data,
        // Keys have no bias.
        None => {
            let mut bias = weights.take(&at("attn.q_bias"))?.data;
            bias.resize(2 * width, 0.0);
            bias.extend(weights.take(&at("attn.v_bias"))?.data);
            bias
        }
    };
    let mut qkv = Linear::new(weight, bias).after_norm(weights, &at("norm1"))?;
    let scale = ((width / config.hyperparameters.num_heads) as f64).powf(-0.5);
    for value in qkv.weight[..width * width].iter_mut().chain(&mut qkv.bias[..width]) {
        *value = (f64::from(*value) * scale) as f32;
    }
    let branch = config.conv_branch.as_ref();
    let branch = branch.map(|branch| {
        let into = conv(weights, &at("PCM.0"), branch.groups)?.then_norm(config, weights, &at("PCM.1"))?;
        Ok::<_, Error>((into, conv(weights, &at("PCM.3"), branch.groups_out)?))
    });
    Ok(TransformerBlock {
        qkv,
        proj: linear(weights, &at("attn.proj"))?,
        conv_branch: branch.transpose()?,
        fc1: linear(weights, &at("mlp.fc1"))?.after_norm(weights, &at("norm2"))?,
        fc2: linear(weights, &at("mlp.fc2"))?,
    })
}

fn fold_inception(config: &Config, weights: &mut Weights, block: usize) -> Result<InceptionBlock> {
    let has_5x5 =
        inception_branches(|name| weights.contains(name), block).iter().any(|(branch, _)| *branch == "branch3.1");
    let mut layer = |branch: &str| {
        let at = format!("inception_model.vis_inception.{block}.{branch}");
        conv(weights, &format!("{at}.conv"), 1)?.then_norm(config, weights, &format!("{at}.bn"))
    };
    let branch5x5 = has_5x5.then(|| Ok::<_, Error>((layer("branch3.0")?, layer("branch3.1")?)));
    Ok(InceptionBlock {
        branch1x1: layer("branch1")?,
        branch3x3: (layer("branch2.0")?, layer("branch2.1")?),
        branch5x5: branch5x5.transpose()?,
        branch_pool: layer("branch4.1")?,
    })
}

fn linear(weights: &mut Weights, name: &str) -> Result<Linear> {
    Ok(Linear::new(weights.take(&format!("{name}.weight"))?, weights.take(&format!("{name}.bias"))?.data))
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
        let mut part = |part: &str| Ok::<_, Error>(wide(&weights.take(&format!("{name}.{part}"))?.data));
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
    /// A layer of its weights, which may also be those of a convolution over whole patches: that is a linear layer over
    /// their values.
    fn new(weight: Tensor, bias: Vec<f32>) -> Self {
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
            weight: product(&self.weight, &first.weight, first.inputs),
        }
    }
}

/// The product of two row-major matrices, the second of which has `columns` columns, on the cores of the thread pool it
/// is called in. The sums of a strip of columns stay in registers.
fn product(left: &[f32], right: &[f32], columns: usize) -> Vec<f32> {
    const STRIP: usize = 16;
    let inner = right.len() / columns;
    // Strip after strip, each row by row, with zeros behind the last column.
    let strips: Vec<[f64; STRIP]> = (0..columns)
        .step_by(STRIP)
        .flat_map(|first| right.chunks_exact(columns).map(move |row| &row[first..columns.min(first + STRIP)]))
        .map(|values| std::array::from_fn(|column| values.get(column).map_or(0.0, |value| f64::from(*value))))
        .collect();
    let mut product = vec![0.0; left.len() / inner * columns];
    left.par_chunks_exact(inner).zip(product.par_chunks_exact_mut(columns)).for_each(|(row, out)| {
        let row = wide(row);
        for (strip, out) in strips.chunks_exact(inner).zip(out.chunks_mut(STRIP)) {
            let mut sums = [0.0; STRIP];
            for (left, rights) in row.iter().zip(strip) {
                for (sum, right) in sums.iter_mut().zip(rights) {
                    *sum += left * right;
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum as f32;
            }
        }
    });
    product
}

fn dot(one: &[f32], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_definition_at_any_number_of_columns() {
        let whole = |count: usize| (0..count).map(|index| (index % 7) as f32 - 3.0).collect::<Vec<_>>();
        for (rows, inner, columns) in [(1, 1, 1), (3, 5, 15), (4, 2, 16), (2, 3, 33)] {
            let (left, right) = (whole(rows * inner), whole(inner * columns));
            let found = product(&left, &right, columns);
            for (index, found) in found.iter().enumerate() {
                let (row, column) = (index / columns, index % columns);
                let terms = (0..inner).map(|k| left[row * inner + k] * right[k * columns + column]);
                assert_eq!(*found, terms.sum::<f32>(), "row {row}, column {column} of {rows}×{inner}×{columns}");
            }
        }
    }
}
