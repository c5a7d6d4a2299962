//! Elementary functions on vectors.

use crate::simd::Simd;

/// What is done to a layer's values.
#[derive(Clone, Copy)]
pub(crate) enum Activation {
    /// Nothing.
    Keep,
    /// They are added to what stands where they go: a residual connection.
    Add,
    /// max(0, x).
    Relu,
    /// The exact one: x (1 + erf(x / √2)) / 2.
    Gelu,
    /// x / (1 + e⁻ˣ).
    Silu,
}

impl Activation {
    /// Replaces what is there by new values, or adds them.
    #[inline(always)]
    pub(crate) fn write<S: Simd>(self, simd: S, values: &[S::F], to: &mut [S::F]) {
        for (to, value) in to.iter_mut().zip(values) {
            *to = if matches!(self, Self::Add) { simd.add(*to, *value) } else { *value };
        }
    }

    /// Applies the function, if it is one.
    #[inline(always)]
    pub(crate) fn finish<S: Simd>(self, simd: S, values: &mut [S::F]) {
        // Loops, not closures, which would not be part of the function they are in.
        match self {
            Self::Keep | Self::Add => {}
            Self::Relu => {
                for value in values {
                    *value = simd.max(simd.splat(0.0), *value);
                }
            }
            Self::Gelu => {
                for value in values {
                    *value = gelu(simd, *value);
                }
            }
            Self::Silu => {
                for value in values {
                    *value = silu(simd, *value);
                }
            }
        }
    }
}

#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::F) -> S::F {
    let half = simd.mul(x, simd.splat(0.5));
    simd.fma(half, erf(simd, simd.mul(x, simd.splat(std::f32::consts::FRAC_1_SQRT_2))), half)
}

#[inline(always)]
fn silu<S: Simd>(simd: S, x: S::F) -> S::F {
    let minus = simd.sub(simd.splat(0.0), x);
    simd.div(x, simd.add(exp(simd, minus), simd.splat(1.0)))
}

/// Coefficients, the highest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::F, coefficients: [f32; N]) -> S::F {
    let mut sum = simd.splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.fma(sum, x, simd.splat(*coefficient));
    }
    sum
}

/// eˣ to two units in the last place, by the reduction and polynomial of Cephes' `expf`; e⁻⁸⁷ below −87, e⁸⁸ above 88.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::F) -> S::F {
    // The argument second: NaN stays NaN.
    let x = simd.min(simd.splat(88.0), simd.max(simd.splat(-87.0), x));
    let n = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts, the first of which is exact in products with n.
    let r = simd.fma(n, simd.splat(-0.693_359_4), x);
    let r = simd.fma(n, simd.splat(2.121_944_4e-4), r);
    let tail = polynomial(
        simd,
        r,
        [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1],
    );
    let sum = simd.fma(simd.mul(r, r), tail, simd.add(r, simd.splat(1.0)));
    simd.mul(sum, simd.pow2(n))
}

/// The error function to 3·10⁻⁷, as Eigen's rational approximation has it.
#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::F) -> S::F {
    // From here on it is 1 in f32. The argument second: NaN stays NaN.
    let x = simd.min(simd.splat(4.0), simd.max(simd.splat(-4.0), x));
    let square = simd.mul(x, x);
    let over = polynomial(
        simd,
        square,
        [
            -2.726_142_3e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_3e-5,
            -7.349_906e-4,
            -2.954_6e-3,
            -1.609_603_3e-2,
        ],
    );
    let under = polynomial(
        simd,
        square,
        [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2],
    );
    simd.div(simd.mul(x, over), under)
}
