//! Convolutions of one galaxy's maps, with its pixels in the lanes, for batches that do not fill the lanes with galaxies.
//!
//! Each value is summed up in the order of `conv`, with zeros for what is beyond the borders, so that it is the same to
//! the last bit. Maps are `[channels, rows, columns]`, whose pixels fill whole vectors.

use crate::{
    conv::{Channels, PackedConv},
    epilogue::Epilogue,
    simd::{Kernel, Simd},
};

/// The convolution of a map with kernels of K × K.
pub(crate) struct PixelConvolution<'a, S: Simd, const K: usize> {
    pub(crate) conv: &'a PackedConv<S>,
    pub(crate) side: usize,
    pub(crate) input: (&'a [S::F], Channels),
    pub(crate) output: (&'a mut [S::F], Channels),
    pub(crate) epilogue: Epilogue,
    /// The input `[channels, K, rows, columns]` once for each column of the kernels, so far to the side that a pixel is
    /// where the sums that take it in are, with zeros beside it, and above and below.
    pub(crate) shifted: &'a mut [f32],
}

impl<S: Simd, const K: usize> Kernel<S> for PixelConvolution<'_, S, K> {
    #[inline(always)]
    fn run(mut self, simd: S) {
        let vectors = self.side * self.side / S::LANES;
        let (input, channels) = self.input;
        let input: &[f32] = bytemuck::cast_slice(input);
        let pixels = self.side * self.side;
        let input = &input[channels.first * pixels..][..self.conv.inputs * pixels];
        if K > 1 {
            shift::<K>(input, self.side, self.shifted);
        }
        let mut first = 0;
        while first < vectors {
            first += match vectors - first {
                4.. => self.tiles::<4>(simd, input, first),
                2.. => self.tiles::<2>(simd, input, first),
                _ => self.tiles::<1>(simd, input, first),
            };
        }
    }
}

impl<S: Simd, const K: usize> PixelConvolution<'_, S, K> {
    /// Computes all outputs of the P vectors of pixels from `first` on, and returns P.
    #[inline(always)]
    fn tiles<const P: usize>(&mut self, simd: S, input: &[f32], first: usize) -> usize {
        let conv = self.conv;
        let (mut output, mut weight) = (0, conv.weight.as_slice());
        while output < conv.outputs() {
            let panel = PackedConv::<S>::panel_outputs(conv.outputs() - output);
            let (own, rest) = weight.split_at(panel * conv.inputs * K * K);
            match panel {
                4 => self.microkernel::<P, 4>(simd, input, first, output, own),
                2 => self.microkernel::<P, 2>(simd, input, first, output, own),
                _ => self.microkernel::<P, 1>(simd, input, first, output, own),
            }
            (output, weight) = (output + panel, rest);
        }
        P
    }

    /// Computes O outputs of P vectors of pixels, whose sums stay in registers.
    #[inline(always)]
    fn microkernel<const P: usize, const O: usize>(
        &mut self,
        simd: S,
        input: &[f32],
        first: usize,
        output: usize,
        weights: &[f32],
    ) {
        let mut sums = [[simd.splat(0.0); P]; O];
        for (sums, bias) in sums.iter_mut().zip(&self.conv.bias[output..output + O]) {
            *sums = [simd.splat(*bias); P];
        }
        let source = if K > 1 { &*self.shifted } else { input };
        let rows = self.side + K - 1;
        for down in 0..K {
            let weights = weights.as_chunks::<O>().0.chunks_exact(K).skip(down).step_by(K);
            for (channel, weights) in weights.enumerate() {
                for (across, weights) in weights.iter().enumerate() {
                    let start = ((channel * K + across) * rows + down) * self.side + first * S::LANES;
                    let mut values = [simd.splat(0.0); P];
                    bytemuck::cast_slice_mut::<_, f32>(&mut values).copy_from_slice(&source[start..][..P * S::LANES]);
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        let weight = simd.splat(*weight);
                        for (sum, value) in sums.iter_mut().zip(&values) {
                            *sum = simd.fma(weight, *value, *sum);
                        }
                    }
                }
            }
        }
        let vectors = self.side * self.side / S::LANES;
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

/// Copies a map's channels K times, as [`PixelConvolution::shifted`] has them.
#[inline(always)]
fn shift<const K: usize>(map: &[f32], side: usize, shifted: &mut [f32]) {
    let half = K / 2;
    for (channel, copies) in map.chunks_exact(side * side).zip(shifted.chunks_exact_mut(K * (side + K - 1) * side)) {
        for (across, copy) in copies.chunks_exact_mut((side + K - 1) * side).enumerate() {
            copy.fill(0.0);
            // Columns of the map that are within the copy, and where they are in it.
            let (from, to) = (across.saturating_sub(half), half.saturating_sub(across));
            let count = side - from.max(to);
            for (row, copy) in channel.chunks_exact(side).zip(copy[half * side..].chunks_exact_mut(side)) {
                copy[to..to + count].copy_from_slice(&row[from..from + count]);
            }
        }
    }
}
