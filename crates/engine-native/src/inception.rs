//! The inception network, on maps of as many galaxies as there are lanes, or of one.

use astromae::{
    engine::{BANDS, PIXELS, SIDE},
    fold::{self, InceptionBlock},
};
use bytemuck::zeroed_vec;

use crate::{
    conv::{Lanes, Layout},
    epilogue::Epilogue,
    packed_conv::{Channels, PackedConv},
    simd::{Kernel, Simd},
};

/// The inception network up to its linear layers, with packed weights.
pub(crate) struct PackedInception<S: Simd> {
    simd: S,
    stem: PackedConv<S>,
    blocks: Vec<PackedInceptionBlock<S>>,
}

/// An [`InceptionBlock`] with packed weights.
struct PackedInceptionBlock<S: Simd> {
    branch1x1: PackedConv<S>,
    /// The 3×3 branch and, where there is one, the 5×5 branch: a 1×1 convolution, then the larger one.
    larger_branches: Vec<(PackedConv<S>, PackedConv<S>)>,
    branch_pool: PackedConv<S>,
}

/// Maps of as many galaxies as there are lanes, or of one.
pub(crate) struct Scratch<S: Simd> {
    /// The input of the current layer.
    map: Vec<S::F>,
    /// The output of the current layer.
    next: Vec<S::F>,
    /// What is between the two layers of a branch.
    inner: Vec<S::F>,
    /// What convolutions need beside their maps.
    padded: Vec<f32>,
}

impl<S: Simd> PackedInception<S> {
    pub(crate) fn new(simd: S, stem: &fold::Conv, blocks: &[InceptionBlock]) -> Self {
        let conv = |conv: &fold::Conv| PackedConv::pack_groups(simd, conv).remove(0);
        let block = |block: &InceptionBlock| PackedInceptionBlock {
            branch1x1: conv(&block.branch1x1),
            larger_branches: std::iter::once(&block.branch3x3)
                .chain(&block.branch5x5)
                .map(|(reducing, larger)| (conv(reducing), conv(larger)))
                .collect(),
            branch_pool: conv(&block.branch_pool),
        };
        Self { simd, stem: conv(stem), blocks: blocks.iter().map(block).collect() }
    }

    /// The number of values of a galaxy behind the last block.
    pub(crate) fn outputs(&self) -> usize {
        let side = SIDE / 8;
        self.blocks.last().map_or(0, PackedInceptionBlock::outputs) * side * side
    }

    pub(crate) fn scratch(&self) -> Scratch<S> {
        let channels = self.blocks.iter().map(PackedInceptionBlock::outputs).chain([BANDS, self.stem.outputs()]).max();
        let maps = || zeroed_vec(channels.unwrap_or(0) * (SIDE / 2) * (SIDE / 2));
        let padded = self.blocks.iter().flat_map(|block| &block.larger_branches);
        let padded = padded.map(|(_, larger)| larger.padded_values(SIDE / 2)).max().unwrap_or(0);
        Scratch { map: maps(), next: maps(), inner: maps(), padded: vec![0.0; padded] }
    }

    /// From images `[n, 5, 32, 32]` to n rows of [`Self::outputs`] values, which are `stride` vectors apart.
    pub(crate) fn apply(&self, images: &[f32], (rows, stride): (&mut [S::F], usize), scratch: &mut Scratch<S>) {
        for (images, rows) in images.chunks(S::LANES * PIXELS).zip(rows.chunks_mut(S::LANES * stride)) {
            let rows: &mut [f32] = bytemuck::cast_slice_mut(rows);
            let stride = stride * S::LANES;
            match Lanes::fastest::<S>(images.len() / PIXELS, SIDE / 8) {
                Lanes::Galaxies => self.apply_in(Lanes::Galaxies, images, rows, stride, scratch),
                Lanes::Pixels => {
                    for (image, row) in images.chunks_exact(PIXELS).zip(rows.chunks_exact_mut(stride)) {
                        self.apply_in(Lanes::Pixels, image, row, stride, scratch);
                    }
                }
            }
        }
    }

    /// The same for as many images as maps are of at once, whose rows are `stride` values apart.
    fn apply_in(&self, lanes: Lanes, images: &[f32], outputs: &mut [f32], stride: usize, scratch: &mut Scratch<S>) {
        let mut side = SIDE / 2;
        pool_and_pack::<S>(lanes, images, bytemuck::cast_slice_mut(&mut scratch.map));
        let whole = |channels: usize| Channels { total: channels, first: 0 };
        let mut channels = self.stem.outputs();
        let next = (scratch.next.as_mut_slice(), whole(channels));
        self.stem.apply((side, Layout::AnySide(lanes)), (&scratch.map, whole(BANDS)), next, Epilogue::Store, &mut []);
        std::mem::swap(&mut scratch.map, &mut scratch.next);
        for (index, block) in self.blocks.iter().enumerate() {
            if index == 2 || index == 4 {
                side /= 2;
                let (map, pooled) = (&scratch.map, &mut scratch.next);
                self.simd.run(AveragePool2x2 { lanes, side, channels, map, pooled });
                std::mem::swap(&mut scratch.map, &mut scratch.next);
            }
            block.apply(self.simd, (side, lanes), channels, scratch);
            channels = block.outputs();
            std::mem::swap(&mut scratch.map, &mut scratch.next);
        }
        let map: &[f32] = bytemuck::cast_slice(&scratch.map);
        match lanes {
            Lanes::Galaxies => unpack::<S>(map, side, channels, outputs, stride, images.len() / PIXELS),
            Lanes::Pixels => outputs[..channels * side * side].copy_from_slice(&map[..channels * side * side]),
        }
    }
}

impl<S: Simd> PackedInceptionBlock<S> {
    fn outputs(&self) -> usize {
        let larger: usize = self.larger_branches.iter().map(|(_, larger)| larger.outputs()).sum();
        self.branch1x1.outputs() + larger + self.branch_pool.outputs()
    }

    /// Computes `scratch.next` from the channels of `scratch.map`.
    fn apply(&self, simd: S, (side, lanes): (usize, Lanes), channels: usize, scratch: &mut Scratch<S>) {
        let total = self.outputs();
        let whole = |channels: usize| Channels { total: channels, first: 0 };
        let Scratch { map, next, inner, padded } = scratch;
        let shape = (side, Layout::AnySide(lanes));
        self.branch1x1.apply(shape, (map, whole(channels)), (next, whole(total)), Epilogue::Relu, padded);
        let mut first = self.branch1x1.outputs();
        for (reducing, larger) in &self.larger_branches {
            let reduced = whole(reducing.outputs());
            reducing.apply(shape, (map, whole(channels)), (inner, reduced), Epilogue::Relu, padded);
            larger.apply(shape, (inner, reduced), (next, Channels { total, first }), Epilogue::Relu, padded);
            first += larger.outputs();
        }
        simd.run(MaxPool3x3 { lanes, side, channels, map, pooled: inner });
        let output = (next.as_mut_slice(), Channels { total, first });
        self.branch_pool.apply(shape, (inner, whole(channels)), output, Epilogue::Relu, padded);
    }
}

/// The network's first average pool, over 2×2 pixels of images, packed into a map.
fn pool_and_pack<S: Simd>(lanes: Lanes, images: &[f32], map: &mut [f32]) {
    let half = SIDE / 2;
    for (lane, image) in images.chunks_exact(PIXELS).enumerate() {
        for (index, rows) in image.chunks_exact(2 * SIDE).enumerate() {
            let (band, row) = (index / half, index % half);
            let (upper, lower) = rows.split_at(SIDE);
            let windows = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (column, (upper, lower)) in windows.enumerate() {
                let mean = 0.25 * ((upper[0] + upper[1]) + (lower[0] + lower[1]));
                let place = match lanes {
                    Lanes::Galaxies => ((row * BANDS + band) * half + column) * S::LANES + lane,
                    Lanes::Pixels => (band * half + row) * half + column,
                };
                map[place] = mean;
            }
        }
    }
}

/// Unpacks each lane of a map into a row, in the order in which the published network flattens its maps: channels
/// first.
fn unpack<S: Simd>(map: &[f32], side: usize, channels: usize, outputs: &mut [f32], stride: usize, galaxies: usize) {
    for (index, values) in map[..side * channels * side * S::LANES].chunks_exact(S::LANES).enumerate() {
        let (row, channel, column) = (index / side / channels, index / side % channels, index % side);
        for (galaxy, value) in values[..galaxies].iter().enumerate() {
            outputs[galaxy * stride + (channel * side + row) * side + column] = *value;
        }
    }
}

/// The average over each 2×2 pixels.
struct AveragePool2x2<'a, S: Simd> {
    lanes: Lanes,
    /// The side of the pooled map.
    side: usize,
    channels: usize,
    map: &'a [S::F],
    pooled: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for AveragePool2x2<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        match self.lanes {
            Lanes::Galaxies => self.of_galaxies(simd),
            Lanes::Pixels => self.of_pixels(),
        }
    }
}

impl<S: Simd> AveragePool2x2<'_, S> {
    #[inline(always)]
    fn of_galaxies(self, simd: S) {
        let line = self.channels * 2 * self.side;
        let quarter = simd.splat(0.25);
        let rows = self.map.chunks_exact(2 * line).zip(self.pooled.chunks_exact_mut(line / 2));
        for (rows, pooled) in rows.take(self.side) {
            let (upper, lower) = rows.split_at(line);
            let windows = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (mean, (upper, lower)) in pooled.iter_mut().zip(windows) {
                let sum = simd.add(simd.add(upper[0], upper[1]), simd.add(lower[0], lower[1]));
                *mean = simd.mul(sum, quarter);
            }
        }
    }

    #[inline(always)]
    fn of_pixels(self) {
        let (map, pooled): (&[f32], &mut [f32]) =
            (bytemuck::cast_slice(self.map), bytemuck::cast_slice_mut(self.pooled));
        let rows = map.chunks_exact(4 * self.side).zip(pooled.chunks_exact_mut(self.side));
        for (rows, pooled) in rows.take(self.channels * self.side) {
            let (upper, lower) = rows.split_at(2 * self.side);
            let windows = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (mean, (upper, lower)) in pooled.iter_mut().zip(windows) {
                *mean = ((upper[0] + upper[1]) + (lower[0] + lower[1])) * 0.25;
            }
        }
    }
}

/// The maximum over each pixel and its eight neighbours: first down each column, then across them.
struct MaxPool3x3<'a, S: Simd> {
    lanes: Lanes,
    side: usize,
    channels: usize,
    map: &'a [S::F],
    pooled: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for MaxPool3x3<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        match self.lanes {
            Lanes::Galaxies => self.of_galaxies(simd),
            Lanes::Pixels => self.of_pixels(),
        }
    }
}

impl<S: Simd> MaxPool3x3<'_, S> {
    #[inline(always)]
    fn of_galaxies(self, simd: S) {
        let (side, line) = (self.side, self.channels * self.side);
        for (row, pooled) in self.pooled.chunks_exact_mut(line).take(side).enumerate() {
            for (channel, pooled) in pooled.chunks_exact_mut(side).enumerate() {
                let mut columns = [simd.splat(0.0); SIDE / 2];
                for (column, max) in columns[..side].iter_mut().enumerate() {
                    *max = self.map[row * line + channel * side + column];
                    for near in [row.wrapping_sub(1), row + 1] {
                        if near < side {
                            *max = simd.max(self.map[near * line + channel * side + column], *max);
                        }
                    }
                }
                for (column, max) in pooled.iter_mut().enumerate() {
                    *max = columns[column];
                    for near in [column.wrapping_sub(1), column + 1] {
                        if near < side {
                            *max = simd.max(columns[near], *max);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn of_pixels(self) {
        let (side, pixels) = (self.side, self.side * self.side);
        let (map, pooled): (&[f32], &mut [f32]) =
            (bytemuck::cast_slice(self.map), bytemuck::cast_slice_mut(self.pooled));
        let maps = map.chunks_exact(pixels).zip(pooled.chunks_exact_mut(pixels)).take(self.channels);
        let larger = |one: &[f32], other: &mut [f32]| {
            for (one, other) in one.iter().zip(other) {
                *other = if *one > *other { *one } else { *other };
            }
        };
        for (map, pooled) in maps {
            let mut columns = [0.0; SIDE / 2 * SIDE / 2];
            let columns = &mut columns[..pixels];
            columns.copy_from_slice(map);
            larger(&map[..pixels - side], &mut columns[side..]);
            larger(&map[side..], &mut columns[..pixels - side]);
            pooled.copy_from_slice(columns);
            for (columns, pooled) in columns.chunks_exact(side).zip(pooled.chunks_exact_mut(side)) {
                larger(&columns[..side - 1], &mut pooled[1..]);
                larger(&columns[1..], &mut pooled[..side - 1]);
            }
        }
    }
}
