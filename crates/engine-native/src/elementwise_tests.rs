//! The elementary functions of `math` and `activation`, against those of libm in f64, on each instruction set.

use crate::{
    activation::{gelu, silu},
    math::exp,
    simd::{Dispatch, InstructionSet, Kernel, Simd},
};

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

impl<F: Function> Dispatch for On<'_, F> {
    type Output = ();

    fn with_simd<S: Simd>(self, simd: S) {
        simd.run(Apply { function: self.function, values: self.values });
    }
}

/// Values from −20 to 20 and what the function makes of them, on each instruction set.
fn each(function: impl Function, mut check: impl FnMut(f32, f32, f64)) {
    let inputs: Vec<f32> = (0..64_000).map(|index| (index - 32_000) as f32 / 1_600.0).collect();
    for instructions in InstructionSet::available() {
        let mut values = inputs.clone();
        instructions.dispatch(On { function, values: &mut values }).unwrap();
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
        instructions.dispatch(On { function: Silu, values: &mut values }).unwrap();
        instructions.dispatch(On { function: Gelu, values: &mut gelus }).unwrap();
        for values in [values, gelus] {
            let [nan, large, negative, zero] = [values[0], values[1] / 1e30, values[2] / 1e30, values[3]];
            assert!(nan.is_nan() && (large - 1.0).abs() < 1e-6 && zero == 0.0, "{instructions}: {values:?}");
            assert!((-1e-6..=0.0).contains(&negative), "{instructions}: {values:?}");
        }
    }
}
