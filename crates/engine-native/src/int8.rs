//! Linear layers in int8: each output's weights have a scale, found when they are packed, and each row of the input a
//! scale and an offset, found as it comes. Products of bytes are summed up in i32, which is exact, and so the same on
//! every instruction set and in any order.
//!
//! A row's bytes span its values and zero. GELU's outputs, which lie on one side of zero, thereby have twice as many
//! steps as bytes that are symmetric about zero would give them.

use astromae::fold;
use bytemuck::zeroed_vec;
use rayon::prelude::*;

use crate::{
    epilogue::Epilogue,
    simd::{DotKernel, Dots, Kernel, Simd},
    tiles::{PANEL, TiledProduct, compute},
};

/// Inputs whose products a dot product of bytes adds to a sum.
const GROUP: usize = 4;

/// The largest weight in steps of its scale.
const LARGEST_WEIGHT: f32 = 127.0;

/// The least range of a row: a smaller one, which no activations have but zeros, has steps whose reciprocal is infinite.
const LEAST_RANGE: f32 = 1e-30;

/// Rows of activations in bytes: each value is about `scale · byte + offset` of its row.
pub(crate) struct QuantizedRows {
    /// Bytes, [`GROUP`] together as an i32, so that they can be read so.
    groups: Vec<i32>,
    scales: Vec<RowScale>,
}

#[derive(Clone, Copy, Default)]
struct RowScale {
    scale: f32,
    offset: f32,
}

impl QuantizedRows {
    /// Memory for this many rows of this many vectors.
    pub(crate) fn new<S: Simd>(rows: usize, vectors: usize) -> Self {
        Self { groups: vec![0; rows * vectors * S::LANES / GROUP], scales: vec![RowScale::default(); rows] }
    }
}

/// A linear layer with weights in int8, packed in panels of [`PANEL`] vectors of outputs, the last one perhaps of fewer,
/// which hold for each [`GROUP`] of inputs the weights to all of the panel's outputs.
pub(crate) struct QuantizedLinear<S: Simd> {
    simd: S,
    /// Groups of inputs.
    groups: usize,
    panels: Vec<S::I>,
    /// Where the sum of each output starts: it takes away what activations with flipped bits are too large by.
    starts: Vec<S::I>,
    /// A step of the weights to each output.
    scales: Vec<S::F>,
    /// The sum of the bytes of the weights to each output.
    weight_sums: Vec<S::F>,
    bias: Vec<S::F>,
}

impl<S: Simd> QuantizedLinear<S> {
    /// Quantizes and packs the weights of a layer whose inputs are padded to whole vectors, on the cores of the thread
    /// pool it is called in.
    pub(crate) fn new(simd: S, layer: &fold::Linear) -> Self {
        let vectors = layer.outputs.div_ceil(S::LANES);
        let groups = layer.inputs.next_multiple_of(S::LANES) / GROUP;
        let mut packed = Self {
            simd,
            groups,
            panels: zeroed_vec(vectors * groups),
            starts: zeroed_vec(vectors),
            scales: zeroed_vec(vectors),
            weight_sums: zeroed_vec(vectors),
            bias: zeroed_vec(vectors),
        };
        bytemuck::cast_slice_mut::<_, f32>(&mut packed.bias)[..layer.outputs].copy_from_slice(&layer.bias);
        let outputs = PANEL * S::LANES;
        let starts = bytemuck::cast_slice_mut::<_, i32>(&mut packed.starts).par_chunks_mut(outputs);
        let scales = bytemuck::cast_slice_mut::<_, f32>(&mut packed.scales).par_chunks_mut(outputs);
        let weight_sums = bytemuck::cast_slice_mut::<_, f32>(&mut packed.weight_sums).par_chunks_mut(outputs);
        let sums = starts.zip(scales).zip(weight_sums);
        let panels = layer.weight.par_chunks(outputs * layer.inputs).zip(packed.panels.par_chunks_mut(PANEL * groups));
        panels.zip(sums).for_each(|((rows, panel), ((starts, scales), weight_sums))| {
            let vectors = panel.len() / groups;
            let panel: &mut [i8] = bytemuck::cast_slice_mut(panel);
            for (output, row) in rows.chunks_exact(layer.inputs).enumerate() {
                let largest = row.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
                // Weights that are all zero may have any step.
                let step = largest.max(f32::MIN_POSITIVE) / LARGEST_WEIGHT;
                let mut sum = 0;
                for (input, weight) in row.iter().enumerate() {
                    let byte = (weight / step).round_ties_even() as i8;
                    sum += i32::from(byte);
                    let vector = input / GROUP * vectors + output / S::LANES;
                    panel[(vector * S::LANES + output % S::LANES) * GROUP + input % GROUP] = byte;
                }
                starts[output] = -i32::from(simd.flipped_bits()) * sum;
                // A weight that is no number spoils its output, as it does in f32.
                scales[output] = if row.iter().all(|weight| weight.is_finite()) { step } else { f32::NAN };
                weight_sums[output] = sum as f32;
            }
        });
        packed
    }

    /// The number of vectors in a row of the result.
    pub(crate) fn vectors(&self) -> usize {
        self.bias.len()
    }

    /// Computes `rows` rows. The strides are the distances, in vectors, between the rows of the input and of the
    /// output. `bytes` holds the input in between.
    pub(crate) fn apply(
        &self,
        rows: usize,
        (input, input_stride): (&[S::F], usize),
        (output, output_stride): (&mut [S::F], usize),
        epilogue: Epilogue,
        bytes: &mut QuantizedRows,
    ) {
        let vectors = self.groups * GROUP / S::LANES;
        let rows_in = input.chunks(input_stride).take(rows);
        self.simd.run(Quantize { rows: rows_in, vectors, bytes });
        self.simd.run_with_dots(Product { layer: self, rows, bytes, output, output_stride, epilogue });
    }
}

/// Makes bytes of rows of this many vectors.
struct Quantize<'a, R> {
    rows: R,
    vectors: usize,
    bytes: &'a mut QuantizedRows,
}

impl<'a, S: Simd, R: Iterator<Item = &'a [S::F]>> Kernel<S> for Quantize<'_, R> {
    #[inline(always)]
    fn run(self, simd: S) {
        let Self { rows, vectors, bytes: QuantizedRows { groups, scales } } = self;
        // An unsigned byte is the signed one of 128 less, with its first bit turned over.
        let flip = simd.flipped_bits() ^ 0x80;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(groups);
        for ((row, bytes), scale) in rows.zip(bytes.chunks_exact_mut(vectors * S::LANES)).zip(scales) {
            let row = &row[..vectors];
            let zero = simd.splat(0.0);
            let (mut least, mut greatest, mut spoilt) = (zero, zero, zero);
            for value in row {
                least = simd.min(*value, least);
                greatest = simd.max(*value, greatest);
                // NaN from the first value on that is NaN or infinite: bytes cannot say so, but the scale can.
                spoilt = simd.fma(*value, zero, spoilt);
            }
            let least = simd.least(least);
            let range = (simd.greatest(greatest) - least).max(LEAST_RANGE);
            let step = range / 255.0;
            let (least_vector, per_step) = (simd.splat(least), simd.splat(1.0 / step));
            for (value, bytes) in row.iter().zip(bytes.chunks_exact_mut(S::LANES)) {
                simd.store_bytes(simd.mul(simd.sub(*value, least_vector), per_step), flip, bytes);
            }
            *scale = RowScale { scale: step + simd.sum(spoilt), offset: least + 128.0 * step };
        }
    }
}

/// The product of rows of bytes with packed weights: `output = epilogue(input · weights + bias)`.
struct Product<'a, S: Simd> {
    layer: &'a QuantizedLinear<S>,
    rows: usize,
    bytes: &'a QuantizedRows,
    output: &'a mut [S::F],
    output_stride: usize,
    epilogue: Epilogue,
}

impl<S: Simd> DotKernel<S> for Product<'_, S> {
    #[inline(always)]
    fn run<D: Dots<S>>(self, simd: S, dots: D) {
        compute(simd, &mut ProductByDots { product: self, dots });
    }
}

/// A product, and what multiplies its bytes.
struct ProductByDots<'a, S: Simd, D> {
    product: Product<'a, S>,
    dots: D,
}

impl<S: Simd, D: Dots<S>> TiledProduct<S> for ProductByDots<'_, S, D> {
    #[inline(always)]
    fn rows(&self) -> usize {
        self.product.rows
    }

    #[inline(always)]
    fn vectors(&self) -> usize {
        self.product.layer.bias.len()
    }

    #[inline(always)]
    fn tile<const V: usize, const R: usize>(&mut self, simd: S, first: usize, row: usize) {
        let sums = self.microkernel::<V, R>(simd, first, row);
        let Product { layer, bytes, output, output_stride, epilogue, .. } = &mut self.product;
        let scales = &layer.scales[first..][..V];
        let weight_sums = &layer.weight_sums[first..][..V];
        let bias = &layer.bias[first..][..V];
        for (index, sums) in sums.iter().enumerate() {
            let RowScale { scale, offset } = bytes.scales[row + index];
            let (row_scale, row_offset) = (simd.splat(scale), simd.splat(offset));
            let mut values = [row_scale; V];
            for vector in 0..V {
                let offset = simd.mul(row_offset, weight_sums[vector]);
                let in_steps = simd.fused(simd.to_f32(sums[vector]), row_scale, offset);
                values[vector] = simd.fused(in_steps, scales[vector], bias[vector]);
            }
            epilogue.store(simd, &values, &mut output[(row + index) * *output_stride + first..][..V]);
        }
        for index in row..row + R {
            epilogue.activate(simd, &mut output[index * *output_stride + first..][..V]);
        }
    }
}

impl<S: Simd, D: Dots<S>> ProductByDots<'_, S, D> {
    /// The sums of a tile of R rows and V vectors, in the way of the microkernel for f32.
    #[inline(always)]
    fn microkernel<const V: usize, const R: usize>(&self, simd: S, first: usize, row: usize) -> [[S::I; V]; R] {
        let Product { layer, bytes, .. } = &self.product;
        let panel = layer.panels[first * layer.groups..][..V * layer.groups].as_chunks::<V>().0;
        let mut inputs = [bytes.groups.as_slice(); R];
        for (index, inputs) in inputs.iter_mut().enumerate() {
            *inputs = &bytes.groups[(row + index) * layer.groups..][..panel.len()];
        }
        let mut sums = [[simd.splat_i32(0); V]; R];
        for sums in &mut sums {
            sums.copy_from_slice(&layer.starts[first..first + V]);
        }
        for (group, weights) in panel.iter().enumerate() {
            for (sums, inputs) in sums.iter_mut().zip(&inputs) {
                let activations = simd.splat_i32(inputs[group]);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = self.dots.dot(*sum, activations, *weights);
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

    /// What the engine computes, in plain Rust.
    fn expected(layer: &fold::Linear, row: &[f32]) -> Vec<f32> {
        let least = row.iter().fold(0.0_f32, |least, value| least.min(*value));
        let greatest = row.iter().fold(0.0_f32, |greatest, value| greatest.max(*value));
        let step = (greatest - least).max(1e-30) / 255.0;
        let per_step = 1.0 / step;
        let bytes = row.iter().map(|value| ((value - least) * per_step).round_ties_even() as i32 - 128);
        let bytes: Vec<i32> = bytes.collect();
        let offset = least + 128.0 * step;
        let output = |(weights, bias): (&[f32], &f32)| {
            let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
            let weight_step = largest.max(f32::MIN_POSITIVE) / 127.0;
            let weights: Vec<i32> =
                weights.iter().map(|weight| (weight / weight_step).round_ties_even() as i32).collect();
            let sum: i32 = weights.iter().zip(&bytes).map(|(weight, byte)| weight * byte).sum();
            let in_steps = (sum as f32).mul_add(step, offset * weights.iter().sum::<i32>() as f32);
            in_steps.mul_add(weight_step, *bias)
        };
        layer.weight.chunks_exact(layer.inputs).zip(&layer.bias).map(output).collect()
    }

    struct Case<'a> {
        layer: &'a fold::Linear,
        rows: &'a [Vec<f32>],
    }

    impl Dispatch for Case<'_> {
        type Output = Vec<Vec<f32>>;

        fn with_simd<S: Simd>(self, simd: S) -> Vec<Vec<f32>> {
            let Self { layer, rows } = self;
            let packed = QuantizedLinear::new(simd, layer);
            let stride = layer.inputs.div_ceil(S::LANES);
            let mut input = vec![simd.splat(0.0); rows.len() * stride];
            for (padded, row) in
                bytemuck::cast_slice_mut::<_, f32>(&mut input).chunks_exact_mut(stride * S::LANES).zip(rows)
            {
                padded[..row.len()].copy_from_slice(row);
            }
            let vectors = packed.vectors();
            let mut output = vec![simd.splat(0.0); rows.len() * vectors];
            let mut bytes = QuantizedRows::new::<S>(rows.len(), stride);
            packed.apply(rows.len(), (&input, stride), (&mut output, vectors), Epilogue::Store, &mut bytes);
            let rows = bytemuck::cast_slice::<_, f32>(&output).chunks_exact(vectors * S::LANES);
            rows.map(|row| row[..layer.outputs].to_vec()).collect()
        }
    }

    fn values(count: usize) -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(prop_oneof![4 => -3.0..3.0_f32, 1 => -0.01..0.01_f32, 1 => Just(0.0)], count)
    }

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_same_to_the_last_bit(
            (layer, rows) in (1..60_usize, 1..120_usize, 0..20_usize).prop_flat_map(|(inputs, outputs, rows)| {
                let layer = (values(inputs * outputs), values(outputs))
                    .prop_map(move |(weight, bias)| fold::Linear { inputs, outputs, weight, bias });
                (layer, prop::collection::vec(values(inputs), rows))
            }),
        ) {
            let expected: Vec<Vec<f32>> = rows.iter().map(|row| expected(&layer, row)).collect();
            for instructions in InstructionSet::available() {
                let found = instructions.dispatch(Case { layer: &layer, rows: &rows }).unwrap();
                prop_assert_eq!(&found, &expected, "{}", instructions);
            }
        }
    }

    #[test]
    fn the_widest_layer_at_its_limits_is_exact_and_what_is_no_number_spoils_its_row() {
        let inputs = 4096;
        let layer = fold::Linear { inputs, outputs: 2, weight: vec![1.0; 2 * inputs], bias: vec![0.0, 1.0] };
        let with = |value: f32| {
            let mut row = vec![0.0; inputs];
            row[77] = value;
            row
        };
        let rows = [vec![255.0; inputs], vec![0.0; inputs], with(f32::NAN), with(f32::NEG_INFINITY), with(1e-42)];
        for instructions in InstructionSet::available() {
            let found = instructions.dispatch(Case { layer: &layer, rows: &rows }).unwrap();
            assert_eq!(found[0], [255.0 * inputs as f32, 255.0 * inputs as f32 + 1.0], "{instructions}");
            // The least range has steps of its own, so that zeros may come out as something far below what any f32 adds up.
            assert!(found[1][0].abs() < 1e-30 && found[1][1] == 1.0, "{instructions}: {found:?}");
            assert!(found[2..4].iter().flatten().all(|value| value.is_nan()), "{instructions}: {found:?}");
            for row in [1, 4] {
                assert_eq!(found[row], expected(&layer, &rows[row]), "{instructions}");
            }
            let spoilt = fold::Linear { weight: vec![f32::INFINITY; 2 * inputs], ..layer.clone() };
            let found = instructions.dispatch(Case { layer: &spoilt, rows: &rows }).unwrap();
            assert!(found.iter().flatten().all(|value| value.is_nan()), "{instructions}: {found:?}");
        }
    }
}
