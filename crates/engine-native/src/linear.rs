//! Linear layers: products of row-major activations with weights that were packed when the model was loaded.
//!
//! The microkernel keeps a tile of the result, some rows by up to [`PANEL`] vectors of outputs, in registers while it
//! goes through the inputs. The weights of a panel lie in the order it uses them in, and stay in a near cache while it
//! goes through all rows. Each value of the result is its bias plus the products in the order of the inputs, whatever
//! tile it is in: it depends neither on the other rows nor on their number.
//!
//! Where there are few rows, reading the weights takes most of the time. Those of the last layers are kept in f16, half of
//! the bytes, where that holds each weight of a layer exactly, and become f32 in registers.

use std::ops::Range;

use astromae::fold;
use bytemuck::zeroed_vec;
use half::{f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use crate::{
    epilogue::Epilogue,
    simd::{Kernel, MAX_LANES, Simd, transpose},
    tiles::{PANEL, TiledProduct, compute},
};

/// A linear layer whose weights are packed in panels. A panel has [`PANEL`] vectors of outputs, the last one perhaps
/// fewer, and holds for each input the weights to all of its outputs.
pub(crate) struct PackedLinear<S: Simd> {
    simd: S,
    inputs: usize,
    panels: Panels<S>,
    bias: Vec<S::F>,
}

enum Panels<S: Simd> {
    F32(Vec<S::F>),
    F16(Vec<S::H>),
}

impl<S: Simd> PackedLinear<S> {
    /// Packs the weights of a layer, on the cores of the thread pool it is called in.
    pub(crate) fn new(simd: S, layer: &fold::Linear) -> Self {
        let mut panels = zeroed_vec(layer.outputs.div_ceil(S::LANES) * layer.inputs);
        let rows = layer.weight.par_chunks(PANEL * S::LANES * layer.inputs);
        rows.zip(panels.par_chunks_mut(PANEL * layer.inputs)).for_each(|(rows, panel)| {
            simd.run(PackPanel { inputs: layer.inputs, rows, panel });
        });
        Self::of_panels(simd, layer, Panels::F32(panels))
    }

    /// The same, in f16 where that holds each weight exactly: what [`Self::apply`] computes is the same to the last bit.
    pub(crate) fn in_fewest_bytes(simd: S, layer: &fold::Linear) -> Self {
        if !are_exact_in_f16(&layer.weight) {
            return Self::new(simd, layer);
        }
        let mut panels = zeroed_vec(layer.outputs.div_ceil(S::LANES) * layer.inputs);
        let rows = layer.weight.par_chunks(PANEL * S::LANES * layer.inputs);
        rows.zip(panels.par_chunks_mut(PANEL * layer.inputs)).for_each_init(Vec::new, |wide, (rows, panel)| {
            wide.clear();
            wide.resize(panel.len(), simd.splat(0.0));
            simd.run(PackPanel { inputs: layer.inputs, rows, panel: wide });
            let halves: &mut [f16] = bytemuck::cast_slice_mut(panel);
            halves.convert_from_f32_slice(bytemuck::cast_slice(wide));
        });
        Self::of_panels(simd, layer, Panels::F16(panels))
    }

    fn of_panels(simd: S, layer: &fold::Linear, panels: Panels<S>) -> Self {
        let mut bias = zeroed_vec(layer.outputs.div_ceil(S::LANES));
        bytemuck::cast_slice_mut::<_, f32>(&mut bias)[..layer.outputs].copy_from_slice(&layer.bias);
        Self { simd, inputs: layer.inputs, panels, bias }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// The number of vectors in a row of the result.
    pub(crate) fn vectors(&self) -> usize {
        self.bias.len()
    }

    /// Computes `rows` rows. The strides are the distances, in vectors, between the rows of the input and of the
    /// output.
    pub(crate) fn apply(&self, rows: usize, input: (&[S::F], usize), output: (&mut [S::F], usize), epilogue: Epilogue) {
        self.apply_to(0..self.vectors(), rows, input, output, epilogue);
    }

    /// The same as [`Self::apply`] but for residuals, with the outputs shared out among so many threads, each of which
    /// reads its weights alone: few rows take as long as it takes to read all weights. `blocks` holds each thread's
    /// outputs for a moment.
    pub(crate) fn apply_in_parts(
        &self,
        parts: usize,
        rows: usize,
        input: (&[S::F], usize),
        (output, output_stride): (&mut [S::F], usize),
        epilogue: Epilogue,
        blocks: &mut [S::F],
    ) {
        if parts == 1 || rows == 0 {
            return self.apply(rows, input, (output, output_stride), epilogue);
        }
        let vectors = self.vectors().div_ceil(parts).next_multiple_of(PANEL);
        let blocks = &mut blocks[..rows * self.vectors()];
        blocks.par_chunks_mut(rows * vectors).enumerate().for_each(|(part, block)| {
            let (first, own) = (part * vectors, block.len() / rows);
            self.apply_to(first..first + own, rows, input, (block, own), epilogue);
        });
        for (part, block) in blocks.chunks(rows * vectors).enumerate() {
            let own = block.len() / rows;
            for (row, values) in block.chunks_exact(own).enumerate() {
                output[row * output_stride + part * vectors..][..own].copy_from_slice(values);
            }
        }
    }

    /// Computes some vectors of the outputs, the first of which starts a panel.
    fn apply_to(
        &self,
        vectors: Range<usize>,
        rows: usize,
        input: (&[S::F], usize),
        output: (&mut [S::F], usize),
        epilogue: Epilogue,
    ) {
        let weights = vectors.start * self.inputs..vectors.end * self.inputs;
        let bias = &self.bias[vectors];
        match &self.panels {
            Panels::F32(panels) => self.multiply::<InF32>((&panels[weights], bias), rows, input, output, epilogue),
            Panels::F16(panels) => self.multiply::<InF16>((&panels[weights], bias), rows, input, output, epilogue),
        }
    }

    /// Computes the outputs of these panels and this bias.
    fn multiply<W: WeightFormat<S>>(
        &self,
        (panels, bias): (&[W::Stored], &[S::F]),
        rows: usize,
        (input, input_stride): (&[S::F], usize),
        (output, output_stride): (&mut [S::F], usize),
        epilogue: Epilogue,
    ) {
        self.simd.run(Gemm::<S, W> {
            inputs: self.inputs,
            panels,
            bias,
            rows,
            input: bytemuck::cast_slice(input),
            input_stride: input_stride * S::LANES,
            output,
            output_stride,
            epilogue,
        });
    }
}

/// Whether f16 holds each of these values exactly.
fn are_exact_in_f16(values: &[f32]) -> bool {
    // As many at a time as stay in the nearest cache: slices are converted with the processor's own instructions.
    const STEP: usize = 1024;
    values.par_chunks(STEP).all(|values| {
        let (mut halves, mut wide) = ([f16::ZERO; STEP], [0.0; STEP]);
        let (halves, wide) = (&mut halves[..values.len()], &mut wide[..values.len()]);
        halves.convert_from_f32_slice(values);
        halves.convert_to_f32_slice(wide);
        values.iter().zip(wide).all(|(value, wide)| value.is_finite() && value.to_bits() == wide.to_bits())
    })
}

/// Where the weights to a vector of outputs lie in the panels: the index of those from the first input, and the
/// distance to those from the next.
#[inline(always)]
pub(crate) fn panel_position(inputs: usize, vectors: usize, vector: usize) -> (usize, usize) {
    let first = vector - vector % PANEL;
    (first * inputs + vector % PANEL, PANEL.min(vectors - first))
}

/// Packs the weights of one panel.
struct PackPanel<'a, S: Simd> {
    inputs: usize,
    /// The rows `[outputs, inputs]` of the panel's outputs, which in the last panel may not fill its vectors.
    rows: &'a [f32],
    panel: &'a mut [S::F],
}

impl<S: Simd> Kernel<S> for PackPanel<'_, S> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { inputs, rows, panel } = self;
        let vectors = panel.len() / inputs;
        for (vector, rows) in rows.chunks(S::LANES * inputs).enumerate() {
            let full = rows.len() == S::LANES * inputs;
            // Whole tiles are transposed; what does not fill one is packed value by value.
            let tiled = if full { inputs - inputs % S::LANES } else { 0 };
            for first in (0..tiled).step_by(S::LANES) {
                let mut tile = [simd.splat(0.0); MAX_LANES];
                let tile = &mut tile[..S::LANES];
                let values: &mut [f32] = bytemuck::cast_slice_mut(tile);
                for (values, row) in values.chunks_exact_mut(S::LANES).zip(rows.chunks_exact(inputs)) {
                    values.copy_from_slice(&row[first..first + S::LANES]);
                }
                transpose(simd, tile);
                for (input, weights) in tile.iter().enumerate() {
                    panel[(first + input) * vectors + vector] = *weights;
                }
            }
            let values: &mut [f32] = bytemuck::cast_slice_mut(panel);
            for (lane, row) in rows.chunks_exact(inputs).enumerate() {
                for (input, weight) in row.iter().enumerate().skip(tiled) {
                    values[(input * vectors + vector) * S::LANES + lane] = *weight;
                }
            }
        }
    }
}

/// The layer for an input that consists of parts of these sizes, each padded to whole vectors, whose padding it
/// ignores.
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

/// The layer whose output consists of parts of these sizes, each padded to whole vectors with zeros.
pub(crate) fn pad_outputs<S: Simd>(layer: fold::Linear, sizes: &[usize]) -> fold::Linear {
    if sizes.iter().all(|size| size.is_multiple_of(S::LANES)) {
        return layer;
    }
    let bias = pad::<S>(&layer.bias, sizes, 1);
    let weight = pad::<S>(&layer.weight, sizes, layer.inputs);
    fold::Linear { inputs: layer.inputs, outputs: bias.len(), weight, bias }
}

/// Splits rows of `width` values into parts of `sizes` rows, and pads each part with rows of zeros to whole vectors.
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

/// How weights lie in memory.
pub(crate) trait WeightFormat<S: Simd> {
    /// A vector of weights.
    type Stored: Copy;

    fn in_f32(simd: S, stored: Self::Stored) -> S::F;
}

pub(crate) struct InF32;

impl<S: Simd> WeightFormat<S> for InF32 {
    type Stored = S::F;

    #[inline(always)]
    fn in_f32(_: S, stored: S::F) -> S::F {
        stored
    }
}

struct InF16;

impl<S: Simd> WeightFormat<S> for InF16 {
    type Stored = S::H;

    #[inline(always)]
    fn in_f32(simd: S, stored: S::H) -> S::F {
        simd.widen(stored)
    }
}

/// A product of matrices (BLAS's GEMM) with packed weights: `output = epilogue(input · weights + bias)`.
pub(crate) struct Gemm<'a, S: Simd, W: WeightFormat<S>> {
    pub(crate) inputs: usize,
    /// The weights, as [`PackedLinear`] has them.
    pub(crate) panels: &'a [W::Stored],
    pub(crate) bias: &'a [S::F],
    pub(crate) rows: usize,
    pub(crate) input: &'a [f32],
    /// The distance between rows of the input, in values.
    pub(crate) input_stride: usize,
    pub(crate) output: &'a mut [S::F],
    /// The distance between rows of the output, in vectors.
    pub(crate) output_stride: usize,
    pub(crate) epilogue: Epilogue,
}

impl<S: Simd, W: WeightFormat<S>> Kernel<S> for Gemm<'_, S, W> {
    #[inline(always)]
    fn run(mut self, simd: S) {
        compute(simd, &mut self);
    }
}

impl<S: Simd, W: WeightFormat<S>> TiledProduct<S> for Gemm<'_, S, W> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.rows
    }

    #[inline(always)]
    fn vectors(&self) -> usize {
        self.bias.len()
    }

    #[inline(always)]
    fn tile<const V: usize, const R: usize>(&mut self, simd: S, first: usize, row: usize) {
        let sums = self.microkernel::<V, R>(simd, first, row);
        for (index, sums) in sums.iter().enumerate() {
            let output = &mut self.output[(row + index) * self.output_stride + first..][..V];
            self.epilogue.store(simd, sums, output);
        }
        for index in row..row + R {
            let output = &mut self.output[index * self.output_stride + first..][..V];
            self.epilogue.activate(simd, output);
        }
    }
}

impl<S: Simd, W: WeightFormat<S>> Gemm<'_, S, W> {
    /// The sums of a tile of R rows and V vectors. Loops instead of closures, and slices of one length, let the
    /// compiler keep all of it in registers.
    #[inline(always)]
    fn microkernel<const V: usize, const R: usize>(&self, simd: S, first: usize, row: usize) -> [[S::F; V]; R] {
        let panel = self.panels[first * self.inputs..][..V * self.inputs].as_chunks::<V>().0;
        let mut inputs = [self.input; R];
        for (index, inputs) in inputs.iter_mut().enumerate() {
            *inputs = &self.input[(row + index) * self.input_stride..][..panel.len()];
        }
        let mut sums = [[simd.splat(0.0); V]; R];
        for sums in &mut sums {
            sums.copy_from_slice(&self.bias[first..first + V]);
        }
        for (input, stored) in panel.iter().enumerate() {
            let mut weights = [simd.splat(0.0); V];
            for (weight, stored) in weights.iter_mut().zip(stored) {
                *weight = W::in_f32(simd, *stored);
            }
            for (sums, inputs) in sums.iter_mut().zip(&inputs) {
                let value = simd.splat(inputs[input]);
                for (sum, weight) in sums.iter_mut().zip(&weights) {
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
    use crate::simd::{Dispatch, InstructionSet};

    struct Case {
        layer: fold::Linear,
        rows: usize,
    }

    impl Dispatch for Case {
        type Output = ();

        /// On whole numbers, whose sums are exact in any order.
        fn with_simd<S: Simd>(self, simd: S) {
            let Self { layer, rows } = self;
            // Whole numbers are exact in f16, and whole numbers and a third are not.
            let third = |weight: &f32| weight + 1.0 / 3.0;
            let inexact = fold::Linear { weight: layer.weight.iter().map(third).collect(), ..layer.clone() };
            assert!(matches!(PackedLinear::in_fewest_bytes(simd, &inexact).panels, Panels::F32(_)));
            let packed = PackedLinear::in_fewest_bytes(simd, &layer);
            assert!(matches!(packed.panels, Panels::F16(_)));
            let stride = layer.inputs.div_ceil(S::LANES) + 1;
            let mut input = vec![simd.splat(0.0); rows * stride];
            let values: &mut [f32] = bytemuck::cast_slice_mut(&mut input);
            for (index, value) in values.iter_mut().enumerate() {
                *value = (index % 7) as f32 - 3.0;
            }
            let mut output = vec![simd.splat(1.0); rows * packed.vectors()];
            packed.apply(rows, (&input, stride), (&mut output, packed.vectors()), Epilogue::Residual);
            let mut whole = vec![simd.splat(0.0); rows * packed.vectors()];
            packed.apply(rows, (&input, stride), (&mut whole, packed.vectors()), Epilogue::Relu);
            let mut in_f32 = vec![simd.splat(0.0); rows * packed.vectors()];
            let output_in_f32 = (in_f32.as_mut_slice(), packed.vectors());
            PackedLinear::new(simd, &layer).apply(rows, (&input, stride), output_in_f32, Epilogue::Relu);
            assert_eq!(bytemuck::cast_slice::<_, u8>(&whole), bytemuck::cast_slice::<_, u8>(&in_f32));
            let mut in_parts = vec![simd.splat(0.0); rows * (packed.vectors() + 1)];
            let mut blocks = whole.clone();
            let output_in_parts = (in_parts.as_mut_slice(), packed.vectors() + 1);
            packed.apply_in_parts(3, rows, (&input, stride), output_in_parts, Epilogue::Relu, &mut blocks);
            for (whole, in_parts) in
                whole.chunks_exact(packed.vectors()).zip(in_parts.chunks_exact(packed.vectors() + 1))
            {
                let (whole, in_parts): (&[u8], &[u8]) =
                    (bytemuck::cast_slice(whole), bytemuck::cast_slice(&in_parts[..packed.vectors()]));
                assert_eq!(whole, in_parts);
            }
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
                instructions.dispatch(Case { layer: layer.clone(), rows }).unwrap();
            }
        }
    }
}
