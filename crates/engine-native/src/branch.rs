//! The convolution branch of a transformer block: two grouped convolutions on the map of a galaxy's patches.
//!
//! Chunk by chunk of channels, from the tokens and back to them, so that what lies between stays in the nearest cache.

use astromae::fold;
use bytemuck::zeroed_vec;

use crate::{
    conv::{Channels, Conv},
    math::Activation,
    simd::{Kernel, MOST_LANES, Simd, transpose},
};

/// The branch's weights.
pub(crate) struct Branch<S: Simd> {
    simd: S,
    parts: Vec<Part<S>>,
    /// Parts whose channels fill whole vectors of a token.
    together: usize,
}

/// Channels that depend on each other only: a group, where both convolutions have the same groups.
struct Part<S: Simd> {
    into: Vec<Conv<S>>,
    out: Vec<Conv<S>>,
}

/// Maps of as many galaxies as there are lanes.
pub(crate) struct Scratch<S: Simd> {
    /// Of the parts that are together: what goes into them, then what comes out of them.
    map: Vec<S::F>,
    /// Between the convolutions of one part.
    hidden: Vec<S::F>,
}

/// The tokens of some galaxies.
#[derive(Clone, Copy)]
pub(crate) struct Tokens {
    pub(crate) galaxies: usize,
    /// Patches along a side.
    pub(crate) grid: usize,
    /// Vectors of a token.
    pub(crate) vectors: usize,
}

impl<S: Simd> Branch<S> {
    pub(crate) fn new(simd: S, (into, out): &(fold::Conv, fold::Conv)) -> Self {
        let count = greatest_common_divisor(into.groups, out.groups);
        let of = |conv: &fold::Conv| {
            let mut groups = Conv::groups(simd, conv).into_iter();
            let each = conv.groups / count;
            (0..count).map(|_| groups.by_ref().take(each).collect()).collect::<Vec<Vec<_>>>()
        };
        let parts = of(into).into_iter().zip(of(out)).map(|(into, out)| Part { into, out }).collect();
        Self { simd, parts, together: S::LANES / greatest_common_divisor(S::LANES, into.inputs / count) }
    }

    pub(crate) fn scratch(&self, grid: usize) -> Scratch<S> {
        let [channels, hidden] = self.parts.first().map_or([0; 2], |part| [part.channels(), part.hidden()]);
        Scratch { map: zeroed_vec(self.together * channels * grid * grid), hidden: zeroed_vec(hidden * grid * grid) }
    }

    /// Adds the branch of the tokens to them. A part's outputs are the same channels as its inputs, and no other part
    /// reads them.
    pub(crate) fn add(&self, shape: Tokens, tokens: &mut [S::F], scratch: &mut Scratch<S>) {
        let Scratch { map, hidden } = scratch;
        for first_galaxy in (0..shape.galaxies).step_by(S::LANES) {
            let mut first_vector = 0;
            for parts in self.parts.chunks(self.together) {
                let vectors = parts.iter().map(Part::channels).sum::<usize>().div_ceil(S::LANES);
                let chunk = Chunk { shape, first_galaxy, first_vector, vectors };
                self.simd.run(BringIn { chunk, tokens, map });
                let mut first = 0;
                for part in parts {
                    part.convolve(shape.grid, (map, Channels { all: vectors * S::LANES, first }), hidden);
                    first += part.channels();
                }
                self.simd.run(TakeOut { chunk, map, tokens });
                first_vector += vectors;
            }
        }
    }
}

impl<S: Simd> Part<S> {
    /// Of its input and of its output.
    fn channels(&self) -> usize {
        self.into.iter().map(Conv::inputs).sum()
    }

    /// Between its convolutions.
    fn hidden(&self) -> usize {
        self.into.iter().map(Conv::outputs).sum()
    }

    /// Replaces its channels of a map by what comes of them.
    fn convolve(&self, side: usize, (map, channels): (&mut [S::F], Channels), hidden: &mut [S::F]) {
        let all = self.hidden();
        let (mut from, mut to) = (channels, Channels { all, first: 0 });
        for conv in &self.into {
            conv.apply(side, (map, from), (hidden, to), Activation::Silu);
            (from.first, to.first) = (from.first + conv.inputs(), to.first + conv.outputs());
        }
        (from, to) = (Channels { all, first: 0 }, channels);
        for conv in &self.out {
            conv.apply(side, (hidden, from), (map, to), Activation::Keep);
            (from.first, to.first) = (from.first + conv.inputs(), to.first + conv.outputs());
        }
    }
}

/// Some vectors of the tokens of as many galaxies as there are lanes.
#[derive(Clone, Copy)]
struct Chunk {
    shape: Tokens,
    first_galaxy: usize,
    first_vector: usize,
    vectors: usize,
}

impl Chunk {
    /// Where the vector of a patch is among the tokens of its first galaxy, and how far it is from galaxy to galaxy.
    #[inline(always)]
    fn of_tokens(self, patch: usize, vector: usize) -> (usize, usize) {
        let Tokens { grid, vectors, .. } = self.shape;
        let stride = (1 + grid * grid) * vectors;
        (self.first_galaxy * stride + (1 + patch) * vectors + self.first_vector + vector, stride)
    }

    /// Where the first channel of a patch's vector is in the map, and how far it is from channel to channel.
    #[inline(always)]
    fn of_map<S: Simd>(self, patch: usize, vector: usize) -> (usize, usize) {
        let (row, column) = (patch / self.shape.grid, patch % self.shape.grid);
        ((row * self.vectors + vector) * S::LANES * self.shape.grid + column, self.shape.grid)
    }
}

/// A chunk of tokens into a map `[rows, channels, columns]`, with each galaxy in a lane.
struct BringIn<'a, S: Simd> {
    chunk: Chunk,
    tokens: &'a [S::F],
    map: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for BringIn<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { chunk, tokens, map } = self;
        let mut square = [simd.splat(0.0); MOST_LANES];
        let square = &mut square[..S::LANES];
        for patch in 0..chunk.shape.grid * chunk.shape.grid {
            for vector in 0..chunk.vectors {
                let (start, step) = chunk.of_tokens(patch, vector);
                let left = chunk.shape.galaxies - chunk.first_galaxy;
                for (galaxy, token) in square.iter_mut().enumerate() {
                    *token = if galaxy < left { tokens[start + galaxy * step] } else { simd.splat(0.0) };
                }
                transpose(simd, square);
                let (start, step) = chunk.of_map::<S>(patch, vector);
                for (channel, values) in square.iter().enumerate() {
                    map[start + channel * step] = *values;
                }
            }
        }
    }
}

/// Adds a map to a chunk of the tokens that it was made of.
struct TakeOut<'a, S: Simd> {
    chunk: Chunk,
    map: &'a [S::F],
    tokens: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for TakeOut<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { chunk, map, tokens } = self;
        let mut square = [simd.splat(0.0); MOST_LANES];
        let square = &mut square[..S::LANES];
        for patch in 0..chunk.shape.grid * chunk.shape.grid {
            for vector in 0..chunk.vectors {
                let (start, step) = chunk.of_map::<S>(patch, vector);
                for (channel, values) in square.iter_mut().enumerate() {
                    *values = map[start + channel * step];
                }
                transpose(simd, square);
                let (start, step) = chunk.of_tokens(patch, vector);
                let left = chunk.shape.galaxies - chunk.first_galaxy;
                for (galaxy, values) in square.iter().take(left).enumerate() {
                    let token = &mut tokens[start + galaxy * step];
                    *token = simd.add(*token, *values);
                }
            }
        }
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
