//! The inception network, with a galaxy in each lane.

use astromae::{
    engine::{BANDS, PIXELS, SIDE},
    fold,
};
use bytemuck::zeroed_vec;

use crate::{
    conv::{Channels, Conv},
    math::Activation,
    simd::{Kernel, Simd},
};

/// The network up to its linear layers.
pub(crate) struct Inception<S: Simd> {
    simd: S,
    stem: Conv<S>,
    blocks: Vec<Block<S>>,
}

/// A block's branches, each convolution followed by ReLU.
struct Block<S: Simd> {
    one: Conv<S>,
    /// A convolution of one pixel, then a larger one.
    larger: Vec<(Conv<S>, Conv<S>)>,
    pool: Conv<S>,
}

/// Maps of as many galaxies as there are lanes.
pub(crate) struct Scratch<S: Simd> {
    map: Vec<S::F>,
    next: Vec<S::F>,
    inner: Vec<S::F>,
}

impl<S: Simd> Inception<S> {
    pub(crate) fn new(simd: S, stem: &fold::Conv, blocks: &[fold::Inception]) -> Self {
        let conv = |conv: &fold::Conv| Conv::groups(simd, conv).remove(0);
        let block = |block: &fold::Inception| Block {
            one: conv(&block.one),
            larger: std::iter::once(&block.three)
                .chain(&block.five)
                .map(|(first, second)| (conv(first), conv(second)))
                .collect(),
            pool: conv(&block.pool),
        };
        Self { simd, stem: conv(stem), blocks: blocks.iter().map(block).collect() }
    }

    /// Values of a galaxy behind the last block.
    pub(crate) fn outputs(&self) -> usize {
        let side = SIDE / 8;
        self.blocks.last().map_or(0, Block::outputs) * side * side
    }

    pub(crate) fn scratch(&self) -> Scratch<S> {
        let channels = self.blocks.iter().map(Block::outputs).chain([BANDS, self.stem.outputs()]).max();
        let maps = || zeroed_vec(channels.unwrap_or(0) * (SIDE / 2) * (SIDE / 2));
        Scratch { map: maps(), next: maps(), inner: maps() }
    }

    /// Of images `[n, 5, 32, 32]`, n at most the number of lanes, to rows of `outputs`, which are `stride` values apart.
    pub(crate) fn apply(&self, images: &[f32], outputs: &mut [f32], stride: usize, scratch: &mut Scratch<S>) {
        let mut side = SIDE / 2;
        bring_in::<S>(images, bytemuck::cast_slice_mut(&mut scratch.map));
        let whole = |channels: usize| Channels { all: channels, first: 0 };
        let mut channels = self.stem.outputs();
        self.stem.apply(side, (&scratch.map, whole(BANDS)), (&mut scratch.next, whole(channels)), Activation::Keep);
        std::mem::swap(&mut scratch.map, &mut scratch.next);
        for (index, block) in self.blocks.iter().enumerate() {
            if index == 2 || index == 4 {
                side /= 2;
                self.simd.run(Halve { side, channels, map: &scratch.map, halved: &mut scratch.next });
                std::mem::swap(&mut scratch.map, &mut scratch.next);
            }
            block.apply(self.simd, side, channels, scratch);
            channels = block.outputs();
            std::mem::swap(&mut scratch.map, &mut scratch.next);
        }
        take_out::<S>(bytemuck::cast_slice(&scratch.map), side, channels, outputs, stride, images.len() / PIXELS);
    }
}

impl<S: Simd> Block<S> {
    fn outputs(&self) -> usize {
        self.one.outputs() + self.larger.iter().map(|(_, second)| second.outputs()).sum::<usize>() + self.pool.outputs()
    }

    /// From `scratch.map` to `scratch.next`.
    fn apply(&self, simd: S, side: usize, channels: usize, scratch: &mut Scratch<S>) {
        let all = self.outputs();
        let whole = |channels: usize| Channels { all: channels, first: 0 };
        let Scratch { map, next, inner } = scratch;
        self.one.apply(side, (map, whole(channels)), (next, whole(all)), Activation::Relu);
        let mut first = self.one.outputs();
        for (reducing, larger) in &self.larger {
            let reduced = whole(reducing.outputs());
            reducing.apply(side, (map, whole(channels)), (inner, reduced), Activation::Relu);
            larger.apply(side, (inner, reduced), (next, Channels { all, first }), Activation::Relu);
            first += larger.outputs();
        }
        simd.run(Largest { side, channels, map, largest: inner });
        self.pool.apply(side, (inner, whole(channels)), (next, Channels { all, first }), Activation::Relu);
    }
}

/// Means over 2×2 pixels of images, each image into a lane.
fn bring_in<S: Simd>(images: &[f32], map: &mut [f32]) {
    let half = SIDE / 2;
    for (lane, image) in images.chunks_exact(PIXELS).enumerate() {
        for (index, rows) in image.chunks_exact(2 * SIDE).enumerate() {
            let (band, row) = (index / half, index % half);
            let (upper, lower) = rows.split_at(SIDE);
            let squares = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (column, (upper, lower)) in squares.enumerate() {
                let mean = 0.25 * ((upper[0] + upper[1]) + (lower[0] + lower[1]));
                map[((row * BANDS + band) * half + column) * S::LANES + lane] = mean;
            }
        }
    }
}

/// Each lane into a row, flattened as the published network does it: channels first.
fn take_out<S: Simd>(map: &[f32], side: usize, channels: usize, outputs: &mut [f32], stride: usize, galaxies: usize) {
    for (index, values) in map[..side * channels * side * S::LANES].chunks_exact(S::LANES).enumerate() {
        let (row, channel, column) = (index / side / channels, index / side % channels, index % side);
        for (galaxy, value) in values[..galaxies].iter().enumerate() {
            outputs[galaxy * stride + (channel * side + row) * side + column] = *value;
        }
    }
}

/// Means over 2×2 pixels.
struct Halve<'a, S: Simd> {
    /// Of the halved map.
    side: usize,
    channels: usize,
    map: &'a [S::F],
    halved: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for Halve<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let line = self.channels * 2 * self.side;
        let quarter = simd.splat(0.25);
        let rows = self.map.chunks_exact(2 * line).zip(self.halved.chunks_exact_mut(line / 2));
        for (rows, halved) in rows.take(self.side) {
            let (upper, lower) = rows.split_at(line);
            let squares = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (mean, (upper, lower)) in halved.iter_mut().zip(squares) {
                let sum = simd.add(simd.add(upper[0], upper[1]), simd.add(lower[0], lower[1]));
                *mean = simd.mul(sum, quarter);
            }
        }
    }
}

/// The largest of each pixel and its eight neighbours.
struct Largest<'a, S: Simd> {
    side: usize,
    channels: usize,
    map: &'a [S::F],
    largest: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for Largest<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let (side, line) = (self.side, self.channels * self.side);
        for (row, largest) in self.largest.chunks_exact_mut(line).take(side).enumerate() {
            for (channel, largest) in largest.chunks_exact_mut(side).enumerate() {
                let mut columns = [simd.splat(0.0); SIDE / 2];
                for (column, largest) in columns[..side].iter_mut().enumerate() {
                    *largest = self.map[row * line + channel * side + column];
                    for near in [row.wrapping_sub(1), row + 1] {
                        if near < side {
                            *largest = simd.max(self.map[near * line + channel * side + column], *largest);
                        }
                    }
                }
                for (column, largest) in largest.iter_mut().enumerate() {
                    *largest = columns[column];
                    for near in [column.wrapping_sub(1), column + 1] {
                        if near < side {
                            *largest = simd.max(columns[near], *largest);
                        }
                    }
                }
            }
        }
    }
}
