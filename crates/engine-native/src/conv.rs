//! Convolutions of small maps, with a galaxy in each lane.
//!
//! A map's few pixels and channels do not fill vectors, but galaxies do: every value of a map is a vector with that
//! value of as many galaxies as there are lanes. Borders, groups and numbers of channels then cost nothing, and
//! weights are the same for all lanes. Maps are `[rows, channels, columns]`.

use astromae::fold;

use crate::{
    math::Activation,
    simd::{Kernel, Simd},
};

/// Columns of a tile, where the map has as many.
const COLUMNS: usize = 4;

/// Some channels of a map whose sides are `side`.
#[derive(Clone, Copy)]
pub(crate) struct Channels {
    /// Of the whole map.
    pub(crate) all: usize,
    /// The first of them.
    pub(crate) first: usize,
}

/// A convolution without groups, or one group of one.
pub(crate) struct Conv<S: Simd> {
    simd: S,
    inputs: usize,
    kernel: usize,
    /// Blocks of outputs; in each `[inputs, kernel, kernel, outputs of the block]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl<S: Simd> Conv<S> {
    /// Outputs of a tile: with its columns they take half of the registers.
    const OUTPUTS: usize = S::REGISTERS / 2 / COLUMNS;

    /// The groups of a convolution.
    pub(crate) fn groups(simd: S, conv: &fold::Conv) -> Vec<Self> {
        let (inputs, outputs) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
        let taps = inputs * conv.kernel * conv.kernel;
        let groups = conv.weight.chunks_exact(outputs * taps).zip(conv.bias.chunks_exact(outputs));
        groups
            .map(|(weights, bias)| {
                let mut weight = Vec::with_capacity(weights.len());
                let mut first = 0;
                while first < outputs {
                    let block = Self::block(outputs - first);
                    for tap in 0..taps {
                        weight.extend((first..first + block).map(|output| weights[output * taps + tap]));
                    }
                    first += block;
                }
                Self { simd, inputs, kernel: conv.kernel, weight, bias: bias.to_vec() }
            })
            .collect()
    }

    /// Outputs of the next block, of those that are left.
    fn block(left: usize) -> usize {
        if left >= Self::OUTPUTS { Self::OUTPUTS } else { 1 }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Convolves a map.
    pub(crate) fn apply(
        &self,
        side: usize,
        input: (&[S::F], Channels),
        output: (&mut [S::F], Channels),
        activation: Activation,
    ) {
        self.simd.run(Convolution { conv: self, side, input, output, activation });
    }
}

/// One convolution of one map.
struct Convolution<'a, S: Simd> {
    conv: &'a Conv<S>,
    side: usize,
    input: (&'a [S::F], Channels),
    output: (&'a mut [S::F], Channels),
    activation: Activation,
}

impl<S: Simd> Kernel<S> for Convolution<'_, S> {
    #[inline(always)]
    fn run(mut self, simd: S) {
        match self.conv.kernel {
            1 => self.with_kernel::<1>(simd),
            3 => self.with_kernel::<3>(simd),
            _ => self.with_kernel::<5>(simd),
        }
    }
}

/// Where a tile is: its row and first column.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
}

impl<S: Simd> Convolution<'_, S> {
    #[inline(always)]
    fn with_kernel<const K: usize>(&mut self, simd: S) {
        for row in 0..self.side {
            match self.side {
                1 => self.tiles::<K, 1, true, true>(simd, Place { row, column: 0 }),
                2 => self.tiles::<K, 2, true, true>(simd, Place { row, column: 0 }),
                COLUMNS => self.tiles::<K, COLUMNS, true, true>(simd, Place { row, column: 0 }),
                side => {
                    self.tiles::<K, COLUMNS, true, false>(simd, Place { row, column: 0 });
                    for column in (COLUMNS..side - COLUMNS).step_by(COLUMNS) {
                        self.tiles::<K, COLUMNS, false, false>(simd, Place { row, column });
                    }
                    self.tiles::<K, COLUMNS, false, true>(simd, Place { row, column: side - COLUMNS });
                }
            }
        }
    }

    /// All outputs of C columns. LEFT and RIGHT: whether they end at that border of the map.
    #[inline(always)]
    fn tiles<const K: usize, const C: usize, const LEFT: bool, const RIGHT: bool>(&mut self, simd: S, place: Place) {
        let conv = self.conv;
        let (mut output, mut weight) = (0, conv.weight.as_slice());
        while output < conv.outputs() {
            let block = Conv::<S>::block(conv.outputs() - output);
            let (own, rest) = weight.split_at(block * conv.inputs * K * K);
            match block {
                4 => self.tile::<K, C, 4, LEFT, RIGHT>(simd, place, output, own),
                2 => self.tile::<K, C, 2, LEFT, RIGHT>(simd, place, output, own),
                _ => self.tile::<K, C, 1, LEFT, RIGHT>(simd, place, output, own),
            }
            (output, weight) = (output + block, rest);
        }
    }

    #[inline(always)]
    fn tile<const K: usize, const C: usize, const O: usize, const LEFT: bool, const RIGHT: bool>(
        &mut self,
        simd: S,
        place: Place,
        output: usize,
        weights: &[f32],
    ) {
        let (side, half) = (self.side, K / 2);
        let (input, channels) = self.input;
        let mut sums = [[simd.splat(0.0); C]; O];
        for (sums, bias) in sums.iter_mut().zip(&self.conv.bias[output..output + O]) {
            *sums = [simd.splat(*bias); C];
        }
        // Columns of the map that the tile looks at.
        let (left, right) = (if LEFT { 0 } else { half }, if RIGHT { 0 } else { half });
        for down in half.saturating_sub(place.row)..K.min(side + half - place.row) {
            let row = (place.row + down - half) * channels.all + channels.first;
            let row = &input[row * side..][..self.conv.inputs * side];
            let weights = weights.as_chunks::<O>().0.chunks_exact(K).skip(down).step_by(K);
            for (columns, weights) in row.chunks_exact(side).zip(weights) {
                let columns = &columns[place.column - left..][..left + C + right];
                for (across, weights) in weights.iter().enumerate() {
                    for column in 0..C {
                        if (LEFT && column + across < half) || (RIGHT && column + across >= C + half) {
                            continue;
                        }
                        let value = columns[column + across + left - half];
                        for (sums, weight) in sums.iter_mut().zip(weights) {
                            sums[column] = simd.fma(simd.splat(*weight), value, sums[column]);
                        }
                    }
                }
            }
        }
        let (map, channels) = &mut self.output;
        for (index, sums) in sums.iter().enumerate() {
            let start = (place.row * channels.all + channels.first + output + index) * side + place.column;
            self.activation.write(simd, sums, &mut map[start..start + C]);
        }
        for index in 0..O {
            let start = (place.row * channels.all + channels.first + output + index) * side + place.column;
            self.activation.finish(simd, &mut map[start..start + C]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::simd::{Choice, InstructionSet};

    struct Case {
        conv: fold::Conv,
        side: usize,
    }

    impl Choice for Case {
        type Output = ();

        /// On whole numbers, whose sums are exact in any order.
        fn call<S: Simd>(self, simd: S) {
            let Self { conv, side } = self;
            let (inputs, outputs) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
            let at = |channels: usize, row: usize, channel: usize, column: usize, lane: usize| {
                ((row * channels + channel) * side + column) * S::LANES + lane
            };
            let mut map = vec![simd.splat(0.0); side * conv.inputs * side];
            let values: &mut [f32] = bytemuck::cast_slice_mut(&mut map);
            for (index, value) in values.iter_mut().enumerate() {
                *value = (index % 13) as f32 - 6.0;
            }
            let mut found = vec![simd.splat(0.0); side * conv.outputs * side];
            for (group, packed) in Conv::groups(simd, &conv).iter().enumerate() {
                let input = Channels { all: conv.inputs, first: group * inputs };
                let output = Channels { all: conv.outputs, first: group * outputs };
                packed.apply(side, (&map, input), (&mut found, output), Activation::Relu);
            }
            let (map, found): (&[f32], &[f32]) = (bytemuck::cast_slice(&map), bytemuck::cast_slice(&found));
            let (kernel, half) = (conv.kernel, conv.kernel / 2);
            for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
                for (output, lane) in (0..conv.outputs).flat_map(|output| (0..S::LANES).map(move |lane| (output, lane)))
                {
                    let mut sum = conv.bias[output];
                    for (input, down) in (0..inputs).flat_map(|input| (0..kernel).map(move |down| (input, down))) {
                        for across in 0..kernel {
                            let (row, column) = ((row + down).wrapping_sub(half), (column + across).wrapping_sub(half));
                            if row < side && column < side {
                                let channel = output / outputs * inputs + input;
                                let weight = conv.weight[((output * inputs + input) * kernel + down) * kernel + across];
                                sum += weight * map[at(conv.inputs, row, channel, column, lane)];
                            }
                        }
                    }
                    let found = found[at(conv.outputs, row, output, column, lane)];
                    assert_eq!(found, sum.max(0.0), "row {row}, column {column}, output {output}, lane {lane}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn every_shape_is_computed_in_full(
            side in prop::sample::select(vec![1_usize, 2, 4, 8, 16]),
            kernel in prop::sample::select(vec![1_usize, 3, 5]),
            groups in 1..4_usize,
            inputs in 1..6_usize,
            outputs in 1..10_usize,
        ) {
            let whole = |count: usize| (0..count).map(|index| (index % 11) as f32 - 5.0).collect::<Vec<_>>();
            let conv = fold::Conv {
                inputs: inputs * groups,
                outputs: outputs * groups,
                kernel,
                groups,
                weight: whole(outputs * groups * inputs * kernel * kernel),
                bias: whole(outputs * groups),
            };
            for instructions in InstructionSet::available() {
                instructions.choose(Case { conv: conv.clone(), side }).unwrap();
            }
        }
    }
}
