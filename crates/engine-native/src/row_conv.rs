//! Convolutions of maps of [`TILE`] rows and columns, with a row of as many galaxies in the lanes as fill a vector, for
//! batches that do not fill the lanes with galaxies, but fill them so.
//!
//! Each value is summed up in the order of `galaxy_conv`, with zeros for what is to the left and to the right of the map, so
//! that it is the same to the last bit. Maps are `[channels, rows, galaxies, columns]`, with a vector before them and
//! another behind them, so that the neighbours of each value can be read.

use crate::{
    epilogue::Epilogue,
    packed_conv::{Channels, PackedConv, TILE},
    simd::{Kernel, Simd},
};

/// Vectors before a map, and behind it.
pub(crate) const MARGIN: usize = 1;

/// The convolution of a map with kernels of K × K.
pub(crate) struct RowConvolution<'a, S: Simd, const K: usize> {
    pub(crate) conv: &'a PackedConv<S>,
    pub(crate) input: (&'a [S::F], Channels),
    pub(crate) output: (&'a mut [S::F], Channels),
    pub(crate) epilogue: Epilogue,
}

/// For each column of the kernels, which lanes have a neighbour there: the others' are other galaxies'. Lanes have all
/// bits or none.
type Masks<S, const K: usize> = [<S as Simd>::F; K];

impl<S: Simd, const K: usize> Kernel<S> for RowConvolution<'_, S, K> {
    #[inline(always)]
    fn run(mut self, simd: S) {
        let masks = Self::masks(simd);
        let conv = self.conv;
        let (mut output, mut weight) = (0, conv.weight.as_slice());
        while output < conv.outputs() {
            let panel = PackedConv::<S>::panel_outputs(conv.outputs() - output);
            let (own, rest) = weight.split_at(panel * conv.inputs() * K * K);
            match panel {
                4 => self.microkernel::<4>(simd, &masks, output, own),
                2 => self.microkernel::<2>(simd, &masks, output, own),
                _ => self.microkernel::<1>(simd, &masks, output, own),
            }
            (output, weight) = (output + panel, rest);
        }
    }
}

impl<S: Simd, const K: usize> RowConvolution<'_, S, K> {
    #[inline(always)]
    fn masks(simd: S) -> Masks<S, K> {
        let mut masks = [simd.splat(0.0); K];
        for (across, mask) in masks.iter_mut().enumerate() {
            let lanes: &mut [u32] = bytemuck::cast_slice_mut(std::slice::from_mut(mask));
            for (lane, bits) in lanes.iter_mut().enumerate() {
                let inside = (K / 2..TILE + K / 2).contains(&(lane % TILE + across));
                *bits = if inside { u32::MAX } else { 0 };
            }
        }
        masks
    }

    /// Computes O outputs, whose sums stay in registers.
    #[inline(always)]
    fn microkernel<const O: usize>(&mut self, simd: S, masks: &Masks<S, K>, output: usize, weights: &[f32]) {
        let half = K / 2;
        let mut sums = [[simd.splat(0.0); TILE]; O];
        for (sums, bias) in sums.iter_mut().zip(&self.conv.bias[output..output + O]) {
            *sums = [simd.splat(*bias); TILE];
        }
        let rows = weights.as_chunks::<O>().0.as_chunks::<K>().0;
        for down in 0..K {
            let weights = rows.iter().skip(down).step_by(K);
            // The rows of the sums that have no neighbour there are above or below the map's border.
            match (half.saturating_sub(down), down.saturating_sub(half)) {
                (2, _) => self.add_taps::<O, 2, 0>(simd, masks, weights, &mut sums),
                (1, _) => self.add_taps::<O, 1, 0>(simd, masks, weights, &mut sums),
                (_, 0) => self.add_taps::<O, 0, 0>(simd, masks, weights, &mut sums),
                (_, 1) => self.add_taps::<O, 0, 1>(simd, masks, weights, &mut sums),
                _ => self.add_taps::<O, 0, 2>(simd, masks, weights, &mut sums),
            }
        }
        let (map, channels) = &mut self.output;
        let start = |index: usize| MARGIN + (channels.first + output + index) * TILE;
        for (index, sums) in sums.iter().enumerate() {
            self.epilogue.store(simd, sums, &mut map[start(index)..][..TILE]);
        }
        for index in 0..O {
            self.epilogue.activate(simd, &mut map[start(index)..][..TILE]);
        }
    }

    /// Adds to the sums of O outputs what a row of the kernels, one of each channel, makes of the inputs: of those ABOVE
    /// rows up, or BELOW rows down.
    #[inline(always)]
    fn add_taps<'a, const O: usize, const ABOVE: usize, const BELOW: usize>(
        &self,
        simd: S,
        masks: &Masks<S, K>,
        weights: impl Iterator<Item = &'a [[f32; O]; K]>,
        sums: &mut [[S::F; TILE]; O],
    ) {
        let (input, channels) = self.input;
        let input: &[f32] = bytemuck::cast_slice(&input[channels.first * TILE..]);
        let mut own = *sums;
        for (channel, weights) in weights.enumerate() {
            let rows = &input[channel * TILE * S::LANES..][..(TILE + 2 * MARGIN) * S::LANES];
            for (across, weights) in weights.iter().enumerate() {
                for row in ABOVE..TILE - BELOW {
                    let start = (MARGIN + row + BELOW - ABOVE) * S::LANES + across - K / 2;
                    let mut value = [simd.splat(0.0)];
                    bytemuck::cast_slice_mut::<_, f32>(&mut value).copy_from_slice(&rows[start..][..S::LANES]);
                    let [mut value] = value;
                    if across != K / 2 {
                        value = simd.and(value, masks[across]);
                    }
                    for (sums, weight) in own.iter_mut().zip(weights) {
                        sums[row] = simd.fma(simd.splat(*weight), value, sums[row]);
                    }
                }
            }
        }
        *sums = own;
    }
}
