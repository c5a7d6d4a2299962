//! Self-attention among a galaxy's tokens, fused: scores, softmax and context vectors of one head stay in the nearest
//! cache.
//!
//! Scores are `[keys, queries]` with a lane for each query, so that softmax, which goes over the keys, works on whole
//! vectors.

use bytemuck::zeroed_vec;

use crate::{
    epilogue::Epilogue,
    linear::{Gemm, InF32, panel_position},
    math::exp,
    simd::{Kernel, MAX_LANES, Simd, transpose},
};

/// The dimensions of attention. A head's query, key and value are padded with zeros to whole vectors.
#[derive(Clone, Copy)]
pub(crate) struct AttentionShape {
    pub(crate) tokens: usize,
    pub(crate) heads: usize,
    /// Values in a head's query, before padding.
    pub(crate) head_dim: usize,
}

impl AttentionShape {
    /// The number of vectors in a head's query.
    pub(crate) fn head_vectors<S: Simd>(self) -> usize {
        self.head_dim.div_ceil(S::LANES)
    }

    /// The number of vectors that hold one value of each token.
    fn token_vectors<S: Simd>(self) -> usize {
        self.tokens.div_ceil(S::LANES)
    }
}

/// Intermediate values of one head.
pub(crate) struct Scratch<S: Simd> {
    /// The queries `[head_dim, tokens]`, packed as the panels of a [`Gemm`].
    queries: Vec<S::F>,
    /// First the scores `[keys, queries]`, then their exponentials.
    scores: Vec<S::F>,
    /// For each query, one over the sum of its exponentials.
    inverse_sums: Vec<S::F>,
    /// The bias of the product that computes scores: zeros.
    zero_bias: Vec<S::F>,
}

impl<S: Simd> Scratch<S> {
    pub(crate) fn new(shape: AttentionShape) -> Self {
        let tokens = shape.token_vectors::<S>();
        Self {
            queries: zeroed_vec(shape.head_dim * tokens),
            scores: zeroed_vec(shape.tokens * tokens),
            inverse_sums: zeroed_vec(tokens),
            zero_bias: zeroed_vec(tokens),
        }
    }
}

/// Attention among the tokens of each galaxy, for some galaxies.
pub(crate) struct Attention<'a, S: Simd> {
    pub(crate) shape: AttentionShape,
    pub(crate) galaxies: usize,
    /// For each token the queries of all heads, then their keys, then their values.
    pub(crate) qkv: &'a [S::F],
    /// For each token the context vectors of all heads: the values of all tokens, weighted by softmax.
    pub(crate) context: &'a mut [S::F],
    pub(crate) scratch: &'a mut Scratch<S>,
}

impl<S: Simd> Kernel<S> for Attention<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { shape, galaxies, qkv, context, scratch } = self;
        let (tokens, head) = (shape.tokens, shape.head_vectors::<S>());
        let width = shape.heads * head;
        let galaxies =
            qkv.chunks_exact(tokens * 3 * width).zip(context.chunks_exact_mut(tokens * width)).take(galaxies);
        for (qkv, context) in galaxies {
            for first in (0..width).step_by(head) {
                Head { shape, qkv, first, width }.attend(simd, context, scratch);
            }
        }
    }
}

/// One head of one galaxy, whose query starts at vector `first` of the `width` vectors of all heads.
#[derive(Clone, Copy)]
struct Head<'a, S: Simd> {
    shape: AttentionShape,
    qkv: &'a [S::F],
    first: usize,
    width: usize,
}

impl<S: Simd> Head<'_, S> {
    #[inline(always)]
    fn attend(self, simd: S, context: &mut [S::F], scratch: &mut Scratch<S>) {
        self.pack_queries(simd, scratch);
        let queries = self.shape.token_vectors::<S>();
        Gemm::<S, InF32> {
            inputs: self.shape.head_dim,
            panels: &scratch.queries,
            bias: &scratch.zero_bias,
            rows: self.shape.tokens,
            input: bytemuck::cast_slice(&self.qkv[self.width + self.first..]),
            input_stride: 3 * self.width * S::LANES,
            output: &mut scratch.scores,
            output_stride: queries,
            epilogue: Epilogue::Store,
        }
        .run(simd);
        for vector in 0..queries {
            scratch.inverse_sums[vector] = softmax(simd, &mut scratch.scores[vector..], queries);
        }
        self.weigh_values(simd, context, scratch);
    }

    /// Packs the queries, transposed.
    #[inline(always)]
    fn pack_queries(self, simd: S, scratch: &mut Scratch<S>) {
        let AttentionShape { tokens, head_dim, .. } = self.shape;
        let token_vectors = self.shape.token_vectors::<S>();
        let stride = 3 * self.width;
        let mut tile = [simd.splat(0.0); MAX_LANES];
        let tile = &mut tile[..S::LANES];
        for token_vector in 0..token_vectors {
            let tokens = token_vector * S::LANES..tokens.min((token_vector + 1) * S::LANES);
            let (start, step) = panel_position(head_dim, token_vectors, token_vector);
            if tokens.len() == S::LANES {
                for vector in 0..self.shape.head_vectors::<S>() {
                    for (row, token) in tile.iter_mut().zip(tokens.clone()) {
                        *row = self.qkv[token * stride + self.first + vector];
                    }
                    transpose(simd, tile);
                    let dimensions = S::LANES.min(head_dim - vector * S::LANES);
                    for (dimension, column) in tile[..dimensions].iter().enumerate() {
                        scratch.queries[start + (vector * S::LANES + dimension) * step] = *column;
                    }
                }
            } else {
                // The published network has one token more than fill vectors: to transpose a tile for it would cost
                // more.
                let queries: &mut [f32] = bytemuck::cast_slice_mut(&mut scratch.queries);
                for (lane, token) in tokens.enumerate() {
                    let query: &[f32] = bytemuck::cast_slice(&self.qkv[token * stride + self.first..]);
                    for (dimension, value) in query[..head_dim].iter().enumerate() {
                        queries[(start + dimension * step) * S::LANES + lane] = *value;
                    }
                }
            }
        }
    }

    /// Computes each query's context vector: the sum of the values, weighted by softmax.
    #[inline(always)]
    fn weigh_values(self, simd: S, context: &mut [S::F], scratch: &Scratch<S>) {
        let mut query = 0;
        while query + 8 <= self.shape.tokens {
            self.weigh_values_for::<8>(simd, query, context, scratch);
            query += 8;
        }
        while query < self.shape.tokens {
            self.weigh_values_for::<1>(simd, query, context, scratch);
            query += 1;
        }
    }

    /// The same for Q queries, whose sums stay in registers.
    #[inline(always)]
    fn weigh_values_for<const Q: usize>(self, simd: S, query: usize, context: &mut [S::F], scratch: &Scratch<S>) {
        let scores: &[f32] = bytemuck::cast_slice(&scratch.scores);
        let scores = scores.chunks_exact(self.shape.token_vectors::<S>() * S::LANES);
        let inverse_sums: &[f32] = &bytemuck::cast_slice(&scratch.inverse_sums)[query..query + Q];
        for vector in 0..self.shape.head_vectors::<S>() {
            let mut sums = [simd.splat(0.0); Q];
            let values = self.qkv[2 * self.width + self.first + vector..].iter().step_by(3 * self.width);
            for (scores, value) in scores.clone().zip(values) {
                for (sum, score) in sums.iter_mut().zip(&scores[query..query + Q]) {
                    *sum = simd.fma(simd.splat(*score), *value, *sum);
                }
            }
            for (index, (sum, inverse)) in sums.iter().zip(inverse_sums).enumerate() {
                context[(query + index) * self.width + self.first + vector] = simd.mul(*sum, simd.splat(*inverse));
            }
        }
    }
}

/// The softmax of a column of scores but for its division: replaces each score by e^(score − largest score), and
/// returns one over the sum of these, by which the caller multiplies what it weighs with them.
#[inline(always)]
fn softmax<S: Simd>(simd: S, scores: &mut [S::F], stride: usize) -> S::F {
    let mut largest = simd.splat(f32::NEG_INFINITY);
    for score in scores.iter().step_by(stride) {
        largest = simd.max(largest, *score);
    }
    let mut sum = simd.splat(0.0);
    for score in scores.iter_mut().step_by(stride) {
        *score = exp(simd, simd.sub(*score, largest));
        sum = simd.add(sum, *score);
    }
    simd.div(simd.splat(1.0), sum)
}
