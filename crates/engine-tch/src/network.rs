//! The folded network as libtorch tensors, and its forward pass.
//!
//! Only `f_` operations, which return libtorch's errors instead of panicking.

use std::ops::Deref;

use astromae::fold::{self, Network};
use tch::{Kind, TchError, Tensor};

type Result<T> = std::result::Result<T, TchError>;

/// A tensor that is never written to again: its clones share the values.
struct Weight(Tensor);

impl Clone for Weight {
    fn clone(&self) -> Self {
        Self(self.0.shallow_clone())
    }
}

impl Deref for Weight {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}

impl Weight {
    fn new(values: &[f32], shape: &[i64]) -> Result<Self> {
        Ok(Self(Tensor::f_from_slice(values)?.f_view(shape)?))
    }
}

/// Weights as the operations want them. Clones share the values, so that each thread can have one.
#[derive(Clone)]
pub(crate) struct TchNetwork {
    patch_size: i64,
    patch: Linear,
    /// `[1, patches, width]`.
    positions: Weight,
    /// `[1, 1, width]`.
    class_token: Weight,
    heads: i64,
    eps: f64,
    blocks: Vec<Block>,
    hidden: Perceptron,
    stem: Linear,
    inception: Vec<Inception>,
    inception_hidden: Perceptron,
    magnitude: Perceptron,
    concat: Perceptron,
}

impl TchNetwork {
    pub(crate) fn new(network: &Network) -> Result<Self> {
        let config = &network.config;
        let width = config.embed_dim as i64;
        Ok(Self {
            patch_size: config.patch_size as i64,
            patch: Linear::new(&network.patch)?,
            positions: Weight::new(&network.positions, &[1, config.patches() as i64, width])?,
            class_token: Weight::new(&network.class_token, &[1, 1, width])?,
            heads: config.hyperparameters.num_heads as i64,
            eps: config.hyperparameters.layer_norm_eps,
            blocks: network.blocks.iter().map(|block| Block::new(block, config.grid())).collect::<Result<_>>()?,
            hidden: Perceptron::new(&network.hidden)?,
            stem: Linear::pointwise(&[&network.stem])?,
            inception: network.inception.iter().map(Inception::new).collect::<Result<_>>()?,
            inception_hidden: Perceptron::new(&network.inception_hidden)?,
            magnitude: Perceptron::new(&network.magnitude)?,
            concat: Perceptron::new(&network.concat)?,
        })
    }

    /// Redshifts of a micro-batch.
    pub(crate) fn predict(&self, images: &[f32], magnitudes: &[f32], redshifts: &mut [f32]) -> Result<()> {
        let count = redshifts.len() as i64;
        let _no_grad = tch::no_grad_guard();
        let images = Tensor::f_from_slice(images)?.f_view([count, 5, 32, 32])?;
        let magnitudes = Tensor::f_from_slice(magnitudes)?.f_view([count, 5])?;
        let v = self.transformer(&images)?;
        let y = self.inception(&images)?;
        let m = self.magnitude.forward(magnitudes)?;
        let z = self.concat.forward(Tensor::f_cat(&[v, y, m], 1)?)?;
        z.f_view([count])?.f_copy_data(redshifts, redshifts.len())
    }

    fn transformer(&self, images: &Tensor) -> Result<Tensor> {
        let count = images.size()[0];
        let (side, width) = (self.patch_size, self.class_token.size()[2]);
        let grid = 32 / side;
        // The patches' values side by side: a convolution with stride is a linear layer over them.
        let patches = images.f_view([count, 5, grid, side, grid, side])?.f_permute([0, 2, 4, 1, 3, 5])?.f_reshape([
            count,
            grid * grid,
            5 * side * side,
        ])?;
        let tokens = self.patch.forward(&patches)?.f_add_(&self.positions)?;
        let class_tokens = self.class_token.f_expand([count, 1, width], false)?;
        let mut x = Tensor::f_cat(&[class_tokens, tokens], 1)?;
        for block in &self.blocks {
            x = block.forward(x, self.heads, self.eps)?;
        }
        let mean = x.f_narrow(1, 1, grid * grid)?.f_mean_dim(1_i64, false, Kind::Float)?;
        self.hidden.forward(normalize(&mean, self.eps)?)
    }

    fn inception(&self, images: &Tensor) -> Result<Tensor> {
        // Maps are [n, side, side, channels], which libtorch calls channels last, and convolutions of one pixel are
        // linear layers over their channels.
        let halved = images.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)?;
        let mut map = self.stem.forward(&halved.f_permute([0, 2, 3, 1])?)?;
        for (index, block) in self.inception.iter().enumerate() {
            if index == 2 || index == 4 {
                map = halve(&map)?;
            }
            map = block.forward(&map)?;
        }
        // Flattened as the published network does it: channels first.
        let flat = map.f_permute([0, 3, 1, 2])?.f_reshape([map.size()[0], -1])?;
        self.inception_hidden.forward(flat)
    }
}

/// Mean over squares of 2×2 pixels.
fn halve(map: &Tensor) -> Result<Tensor> {
    let channels_last = map.f_permute([0, 3, 1, 2])?;
    channels_last.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)?.f_permute([0, 2, 3, 1])
}

/// Layer norm without its affine part, which is folded into the next layer.
fn normalize(x: &Tensor, eps: f64) -> Result<Tensor> {
    let width = x.size().last().copied().unwrap_or(0);
    x.f_layer_norm([width], None::<Tensor>, None::<Tensor>, eps, false)
}

/// A linear layer on the blocks' tokens, in oneDNN's own layout: its products use all of the processor's vector width,
/// where MKL's, behind `linear`, leave half of it idle on processors that are not Intel's.
#[derive(Clone)]
struct TokenLinear {
    weight: Weight,
    bias: Weight,
}

impl TokenLinear {
    fn new(layer: &fold::Linear) -> Result<Self> {
        let Linear { weight, bias } = Linear::new(layer)?;
        Ok(Self { weight: Weight(weight.f_to_mkldnn(None)?), bias: Weight(bias.f_to_mkldnn(None)?) })
    }

    /// From and to oneDNN's layout.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.f_mkldnn_linear(&self.weight, Some(&*self.bias))
    }
}

#[derive(Clone)]
struct Linear {
    weight: Weight,
    bias: Weight,
}

impl Linear {
    fn new(layer: &fold::Linear) -> Result<Self> {
        let (outputs, inputs) = (layer.outputs as i64, layer.inputs as i64);
        Ok(Self {
            weight: Weight::new(&layer.weight, &[outputs, inputs])?,
            bias: Weight::new(&layer.bias, &[outputs])?,
        })
    }

    /// Convolutions of one pixel, side by side as one layer over the channels.
    fn pointwise(convs: &[&fold::Conv]) -> Result<Self> {
        let weight: Vec<f32> = convs.iter().flat_map(|conv| conv.weight.iter().copied()).collect();
        let bias: Vec<f32> = convs.iter().flat_map(|conv| conv.bias.iter().copied()).collect();
        let outputs = bias.len() as i64;
        Ok(Self { weight: Weight::new(&weight, &[outputs, -1])?, bias: Weight::new(&bias, &[outputs])? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.f_linear(&self.weight, Some(&*self.bias))
    }
}

/// Linear layers with ReLU between them.
#[derive(Clone)]
struct Perceptron(Vec<Linear>);

impl Perceptron {
    fn new(layers: &[fold::Linear]) -> Result<Self> {
        layers.iter().map(Linear::new).collect::<Result<_>>().map(Self)
    }

    fn forward(&self, mut x: Tensor) -> Result<Tensor> {
        for (index, layer) in self.0.iter().enumerate() {
            if index > 0 {
                let _ = x.f_relu_()?;
            }
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}

/// A convolution of a map, channels last.
#[derive(Clone)]
struct Conv {
    weight: Weight,
    bias: Weight,
    padding: i64,
}

impl Conv {
    fn new(conv: &fold::Conv) -> Result<Self> {
        let (outputs, inputs, kernel) = (conv.outputs as i64, (conv.inputs / conv.groups) as i64, conv.kernel as i64);
        let weight = Tensor::f_from_slice(&conv.weight)?.f_view([outputs, inputs, kernel, kernel])?;
        let weight = weight.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?;
        Ok(Self { weight: Weight(weight), bias: Weight::new(&conv.bias, &[outputs])?, padding: kernel / 2 })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let padding = [self.padding, self.padding];
        map.f_contiguous()?
            .f_permute([0, 3, 1, 2])?
            .f_conv2d(&self.weight, Some(&*self.bias), [1, 1], padding, [1, 1], 1)?
            .f_permute([0, 2, 3, 1])
    }
}

#[derive(Clone)]
struct Inception {
    /// The convolutions of one pixel that read the input: branch 1, and the first of the others.
    pointwise: Linear,
    /// Their outputs.
    widths: Vec<i64>,
    three: Conv,
    five: Option<Conv>,
    pool: Linear,
}

impl Inception {
    fn new(block: &fold::Inception) -> Result<Self> {
        let mut pointwise = vec![&block.one, &block.three.0];
        pointwise.extend(block.five.as_ref().map(|(first, _)| first));
        Ok(Self {
            widths: pointwise.iter().map(|conv| conv.outputs as i64).collect(),
            pointwise: Linear::pointwise(&pointwise)?,
            three: Conv::new(&block.three.1)?,
            five: block.five.as_ref().map(|(_, second)| Conv::new(second)).transpose()?,
            pool: Linear::pointwise(&[&block.pool])?,
        })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let reduced = self.pointwise.forward(map)?.f_relu_()?.f_split_with_sizes(&self.widths, 3)?;
        let largest = map
            .f_permute([0, 3, 1, 2])?
            .f_max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false)?
            .f_permute([0, 2, 3, 1])?;
        let mut branches = vec![reduced[0].shallow_clone(), self.three.forward(&reduced[1])?.f_relu_()?];
        if let Some(five) = &self.five {
            branches.push(five.forward(&reduced[2])?.f_relu_()?);
        }
        branches.push(self.pool.forward(&largest)?.f_relu_()?);
        Tensor::f_cat(&branches, 3)
    }
}

#[derive(Clone)]
struct Block {
    qkv: TokenLinear,
    proj: TokenLinear,
    conv: Option<ConvBranch>,
    fc1: TokenLinear,
    fc2: TokenLinear,
}

impl Block {
    fn new(block: &fold::Block, grid: usize) -> Result<Self> {
        Ok(Self {
            qkv: TokenLinear::new(&block.qkv)?,
            proj: TokenLinear::new(&block.proj)?,
            conv: block.conv.as_ref().map(|(into, out)| ConvBranch::new(into, out, grid)).transpose()?,
            fc1: TokenLinear::new(&block.fc1)?,
            fc2: TokenLinear::new(&block.fc2)?,
        })
    }

    /// `x` is `[n, 1 + patches, width]`.
    fn forward(&self, mut x: Tensor, heads: i64, eps: f64) -> Result<Tensor> {
        let attended = self.attention(&normalize(&x, eps)?, heads)?;
        let patches = x.size()[1] - 1;
        let branch = self.conv.as_ref().map(|conv| conv.forward(&x.f_narrow(1, 1, patches)?)).transpose()?;
        let _ = x.f_add_(&attended)?;
        if let Some(branch) = branch {
            let _ = x.f_narrow(1, 1, patches)?.f_add_(&branch)?;
        }
        let hidden = self.fc1.forward(&normalize(&x, eps)?.f_to_mkldnn(None)?)?.f_gelu("none")?;
        x.f_add_(&self.fc2.forward(&hidden)?.f_to_dense(None, false)?)
    }

    fn attention(&self, x: &Tensor, heads: i64) -> Result<Tensor> {
        let [count, tokens, width] = x.size()[..] else { return Err(TchError::Shape("tokens".into())) };
        let qkv = self.qkv.forward(&x.f_to_mkldnn(None)?)?.f_to_dense(None, false)?.f_view([
            count,
            tokens,
            3,
            heads,
            width / heads,
        ])?;
        let qkv = qkv.f_permute([2, 0, 3, 1, 4])?;
        let (q, k, v) = (qkv.f_select(0, 0)?, qkv.f_select(0, 1)?, qkv.f_select(0, 2)?);
        let weights = q.f_matmul(&k.f_transpose(-2, -1)?)?.f_softmax(-1, None)?;
        let mixed = weights.f_matmul(&v)?.f_transpose(1, 2)?.f_reshape([count, tokens, width])?;
        self.proj.forward(&mixed.f_to_mkldnn(None)?)?.f_to_dense(None, false)
    }
}

/// Two grouped convolutions on the patches' small map, in the form of [`RowConv`].
#[derive(Clone)]
struct ConvBranch {
    grid: i64,
    into: RowConv,
    out: RowConv,
}

impl ConvBranch {
    fn new(into: &fold::Conv, out: &fold::Conv, grid: usize) -> Result<Self> {
        Ok(Self { grid: grid as i64, into: RowConv::new(into, grid)?, out: RowConv::new(out, grid)? })
    }

    /// From and to `[n, patches, width]`.
    fn forward(&self, patches: &Tensor) -> Result<Tensor> {
        let hidden = self.into.forward(&self.to_rows(patches, self.into.groups)?)?.f_silu_()?;
        // Mostly both have the same groups, and nothing moves.
        let hidden = match self.into.groups == self.out.groups {
            true => hidden,
            false => self.to_rows(&self.to_patches(&hidden)?, self.out.groups)?,
        };
        self.to_patches(&self.out.forward(&hidden)?)
    }

    /// `[n, patches, channels]` as `[groups, grid · n, grid · channels of a group]`: row after row of the map.
    fn to_rows(&self, patches: &Tensor, groups: i64) -> Result<Tensor> {
        let [count, _, channels] = patches.size()[..] else { return Err(TchError::Shape("patches".into())) };
        patches
            .f_view([count, self.grid, self.grid, groups, channels / groups])?
            .f_permute([3, 1, 0, 2, 4])?
            .f_reshape([groups, self.grid * count, -1])
    }

    /// The way back from [`Self::to_rows`].
    fn to_patches(&self, rows: &Tensor) -> Result<Tensor> {
        let [groups, lines, columns] = rows.size()[..] else { return Err(TchError::Shape("rows".into())) };
        let (count, channels) = (lines / self.grid, columns / self.grid);
        rows.f_view([groups, self.grid, count, self.grid, channels])?.f_permute([2, 1, 3, 0, 4])?.f_reshape([
            count,
            self.grid * self.grid,
            groups * channels,
        ])
    }
}

/// A grouped convolution of a small map as batched products over its groups, one for each row of the kernel: a row of
/// the map, all its columns and channels side by side, gives its share of the row above, of itself and of the row
/// below.
#[derive(Clone)]
struct RowConv {
    groups: i64,
    grid: i64,
    /// For each row of the kernel `[groups, grid · inputs, grid · outputs]`, inputs and outputs of a group.
    kernel_rows: Vec<Weight>,
    /// `[groups, 1, grid · outputs]`.
    bias: Weight,
}

impl RowConv {
    fn new(conv: &fold::Conv, grid: usize) -> Result<Self> {
        let (groups, kernel) = (conv.groups, conv.kernel);
        let (inputs, outputs) = (conv.inputs / groups, conv.outputs / groups);
        let shape = [groups as i64, (grid * inputs) as i64, (grid * outputs) as i64];
        let kernel_row = |down: usize| {
            let mut weight = vec![0.0; groups * grid * inputs * grid * outputs];
            for (from, to) in (0..grid).flat_map(|from| (0..grid).map(move |to| (from, to))) {
                // Where the kernel that is centred on column `to` has column `from`, if it reaches that far.
                let Some(right) = (from + kernel / 2).checked_sub(to).filter(|right| *right < kernel) else { continue };
                for output in 0..conv.outputs {
                    for input in 0..inputs {
                        let row = (output / outputs * grid + from) * inputs + input;
                        weight[row * grid * outputs + to * outputs + output % outputs] =
                            conv.weight[((output * inputs + input) * kernel + down) * kernel + right];
                    }
                }
            }
            Weight::new(&weight, &shape)
        };
        let bias: Vec<f32> = conv.bias.chunks(outputs).flat_map(|group| group.repeat(grid)).collect();
        Ok(Self {
            groups: shape[0],
            grid: grid as i64,
            kernel_rows: (0..kernel).map(kernel_row).collect::<Result<_>>()?,
            bias: Weight::new(&bias, &[shape[0], 1, shape[2]])?,
        })
    }

    /// From `[groups, grid · n, grid · inputs]` to `[groups, grid · n, grid · outputs]`.
    fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        let lines = rows.size()[1];
        let middle = self.kernel_rows.len() / 2;
        let out = self.bias.f_baddbmm(rows, &self.kernel_rows[middle], 1, 1)?;
        for distance in 1..=middle.min(self.grid as usize - 1) {
            let offset = distance as i64 * lines / self.grid;
            let (first, last) = (
                |map: &Tensor| map.f_narrow(1, 0, lines - offset),
                |map: &Tensor| map.f_narrow(1, offset, lines - offset),
            );
            // A row of the map reaches the rows below it by the kernel's upper part, and those above by its lower.
            let _ = last(&out)?.f_baddbmm_(&first(rows)?, &self.kernel_rows[middle - distance])?;
            let _ = first(&out)?.f_baddbmm_(&last(rows)?, &self.kernel_rows[middle + distance])?;
        }
        Ok(out)
    }
}
