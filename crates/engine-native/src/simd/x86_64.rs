//! AVX-512, and AVX2 with FMA and F16C.

use std::arch::x86_64::*;

use super::{
    instructions::instructions,
    vector::{DotKernel, Dots, Kernel, Simd},
};

/// Proof that the processor has AVX-512 F and BW.
#[derive(Clone, Copy)]
pub(crate) struct Avx512 {
    /// Whether it has AVX-512 VNNI too, and is to use it.
    vnni: bool,
}

impl Avx512 {
    pub(crate) fn detect() -> Option<Self> {
        let available = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        available.then_some(Self { vnni: false })
    }

    pub(crate) fn detect_with_vnni() -> Option<Self> {
        Self::detect().filter(|_| is_x86_feature_detected!("avx512vnni")).map(|_| Self { vnni: true })
    }
}

/// Proof that the processor has AVX-512 VNNI.
#[derive(Clone, Copy)]
struct Avx512Vnni(());

impl Dots<Avx512> for Avx512Vnni {
    #[inline(always)]
    fn dot(self, sum: __m512i, activations: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: `self` is proof that the processor has the instruction.
        unsafe { _mm512_dpbusd_epi32(sum, activations, weights) }
    }
}

impl Dots<Self> for Avx512 {
    /// The multiplication takes unsigned bytes by signed ones: the activations' sign goes to the weights. No sum of two
    /// products is beyond 16 bits.
    #[inline(always)]
    fn dot(self, sum: __m512i, activations: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe {
            let negative = _mm512_movepi8_mask(activations);
            let weights = _mm512_mask_sub_epi8(weights, negative, _mm512_setzero_si512(), weights);
            let pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(activations), weights);
            _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }
}

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    type H = __m256i;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    fn run_with_dots<K: DotKernel<Self>>(self, kernel: K) {
        #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
        fn with_vnni<K: DotKernel<Avx512>>(simd: Avx512, kernel: K) {
            kernel.run(simd, Avx512Vnni(()));
        }
        #[target_feature(enable = "avx512f,avx512bw")]
        fn without_vnni<K: DotKernel<Avx512>>(simd: Avx512, kernel: K) {
            kernel.run(simd, simd);
        }
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe { if self.vnni { with_vnni(self, kernel) } else { without_vnni(self, kernel) } }
    }

    fn flipped_bits(self) -> u8 {
        if self.vnni { 0x80 } else { 0 }
    }

    instructions! { "avx512f,avx512bw":
        splat(value: f32) -> __m512 = _mm512_set1_ps(value);
        widen(a: __m256i) -> __m512 = _mm512_cvtph_ps(a);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        and(a: __m512, b: __m512) -> __m512 =
            _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_castps_si512(b)));
        round(a: __m512) -> __m512 = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT }>(a);
        pow2(n: __m512) -> __m512 = _mm512_scalef_ps(_mm512_set1_ps(1.0), n);
        sum(a: __m512) -> f32 = _mm512_reduce_add_ps(a);
        interleave(a: __m512, b: __m512) -> [__m512; 2] = {
            let lower = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let upper = _mm512_add_epi32(lower, _mm512_set1_epi32(8));
            [_mm512_permutex2var_ps(a, lower, b), _mm512_permutex2var_ps(a, upper, b)]
        };
        least(a: __m512) -> f32 = _mm512_reduce_min_ps(a);
        greatest(a: __m512) -> f32 = _mm512_reduce_max_ps(a);
        splat_i32(value: i32) -> __m512i = _mm512_set1_epi32(value);
        to_f32(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        store_bytes(a: __m512, flip: u8, bytes: &mut [u8]) -> () = {
            let packed = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a));
            let packed = _mm_xor_si128(packed, _mm_set1_epi8(flip.cast_signed()));
            bytes[..16].copy_from_slice(bytemuck::bytes_of(&packed));
        };
    }
}

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2 {
    /// Whether it has AVX-VNNI too, and is to use it.
    vnni: bool,
}

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        let available =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        available.then_some(Self { vnni: false })
    }

    pub(crate) fn detect_with_vnni() -> Option<Self> {
        Self::detect().filter(|_| is_x86_feature_detected!("avxvnni")).map(|_| Self { vnni: true })
    }
}

/// Proof that the processor has AVX-VNNI.
#[derive(Clone, Copy)]
struct AvxVnni(());

impl Dots<Avx2> for AvxVnni {
    #[inline(always)]
    fn dot(self, sum: __m256i, activations: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: `self` is proof that the processor has the instruction.
        unsafe { _mm256_dpbusd_avx_epi32(sum, activations, weights) }
    }
}

impl Dots<Self> for Avx2 {
    /// As that of [`Avx512`].
    #[inline(always)]
    fn dot(self, sum: __m256i, activations: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(activations), _mm256_sign_epi8(weights, activations));
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

impl Simd for Avx2 {
    type F = __m256;
    type I = __m256i;
    type H = __m128i;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    fn run_with_dots<K: DotKernel<Self>>(self, kernel: K) {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn with_vnni<K: DotKernel<Avx2>>(simd: Avx2, kernel: K) {
            kernel.run(simd, AvxVnni(()));
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        fn without_vnni<K: DotKernel<Avx2>>(simd: Avx2, kernel: K) {
            kernel.run(simd, simd);
        }
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe { if self.vnni { with_vnni(self, kernel) } else { without_vnni(self, kernel) } }
    }

    fn flipped_bits(self) -> u8 {
        if self.vnni { 0x80 } else { 0 }
    }

    instructions! { "avx2,fma,f16c":
        splat(value: f32) -> __m256 = _mm256_set1_ps(value);
        widen(a: __m128i) -> __m256 = _mm256_cvtph_ps(a);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        and(a: __m256, b: __m256) -> __m256 = _mm256_and_ps(a, b);
        round(a: __m256) -> __m256 = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        pow2(n: __m256) -> __m256 = {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        };
        sum(a: __m256) -> f32 = {
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        };
        interleave(a: __m256, b: __m256) -> [__m256; 2] = {
            let (even, odd) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            [_mm256_permute2f128_ps::<0x20>(even, odd), _mm256_permute2f128_ps::<0x31>(even, odd)]
        };
        least(a: __m256) -> f32 = {
            let four = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_min_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)))
        };
        greatest(a: __m256) -> f32 = {
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        };
        splat_i32(value: i32) -> __m256i = _mm256_set1_epi32(value);
        to_f32(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        store_bytes(a: __m256, flip: u8, bytes: &mut [u8]) -> () = {
            let whole = _mm256_cvtps_epi32(a);
            let words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
            let packed = _mm_xor_si128(_mm_packus_epi16(words, words), _mm_set1_epi8(flip.cast_signed()));
            bytes[..8].copy_from_slice(&bytemuck::bytes_of(&packed)[..8]);
        };
    }
}
