//! Elementary functions on vectors.

use crate::simd::Simd;

/// A polynomial by Horner's rule. Coefficients are those of the highest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::F, coefficients: [f32; N]) -> S::F {
    let mut sum = simd.splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.fma(sum, x, simd.splat(*coefficient));
    }
    sum
}

/// eˣ to two units in the last place, by the range reduction and polynomial of Cephes' `expf`. It is e⁻⁸⁷ for all x
/// below −87, and e⁸⁸ for all above 88.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::F) -> S::F {
    // The argument second: NaN stays NaN.
    let x = simd.min(simd.splat(88.0), simd.max(simd.splat(-87.0), x));
    let n = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    // ln 2 in two parts, the first of which is exact in products with n.
    let r = simd.fma(n, simd.splat(-0.693_359_4), x);
    let r = simd.fma(n, simd.splat(2.121_944_4e-4), r);
    let tail = polynomial(simd, r, [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1]);
    let sum = simd.fma(simd.mul(r, r), tail, simd.add(r, simd.splat(1.0)));
    simd.mul(sum, simd.pow2(n))
}

/// The distribution function of the normal distribution, but for its value at 0: erf(x / √2) / 2, to 2·10⁻⁷, by the
/// rational approximation of Eigen's `erf`, with the factors in its coefficients.
#[inline(always)]
pub(crate) fn normal_cdf_minus_half<S: Simd>(simd: S, x: S::F) -> S::F {
    const HALF_SQRT: f32 = std::f32::consts::FRAC_1_SQRT_2 / 2.0;
    // From 4 √2 on, erf(x / √2) is 1 in f32. The argument second: NaN stays NaN.
    let most = 4.0 * std::f32::consts::SQRT_2;
    let x = simd.min(simd.splat(most), simd.max(simd.splat(-most), x));
    let square = simd.mul(x, x);
    let over = polynomial(
        simd,
        square,
        [
            -2.726_142_3e-10 / 64.0 * HALF_SQRT,
            2.770_681_4e-8 / 32.0 * HALF_SQRT,
            -2.101_024e-6 / 16.0 * HALF_SQRT,
            -5.692_506_3e-5 / 8.0 * HALF_SQRT,
            -7.349_906e-4 / 4.0 * HALF_SQRT,
            -2.954_6e-3 / 2.0 * HALF_SQRT,
            -1.609_603_3e-2 * HALF_SQRT,
        ],
    );
    let under = polynomial(
        simd,
        square,
        [-1.456_607_2e-5 / 16.0, -2.133_740_6e-4 / 8.0, -1.682_827e-3 / 4.0, -7.373_329e-3 / 2.0, -1.426_473_9e-2],
    );
    simd.div(simd.mul(x, over), under)
}
