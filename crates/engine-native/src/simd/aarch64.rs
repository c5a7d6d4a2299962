//! NEON, which every 64-bit Arm processor of AWS has.

use std::arch::{aarch64::*, asm, is_aarch64_feature_detected};

use super::{
    instructions::instructions,
    vector::{DotKernel, Dots, Kernel, Simd},
};

/// Proof that the processor has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon {
    /// Whether it has NEON's dot products too, as Graviton2 and later do
    /// (<https://github.com/aws/aws-graviton-getting-started>), and is to use them.
    dotprod: bool,
}

impl Neon {
    pub(crate) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self { dotprod: false })
    }

    pub(crate) fn detect_with_dotprod() -> Option<Self> {
        Self::detect().filter(|_| is_aarch64_feature_detected!("dotprod")).map(|_| Self { dotprod: true })
    }
}

/// Proof that the processor has NEON's dot products.
#[derive(Clone, Copy)]
struct Dotprod(());

impl Dots<Neon> for Dotprod {
    #[inline(always)]
    fn dot(self, mut sum: int32x4_t, activations: int32x4_t, weights: int32x4_t) -> int32x4_t {
        // The intrinsic, `vdotq_s32`, is not stable.
        // SAFETY: `self` is proof that the processor has the instruction, which changes nothing but `sum`.
        unsafe {
            asm!(
                "sdot {sum:v}.4s, {activations:v}.16b, {weights:v}.16b",
                sum = inout(vreg) sum,
                activations = in(vreg) activations,
                weights = in(vreg) weights,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
}

impl Dots<Self> for Neon {
    #[inline(always)]
    fn dot(self, sum: int32x4_t, activations: int32x4_t, weights: int32x4_t) -> int32x4_t {
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe {
            let (a, b) = (vreinterpretq_s8_s32(activations), vreinterpretq_s8_s32(weights));
            let lower = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
            let upper = vpaddlq_s16(vmull_high_s8(a, b));
            vaddq_s32(sum, vpaddq_s32(lower, upper))
        }
    }
}

impl Simd for Neon {
    type F = float32x4_t;
    type I = int32x4_t;
    type H = uint16x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    fn run_with_dots<K: DotKernel<Self>>(self, kernel: K) {
        #[target_feature(enable = "neon,dotprod")]
        fn with_dotprod<K: DotKernel<Neon>>(simd: Neon, kernel: K) {
            kernel.run(simd, Dotprod(()));
        }
        #[target_feature(enable = "neon")]
        fn without_dotprod<K: DotKernel<Neon>>(simd: Neon, kernel: K) {
            kernel.run(simd, simd);
        }
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe { if self.dotprod { with_dotprod(self, kernel) } else { without_dotprod(self, kernel) } }
    }

    fn flipped_bits(self) -> u8 {
        0
    }

    instructions! { "neon":
        splat(value: f32) -> float32x4_t = vdupq_n_f32(value);
        widen(a: uint16x4_t) -> float32x4_t = vcvt_f32_f16(vreinterpret_f16_u16(a));
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vminq_f32(a, b);
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmaxq_f32(a, b);
        and(a: float32x4_t, b: float32x4_t) -> float32x4_t =
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
        round(a: float32x4_t) -> float32x4_t = vrndnq_f32(a);
        pow2(n: float32x4_t) -> float32x4_t =
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127))));
        sum(a: float32x4_t) -> f32 = vaddvq_f32(a);
        interleave(a: float32x4_t, b: float32x4_t) -> [float32x4_t; 2] = [vzip1q_f32(a, b), vzip2q_f32(a, b)];
        least(a: float32x4_t) -> f32 = vminvq_f32(a);
        greatest(a: float32x4_t) -> f32 = vmaxvq_f32(a);
        splat_i32(value: i32) -> int32x4_t = vdupq_n_s32(value);
        to_f32(a: int32x4_t) -> float32x4_t = vcvtq_f32_s32(a);
        store_bytes(a: float32x4_t, flip: u8, bytes: &mut [u8]) -> () = {
            let words = vmovn_s32(vcvtnq_s32_f32(a));
            let packed = veor_u8(vqmovun_s16(vcombine_s16(words, words)), vdup_n_u8(flip));
            bytes[..4].copy_from_slice(&bytemuck::bytes_of(&packed)[..4]);
        };
    }
}
