//! NEON, which every 64-bit Arm processor of AWS has.

use std::arch::{aarch64::*, is_aarch64_feature_detected};

use super::{
    instructions::instructions,
    vector::{Kernel, Simd},
};

/// Proof that the processor has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    pub(crate) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

impl Simd for Neon {
    type F = float32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    instructions! { "neon":
        splat(value: f32) -> float32x4_t = vdupq_n_f32(value);
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vminq_f32(a, b);
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmaxq_f32(a, b);
        round(a: float32x4_t) -> float32x4_t = vrndnq_f32(a);
        pow2(n: float32x4_t) -> float32x4_t =
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127))));
        sum(a: float32x4_t) -> f32 = vaddvq_f32(a);
        interleave(a: float32x4_t, b: float32x4_t) -> [float32x4_t; 2] = [vzip1q_f32(a, b), vzip2q_f32(a, b)];
    }
}
