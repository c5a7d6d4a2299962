//! The convolution branch of a transformer block: two grouped convolutions on the map of a galaxy's patches.
//!
//! It goes through the channels in blocks, from the tokens and back to them, so that a block's maps stay in the nearest
//! cache.

use std::ops::Range;

use astromae::fold;
use bytemuck::zeroed_vec;

use crate::{
    conv::{Lanes, Layout},
    epilogue::Epilogue,
    packed_conv::{Channels, PackedConv},
    row_conv::{MARGIN, SIDE},
    simd::{Kernel, MAX_LANES, Simd, transpose},
};

/// The branch with packed weights.
pub(crate) struct PackedConvBranch<S: Simd> {
    simd: S,
    groups: Vec<Group<S>>,
    /// The number of groups whose channels together fill whole vectors of a token.
    groups_per_block: usize,
}

/// The channels that depend on no others through both convolutions: one group of each convolution where they have
/// equally many, and else some of the one and some of the other.
struct Group<S: Simd> {
    conv_in: Vec<PackedConv<S>>,
    conv_out: Vec<PackedConv<S>>,
}

/// Maps of as many galaxies as there are lanes, or of fewer, which take less memory.
pub(crate) struct Scratch<S: Simd> {
    /// The input of a block's groups, which their output replaces.
    map: Vec<S::F>,
    /// What is between the two convolutions of one group.
    hidden: Vec<S::F>,
    /// What convolutions need beside their maps.
    padded: Vec<f32>,
}

/// The shape of tokens `[galaxies, 1 + grid · grid, vectors]`.
#[derive(Clone, Copy)]
pub(crate) struct TokensShape {
    pub(crate) galaxies: usize,
    /// Patches along a side of an image.
    pub(crate) grid: usize,
    /// Vectors in a token.
    pub(crate) vectors: usize,
}

impl<S: Simd> PackedConvBranch<S> {
    pub(crate) fn new(simd: S, (conv_in, conv_out): &(fold::Conv, fold::Conv)) -> Self {
        let count = greatest_common_divisor(conv_in.groups, conv_out.groups);
        let pack = |conv: &fold::Conv| {
            let mut packed = PackedConv::pack_groups(simd, conv).into_iter();
            let each = conv.groups / count;
            (0..count).map(|_| packed.by_ref().take(each).collect()).collect::<Vec<Vec<_>>>()
        };
        let groups = pack(conv_in).into_iter().zip(pack(conv_out));
        Self {
            simd,
            groups: groups.map(|(conv_in, conv_out)| Group { conv_in, conv_out }).collect(),
            groups_per_block: S::LANES / greatest_common_divisor(S::LANES, conv_in.inputs / count),
        }
    }

    pub(crate) fn scratch(&self, grid: usize) -> Scratch<S> {
        let [channels, hidden] = self.groups.first().map_or([0; 2], |group| [group.channels(), group.hidden()]);
        let pixels = grid * grid;
        let convs = self.groups.iter().take(1).flat_map(|group| group.conv_in.iter().chain(&group.conv_out));
        let padded = convs.map(|conv| conv.padded_values(grid)).max().unwrap_or(0);
        Scratch {
            map: zeroed_vec(self.groups_per_block * channels * pixels),
            hidden: zeroed_vec(hidden * pixels),
            padded: vec![0.0; padded],
        }
    }

    /// Adds the branch's output to the tokens that it is computed from. This can be done in place, block by block: the
    /// output of a group has the channels of its input, which no other group reads.
    pub(crate) fn add_to(&self, tokens: &mut [S::F], shape: TokensShape, scratch: &mut Scratch<S>) {
        let mut first = 0;
        while first < shape.galaxies {
            let (layout, galaxies) = Layout::fastest::<S>(S::LANES.min(shape.galaxies - first), shape.grid);
            self.add_to_some(tokens, (shape, layout), first..first + galaxies, scratch);
            first += galaxies;
        }
    }

    /// The same for as many galaxies as the maps are of at once.
    fn add_to_some(
        &self,
        tokens: &mut [S::F],
        (shape, layout): (TokensShape, Layout),
        galaxies: Range<usize>,
        scratch: &mut Scratch<S>,
    ) {
        let mut first_vector = 0;
        for groups in self.groups.chunks(self.groups_per_block) {
            let vectors = groups.iter().map(Group::channels).sum::<usize>().div_ceil(S::LANES);
            let (first_galaxy, galaxies) = (galaxies.start, galaxies.len());
            let block = Block { shape, layout, first_galaxy, galaxies, first_vector, vectors };
            self.simd.run(Pack { block, tokens, map: &mut scratch.map });
            let mut channels = Channels { total: vectors * S::LANES, first: 0 };
            for group in groups {
                group.convolve(shape.grid, layout, channels, scratch);
                channels.first += group.channels();
            }
            self.simd.run(UnpackResidual { block, map: &scratch.map, tokens });
            first_vector += vectors;
        }
    }
}

impl<S: Simd> Group<S> {
    /// The number of channels of its input, which is that of its output.
    fn channels(&self) -> usize {
        self.conv_in.iter().map(PackedConv::inputs).sum()
    }

    /// The number of channels between its convolutions.
    fn hidden(&self) -> usize {
        self.conv_in.iter().map(PackedConv::outputs).sum()
    }

    /// Replaces the group's channels of the scratch's map by their convolutions.
    fn convolve(&self, grid: usize, layout: Layout, channels: Channels, scratch: &mut Scratch<S>) {
        let Scratch { map, hidden, padded } = scratch;
        let total = self.hidden();
        let (mut from, mut to) = (channels, Channels { total, first: 0 });
        for conv in &self.conv_in {
            conv.apply((grid, layout), (map, from), (hidden, to), Epilogue::Silu, padded);
            (from.first, to.first) = (from.first + conv.inputs(), to.first + conv.outputs());
        }
        (from, to) = (Channels { total, first: 0 }, channels);
        for conv in &self.conv_out {
            conv.apply((grid, layout), (hidden, from), (map, to), Epilogue::Store, padded);
            (from.first, to.first) = (from.first + conv.inputs(), to.first + conv.outputs());
        }
    }
}

/// Some vectors of the tokens of as many galaxies as a map is of: the channels of
/// [`PackedConvBranch::groups_per_block`] groups.
#[derive(Clone, Copy)]
struct Block {
    shape: TokensShape,
    layout: Layout,
    first_galaxy: usize,
    galaxies: usize,
    first_vector: usize,
    vectors: usize,
}

impl Block {
    /// The number of tiles for each of its vectors. Transposing a tile brings what is in the lanes of a token's vector
    /// into one vector of the map each.
    #[inline(always)]
    fn tiles<S: Simd>(self) -> usize {
        let pixels = self.shape.grid * self.shape.grid;
        match self.layout {
            Layout::Rows => SIDE,
            Layout::AnySide(Lanes::Galaxies) => pixels,
            Layout::AnySide(Lanes::Pixels) => pixels / S::LANES,
        }
    }

    /// The token in a row of a tile, in vectors from the first of all tokens; `None` where the tile has more rows than
    /// there are tokens for.
    #[inline(always)]
    fn position_in_tokens<S: Simd>(self, tile: usize, row: usize, vector: usize) -> Option<usize> {
        let TokensShape { grid, vectors, .. } = self.shape;
        let (galaxy, patch) = match self.layout {
            Layout::Rows => (row / SIDE, tile * SIDE + row % SIDE),
            Layout::AnySide(Lanes::Galaxies) => (row, tile),
            Layout::AnySide(Lanes::Pixels) => (0, tile * S::LANES + row),
        };
        let token = (self.first_galaxy + galaxy) * (1 + grid * grid) + 1 + patch;
        (galaxy < self.galaxies).then_some(token * vectors + self.first_vector + vector)
    }

    /// Where the first channel of a tile is in the map, and the distance to the next channel.
    #[inline(always)]
    fn position_in_map<S: Simd>(self, tile: usize, vector: usize) -> (usize, usize) {
        let grid = self.shape.grid;
        match self.layout {
            Layout::Rows => (MARGIN + vector * S::LANES * SIDE + tile, SIDE),
            Layout::AnySide(Lanes::Galaxies) => {
                ((tile / grid * self.vectors + vector) * S::LANES * grid + tile % grid, grid)
            }
            Layout::AnySide(Lanes::Pixels) => {
                let step = grid * grid / S::LANES;
                (vector * S::LANES * step + tile, step)
            }
        }
    }
}

/// Packs a block of tokens into a map.
struct Pack<'a, S: Simd> {
    block: Block,
    tokens: &'a [S::F],
    map: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for Pack<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { block, tokens, map } = self;
        let mut tile = [simd.splat(0.0); MAX_LANES];
        let tile = &mut tile[..S::LANES];
        for index in 0..block.tiles::<S>() {
            for vector in 0..block.vectors {
                for (row, token) in tile.iter_mut().enumerate() {
                    let place = block.position_in_tokens::<S>(index, row, vector);
                    *token = place.map_or(simd.splat(0.0), |place| tokens[place]);
                }
                transpose(simd, tile);
                let (start, step) = block.position_in_map::<S>(index, vector);
                for (channel, values) in tile.iter().enumerate() {
                    map[start + channel * step] = *values;
                }
            }
        }
    }
}

/// Unpacks a map, and adds it to the block of tokens that it was packed from.
struct UnpackResidual<'a, S: Simd> {
    block: Block,
    map: &'a [S::F],
    tokens: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for UnpackResidual<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { block, map, tokens } = self;
        let mut tile = [simd.splat(0.0); MAX_LANES];
        let tile = &mut tile[..S::LANES];
        for index in 0..block.tiles::<S>() {
            for vector in 0..block.vectors {
                let (start, step) = block.position_in_map::<S>(index, vector);
                for (channel, values) in tile.iter_mut().enumerate() {
                    *values = map[start + channel * step];
                }
                transpose(simd, tile);
                for (row, values) in tile.iter().enumerate() {
                    if let Some(place) = block.position_in_tokens::<S>(index, row, vector) {
                        tokens[place] = simd.add(tokens[place], *values);
                    }
                }
            }
        }
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
