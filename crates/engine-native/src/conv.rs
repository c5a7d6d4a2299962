//! Convolutions of small maps, with a galaxy in each lane (`galaxy_conv`), with one galaxy's pixels in the lanes
//! (`pixel_conv`), or, of 4 × 4 pixels, with a row of some galaxies in the lanes (`row_conv`): which is fastest depends on
//! the number of galaxies. All sum up in the same order, so that a value is the same to the last bit.

use crate::{
    epilogue::Epilogue,
    galaxy_conv::GalaxyConvolution,
    packed_conv::{Channels, PackedConv, TILE},
    pixel_conv::{PixelConvolution, padded_values},
    row_conv::{RowConvolution, SIDE},
    simd::Simd,
};

/// What the lanes of a map's vectors hold, of maps of any side.
#[derive(Clone, Copy)]
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

/// How maps lie in memory.
#[derive(Clone, Copy)]
pub(crate) enum Layout {
    /// A row of as many galaxies as fill a vector, as `row_conv` has them. Only maps of [`SIDE`] rows and columns.
    Rows,
    AnySide(Lanes),
}

impl Layout {
    /// The fastest layout for some of this many galaxies, at most as many as there are lanes, and the number of those that
    /// it is for.
    ///
    /// With kernels of 3 × 3 and maps of 4 × 4, a vector of rows takes 30 multiplications, and galaxies in all lanes take
    /// 100. The pixels of one galaxy take 9 with 16 lanes, 18 with 8, and 36 with 4, and do fewer of them in a second.
    pub(crate) fn fastest<S: Simd>(galaxies: usize, side: usize) -> (Self, usize) {
        let in_rows = S::LANES / SIDE;
        let faster_than_galaxies = galaxies <= 3 * in_rows;
        let faster_than_pixels = 4 * galaxies >= 3 * in_rows;
        if side == SIDE && faster_than_galaxies && faster_than_pixels {
            return (Self::Rows, galaxies.min(in_rows));
        }
        match Lanes::fastest::<S>(galaxies, side) {
            Lanes::Galaxies => (Self::AnySide(Lanes::Galaxies), galaxies),
            Lanes::Pixels => (Self::AnySide(Lanes::Pixels), 1),
        }
    }
}

impl<S: Simd> PackedConv<S> {
    /// Convolves a map of `side` rows and columns. `padded` is memory for [`Self::padded_values`] of these.
    pub(crate) fn apply(
        &self,
        (side, layout): (usize, Layout),
        input: (&[S::F], Channels),
        output: (&mut [S::F], Channels),
        epilogue: Epilogue,
        padded: &mut [f32],
    ) {
        match self.kernel {
            1 => self.apply_kernel::<1>((side, layout), input, output, epilogue, padded),
            3 => self.apply_kernel::<3>((side, layout), input, output, epilogue, padded),
            _ => self.apply_kernel::<5>((side, layout), input, output, epilogue, padded),
        }
    }

    /// The same with kernels of K × K.
    fn apply_kernel<const K: usize>(
        &self,
        (side, layout): (usize, Layout),
        input: (&[S::F], Channels),
        output: (&mut [S::F], Channels),
        epilogue: Epilogue,
        padded: &mut [f32],
    ) {
        match layout {
            Layout::Rows => self.simd.run(RowConvolution::<S, K> { conv: self, input, output, epilogue }),
            Layout::AnySide(Lanes::Galaxies) => {
                self.simd.run(GalaxyConvolution::<S, K> { conv: self, side, input, output, epilogue });
            }
            Layout::AnySide(Lanes::Pixels) => {
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

        /// On whole numbers, whose sums are exact in any order.
        fn with_simd<S: Simd>(self, simd: S) {
            let Self { conv, side } = self;
            let (inputs, outputs) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
            let pixels = side * side;
            for layout in [Layout::AnySide(Lanes::Galaxies), Layout::AnySide(Lanes::Pixels), Layout::Rows] {
                let (fits, galaxies, margin) = match layout {
                    Layout::AnySide(Lanes::Galaxies) => (true, S::LANES, 0),
                    Layout::AnySide(Lanes::Pixels) => (Lanes::pixels_fit::<S>(side), 1, 0),
                    Layout::Rows => (side == SIDE, S::LANES / SIDE, MARGIN * S::LANES),
                };
                if !fits {
                    continue;
                }
                let at = |channels: usize, row: usize, channel: usize, column: usize, galaxy: usize| match layout {
                    Layout::AnySide(Lanes::Galaxies) => {
                        ((row * channels + channel) * side + column) * S::LANES + galaxy
                    }
                    Layout::AnySide(Lanes::Pixels) => (channel * side + row) * side + column,
                    Layout::Rows => margin + ((channel * side + row) * galaxies + galaxy) * side + column,
                };
                let vectors =
                    |channels: usize| vec![simd.splat(0.0); (channels * pixels * galaxies + 2 * margin) / S::LANES];
                let mut map = vectors(conv.inputs);
                let values: &mut [f32] = bytemuck::cast_slice_mut(&mut map);
                for (index, value) in values.iter_mut().enumerate() {
                    *value = (index % 13) as f32 - 6.0;
                }
                let behind = values.len() - margin;
                values[..margin].fill(f32::NAN);
                values[behind..].fill(f32::NAN);
                let mut found = vectors(conv.outputs);
                for (group, packed) in PackedConv::pack_groups(simd, &conv).iter().enumerate() {
                    let input = (map.as_slice(), Channels { total: conv.inputs, first: group * inputs });
                    let output = (found.as_mut_slice(), Channels { total: conv.outputs, first: group * outputs });
                    let mut padded = vec![f32::NAN; packed.padded_values(side)];
                    packed.apply((side, layout), input, output, Epilogue::Relu, &mut padded);
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
