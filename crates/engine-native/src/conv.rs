//! Convolutions of small maps, with a galaxy in each lane.
//!
//! A map's few pixels and channels do not fill vectors, but galaxies do: a map holds, in place of each value, a vector
//! with that value of as many galaxies as there are lanes. Then no border, group or number of channels leaves lanes
//! empty, and a weight is the same for all lanes. Maps are `[rows, channels, columns]`.
//!
//! Where there are too few galaxies for that, `pixel_conv` does the same with a galaxy's pixels in the lanes.

use astromae::fold;

use crate::{
    epilogue::Epilogue,
    pixel_conv::{PixelConvolution, padded_values},
    simd::{Kernel, Simd},
};

/// What the lanes of a map's vectors hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// One value of as many galaxies. Maps are `[rows, channels, columns]`.
    Galaxies,
    /// As many values of one galaxy. Maps are `[channels, rows, columns]`.
    Pixels,
}

impl Lanes {
    /// The faster way for this many galaxies, at most as many as there are lanes, and maps of `pixels` pixels. In the
    /// other lanes than its own a galaxy took as long as a third of all of them.
    pub(crate) fn fastest<S: Simd>(galaxies: usize, pixels: usize) -> Self {
        if 3 * galaxies <= S::LANES && pixels.is_multiple_of(S::LANES) { Self::Pixels } else { Self::Galaxies }
    }
}

/// Columns of a tile; fewer where the map is narrower.
const COLUMNS: usize = 4;

/// Which channels of a map are a convolution's inputs or outputs: consecutive ones from `first` on.
#[derive(Clone, Copy)]
pub(crate) struct Channels {
    /// The number of all channels of the map.
    pub(crate) total: usize,
    pub(crate) first: usize,
}

/// A convolution without groups, or one group of a grouped one.
pub(crate) struct PackedConv<S: Simd> {
    simd: S,
    pub(crate) inputs: usize,
    kernel: usize,
    /// Panels of outputs, each `[inputs, kernel, kernel, outputs of the panel]`.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl<S: Simd> PackedConv<S> {
    /// Outputs in a panel. The sums of a tile of these and [`COLUMNS`] take half of the registers.
    const OUTPUTS: usize = S::REGISTERS / 2 / COLUMNS;

    /// Packs the weights of each group of a convolution.
    pub(crate) fn pack_groups(simd: S, conv: &fold::Conv) -> Vec<Self> {
        let (inputs, outputs) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
        let taps = inputs * conv.kernel * conv.kernel;
        let groups = conv.weight.chunks_exact(outputs * taps).zip(conv.bias.chunks_exact(outputs));
        groups
            .map(|(weights, bias)| {
                let mut weight = Vec::with_capacity(weights.len());
                let mut first = 0;
                while first < outputs {
                    let panel = Self::panel_outputs(outputs - first);
                    for tap in 0..taps {
                        weight.extend((first..first + panel).map(|output| weights[output * taps + tap]));
                    }
                    first += panel;
                }
                Self { simd, inputs, kernel: conv.kernel, weight, bias: bias.to_vec() }
            })
            .collect()
    }

    /// The number of outputs in the next panel when `left` outputs remain.
    pub(crate) fn panel_outputs(left: usize) -> usize {
        if left >= Self::OUTPUTS { Self::OUTPUTS } else { 1 }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Convolves a map of `side` rows and columns. `padded` is memory for [`Self::padded_values`] of these.
    pub(crate) fn apply(
        &self,
        (side, lanes): (usize, Lanes),
        input: (&[S::F], Channels),
        output: (&mut [S::F], Channels),
        epilogue: Epilogue,
        padded: &mut [f32],
    ) {
        match (lanes, self.kernel) {
            (Lanes::Galaxies, 1) => self.simd.run(Convolution::<S, 1> { conv: self, side, input, output, epilogue }),
            (Lanes::Galaxies, 3) => self.simd.run(Convolution::<S, 3> { conv: self, side, input, output, epilogue }),
            (Lanes::Galaxies, _) => self.simd.run(Convolution::<S, 5> { conv: self, side, input, output, epilogue }),
            (Lanes::Pixels, 1) => {
                self.simd.run(PixelConvolution::<S, 1> { conv: self, side, input, output, epilogue, padded });
            }
            (Lanes::Pixels, 3) => {
                self.simd.run(PixelConvolution::<S, 3> { conv: self, side, input, output, epilogue, padded });
            }
            (Lanes::Pixels, _) => {
                self.simd.run(PixelConvolution::<S, 5> { conv: self, side, input, output, epilogue, padded });
            }
        }
    }

    /// The number of values that [`Self::apply`] needs memory for beside a map of `side` rows and columns.
    pub(crate) fn padded_values(&self, side: usize) -> usize {
        padded_values(self.inputs, side, self.kernel)
    }
}

/// The convolution of a map with kernels of K × K, a galaxy in each lane.
struct Convolution<'a, S: Simd, const K: usize> {
    conv: &'a PackedConv<S>,
    side: usize,
    input: (&'a [S::F], Channels),
    output: (&'a mut [S::F], Channels),
    epilogue: Epilogue,
}

/// The row and the first column of a tile.
#[derive(Clone, Copy)]
struct Origin {
    row: usize,
    column: usize,
}

impl<S: Simd, const K: usize> Kernel<S> for Convolution<'_, S, K> {
    #[inline(always)]
    fn run(mut self, simd: S) {
        for row in 0..self.side {
            match self.side {
                1 => self.tiles::<1, true, true>(simd, Origin { row, column: 0 }),
                2 => self.tiles::<2, true, true>(simd, Origin { row, column: 0 }),
                COLUMNS => self.tiles::<COLUMNS, true, true>(simd, Origin { row, column: 0 }),
                side => {
                    self.tiles::<COLUMNS, true, false>(simd, Origin { row, column: 0 });
                    for column in (COLUMNS..side - COLUMNS).step_by(COLUMNS) {
                        self.tiles::<COLUMNS, false, false>(simd, Origin { row, column });
                    }
                    self.tiles::<COLUMNS, false, true>(simd, Origin { row, column: side - COLUMNS });
                }
            }
        }
    }
}

impl<S: Simd, const K: usize> Convolution<'_, S, K> {
    /// Computes all outputs of C columns of a row. LEFT and RIGHT say whether the columns reach that border of the map.
    #[inline(always)]
    fn tiles<const C: usize, const LEFT: bool, const RIGHT: bool>(&mut self, simd: S, origin: Origin) {
        let conv = self.conv;
        let (mut output, mut weight) = (0, conv.weight.as_slice());
        while output < conv.outputs() {
            let panel = PackedConv::<S>::panel_outputs(conv.outputs() - output);
            let (own, rest) = weight.split_at(panel * conv.inputs * K * K);
            match panel {
                4 => self.microkernel::<C, 4, LEFT, RIGHT>(simd, origin, output, own),
                2 => self.microkernel::<C, 2, LEFT, RIGHT>(simd, origin, output, own),
                _ => self.microkernel::<C, 1, LEFT, RIGHT>(simd, origin, output, own),
            }
            (output, weight) = (output + panel, rest);
        }
    }

    /// Computes O outputs of C columns of a row, whose sums stay in registers.
    #[inline(always)]
    fn microkernel<const C: usize, const O: usize, const LEFT: bool, const RIGHT: bool>(
        &mut self,
        simd: S,
        origin: Origin,
        output: usize,
        weights: &[f32],
    ) {
        let (side, half) = (self.side, K / 2);
        let (input, channels) = self.input;
        let mut sums = [[simd.splat(0.0); C]; O];
        for (sums, bias) in sums.iter_mut().zip(&self.conv.bias[output..output + O]) {
            *sums = [simd.splat(*bias); C];
        }
        // The columns beyond the tile that its kernels reach.
        let (left, right) = (if LEFT { 0 } else { half }, if RIGHT { 0 } else { half });
        for down in half.saturating_sub(origin.row)..K.min(side + half - origin.row) {
            let row = (origin.row + down - half) * channels.total + channels.first;
            let row = &input[row * side..][..self.conv.inputs * side];
            let weights = weights.as_chunks::<O>().0.chunks_exact(K).skip(down).step_by(K);
            for (columns, weights) in row.chunks_exact(side).zip(weights) {
                let columns = &columns[origin.column - left..][..left + C + right];
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
            let start = (origin.row * channels.total + channels.first + output + index) * side + origin.column;
            self.epilogue.store(simd, sums, &mut map[start..start + C]);
        }
        for index in 0..O {
            let start = (origin.row * channels.total + channels.first + output + index) * side + origin.column;
            self.epilogue.activate(simd, &mut map[start..start + C]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::simd::{Dispatch, InstructionSet};

    struct Case {
        conv: fold::Conv,
        side: usize,
    }

    impl Dispatch for Case {
        type Output = ();

        /// On whole numbers, whose sums are exact in any order.
        fn with_simd<S: Simd>(self, simd: S) {
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
            for (group, packed) in PackedConv::pack_groups(simd, &conv).iter().enumerate() {
                let input = Channels { total: conv.inputs, first: group * inputs };
                let output = Channels { total: conv.outputs, first: group * outputs };
                packed.apply((side, Lanes::Galaxies), (&map, input), (&mut found, output), Epilogue::Relu, &mut []);
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
                instructions.dispatch(Case { conv: conv.clone(), side }).unwrap();
            }
        }
    }
}
