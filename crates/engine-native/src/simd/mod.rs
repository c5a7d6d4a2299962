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
    /// Largest lane.
    fn largest(self, a: Self::F) -> f32;
    /// Runs a kernel compiled for this instruction set.
    fn run<K: Kernel<Self>>(self, kernel: K);
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
