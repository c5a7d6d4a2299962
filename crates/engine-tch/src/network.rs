//! The folded network as libtorch tensors, and its forward pass.

use astromae::fold::FoldedNetwork;
use tch::{Kind, Tensor};

use crate::{
    inception::TchInceptionBlock,
    layers::{Result, TchLinear, TchPerceptron, Weight, average_pool, normalize},
    transformer::TchTransformerBlock,
};

/// A [`FoldedNetwork`] as libtorch tensors. Clones share the values, so that each thread can have one.
#[derive(Clone)]
pub(crate) struct TchNetwork {
    patch_size: i64,
    patch: TchLinear,
    /// `[1, patches, width]`.
    positions: Weight,
    /// `[1, 1, width]`.
    class_token: Weight,
    heads: i64,
    eps: f64,
    blocks: Vec<TchTransformerBlock>,
    hidden: TchPerceptron,
    stem: TchLinear,
    inception: Vec<TchInceptionBlock>,
    inception_hidden: TchPerceptron,
    magnitude: TchPerceptron,
    concat: TchPerceptron,
}

impl TchNetwork {
    pub(crate) fn new(network: &FoldedNetwork) -> Result<Self> {
        let config = &network.config;
        let width = config.embed_dim as i64;
        Ok(Self {
            patch_size: config.patch_size as i64,
            patch: TchLinear::new(&network.patch)?,
            positions: Weight::new(&network.positions, &[1, config.patches() as i64, width])?,
            class_token: Weight::new(&network.class_token, &[1, 1, width])?,
            heads: config.hyperparameters.num_heads as i64,
            eps: config.hyperparameters.layer_norm_eps,
            blocks: network
                .blocks
                .iter()
                .map(|block| TchTransformerBlock::new(block, config.grid()))
                .collect::<Result<_>>()?,
            hidden: TchPerceptron::new(&network.hidden)?,
            stem: TchLinear::pointwise(&[&network.stem])?,
            inception: network.inception.iter().map(TchInceptionBlock::new).collect::<Result<_>>()?,
            inception_hidden: TchPerceptron::new(&network.inception_hidden)?,
            magnitude: TchPerceptron::new(&network.magnitude)?,
            concat: TchPerceptron::new(&network.concat)?,
        })
    }

    /// Predicts the redshifts of a micro-batch.
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
        let pooled = images.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)?;
        let mut map = self.stem.forward(&pooled.f_permute([0, 2, 3, 1])?)?;
        for (index, block) in self.inception.iter().enumerate() {
            if index == 2 || index == 4 {
                map = average_pool(&map)?;
            }
            map = block.forward(&map)?;
        }
        // Flattened as the published network does it: channels first.
        let flat = map.f_permute([0, 3, 1, 2])?.f_reshape([map.size()[0], -1])?;
        self.inception_hidden.forward(flat)
    }
}
