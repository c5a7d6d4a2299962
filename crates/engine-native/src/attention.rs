//! Self-attention among a galaxy's tokens, fused: scores, softmax and mixture of one head stay in the nearest cache.
//!
//! Each token that asks has a lane, so that softmax goes over the tokens that answer lane by lane.

use bytemuck::zeroed_vec;

use crate::{
    linear::{Product, place},
    math::{Activation, exp},
    simd::{Kernel, MOST_LANES, Simd, transpose},
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
    /// Queries as the panels of a product, `[head_dim, tokens]`.
    queries: Vec<S::F>,
    /// `[keys, queries]`.
    scores: Vec<S::F>,
    /// One over the sum of each query's scores.
    shares: Vec<S::F>,
    /// Zeros.
    no_bias: Vec<S::F>,
}

impl<S: Simd> Scratch<S> {
    pub(crate) fn new(shape: Shape) -> Self {
        let tokens = shape.token_vectors::<S>();
        Self {
            queries: zeroed_vec(shape.head_dim * tokens),
            scores: zeroed_vec(shape.tokens * tokens),
            shares: zeroed_vec(tokens),
            no_bias: zeroed_vec(tokens),
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
                Head { shape, qkv, first, width }.attend(simd, mixed, scratch);
            }
        }
    }
}

/// One head of one galaxy, whose vectors start at `first` of `width`.
#[derive(Clone, Copy)]
struct Head<'a, S: Simd> {
    shape: Shape,
    qkv: &'a [S::F],
    first: usize,
    width: usize,
}

impl<S: Simd> Head<'_, S> {
    #[inline(always)]
    fn attend(self, simd: S, mixed: &mut [S::F], scratch: &mut Scratch<S>) {
        self.bring_in_queries(simd, scratch);
        let queries = self.shape.token_vectors::<S>();
        Product {
            inputs: self.shape.head_dim,
            panels: &scratch.queries,
            bias: &scratch.no_bias,
            rows: self.shape.tokens,
            input: bytemuck::cast_slice(&self.qkv[self.width + self.first..]),
            input_stride: 3 * self.width * S::LANES,
            output: &mut scratch.scores,
            output_stride: queries,
            activation: Activation::Keep,
        }
        .compute(simd);
        for vector in 0..queries {
            scratch.shares[vector] = softmax(simd, &mut scratch.scores[vector..], queries);
        }
        self.mix(simd, mixed, scratch);
    }

    /// Transposes the queries.
    #[inline(always)]
    fn bring_in_queries(self, simd: S, scratch: &mut Scratch<S>) {
        let Shape { tokens, head_dim, .. } = self.shape;
        let token_vectors = self.shape.token_vectors::<S>();
        let stride = 3 * self.width;
        let mut square = [simd.splat(0.0); MOST_LANES];
        let square = &mut square[..S::LANES];
        for token_vector in 0..token_vectors {
            let tokens = token_vector * S::LANES..tokens.min((token_vector + 1) * S::LANES);
            let (start, step) = place(head_dim, token_vectors, token_vector);
            if tokens.len() == S::LANES {
                for vector in 0..self.shape.head_vectors::<S>() {
                    for (row, token) in square.iter_mut().zip(tokens.clone()) {
                        *row = self.qkv[token * stride + self.first + vector];
                    }
                    transpose(simd, square);
                    let dimensions = S::LANES.min(head_dim - vector * S::LANES);
                    for (dimension, column) in square[..dimensions].iter().enumerate() {
                        scratch.queries[start + (vector * S::LANES + dimension) * step] = *column;
                    }
                }
            } else {
                // The published network has one token more than fill vectors: a square for it would cost more.
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

    /// Sums of the values, each with its score, for each query.
    #[inline(always)]
    fn mix(self, simd: S, mixed: &mut [S::F], scratch: &Scratch<S>) {
        let mut query = 0;
        while query + 8 <= self.shape.tokens {
            self.mix_for::<8>(simd, query, mixed, scratch);
            query += 8;
        }
        while query < self.shape.tokens {
            self.mix_for::<1>(simd, query, mixed, scratch);
            query += 1;
        }
    }

    #[inline(always)]
    fn mix_for<const Q: usize>(self, simd: S, query: usize, mixed: &mut [S::F], scratch: &Scratch<S>) {
        let scores: &[f32] = bytemuck::cast_slice(&scratch.scores);
        let scores = scores.chunks_exact(self.shape.token_vectors::<S>() * S::LANES);
        let shares: &[f32] = &bytemuck::cast_slice(&scratch.shares)[query..query + Q];
        for vector in 0..self.shape.head_vectors::<S>() {
            let mut sums = [simd.splat(0.0); Q];
            let values = self.qkv[2 * self.width + self.first + vector..].iter().step_by(3 * self.width);
            for (scores, value) in scores.clone().zip(values) {
                for (sum, score) in sums.iter_mut().zip(&scores[query..query + Q]) {
                    *sum = simd.fma(simd.splat(*score), *value, *sum);
                }
            }
            for (index, (sum, share)) in sums.iter().zip(shares).enumerate() {
                mixed[(query + index) * self.width + self.first + vector] = simd.mul(*sum, simd.splat(*share));
            }
        }
    }
}

/// Exponentials of a column of scores, less the largest of them; one over their sum.
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
