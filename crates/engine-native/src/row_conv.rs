//! Convolutions of maps of [`SIDE`] rows and columns, with a row of as many galaxies in the lanes as fill a vector, for
//! batches that fill few of the lanes with a galaxy each, but most of them with a row each.
//!
//! Each value is summed up in the order of `galaxy_conv`, with zeros for what is to the left and to the right of the map, so
//! that it is the same to the last bit. Maps are `[channels, rows, galaxies, columns]`, with a vector before them and
//! another behind them, so that the neighbours of each value can be read.

use crate::{
    epilogue::Epilogue,
    packed_conv::{Channels, PackedConv},
    simd::{Kernel, Simd},
};

/// Rows and columns of a map. A vector holds a row of as many galaxies as this goes into its lanes.
pub(crate) const SIDE: usize = 4;

/// Vectors before a map, and behind it.
pub(crate) const MARGIN: usize = 1;

/// The convolution of a map with kernels of K × K.
pub(crate) struct RowConvolution<'a, S: Simd, const K: usize> {
    pub(crate) conv: &'a PackedConv<S>,
    pub(crate) input: (&'a [S::F], Channels),
    pub(crate) output: (&'a mut [S::F], Channels),
    pub(crate) epilogue: Epilogue,
}

/// For each column of the kernels, which lanes have a neighbour there: the others are at the map's border, and what lies
/// beside them in memory is of another row or another galaxy. Lanes have all bits or none.
type Masks<S, const K: usize> = [<S as Simd>::F; K];

impl<S: Simd, const K: usize> Kernel<S> for RowConvolution<'_, S, K> {
    #[inline(always)]
    fn run(mut self, simd: S) {
        let masks = Self::masks(simd);
        for (output, outputs, weights) in self.conv.panels() {
            match outputs {
                4 => self.microkernel::<4>(simd, &masks, output, weights),
                2 => self.microkernel::<2>(simd, &masks, output, weights),
                _ => self.microkernel::<1>(simd, &masks, output, weights),
            }
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
                let inside = (K / 2..SIDE + K / 2).contains(&(lane % SIDE + across));
                *bits = if inside { u32::MAX } else { 0 };
            }
        }
        masks
    }

    /// Computes O outputs, whose sums stay in registers.
    #[inline(always)]
    fn microkernel<const O: usize>(&mut self, simd: S, masks: &Masks<S, K>, output: usize, weights: &[f32]) {
        let mut sums = [[simd.splat(0.0); SIDE]; O];
        for (sums, bias) in sums.iter_mut().zip(&self.conv.bias[output..output + O]) {
            *sums = [simd.splat(*bias); SIDE];
        }
        let weights = weights.as_chunks::<O>().0.as_chunks::<K>().0;
        self.add_taps::<O, 0>(simd, masks, weights, &mut sums);
        if K > 1 {
            self.add_taps::<O, 1>(simd, masks, weights, &mut sums);
            self.add_taps::<O, 2>(simd, masks, weights, &mut sums);
        }
        if K > 3 {
            self.add_taps::<O, 3>(simd, masks, weights, &mut sums);
            self.add_taps::<O, 4>(simd, masks, weights, &mut sums);
        }
        let (map, channels) = &mut self.output;
        let start = |index: usize| MARGIN + (channels.first + output + index) * SIDE;
        for (index, sums) in sums.iter().enumerate() {
            self.epilogue.store(simd, sums, &mut map[start(index)..][..SIDE]);
        }
        for index in 0..O {
            self.epilogue.activate(simd, &mut map[start(index)..][..SIDE]);
        }
    }

    /// Adds to the sums of O outputs the products with row DOWN of the kernels of all channels. Sums whose neighbours in
    /// that row are above or below the map take nothing from it.
    #[inline(always)]
    fn add_taps<const O: usize, const DOWN: usize>(
        &self,
        simd: S,
        masks: &Masks<S, K>,
        weights: &[[[f32; O]; K]],
        sums: &mut [[S::F; SIDE]; O],
    ) {
        let (above, below) = ((K / 2).saturating_sub(DOWN), DOWN.saturating_sub(K / 2));
        let (input, channels) = self.input;
        let input: &[f32] = bytemuck::cast_slice(&input[channels.first * SIDE..]);
        // A copy, which stays in registers.
        let mut in_registers = *sums;
        for (channel, weights) in weights.iter().skip(DOWN).step_by(K).enumerate() {
            let rows = &input[channel * SIDE * S::LANES..][..(SIDE + 2 * MARGIN) * S::LANES];
            for (across, weights) in weights.iter().enumerate() {
                for row in above..SIDE - below {
                    let start = (MARGIN + row + below - above) * S::LANES + across - K / 2;
                    let mut value = [simd.splat(0.0)];
                    bytemuck::cast_slice_mut::<_, f32>(&mut value).copy_from_slice(&rows[start..][..S::LANES]);
                    let [mut value] = value;
                    if across != K / 2 {
                        value = simd.and(value, masks[across]);
                    }
                    for (sums, weight) in in_registers.iter_mut().zip(weights) {
                        sums[row] = simd.fma(simd.splat(*weight), value, sums[row]);
                    }
                }
            }
        }
        *sums = in_registers;
    }
}
