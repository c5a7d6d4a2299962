//! Which instruction sets there are, and the way from one that is chosen at run time to code compiled for it.

#[cfg(target_arch = "aarch64")]
use super::aarch64;
#[cfg(target_arch = "x86_64")]
use super::x86_64;
use super::{portable, vector::Simd};

/// The instruction sets that the engine is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// AVX-512 (F and BW) of x86-64, with VNNI's dot products.
    Avx512Vnni,
    /// AVX-512 (F and BW) of x86-64.
    Avx512,
    /// AVX2, FMA and F16C of x86-64, with AVX-VNNI's dot products.
    AvxVnni,
    /// AVX2, FMA and F16C of x86-64.
    Avx2,
    /// NEON of 64-bit Arm, with its dot products.
    NeonDotprod,
    /// NEON of 64-bit Arm.
    Neon,
    /// What the compiler makes of plain Rust, on any processor.
    Portable,
}

/// Work that [`InstructionSet::dispatch`] does with the [`Simd`] of an instruction set: it is compiled for each of
/// them.
pub(crate) trait Dispatch {
    type Output;

    fn with_simd<S: Simd>(self, simd: S) -> Self::Output;
}

impl InstructionSet {
    /// The instruction sets that this processor has, the fastest first.
    pub fn available() -> Vec<Self> {
        use InstructionSet::*;
        [Avx512Vnni, Avx512, AvxVnni, Avx2, NeonDotprod, Neon, Portable]
            .into_iter()
            .filter(|set| set.dispatch(Probe).is_some())
            .collect()
    }

    /// Does the work with this instruction set; `None` where the processor does not have it.
    pub(crate) fn dispatch<D: Dispatch>(self, work: D) -> Option<D::Output> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => x86_64::Avx512::detect_with_vnni().map(|simd| work.with_simd(simd)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86_64::Avx512::detect().map(|simd| work.with_simd(simd)),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => x86_64::Avx2::detect_with_vnni().map(|simd| work.with_simd(simd)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86_64::Avx2::detect().map(|simd| work.with_simd(simd)),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDotprod => aarch64::Neon::detect_with_dotprod().map(|simd| work.with_simd(simd)),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => aarch64::Neon::detect().map(|simd| work.with_simd(simd)),
            Self::Portable => Some(work.with_simd(portable::Portable)),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512Vnni | Self::Avx512 | Self::AvxVnni | Self::Avx2 => None,
            #[cfg(not(target_arch = "aarch64"))]
            Self::NeonDotprod | Self::Neon => None,
        }
    }
}

impl std::fmt::Display for InstructionSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Avx512Vnni => "AVX-512 VNNI",
            Self::Avx512 => "AVX-512",
            Self::AvxVnni => "AVX-VNNI",
            Self::Avx2 => "AVX2",
            Self::NeonDotprod => "NEON dot products",
            Self::Neon => "NEON",
            Self::Portable => "portable",
        })
    }
}

/// No work: whether it is done says whether the processor has the instruction set.
struct Probe;

impl Dispatch for Probe {
    type Output = ();

    fn with_simd<S: Simd>(self, _: S) {}
}
