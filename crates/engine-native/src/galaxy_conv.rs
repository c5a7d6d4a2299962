//! Convolutions of small maps, with a galaxy in each lane.
//!
//! A map's few pixels and channels do not fill vectors, but galaxies do: a map holds, in place of each value, a vector
//! with that value of as many galaxies as there are lanes. Then no border, group or number of channels leaves lanes
//! empty, and a weight is the same for all lanes. Maps are `[rows, channels, columns]`.

use crate::{
    epilogue::Epilogue,
    packed_conv::{Channels, PackedConv, TILE},
    simd::{Kernel, Simd},
};

/// The convolution of a map with kernels of K × K, a galaxy in each lane.
pub(crate) struct GalaxyConvolution<'a, S: Simd, const K: usize> {
    pub(crate) conv: &'a PackedConv<S>,
    pub(crate) side: usize,
    pub(crate) input: (&'a [S::F], Channels),
    pub(crate) output: (&'a mut [S::F], Channels),
    pub(crate) epilogue: Epilogue,
}

/// The row and the first column of a tile.
#[derive(Clone, Copy)]
struct Origin {
    row: usize,
    column: usize,
}

impl<S: Simd, const K: usize> Kernel<S> for GalaxyConvolution<'_, S, K> {
    #[inline(always)]
    fn run(mut self, simd: S) {
        for row in 0..self.side {
            match self.side {
                1 => self.tiles::<1, true, true>(simd, Origin { row, column: 0 }),
                2 => self.tiles::<2, true, true>(simd, Origin { row, column: 0 }),
                TILE => self.tiles::<TILE, true, true>(simd, Origin { row, column: 0 }),
                side => {
                    self.tiles::<TILE, true, false>(simd, Origin { row, column: 0 });
                    for column in (TILE..side - TILE).step_by(TILE) {
                        self.tiles::<TILE, false, false>(simd, Origin { row, column });
                    }
                    self.tiles::<TILE, false, true>(simd, Origin { row, column: side - TILE });
                }
            }
        }
    }
}

impl<S: Simd, const K: usize> GalaxyConvolution<'_, S, K> {
    /// Computes all outputs of C columns of a row. LEFT and RIGHT say whether the columns reach that border of the map.
    #[inline(always)]
    fn tiles<const C: usize, const LEFT: bool, const RIGHT: bool>(&mut self, simd: S, origin: Origin) {
        for (output, outputs, weights) in self.conv.panels() {
            match outputs {
                4 => self.microkernel::<C, 4, LEFT, RIGHT>(simd, origin, output, weights),
                2 => self.microkernel::<C, 2, LEFT, RIGHT>(simd, origin, output, weights),
                _ => self.microkernel::<C, 1, LEFT, RIGHT>(simd, origin, output, weights),
            }
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
            let row = &input[row * side..][..self.conv.inputs() * side];
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
