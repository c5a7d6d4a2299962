//! The activation functions on vectors: ReLU, GELU and SiLU.

use crate::{
    math::{exp, normal_cdf_minus_half},
    simd::Simd,
};

/// max(0, x); NaN stays NaN.
#[inline(always)]
pub(crate) fn relu<S: Simd>(simd: S, x: S::F) -> S::F {
    simd.max(simd.splat(0.0), x)
}

/// The exact GELU, x (1 + erf(x / √2)) / 2, not its approximation by tanh.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(simd: S, x: S::F) -> S::F {
    simd.mul(x, simd.add(normal_cdf_minus_half(simd, x), simd.splat(0.5)))
}

/// x / (1 + e⁻ˣ), which is also called swish.
#[inline(always)]
pub(crate) fn silu<S: Simd>(simd: S, x: S::F) -> S::F {
    let minus = simd.sub(simd.splat(0.0), x);
    simd.div(x, simd.add(exp(simd, minus), simd.splat(1.0)))
}
