//! The convolution branch of a transformer block: two grouped convolutions on the map of a galaxy's patches.
//!
//! Group by group, from the tokens and back to them, so that what lies between stays in the nearest cache.

use std::ops::Range;

use astromae::fold;

use crate::{
    conv::{Channels, Conv},
    math::Activation,
    simd::Simd,
};

/// The branch's weights.
pub(crate) struct Branch<S: Simd> {
    simd: S,
    parts: Vec<Part<S>>,
}

/// Channels that depend on each other only: a group, where both convolutions have the same groups.
struct Part<S: Simd> {
    into: Vec<Conv<S>>,
    out: Vec<Conv<S>>,
}

/// Maps of one part.
pub(crate) struct Scratch<S: Simd> {
    input: Vec<S::F>,
    hidden: Vec<S::F>,
    output: Vec<S::F>,
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

impl Tokens {
    /// Calls with the place of a patch's first value among the tokens, and that of its first channel in a map of
    /// `channels` whose lanes are these galaxies.
    fn for_each_pixel<S: Simd>(self, galaxies: Range<usize>, channels: usize, mut call: impl FnMut(usize, usize)) {
        for (lane, galaxy) in galaxies.enumerate() {
            for row in 0..self.grid {
                for column in 0..self.grid {
                    let patch = galaxy * (1 + self.grid * self.grid) + 1 + row * self.grid + column;
                    let pixel = row * channels * self.grid + column;
                    call(patch * self.vectors * S::LANES, pixel * S::LANES + lane);
                }
            }
        }
    }
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
        Self { simd, parts }
    }

    pub(crate) fn scratch(&self, grid: usize) -> Scratch<S> {
        let [input, hidden, output] = self.parts.first().map_or([0; 3], Part::channels);
        let maps = |channels: usize| vec![self.simd.splat(0.0); channels * grid * grid];
        Scratch { input: maps(input), hidden: maps(hidden), output: maps(output) }
    }

    /// Adds the branch of the tokens to them. A part's outputs are the same channels as its inputs, and no other part
    /// reads them.
    pub(crate) fn add(&self, shape: Tokens, tokens: &mut [S::F], scratch: &mut Scratch<S>) {
        let tokens: &mut [f32] = bytemuck::cast_slice_mut(tokens);
        for first in (0..shape.galaxies).step_by(S::LANES) {
            let lanes = first..shape.galaxies.min(first + S::LANES);
            let mut from = 0;
            for part in &self.parts {
                let [channels, _, _] = part.channels();
                let input: &mut [f32] = bytemuck::cast_slice_mut(&mut scratch.input);
                shape.for_each_pixel::<S>(lanes.clone(), channels, |patch, pixel| {
                    let patch = tokens[patch + from..][..channels].iter();
                    let pixel = input[pixel..].iter_mut().step_by(shape.grid * S::LANES);
                    patch.zip(pixel).for_each(|(patch, pixel)| *pixel = *patch);
                });
                part.convolve(shape.grid, scratch);
                let output: &[f32] = bytemuck::cast_slice(&scratch.output);
                shape.for_each_pixel::<S>(lanes.clone(), channels, |patch, pixel| {
                    let patch = tokens[patch + from..][..channels].iter_mut();
                    let pixel = output[pixel..].iter().step_by(shape.grid * S::LANES);
                    patch.zip(pixel).for_each(|(patch, pixel)| *patch += *pixel);
                });
                from += channels;
            }
        }
    }
}

impl<S: Simd> Part<S> {
    /// Of its input, between its convolutions, and of its output.
    fn channels(&self) -> [usize; 3] {
        let outputs = |convs: &[Conv<S>]| convs.iter().map(Conv::outputs).sum();
        [self.into.iter().map(Conv::inputs).sum(), outputs(&self.into), outputs(&self.out)]
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl<S: Simd> Part<S> {
    fn convolve(&self, side: usize, scratch: &mut Scratch<S>) {
        let [inputs, hidden, outputs] = self.channels();
        let (mut from, mut to) = (0, 0);
        for conv in &self.into {
            let input = (scratch.input.as_slice(), Channels { all: inputs, first: from });
            let output = (scratch.hidden.as_mut_slice(), Channels { all: hidden, first: to });
            conv.apply(side, input, output, Activation::Silu);
            (from, to) = (from + conv.inputs(), to + conv.outputs());
        }
        (from, to) = (0, 0);
        for conv in &self.out {
            let input = (scratch.hidden.as_slice(), Channels { all: hidden, first: from });
            let output = (scratch.output.as_mut_slice(), Channels { all: outputs, first: to });
            conv.apply(side, input, output, Activation::Keep);
            (from, to) = (from + conv.inputs(), to + conv.outputs());
        }
    }
}
