//! What a kernel does at the end with the sums of a tile, while they are still in registers or in the nearest cache.

use crate::{
    activation::{gelu, relu, silu},
    simd::Simd,
};

/// How the sums of a tile become the output.
#[derive(Clone, Copy)]
pub(crate) enum Epilogue {
    /// The sums are stored as they are.
    Store,
    /// The sums are added to what the output already holds: a residual connection.
    Residual,
    Relu,
    Gelu,
    Silu,
}

impl Epilogue {
    /// Stores a row of sums, or adds it to the output.
    #[inline(always)]
    pub(crate) fn store<S: Simd>(self, simd: S, sums: &[S::F], output: &mut [S::F]) {
        for (output, sum) in output.iter_mut().zip(sums) {
            *output = if matches!(self, Self::Residual) { simd.add(*output, *sum) } else { *sum };
        }
    }

    /// Applies the activation function, where there is one, to a row that was stored. It is a second pass over the tile
    /// because the functions need registers of their own.
    #[inline(always)]
    pub(crate) fn activate<S: Simd>(self, simd: S, row: &mut [S::F]) {
        // Loops, not closures, which would not be part of the function they are in.
        match self {
            Self::Store | Self::Residual => {}
            Self::Relu => {
                for value in row {
                    *value = relu(simd, *value);
                }
            }
            Self::Gelu => {
                for value in row {
                    *value = gelu(simd, *value);
                }
            }
            Self::Silu => {
                for value in row {
                    *value = silu(simd, *value);
                }
            }
        }
    }
}
