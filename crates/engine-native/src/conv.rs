//! Convolutions of small maps, in the fastest of three ways for the galaxies that there are: with a galaxy in each lane
//! (`galaxy_conv`), with a row of some galaxies in the lanes (`row_conv`), or with one galaxy's pixels in the lanes
//! (`pixel_conv`). All sum up in the same order, so that a value is the same to the last bit.

use crate::{
    epilogue::Epilogue,
    galaxy_conv::GalaxyConvolution,
    packed_conv::{Channels, PackedConv, TILE},
    pixel_conv::{PixelConvolution, padded_values},
    row_conv::RowConvolution,
    simd::Simd,
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
    /// The faster way for this many galaxies, at most as many as there are lanes, and maps whose smallest side is this.
    /// With 16 lanes, a galaxy in lanes of its own takes as long as a tenth of 16 galaxies together.
    pub(crate) fn fastest<S: Simd>(galaxies: usize, side: usize) -> Self {
        if 3 * galaxies <= 2 * S::LANES && Self::pixels_fit::<S>(side) { Self::Pixels } else { Self::Galaxies }
    }

    /// Whether the pixels of a map of `side` rows and columns fill whole vectors, and a tile of these is a row or more.
    fn pixels_fit<S: Simd>(side: usize) -> bool {
        (side * side).is_multiple_of(S::LANES) && side <= TILE * S::LANES
    }
}

impl<S: Simd> PackedConv<S> {
    /// Convolves maps of [`TILE`] rows and columns of some galaxies, as `row_conv` has them.
    pub(crate) fn apply_to_rows(
        &self,
        input: (&[S::F], Channels),
        output: (&mut [S::F], Channels),
        epilogue: Epilogue,
    ) {
        match self.kernel {
            1 => self.simd.run(RowConvolution::<S, 1> { conv: self, input, output, epilogue }),
            3 => self.simd.run(RowConvolution::<S, 3> { conv: self, input, output, epilogue }),
            _ => self.simd.run(RowConvolution::<S, 5> { conv: self, input, output, epilogue }),
        }
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
        match self.kernel {
            1 => self.apply_kernel::<1>((side, lanes), input, output, epilogue, padded),
            3 => self.apply_kernel::<3>((side, lanes), input, output, epilogue, padded),
            _ => self.apply_kernel::<5>((side, lanes), input, output, epilogue, padded),
        }
    }

    /// The same with kernels of K × K.
    fn apply_kernel<const K: usize>(
        &self,
        (side, lanes): (usize, Lanes),
        input: (&[S::F], Channels),
        output: (&mut [S::F], Channels),
        epilogue: Epilogue,
        padded: &mut [f32],
    ) {
        match lanes {
            Lanes::Galaxies => {
                self.simd.run(GalaxyConvolution::<S, K> { conv: self, side, input, output, epilogue });
            }
            Lanes::Pixels => {
                self.simd.run(PixelConvolution::<S, K> { conv: self, side, input, output, epilogue, padded });
            }
        }
    }

    /// The number of values that [`Self::apply`] needs memory for beside a map of `side` rows and columns.
    pub(crate) fn padded_values(&self, side: usize) -> usize {
        padded_values(self.inputs(), side, self.kernel)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use astromae::fold;

    use super::*;
    use crate::{
        row_conv::MARGIN,
        simd::{Dispatch, InstructionSet},
    };

    struct Case {
        conv: fold::Conv,
        side: usize,
    }

    impl Dispatch for Case {
        type Output = ();

        /// On whole numbers, whose sums are exact in any order. Without lanes, it is rows of galaxies that they hold.
        fn with_simd<S: Simd>(self, simd: S) {
            let Self { conv, side } = self;
            let (inputs, outputs) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
            let pixels = side * side;
            for lanes in [Some(Lanes::Galaxies), Some(Lanes::Pixels), None] {
                let fits = match lanes {
                    Some(Lanes::Galaxies) => true,
                    Some(Lanes::Pixels) => Lanes::pixels_fit::<S>(side),
                    None => side == TILE,
                };
                if !fits {
                    continue;
                }
                let (galaxies, margin) = match lanes {
                    Some(Lanes::Galaxies) => (S::LANES, 0),
                    Some(Lanes::Pixels) => (1, 0),
                    None => (S::LANES / TILE, MARGIN * S::LANES),
                };
                let at = |channels: usize, row: usize, channel: usize, column: usize, galaxy: usize| match lanes {
                    Some(Lanes::Galaxies) => ((row * channels + channel) * side + column) * S::LANES + galaxy,
                    Some(Lanes::Pixels) => (channel * side + row) * side + column,
                    None => margin + ((channel * side + row) * galaxies + galaxy) * side + column,
                };
                let vectors =
                    |channels: usize| vec![simd.splat(0.0); (channels * pixels * galaxies + 2 * margin) / S::LANES];
                let mut map = vectors(conv.inputs);
                let values: &mut [f32] = bytemuck::cast_slice_mut(&mut map);
                for (index, value) in values.iter_mut().enumerate() {
                    *value = (index % 13) as f32 - 6.0;
                }
                let mut found = vectors(conv.outputs);
                for (group, packed) in PackedConv::pack_groups(simd, &conv).iter().enumerate() {
                    let input = (map.as_slice(), Channels { total: conv.inputs, first: group * inputs });
                    let output = (found.as_mut_slice(), Channels { total: conv.outputs, first: group * outputs });
                    let mut padded = vec![f32::NAN; packed.padded_values(side)];
                    match lanes {
                        Some(lanes) => packed.apply((side, lanes), input, output, Epilogue::Relu, &mut padded),
                        None => packed.apply_to_rows(input, output, Epilogue::Relu),
                    }
                }
                let (map, found): (&[f32], &[f32]) = (bytemuck::cast_slice(&map), bytemuck::cast_slice(&found));
                let (kernel, half) = (conv.kernel, conv.kernel / 2);
                for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
                    for (output, galaxy) in
                        (0..conv.outputs).flat_map(|output| (0..galaxies).map(move |galaxy| (output, galaxy)))
                    {
                        let mut sum = conv.bias[output];
                        for (input, down) in (0..inputs).flat_map(|input| (0..kernel).map(move |down| (input, down))) {
                            for across in 0..kernel {
                                let (row, column) =
                                    ((row + down).wrapping_sub(half), (column + across).wrapping_sub(half));
                                if row < side && column < side {
                                    let channel = output / outputs * inputs + input;
                                    let weight =
                                        conv.weight[((output * inputs + input) * kernel + down) * kernel + across];
                                    sum += weight * map[at(conv.inputs, row, channel, column, galaxy)];
                                }
                            }
                        }
                        let found = found[at(conv.outputs, row, output, column, galaxy)];
                        assert_eq!(found, sum.max(0.0), "row {row}, column {column}, output {output}, galaxy {galaxy}");
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn every_shape_is_computed_in_full(
            side in prop::sample::select(vec![1_usize, 2, 4, 8, 16, 32]),
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
