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
    let tail = polynomial(simd, r, [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1]);
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
        [-2.726_142_3e-10, 2.770_681_4e-8, -2.101_024e-6, -5.692_506_3e-5, -7.349_906e-4, -2.954_6e-3, -1.609_603_3e-2],
    );
    let under =
        polynomial(simd, square, [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2]);
    simd.div(simd.mul(x, over), under)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{InstructionSet, Kernel};

    struct Apply<'a, F> {
        function: F,
        values: &'a mut Vec<f32>,
    }

    impl<S: Simd, F: Function> Kernel<S> for Apply<'_, F> {
        #[inline(always)]
        fn run(self, simd: S) {
            for values in self.values.chunks_exact_mut(S::LANES) {
                let mut vector = [simd.splat(0.0)];
                bytemuck::cast_slice_mut::<_, f32>(&mut vector).copy_from_slice(values);
                vector[0] = self.function.of(simd, vector[0]);
                values.copy_from_slice(bytemuck::cast_slice(&vector));
            }
        }
    }

    trait Function: Copy {
        fn of<S: Simd>(self, simd: S, x: S::F) -> S::F;
        fn exact(self, x: f64) -> f64;
    }

    #[derive(Clone, Copy)]
    struct Exp;
    #[derive(Clone, Copy)]
    struct Gelu;
    #[derive(Clone, Copy)]
    struct Silu;

    impl Function for Exp {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, x: S::F) -> S::F {
            exp(simd, x)
        }

        fn exact(self, x: f64) -> f64 {
            libm::exp(x)
        }
    }

    impl Function for Gelu {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, x: S::F) -> S::F {
            gelu(simd, x)
        }

        fn exact(self, x: f64) -> f64 {
            0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
        }
    }

    impl Function for Silu {
        #[inline(always)]
        fn of<S: Simd>(self, simd: S, x: S::F) -> S::F {
            silu(simd, x)
        }

        fn exact(self, x: f64) -> f64 {
            x / (1.0 + libm::exp(-x))
        }
    }

    struct On<'a, F> {
        function: F,
        values: &'a mut Vec<f32>,
    }

    impl<F: Function> crate::simd::Choice for On<'_, F> {
        type Output = ();

        fn call<S: Simd>(self, simd: S) {
            simd.run(Apply { function: self.function, values: self.values });
        }
    }

    /// Values from −20 to 20 and what the function makes of them, on each instruction set.
    fn each(function: impl Function, mut check: impl FnMut(f32, f32, f64)) {
        let inputs: Vec<f32> = (0..64_000).map(|index| (index - 32_000) as f32 / 1_600.0).collect();
        for instructions in InstructionSet::available() {
            let mut values = inputs.clone();
            instructions.choose(On { function, values: &mut values }).unwrap();
            for (input, value) in inputs.iter().zip(&values) {
                check(*input, *value, function.exact(f64::from(*input)));
            }
        }
    }

    #[test]
    fn exp_is_exact_to_two_units_in_the_last_place() {
        each(Exp, |x, found, exact| {
            assert!((f64::from(found) / exact - 1.0).abs() < 2.0 * f64::from(f32::EPSILON), "{x}: {found} and {exact}");
        });
    }

    #[test]
    fn gelu_and_silu_are_exact_to_the_precision_of_their_argument() {
        each(Gelu, |x, found, exact| {
            assert!((f64::from(found) - exact).abs() < 3e-7 * f64::from(x.abs()).max(1.0), "{x}: {found} and {exact}");
        });
        each(Silu, |x, found, exact| {
            assert!((f64::from(found) - exact).abs() < 3e-7 * f64::from(x.abs()).max(1.0), "{x}: {found} and {exact}");
        });
    }

    #[test]
    fn what_is_not_finite_or_far_off_stays_what_it_is() {
        for instructions in InstructionSet::available() {
            let mut values = [f32::NAN, 1e30, -1e30, 0.0].repeat(4);
            let mut gelus = values.clone();
            instructions.choose(On { function: Silu, values: &mut values }).unwrap();
            instructions.choose(On { function: Gelu, values: &mut gelus }).unwrap();
            for values in [values, gelus] {
                let [nan, large, negative, zero] = [values[0], values[1] / 1e30, values[2] / 1e30, values[3]];
                assert!(nan.is_nan() && (large - 1.0).abs() < 1e-6 && zero == 0.0, "{instructions}: {values:?}");
                assert!((-1e-6..=0.0).contains(&negative), "{instructions}: {values:?}");
            }
        }
    }
}
