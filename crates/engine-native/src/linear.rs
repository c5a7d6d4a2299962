//! Linear layers: products of row-major activations with weights that were packed at load.
//!
//! A tile of the result, some rows by up to [`PANEL`] vectors of outputs, stays in registers while the inputs go by. The
//! weights of a panel lie in the order they are used in, and stay in a near cache while all rows go by. Each value of
//! the result is its bias plus the products in the order of the inputs, whatever tile it is in: it does not depend on
//! the other rows, nor on how many they are.

use astromae::fold;
use bytemuck::zeroed_vec;
use rayon::prelude::*;

use crate::{
    math::Activation,
    simd::{Kernel, MOST_LANES, Simd, transpose},
};

/// Vectors of outputs side by side.
const PANEL: usize = 3;

/// Weights in panels. The first panel has, for each input, the weights to its outputs, then comes the next panel.
pub(crate) struct Linear<S: Simd> {
    simd: S,
    inputs: usize,
    panels: Vec<S::F>,
    bias: Vec<S::F>,
}

impl<S: Simd> Linear<S> {
    /// Packs a layer, on the cores of the thread pool it is called in.
    pub(crate) fn new(simd: S, layer: &fold::Linear) -> Self {
        let vectors = layer.outputs.div_ceil(S::LANES);
        let mut panels = zeroed_vec(vectors * layer.inputs);
        let rows = layer.weight.par_chunks(PANEL * S::LANES * layer.inputs);
        rows.zip(panels.par_chunks_mut(PANEL * layer.inputs)).for_each(|(rows, panel)| {
            simd.run(Pack { inputs: layer.inputs, rows, panel });
        });
        let mut bias = zeroed_vec(vectors);
        bytemuck::cast_slice_mut::<_, f32>(&mut bias)[..layer.outputs].copy_from_slice(&layer.bias);
        Self { simd, inputs: layer.inputs, panels, bias }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Vectors of a row of the result.
    pub(crate) fn vectors(&self) -> usize {
        self.bias.len()
    }

    /// Computes `rows` rows. Rows of input and output are `strides` vectors apart.
    pub(crate) fn apply(
        &self,
        rows: usize,
        (input, input_stride): (&[S::F], usize),
        (output, output_stride): (&mut [S::F], usize),
        activation: Activation,
    ) {
        self.simd.run(Product {
            inputs: self.inputs,
            panels: &self.panels,
            bias: &self.bias,
            rows,
            input: bytemuck::cast_slice(input),
            input_stride: input_stride * S::LANES,
            output,
            output_stride,
            activation,
        });
    }
}

/// Where the weights of a vector of outputs lie in the panels: of the first input, and how far it is to the next.
#[inline(always)]
pub(crate) fn place(inputs: usize, vectors: usize, vector: usize) -> (usize, usize) {
    let first = vector - vector % PANEL;
    (first * inputs + vector % PANEL, PANEL.min(vectors - first))
}

/// The weights of one panel.
struct Pack<'a, S: Simd> {
    inputs: usize,
    /// As many rows as the panel has outputs, or fewer, for the last one.
    rows: &'a [f32],
    panel: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for Pack<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { inputs, rows, panel } = self;
        let vectors = panel.len() / inputs;
        for (vector, rows) in rows.chunks(S::LANES * inputs).enumerate() {
            let full = rows.len() == S::LANES * inputs;
            // Squares are transposed, and what is left goes value by value.
            let squares = if full { inputs - inputs % S::LANES } else { 0 };
            for first in (0..squares).step_by(S::LANES) {
                let mut square = [simd.splat(0.0); MOST_LANES];
                let square = &mut square[..S::LANES];
                let values: &mut [f32] = bytemuck::cast_slice_mut(square);
                for (values, row) in values.chunks_exact_mut(S::LANES).zip(rows.chunks_exact(inputs)) {
                    values.copy_from_slice(&row[first..first + S::LANES]);
                }
                transpose(simd, square);
                for (input, weights) in square.iter().enumerate() {
                    panel[(first + input) * vectors + vector] = *weights;
                }
            }
            let values: &mut [f32] = bytemuck::cast_slice_mut(panel);
            for (lane, row) in rows.chunks_exact(inputs).enumerate() {
                for (input, weight) in row.iter().enumerate().skip(squares) {
                    values[(input * vectors + vector) * S::LANES + lane] = *weight;
                }
            }
        }
    }
}

/// A layer whose inputs come in parts of these sizes, each padded to whole vectors with what is to be ignored.
pub(crate) fn pad_inputs<S: Simd>(layer: fold::Linear, sizes: &[usize]) -> fold::Linear {
    if sizes.iter().all(|size| size.is_multiple_of(S::LANES)) {
        return layer;
    }
    let mut weight = Vec::with_capacity(layer.weight.len() + layer.outputs * sizes.len() * S::LANES);
    for row in layer.weight.chunks_exact(layer.inputs) {
        weight.extend(pad::<S>(row, sizes, 1));
    }
    fold::Linear { inputs: weight.len() / layer.outputs, weight, ..layer }
}

/// A layer whose outputs go out in parts of these sizes, each padded to whole vectors with zeros.
pub(crate) fn pad_outputs<S: Simd>(layer: fold::Linear, sizes: &[usize]) -> fold::Linear {
    if sizes.iter().all(|size| size.is_multiple_of(S::LANES)) {
        return layer;
    }
    let bias = pad::<S>(&layer.bias, sizes, 1);
    let weight = pad::<S>(&layer.weight, sizes, layer.inputs);
    fold::Linear { inputs: layer.inputs, outputs: bias.len(), weight, bias }
}

/// Parts of rows of `width` values, each with rows of zeros behind it.
fn pad<S: Simd>(mut rows: &[f32], sizes: &[usize], width: usize) -> Vec<f32> {
    let mut padded = Vec::with_capacity(rows.len() + sizes.len() * S::LANES * width);
    for size in sizes {
        let (part, rest) = rows.split_at(size * width);
        padded.extend_from_slice(part);
        padded.resize(padded.len() + (size.next_multiple_of(S::LANES) - size) * width, 0.0);
        rows = rest;
    }
    padded
}

/// One product.
pub(crate) struct Product<'a, S: Simd> {
    pub(crate) inputs: usize,
    /// As in [`Linear`].
    pub(crate) panels: &'a [S::F],
    pub(crate) bias: &'a [S::F],
    pub(crate) rows: usize,
    pub(crate) input: &'a [f32],
    /// In values.
    pub(crate) input_stride: usize,
    pub(crate) output: &'a mut [S::F],
    /// In vectors.
    pub(crate) output_stride: usize,
    pub(crate) activation: Activation,
}

impl<S: Simd> Kernel<S> for Product<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        self.compute(simd);
    }
}

impl<S: Simd> Product<'_, S> {
    #[inline(always)]
    pub(crate) fn compute(mut self, simd: S) {
        for first in (0..self.bias.len()).step_by(PANEL) {
            match self.bias.len() - first {
                1 => self.panel::<1>(simd, first),
                2 => self.panel::<2>(simd, first),
                _ => self.panel::<PANEL>(simd, first),
            }
        }
    }

    #[inline(always)]
    fn panel<const V: usize>(&mut self, simd: S, first: usize) {
        let mut row = 0;
        // A full tile and its panel's weights take the registers, but for one or two.
        if S::REGISTERS >= 32 {
            row = self.tiles::<V, 8>(simd, first, row);
        }
        row = self.tiles::<V, 4>(simd, first, row);
        self.tiles::<V, 1>(simd, first, row);
    }

    /// As many tiles of R rows as fit; the row behind them.
    #[inline(always)]
    fn tiles<const V: usize, const R: usize>(&mut self, simd: S, first: usize, mut row: usize) -> usize {
        let panel = self.panels[first * self.inputs..][..V * self.inputs].as_chunks::<V>().0;
        while row + R <= self.rows {
            let sums = self.tile::<V, R>(simd, first, row, panel);
            for (index, sums) in sums.iter().enumerate() {
                let output = &mut self.output[(row + index) * self.output_stride + first..][..V];
                self.activation.write(simd, sums, output);
            }
            for index in row..row + R {
                let output = &mut self.output[index * self.output_stride + first..][..V];
                self.activation.finish(simd, output);
            }
            row += R;
        }
        row
    }

    /// The sums of a tile. Loops instead of closures, and slices of one length: all of it stays in registers.
    #[inline(always)]
    fn tile<const V: usize, const R: usize>(
        &self,
        simd: S,
        first: usize,
        row: usize,
        panel: &[[S::F; V]],
    ) -> [[S::F; V]; R] {
        let mut inputs = [self.input; R];
        for (index, inputs) in inputs.iter_mut().enumerate() {
            *inputs = &self.input[(row + index) * self.input_stride..][..panel.len()];
        }
        let mut sums = [[simd.splat(0.0); V]; R];
        for sums in &mut sums {
            sums.copy_from_slice(&self.bias[first..first + V]);
        }
        for (input, weights) in panel.iter().enumerate() {
            for (sums, inputs) in sums.iter_mut().zip(&inputs) {
                let value = simd.splat(inputs[input]);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = simd.fma(value, *weight, *sum);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::simd::{Choice, InstructionSet};

    struct Case {
        layer: fold::Linear,
        rows: usize,
    }

    impl Choice for Case {
        type Output = ();

        /// On whole numbers, whose sums are exact in any order.
        fn call<S: Simd>(self, simd: S) {
            let Self { layer, rows } = self;
            let packed = Linear::new(simd, &layer);
            let stride = layer.inputs.div_ceil(S::LANES) + 1;
            let mut input = vec![simd.splat(0.0); rows * stride];
            let values: &mut [f32] = bytemuck::cast_slice_mut(&mut input);
            for (index, value) in values.iter_mut().enumerate() {
                *value = (index % 7) as f32 - 3.0;
            }
            let mut output = vec![simd.splat(1.0); rows * packed.vectors()];
            packed.apply(rows, (&input, stride), (&mut output, packed.vectors()), Activation::Add);
            let (input, output): (&[f32], &[f32]) = (bytemuck::cast_slice(&input), bytemuck::cast_slice(&output));
            for (row, found) in output.chunks_exact(packed.vectors() * S::LANES).enumerate() {
                let input = &input[row * stride * S::LANES..][..layer.inputs];
                for (index, found) in found.iter().enumerate() {
                    let expected = layer.bias.get(index).map_or(1.0, |bias| {
                        let weights = &layer.weight[index * layer.inputs..][..layer.inputs];
                        1.0 + bias + weights.iter().zip(input).map(|(weight, value)| weight * value).sum::<f32>()
                    });
                    assert_eq!(*found, expected, "row {row}, output {index}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_shape_is_computed_in_full(inputs in 1..40_usize, outputs in 1..120_usize, rows in 0..20_usize) {
            let whole = |count: usize| (0..count).map(|index| (index % 11) as f32 - 5.0).collect::<Vec<_>>();
            let layer = fold::Linear { inputs, outputs, weight: whole(inputs * outputs), bias: whole(outputs) };
            for instructions in InstructionSet::available() {
                instructions.choose(Case { layer: layer.clone(), rows }).unwrap();
            }
        }
    }
}
