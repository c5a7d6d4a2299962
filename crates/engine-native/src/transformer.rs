//! The transformer, on the tokens of a micro-batch of galaxies: `[galaxies, 1 + patches, width]`, the class token
//! first.

use astromae::{
    Precision,
    engine::{BANDS, PIXELS, SIDE},
    fold::{FoldedNetwork, TransformerBlock},
};
use bytemuck::zeroed_vec;

use crate::{
    attention::{self, Attention, AttentionShape},
    conv_branch::{self, PackedConvBranch, TokensShape},
    epilogue::Epilogue,
    int8::QuantizedRows,
    linear::{PackedLinear, pad_inputs, pad_outputs},
    simd::{Kernel, Simd},
    token_linear::TokenLinear,
};

/// Galaxies that go through the transformer together. In f32, the widest of their activations take 1.7 MB; 32 galaxies were 2
/// to 3 % faster than 16, and as fast as 64. It is a multiple of every vector's lanes.
pub(crate) const MICRO_BATCH: usize = 32;

/// Galaxies that go through a block's linear layers together in int8. A block's weights are a quarter of those in f32, and
/// stay in the cache of a core beside the activations of so few.
const INT8_TOGETHER: usize = 4;

/// The first blocks, which are in f32 in any precision. With the first block in int8 the redshifts of the demo's model
/// moved by up to 1.4·10⁻³ (1 + z), and with all but the first by up to a third of that.
const F32_BLOCKS: usize = 1;

/// The transformer, from images to the normalised mean of the patches' tokens, with packed weights.
pub(crate) struct PackedTransformer<S: Simd> {
    simd: S,
    /// Values in a token.
    width: usize,
    /// Galaxies that go through a block's linear layers together.
    pub(crate) together: usize,
    /// Patches along a side of an image.
    grid: usize,
    pub(crate) eps: f32,
    pub(crate) attention: AttentionShape,
    patch: PackedLinear<S>,
    /// `[patches, width]`.
    positions: Vec<S::F>,
    class_token: Vec<S::F>,
    pub(crate) blocks: Vec<PackedTransformerBlock<S>>,
}

/// A [`TransformerBlock`] with packed weights.
pub(crate) struct PackedTransformerBlock<S: Simd> {
    pub(crate) qkv: TokenLinear<S>,
    pub(crate) proj: TokenLinear<S>,
    pub(crate) conv_branch: Option<PackedConvBranch<S>>,
    pub(crate) fc1: TokenLinear<S>,
    pub(crate) fc2: TokenLinear<S>,
}

/// Activations of a micro-batch, or of its galaxies that go through a block's layers together.
pub(crate) struct Scratch<S: Simd> {
    /// Those of the micro-batch.
    pub(crate) tokens: Vec<S::F>,
    /// The embedded patches or the context vectors of attention's heads of the micro-batch.
    pub(crate) inner: Vec<S::F>,
    /// The normalised tokens of some galaxies.
    pub(crate) normalized: Vec<S::F>,
    /// The patches' values of the micro-batch, or queries, keys and values, or the MLP's hidden layer, of some galaxies.
    pub(crate) wide: Vec<S::F>,
    /// The mean of the MLP's hidden layer over the patches of some galaxies.
    pub(crate) mean_hidden: Vec<S::F>,
    /// The input of a layer in int8.
    pub(crate) bytes: QuantizedRows,
    pub(crate) attention: attention::Scratch<S>,
    pub(crate) conv_branch: Option<conv_branch::Scratch<S>>,
}

impl<S: Simd> PackedTransformer<S> {
    pub(crate) fn new(simd: S, precision: Precision, network: FoldedNetwork) -> Self {
        let config = &network.config;
        let width = config.embed_dim;
        let heads = config.hyperparameters.num_heads;
        let attention = AttentionShape { tokens: 1 + config.patches(), heads, head_dim: width / heads };
        let head_sizes = vec![attention.head_dim; 3 * heads];
        let block = |(index, block): (usize, TransformerBlock)| {
            let precision = if index < F32_BLOCKS { Precision::F32 } else { precision };
            PackedTransformerBlock {
                qkv: TokenLinear::new(simd, precision, &pad_outputs::<S>(block.qkv, &head_sizes)),
                proj: TokenLinear::new(simd, precision, &pad_inputs::<S>(block.proj, &head_sizes[..heads])),
                conv_branch: block.conv_branch.as_ref().map(|convs| PackedConvBranch::new(simd, convs)),
                fc1: TokenLinear::new(simd, precision, &block.fc1),
                fc2: TokenLinear::new(simd, precision, &block.fc2),
            }
        };
        Self {
            simd,
            width,
            together: match precision {
                Precision::F32 => MICRO_BATCH,
                Precision::Int8 => INT8_TOGETHER,
            },
            grid: config.grid(),
            eps: config.hyperparameters.layer_norm_eps as f32,
            attention,
            patch: PackedLinear::new(simd, &network.patch),
            positions: network.positions.chunks_exact(width).flat_map(to_vectors::<S>).collect(),
            class_token: to_vectors::<S>(&network.class_token),
            blocks: network.blocks.into_iter().enumerate().map(block).collect(),
        }
    }

    /// The number of vectors in a token.
    pub(crate) fn vectors(&self) -> usize {
        self.class_token.len()
    }

    pub(crate) fn scratch(&self, galaxies: usize) -> Scratch<S> {
        let rows = galaxies * self.attention.tokens;
        let rows_together = galaxies.min(self.together) * self.attention.tokens;
        let widest = self.blocks.iter().flat_map(|block| [block.qkv.vectors(), block.fc1.vectors()]).max().unwrap_or(0);
        let hidden = self.blocks.last().map_or(0, |block| block.fc1.vectors());
        let patches = self.grid * self.grid * self.patch_vectors();
        let quantized = self.blocks.iter().any(|block| matches!(block.qkv, TokenLinear::Int8(_)));
        Scratch {
            tokens: zeroed_vec(rows * self.vectors()),
            inner: zeroed_vec(rows * self.vectors().max(self.context_vectors())),
            normalized: zeroed_vec(rows_together * self.vectors()),
            wide: zeroed_vec((rows_together * widest).max(galaxies * patches)),
            mean_hidden: zeroed_vec(galaxies.min(self.together) * hidden),
            bytes: QuantizedRows::new::<S>(
                if quantized { rows_together } else { 0 },
                widest.max(self.context_vectors()),
            ),
            attention: attention::Scratch::new(self.attention),
            conv_branch: self
                .blocks
                .iter()
                .find_map(|block| block.conv_branch.as_ref())
                .map(|branch| branch.scratch(self.grid)),
        }
    }

    /// The number of vectors that hold the values of a patch.
    fn patch_vectors(&self) -> usize {
        let side = SIDE / self.grid;
        (BANDS * side * side).div_ceil(S::LANES)
    }

    /// The number of vectors in the context vectors of all heads of a token.
    pub(crate) fn context_vectors(&self) -> usize {
        self.attention.heads * self.attention.head_vectors::<S>()
    }

    /// From images `[n, 5, 32, 32]` to features `[n, width]`, in rows of [`Self::vectors`]: the normalised mean of the
    /// tokens of each galaxy's patches.
    pub(crate) fn apply(&self, images: &[f32], features: &mut [S::F], scratch: &mut Scratch<S>) {
        let galaxies = images.len() / PIXELS;
        self.embed(images, scratch);
        for (index, block) in self.blocks.iter().enumerate() {
            self.attend(block, galaxies, scratch);
            if index + 1 < self.blocks.len() {
                self.apply_mlp(block, galaxies, scratch);
            } else {
                self.apply_last_mlp(block, galaxies, features, scratch);
            }
        }
    }

    /// Makes tokens of images: the class token, and the patches' embeddings with their positions.
    fn embed(&self, images: &[f32], scratch: &mut Scratch<S>) {
        let (vectors, patches) = (self.vectors(), self.grid * self.grid);
        cut_patches::<S>(
            images,
            self.grid,
            bytemuck::cast_slice_mut(&mut scratch.wide),
            self.patch_vectors() * S::LANES,
        );
        let galaxies = images.len() / PIXELS;
        let input = (scratch.wide.as_slice(), self.patch_vectors());
        self.patch.apply(galaxies * patches, input, (&mut scratch.inner, vectors), Epilogue::Store);
        let all = scratch.tokens.chunks_exact_mut((1 + patches) * vectors);
        for (tokens, embedded) in all.zip(scratch.inner.chunks_exact(patches * vectors)).take(galaxies) {
            let (class_token, tokens) = tokens.split_at_mut(vectors);
            class_token.copy_from_slice(&self.class_token);
            self.simd.run(Sums { one: embedded, other: &self.positions, to: tokens });
        }
    }

    /// The galaxies from `first` on that go through linear layers together, the first of their rows in the tokens, and
    /// the number of these.
    fn together(&self, first: usize, galaxies: usize) -> (usize, usize, usize) {
        let galaxies = self.together.min(galaxies - first);
        (galaxies, first * self.attention.tokens, galaxies * self.attention.tokens)
    }

    fn norm(&self) -> Norm {
        Norm { width: self.width, eps: self.eps }
    }

    /// Adds to the tokens what attention and the convolution branch of a block make of them.
    fn attend(&self, block: &PackedTransformerBlock<S>, galaxies: usize, scratch: &mut Scratch<S>) {
        let (vectors, context_vectors) = (self.vectors(), self.context_vectors());
        let Scratch { tokens, inner, normalized, wide, bytes, attention, conv_branch, .. } = scratch;
        for first in (0..galaxies).step_by(self.together) {
            let (galaxies, first, rows) = self.together(first, galaxies);
            let from = &tokens[first * vectors..][..rows * vectors];
            self.simd.run(Normalize { norm: self.norm(), vectors, from, to: normalized });
            block.qkv.apply(rows, (normalized, vectors), (wide, block.qkv.vectors()), Epilogue::Store, bytes);
            let context = &mut inner[first * context_vectors..];
            self.simd.run(Attention { shape: self.attention, galaxies, qkv: wide, context, scratch: attention });
        }
        if let (Some(branch), Some(scratch)) = (&block.conv_branch, conv_branch) {
            branch.add_to(tokens, TokensShape { galaxies, grid: self.grid, vectors }, scratch);
        }
        for first in (0..galaxies).step_by(self.together) {
            let (_, first, rows) = self.together(first, galaxies);
            let context = (&inner[first * context_vectors..], context_vectors);
            let tokens = (&mut tokens[first * vectors..], vectors);
            block.proj.apply(rows, context, tokens, Epilogue::Residual, bytes);
        }
    }

    /// Adds to the tokens what the MLP of a block makes of them.
    fn apply_mlp(&self, block: &PackedTransformerBlock<S>, galaxies: usize, scratch: &mut Scratch<S>) {
        let vectors = self.vectors();
        let Scratch { tokens, normalized, wide, bytes, .. } = scratch;
        for first in (0..galaxies).step_by(self.together) {
            let (_, first, rows) = self.together(first, galaxies);
            let tokens = &mut tokens[first * vectors..][..rows * vectors];
            self.simd.run(Normalize { norm: self.norm(), vectors, from: tokens, to: normalized });
            block.fc1.apply(rows, (normalized, vectors), (wide, block.fc1.vectors()), Epilogue::Gelu, bytes);
            block.fc2.apply(rows, (wide, block.fc1.vectors()), (tokens, vectors), Epilogue::Residual, bytes);
        }
    }

    /// The same for the last block, behind which comes the mean over the patches: `fc2` is linear, so that the mean of
    /// its input is taken instead of that of its output, and the class token needs no MLP.
    fn apply_last_mlp(
        &self,
        block: &PackedTransformerBlock<S>,
        galaxies: usize,
        features: &mut [S::F],
        scratch: &mut Scratch<S>,
    ) {
        let (vectors, hidden) = (self.vectors(), block.fc1.vectors());
        let patches = self.attention.tokens - 1;
        let Scratch { tokens, normalized, wide, mean_hidden, bytes, .. } = scratch;
        let chunks = features.chunks_mut(self.together * vectors);
        for (first, features) in (0..galaxies).step_by(self.together).zip(chunks) {
            let (galaxies, first, rows) = self.together(first, galaxies);
            let tokens = &tokens[first * vectors..][..rows * vectors];
            let features = &mut features[..galaxies * vectors];
            let per_galaxy = tokens.chunks_exact(self.attention.tokens * vectors);
            for (tokens, normalized) in per_galaxy.zip(normalized.chunks_exact_mut(patches * vectors)) {
                let from = &tokens[vectors..];
                self.simd.run(Normalize { norm: self.norm(), vectors, from, to: normalized });
            }
            block.fc1.apply(galaxies * patches, (normalized, vectors), (wide, hidden), Epilogue::Gelu, bytes);
            self.simd.run(Means { first: 0, rows: patches, vectors: hidden, from: wide, to: mean_hidden });
            self.simd.run(Means { first: 1, rows: patches, vectors, from: tokens, to: features });
            block.fc2.apply(galaxies, (mean_hidden, hidden), (features, vectors), Epilogue::Residual, bytes);
            for row in features.chunks_exact_mut(vectors) {
                self.simd.run(NormalizeRow { norm: self.norm(), row });
            }
        }
    }
}

/// Copies values into whole vectors, with zeros behind the last value.
fn to_vectors<S: Simd>(values: &[f32]) -> Vec<S::F> {
    let mut vectors = zeroed_vec(values.len().div_ceil(S::LANES));
    bytemuck::cast_slice_mut(&mut vectors)[..values.len()].copy_from_slice(values);
    vectors
}

/// Cuts images `[n, 5, 32, 32]` into patches `[n · patches, 5 · side · side]`, whose rows are `stride` values apart.
fn cut_patches<S: Simd>(images: &[f32], grid: usize, patches: &mut [f32], stride: usize) {
    let side = SIDE / grid;
    for (galaxy, image) in images.chunks_exact(PIXELS).enumerate() {
        for (index, line) in image.chunks_exact(side).enumerate() {
            let (line_index, column) = (index / grid, index % grid);
            let (band, row) = (line_index / SIDE, line_index % SIDE);
            let patch = (galaxy * grid + row / side) * grid + column;
            patches[patch * stride + (band * side + row % side) * side..][..side].copy_from_slice(line);
        }
    }
}

/// The sums of vectors.
struct Sums<'a, S: Simd> {
    one: &'a [S::F],
    other: &'a [S::F],
    to: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for Sums<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        for ((to, one), other) in self.to.iter_mut().zip(self.one).zip(self.other) {
            *to = simd.add(*one, *other);
        }
    }
}

/// A layer norm without its affine part, which is folded into the next layer.
#[derive(Clone, Copy)]
pub(crate) struct Norm {
    pub(crate) width: usize,
    pub(crate) eps: f32,
}

impl Norm {
    /// Normalises a row of whole vectors in place. Its padding must be zeros, and is zeros afterwards.
    #[inline(always)]
    fn apply<S: Simd>(self, simd: S, row: &mut [S::F]) {
        let share = 1.0 / self.width as f32;
        let mut sum = simd.splat(0.0);
        for value in row.iter() {
            sum = simd.add(sum, *value);
        }
        let mean = simd.sum(sum) * share;
        let mut squares = simd.splat(0.0);
        for value in row.iter_mut() {
            *value = simd.sub(*value, simd.splat(mean));
            squares = simd.fma(*value, *value, squares);
        }
        // The padding held zeros, each of which is now −mean.
        let padding = (row.len() * S::LANES - self.width) as f32;
        let variance = (simd.sum(squares) - padding * mean * mean) * share;
        let scale = simd.splat(1.0 / (variance + self.eps).sqrt());
        for value in row.iter_mut() {
            *value = simd.mul(*value, scale);
        }
        if padding > 0.0 {
            bytemuck::cast_slice_mut::<_, f32>(row)[self.width..].fill(0.0);
        }
    }
}

/// Normalises each row.
pub(crate) struct Normalize<'a, S: Simd> {
    pub(crate) norm: Norm,
    pub(crate) vectors: usize,
    pub(crate) from: &'a [S::F],
    pub(crate) to: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for Normalize<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        for (from, to) in self.from.chunks_exact(self.vectors).zip(self.to.chunks_exact_mut(self.vectors)) {
            to.copy_from_slice(from);
            self.norm.apply(simd, to);
        }
    }
}

/// Normalises a row in place.
struct NormalizeRow<'a, S: Simd> {
    norm: Norm,
    row: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for NormalizeRow<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        self.norm.apply(simd, self.row);
    }
}

/// The mean of the rows of each galaxy that come behind its `first` ones.
struct Means<'a, S: Simd> {
    first: usize,
    rows: usize,
    vectors: usize,
    from: &'a [S::F],
    to: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for Means<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { first, rows, vectors, from, to } = self;
        let share = simd.splat(1.0 / rows as f32);
        for (rows, mean) in from.chunks_exact((first + rows) * vectors).zip(to.chunks_exact_mut(vectors)) {
            mean.fill(simd.splat(0.0));
            for row in rows.chunks_exact(vectors).skip(first) {
                for (sum, value) in mean.iter_mut().zip(row) {
                    *sum = simd.add(*sum, *value);
                }
            }
            for value in mean.iter_mut() {
                *value = simd.mul(*value, share);
            }
        }
    }
}
