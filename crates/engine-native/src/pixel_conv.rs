//! Convolutions of one galaxy's maps, with its pixels in the lanes, for batches that do not fill the lanes with galaxies.
//!
//! Each value is summed up in the order of `galaxy_conv`, with zeros for what is beyond the borders, so that it is the same to
//! the last bit. Maps are `[channels, rows, columns]`, whose pixels fill whole vectors.

use crate::{
    epilogue::Epilogue,
    packed_conv::{Channels, PackedConv, TILE},
    simd::{Kernel, Simd},
};

/// The convolution of a map with kernels of K × K.
pub(crate) struct PixelConvolution<'a, S: Simd, const K: usize> {
    pub(crate) conv: &'a PackedConv<S>,
    pub(crate) side: usize,
    pub(crate) input: (&'a [S::F], Channels),
    pub(crate) output: (&'a mut [S::F], Channels),
    pub(crate) epilogue: Epilogue,
    /// The input's channels, each with [`margin`] zeros before it and behind it.
    pub(crate) padded: &'a mut [f32],
}

impl<S: Simd, const K: usize> Kernel<S> for PixelConvolution<'_, S, K> {
    #[inline(always)]
    fn run(mut self, simd: S) {
        let vectors = self.side * self.side / S::LANES;
        let (input, channels) = self.input;
        let input: &[f32] = bytemuck::cast_slice(input);
        let pixels = self.side * self.side;
        let input = &input[channels.first * pixels..][..self.conv.inputs() * pixels];
        let margin = margin(self.side, K);
        if K > 1 {
            let padded = self.padded.chunks_exact_mut(pixels + 2 * margin);
            for (channel, padded) in input.chunks_exact(pixels).zip(padded) {
                padded[..margin].fill(0.0);
                padded[margin..][..pixels].copy_from_slice(channel);
                padded[margin + pixels..].fill(0.0);
            }
        }
        let masks = self.masks(simd);
        let mut first = 0;
        while first < vectors {
            first += match vectors - first {
                4.. => self.tiles::<4>(simd, input, &masks, first),
                2.. => self.tiles::<2>(simd, input, &masks, first),
                _ => self.tiles::<1>(simd, input, &masks, first),
            };
        }
    }
}

/// The zeros that a map with kernels of `kernel` × `kernel` needs before its first and behind its last value: what is
/// above and below, and to the side of the corners.
fn margin(side: usize, kernel: usize) -> usize {
    kernel / 2 * (side + 1)
}

/// The number of values that a convolution needs memory for beside its maps.
pub(crate) fn padded_values(inputs: usize, side: usize, kernel: usize) -> usize {
    inputs * (side * side + 2 * margin(side, kernel))
}

/// For each column of the kernels, which of a tile's pixels have a neighbour there: the others' are in the row above or
/// below. Lanes have all bits or none.
type Masks<S, const K: usize> = [[<S as Simd>::F; TILE]; K];

impl<S: Simd, const K: usize> PixelConvolution<'_, S, K> {
    /// The masks of a tile that starts with a row. The first tile does, and all others that start where a vector does
    /// have the same, since a tile is as long as a row or longer.
    #[inline(always)]
    fn masks(&self, simd: S) -> Masks<S, K> {
        let mut masks = [[simd.splat(0.0); TILE]; K];
        for (across, masks) in masks.iter_mut().enumerate() {
            let lanes: &mut [u32] = bytemuck::cast_slice_mut(masks);
            for row in lanes.chunks_exact_mut(self.side) {
                for (column, lane) in row.iter_mut().enumerate() {
                    let inside = (K / 2..self.side + K / 2).contains(&(column + across));
                    *lane = if inside { u32::MAX } else { 0 };
                }
            }
        }
        masks
    }

    /// Computes all outputs of the P vectors of pixels from `first` on, and returns P.
    #[inline(always)]
    fn tiles<const P: usize>(&mut self, simd: S, input: &[f32], masks: &Masks<S, K>, first: usize) -> usize {
        for (output, outputs, weights) in self.conv.panels() {
            match outputs {
                4 => self.microkernel::<P, 4>(simd, input, masks, first, output, weights),
                2 => self.microkernel::<P, 2>(simd, input, masks, first, output, weights),
                _ => self.microkernel::<P, 1>(simd, input, masks, first, output, weights),
            }
        }
        P
    }

    /// Computes O outputs of P vectors of pixels, whose sums stay in registers.
    #[inline(always)]
    fn microkernel<const P: usize, const O: usize>(
        &mut self,
        simd: S,
        input: &[f32],
        masks: &Masks<S, K>,
        first: usize,
        output: usize,
        weights: &[f32],
    ) {
        let mut sums = [[simd.splat(0.0); P]; O];
        for (sums, bias) in sums.iter_mut().zip(&self.conv.bias[output..output + O]) {
            *sums = [simd.splat(*bias); P];
        }
        let pixels = self.side * self.side;
        let source = if K > 1 { &*self.padded } else { input };
        let channels = source.chunks_exact(pixels + 2 * margin(self.side, K));
        let weights = weights.as_chunks::<O>().0.as_chunks::<K>().0.chunks_exact(K);
        for down in 0..K {
            let start = first * S::LANES + down * self.side;
            for (channel, weights) in channels.clone().zip(weights.clone()) {
                let rows = &channel[start..][..P * S::LANES + K - 1];
                for (across, weights) in weights[down].iter().enumerate() {
                    let mut values = [simd.splat(0.0); P];
                    bytemuck::cast_slice_mut::<_, f32>(&mut values).copy_from_slice(&rows[across..][..P * S::LANES]);
                    if across != K / 2 {
                        for (value, mask) in values.iter_mut().zip(&masks[across]) {
                            *value = simd.and(*value, *mask);
                        }
                    }
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        let weight = simd.splat(*weight);
                        for (sum, value) in sums.iter_mut().zip(&values) {
                            *sum = simd.fma(weight, *value, *sum);
                        }
                    }
                }
            }
        }
        let vectors = pixels / S::LANES;
        let (map, channels) = &mut self.output;
        let place = |index: usize| (channels.first + output + index) * vectors + first;
        for (index, sums) in sums.iter().enumerate() {
            self.epilogue.store(simd, sums, &mut map[place(index)..][..P]);
        }
        for index in 0..O {
            self.epilogue.activate(simd, &mut map[place(index)..][..P]);
        }
    }
}
