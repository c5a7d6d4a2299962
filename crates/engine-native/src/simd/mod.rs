//! Vectors of f32 on each instruction set, behind one trait, so that a kernel is written once.
//!
//! All `unsafe` of this crate is in this folder, and of two kinds. A value of an instruction set's type ([`Simd`])
//! exists only where the processor has been asked for it, so its methods may use its instructions. And [`Simd::run`]
//! calls a kernel through a function compiled for that instruction set: kernels and what they call are
//! `#[inline(always)]`, so that they become part of that function.
//!
//! Every method gives the same bits wherever and whenever it is called on one machine. Between machines with other
//! instruction sets, sums are in another order and a multiply–add may round twice.

#![expect(unsafe_code, reason = "the one place of this crate where it is needed")]

/// Methods of [`Simd`] as expressions of an instruction set's intrinsics, and a `run` compiled for its features.
macro_rules! instructions {
    (
        $features:literal: $($method:ident($($argument:ident: $type:ty),+) -> $result:ty = $expression:expr;)+
    ) => {
        $(
            #[inline(always)]
            fn $method(self, $($argument: $type),+) -> $result {
                // SAFETY: `self` is proof that the processor has the instructions.
                unsafe { $expression }
            }
        )+

        fn run<K: Kernel<Self>>(self, kernel: K) {
            #[target_feature(enable = $features)]
            fn compiled<S: Simd, K: Kernel<S>>(simd: S, kernel: K) {
                kernel.run(simd);
            }
            // SAFETY: as above.
            unsafe { compiled(self, kernel) }
        }
    };
}

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use bytemuck::Pod;

/// An instruction set that this processor has.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Self::LANES`] values.
    type F: Pod + Send + Sync;
    /// Values of a vector.
    const LANES: usize;
    /// Vectors that fit the registers.
    const REGISTERS: usize;

    /// The value in each lane.
    fn splat(self, value: f32) -> Self::F;
    /// a + b.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// a − b.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a / b.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b + c.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The smaller one; NaN where b is.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger one; NaN where b is.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The nearest whole number.
    fn round(self, a: Self::F) -> Self::F;
    /// 2ⁿ for a whole n from −126 to 127.
    fn pow2(self, n: Self::F) -> Self::F;
    /// Sum of the lanes, always in the same order.
    fn sum(self, a: Self::F) -> f32;
    /// The lanes of both in turns, a₀ b₀ a₁ b₁ …: the lower halves', then the upper halves'.
    fn zip(self, a: Self::F, b: Self::F) -> [Self::F; 2];
    /// Runs a kernel compiled for this instruction set.
    fn run<K: Kernel<Self>>(self, kernel: K);
}

/// Lanes of the widest vectors.
pub(crate) const MOST_LANES: usize = 16;

/// Transposes a square: as many vectors as each has lanes.
#[inline(always)]
pub(crate) fn transpose<S: Simd>(simd: S, square: &mut [S::F]) {
    let half = S::LANES / 2;
    let mut from = [simd.splat(0.0); MOST_LANES];
    from[..S::LANES].copy_from_slice(square);
    let mut to = from;
    // Each round doubles the values of a column that lie side by side.
    let mut together = 1;
    while together < S::LANES {
        for index in 0..half {
            let [lower, upper] = simd.zip(from[index], from[index + half]);
            (to[2 * index], to[2 * index + 1]) = (lower, upper);
        }
        from = to;
        together *= 2;
    }
    square.copy_from_slice(&from[..S::LANES]);
}

/// A loop over vectors. Its `run`, and all that it calls, must be `#[inline(always)]`.
pub(crate) trait Kernel<S: Simd> {
    /// Does the work.
    fn run(self, simd: S);
}

/// The instruction sets that the engine is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// AVX-512 (foundation) of x86-64.
    Avx512,
    /// AVX2 and FMA of x86-64.
    Avx2,
    /// NEON of 64-bit Arm.
    Neon,
    /// Plain Rust, on any processor.
    Portable,
}

/// What is done with the instruction set that was chosen: `call` is compiled for each.
pub(crate) trait Choice {
    /// What comes of it.
    type Output;
    /// Goes on with this instruction set.
    fn call<S: Simd>(self, simd: S) -> Self::Output;
}

impl InstructionSet {
    /// All that this processor has, the fastest first.
    pub fn available() -> Vec<Self> {
        [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable]
            .into_iter()
            .filter(|set| set.choose(Nothing).is_some())
            .collect()
    }

    /// Goes on with this instruction set, unless the processor has not got it.
    pub(crate) fn choose<C: Choice>(self, choice: C) -> Option<C::Output> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86_64::Avx512::detect().map(|simd| choice.call(simd)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86_64::Avx2::detect().map(|simd| choice.call(simd)),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => aarch64::Neon::detect().map(|simd| choice.call(simd)),
            Self::Portable => Some(choice.call(portable::Portable)),
            #[cfg(target_arch = "x86_64")]
            Self::Neon => None,
            #[cfg(target_arch = "aarch64")]
            Self::Avx512 | Self::Avx2 => None,
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            Self::Avx512 | Self::Avx2 | Self::Neon => None,
        }
    }
}

impl std::fmt::Display for InstructionSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2",
            Self::Neon => "NEON",
            Self::Portable => "portable",
        })
    }
}

struct Nothing;

impl Choice for Nothing {
    type Output = ();

    fn call<S: Simd>(self, _: S) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs each operation on values, of which some are special.
    struct Operations;

    impl<S: Simd> Kernel<S> for Operations {
        #[inline(always)]
        fn run(self, simd: S) {
            let vector = |values: &[f32]| {
                let mut vector = [simd.splat(0.0)];
                let lanes: &mut [f32] = bytemuck::cast_slice_mut(&mut vector);
                lanes.iter_mut().zip(values.iter().cycle()).for_each(|(lane, value)| *lane = *value);
                vector[0]
            };
            let lanes = |vector: S::F| bytemuck::cast_slice::<_, f32>(&[vector]).to_vec();
            let (a, b) = (vector(&[1.5, -2.5, 3.0, -0.25]), vector(&[2.0, 4.0, -8.0, 0.5]));
            let expect = |found: S::F, expected: [f32; 4]| assert_eq!(lanes(found)[..4], expected);
            expect(simd.add(a, b), [3.5, 1.5, -5.0, 0.25]);
            expect(simd.sub(a, b), [-0.5, -6.5, 11.0, -0.75]);
            expect(simd.mul(a, b), [3.0, -10.0, -24.0, -0.125]);
            expect(simd.div(a, b), [0.75, -0.625, -0.375, -0.5]);
            expect(simd.fma(a, b, simd.splat(1.0)), [4.0, -9.0, -23.0, 0.875]);
            expect(simd.min(a, b), [1.5, -2.5, -8.0, -0.25]);
            expect(simd.max(a, b), [2.0, 4.0, 3.0, 0.5]);
            expect(simd.round(vector(&[1.4, -1.6, 2.5, -87.0])), [1.0, -2.0, 2.0, -87.0]);
            expect(simd.pow2(vector(&[0.0, 3.0, -126.0, 127.0])), [1.0, 8.0, f32::MIN_POSITIVE, 2_f32.powi(127)]);
            let counted: Vec<f32> = (1..=S::LANES).map(|lane| lane as f32).collect();
            assert_eq!(simd.sum(vector(&counted)), (S::LANES * (S::LANES + 1) / 2) as f32);
            let mut square: Vec<S::F> =
                (0..S::LANES).map(|row| simd.add(vector(&counted), simd.splat(100.0 * row as f32))).collect();
            transpose(simd, &mut square);
            for (row, vector) in square.into_iter().enumerate() {
                let column: Vec<f32> = (0..S::LANES).map(|column| (1 + row + 100 * column) as f32).collect();
                assert_eq!(lanes(vector), column);
            }
            let nan = simd.splat(f32::NAN);
            for spoilt in [simd.min(a, nan), simd.max(a, nan), simd.round(nan), simd.fma(a, nan, b)] {
                assert!(lanes(spoilt).iter().all(|lane| lane.is_nan()));
            }
        }
    }

    struct Run;

    impl Choice for Run {
        type Output = ();

        fn call<S: Simd>(self, simd: S) {
            simd.run(Operations);
        }
    }

    #[test]
    fn every_instruction_set_does_the_same() {
        let available = InstructionSet::available();
        assert_eq!(available.last(), Some(&InstructionSet::Portable));
        for instructions in available {
            assert!(instructions.choose(Run).is_some());
        }
    }
}
