//! A linear layer of the transformer, in the precision that the engine was asked for.

use astromae::{Precision, fold};

use crate::{
    epilogue::Epilogue,
    int8::{QuantizedLinear, QuantizedRows},
    linear::PackedLinear,
    simd::Simd,
};

pub(crate) enum TokenLinear<S: Simd> {
    F32(PackedLinear<S>),
    Int8(QuantizedLinear<S>),
}

impl<S: Simd> TokenLinear<S> {
    pub(crate) fn new(simd: S, precision: Precision, layer: &fold::Linear) -> Self {
        match precision {
            Precision::F32 => Self::F32(PackedLinear::new(simd, layer)),
            Precision::Int8 => Self::Int8(QuantizedLinear::new(simd, layer)),
        }
    }

    /// The number of vectors in a row of the result.
    pub(crate) fn vectors(&self) -> usize {
        match self {
            Self::F32(layer) => layer.vectors(),
            Self::Int8(layer) => layer.vectors(),
        }
    }

    /// Computes `rows` rows. The strides are the distances, in vectors, between the rows of the input and of the
    /// output. `bytes` holds the input where it is quantized.
    pub(crate) fn apply(
        &self,
        rows: usize,
        input: (&[S::F], usize),
        output: (&mut [S::F], usize),
        epilogue: Epilogue,
        bytes: &mut QuantizedRows,
    ) {
        match self {
            Self::F32(layer) => layer.apply(rows, input, output, epilogue),
            Self::Int8(layer) => layer.apply(rows, input, output, epilogue, bytes),
        }
    }
}
