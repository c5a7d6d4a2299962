//! Self-attention among a galaxy's tokens, fused: scores, softmax and mixture of one head stay in the nearest cache.

use crate::{
    linear::{Product, place},
    math::{Activation, exp},
    simd::{Kernel, Simd},
};

/// Dimensions. A head's query, key and value are padded with zeros to whole vectors.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) tokens: usize,
    pub(crate) heads: usize,
    /// Values of a head, before padding.
    pub(crate) head_dim: usize,
}

impl Shape {
    /// Vectors of a head.
    pub(crate) fn head_vectors<S: Simd>(self) -> usize {
        self.head_dim.div_ceil(S::LANES)
    }

    /// Vectors of a value for each token.
    fn token_vectors<S: Simd>(self) -> usize {
        self.tokens.div_ceil(S::LANES)
    }
}

/// Where one head is worked on.
pub(crate) struct Scratch<S: Simd> {
    /// Keys as the panels of a product, `[head_dim, tokens]`.
    keys: Vec<S::F>,
    /// Values as the panels of a product, `[tokens, head_dim]`.
    values: Vec<S::F>,
    /// `[tokens, tokens]`.
    scores: Vec<S::F>,
    /// Zero for each token, −∞ for the padding.
    mask: Vec<S::F>,
    /// Zeros.
    no_bias: Vec<S::F>,
}

impl<S: Simd> Scratch<S> {
    pub(crate) fn new(simd: S, shape: Shape) -> Self {
        let (head, tokens) = (shape.head_vectors::<S>(), shape.token_vectors::<S>());
        let zeros = |length: usize| vec![simd.splat(0.0); length];
        let mut mask = zeros(tokens);
        bytemuck::cast_slice_mut::<_, f32>(&mut mask)[shape.tokens..].fill(f32::NEG_INFINITY);
        Self {
            keys: zeros(shape.head_dim * tokens),
            values: zeros(shape.tokens * head),
            scores: zeros(shape.tokens * tokens),
            mask,
            no_bias: zeros(head),
        }
    }
}

/// Mixes the values of a galaxy's tokens, for some galaxies.
pub(crate) struct Attention<'a, S: Simd> {
    pub(crate) shape: Shape,
    pub(crate) galaxies: usize,
    /// For each token the queries of all heads, then keys, then values.
    pub(crate) qkv: &'a [S::F],
    /// For each token the mixtures of all heads.
    pub(crate) mixed: &'a mut [S::F],
    pub(crate) scratch: &'a mut Scratch<S>,
}

impl<S: Simd> Kernel<S> for Attention<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { shape, galaxies, qkv, mixed, scratch } = self;
        let (tokens, head) = (shape.tokens, shape.head_vectors::<S>());
        let width = shape.heads * head;
        let galaxies = qkv.chunks_exact(tokens * 3 * width).zip(mixed.chunks_exact_mut(tokens * width)).take(galaxies);
        for (qkv, mixed) in galaxies {
            for first in (0..width).step_by(head) {
                attend(simd, shape, qkv, (first, width), mixed, scratch);
            }
        }
    }
}

/// One head of one galaxy, whose vectors start at `first` of `width`.
#[inline(always)]
fn attend<S: Simd>(
    simd: S,
    shape: Shape,
    qkv: &[S::F],
    (first, width): (usize, usize),
    mixed: &mut [S::F],
    scratch: &mut Scratch<S>,
) {
    let (tokens, head) = (shape.tokens, shape.head_vectors::<S>());
    let token_vectors = shape.token_vectors::<S>();
    let keys: &mut [f32] = bytemuck::cast_slice_mut(&mut scratch.keys);
    for (token, qkv) in qkv.chunks_exact(3 * width).enumerate() {
        let key: &[f32] = bytemuck::cast_slice(&qkv[width + first..][..head]);
        let (start, step) = place(shape.head_dim, token_vectors, token / S::LANES);
        let lane = token % S::LANES;
        for (dimension, value) in key[..shape.head_dim].iter().enumerate() {
            keys[(start + dimension * step) * S::LANES + lane] = *value;
        }
        for vector in 0..head {
            let (start, step) = place(tokens, head, vector);
            scratch.values[start + token * step] = qkv[2 * width + first + vector];
        }
    }
    Product {
        inputs: shape.head_dim,
        panels: &scratch.keys,
        bias: &scratch.mask,
        rows: tokens,
        input: bytemuck::cast_slice(&qkv[first..]),
        input_stride: 3 * width * S::LANES,
        output: &mut scratch.scores,
        output_stride: token_vectors,
        activation: Activation::Keep,
    }
    .compute(simd);
    for scores in scratch.scores.chunks_exact_mut(token_vectors) {
        softmax(simd, scores);
    }
    Product {
        inputs: tokens,
        panels: &scratch.values,
        bias: &scratch.no_bias,
        rows: tokens,
        input: bytemuck::cast_slice(&scratch.scores),
        input_stride: token_vectors * S::LANES,
        output: &mut mixed[first..],
        output_stride: width,
        activation: Activation::Keep,
    }
    .compute(simd);
}

#[inline(always)]
fn softmax<S: Simd>(simd: S, scores: &mut [S::F]) {
    let mut largest = simd.splat(f32::NEG_INFINITY);
    for score in scores.iter() {
        largest = simd.max(largest, *score);
    }
    let largest = simd.splat(simd.largest(largest));
    let mut sum = simd.splat(0.0);
    for score in scores.iter_mut() {
        *score = exp(simd, simd.sub(*score, largest));
        sum = simd.add(sum, *score);
    }
    let share = simd.splat(1.0 / simd.sum(sum));
    for score in scores {
        *score = simd.mul(*score, share);
    }
}
