//! Vectors as arrays, of which the compiler makes the instructions that every processor of the architecture has.

use bytemuck::{Pod, Zeroable};

use super::vector::{DotKernel, Dots, Kernel, Simd};

/// No instructions beyond the architecture's own.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// As many as the narrowest vectors of an architecture have: SSE2's and NEON's.
const LANES: usize = 4;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(16))]
pub(crate) struct Lanes([f32; LANES]);

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(16))]
pub(crate) struct WholeLanes([i32; LANES]);

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(8))]
pub(crate) struct HalfLanes([u16; LANES]);

impl Dots<Self> for Portable {
    #[inline(always)]
    fn dot(self, sum: WholeLanes, activations: WholeLanes, weights: WholeLanes) -> WholeLanes {
        let bytes = |value: i32| value.to_ne_bytes().map(|byte| i32::from(byte.cast_signed()));
        WholeLanes(std::array::from_fn(|lane| {
            let products = bytes(activations.0[lane]).into_iter().zip(bytes(weights.0[lane]));
            products.fold(sum.0[lane], |sum, (activation, weight)| sum.wrapping_add(activation * weight))
        }))
    }
}

#[inline(always)]
fn each(a: Lanes, b: Lanes, operation: impl Fn(f32, f32) -> f32) -> Lanes {
    Lanes(std::array::from_fn(|lane| operation(a.0[lane], b.0[lane])))
}

impl Simd for Portable {
    type F = Lanes;
    type I = WholeLanes;
    type H = HalfLanes;
    const LANES: usize = LANES;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        Lanes([value; LANES])
    }

    #[inline(always)]
    fn widen(self, a: HalfLanes) -> Lanes {
        // The exponents of f16 are less by 112.
        let scale = f32::from_bits((127 + 112) << 23);
        Lanes(a.0.map(u32::from).map(|bits| {
            let size = f32::from_bits((bits & 0x7fff) << 13) * scale;
            f32::from_bits(size.to_bits() | (bits & 0x8000) << 16)
        }))
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| a / b)
    }

    /// Rounds twice: a fused multiply–add is a slow function where the processor has no instruction for it.
    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn fused(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        Lanes(std::array::from_fn(|lane| a.0[lane].mul_add(b.0[lane], c.0[lane])))
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn and(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| f32::from_bits(a.to_bits() & b.to_bits()))
    }

    #[inline(always)]
    fn round(self, a: Lanes) -> Lanes {
        // Adding and subtracting 1.5 · 2²³ rounds what is below 2²² to a whole number.
        const MAGIC: f32 = 12_582_912.0;
        Lanes(a.0.map(|value| value + MAGIC - MAGIC))
    }

    #[inline(always)]
    fn pow2(self, n: Lanes) -> Lanes {
        Lanes(n.0.map(|n| f32::from_bits(((n as i32 + 127) << 23) as u32)))
    }

    #[inline(always)]
    fn sum(self, a: Lanes) -> f32 {
        (a.0[0] + a.0[2]) + (a.0[1] + a.0[3])
    }

    #[inline(always)]
    fn interleave(self, a: Lanes, b: Lanes) -> [Lanes; 2] {
        let (a, b) = (a.0, b.0);
        [Lanes([a[0], b[0], a[1], b[1]]), Lanes([a[2], b[2], a[3], b[3]])]
    }

    #[inline(always)]
    fn least(self, a: Lanes) -> f32 {
        a.0.into_iter().fold(f32::INFINITY, f32::min)
    }

    #[inline(always)]
    fn greatest(self, a: Lanes) -> f32 {
        a.0.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn splat_i32(self, value: i32) -> WholeLanes {
        WholeLanes([value; LANES])
    }

    #[inline(always)]
    fn to_f32(self, a: WholeLanes) -> Lanes {
        Lanes(a.0.map(|value| value as f32))
    }

    #[inline(always)]
    fn store_bytes(self, a: Lanes, flip: u8, bytes: &mut [u8]) {
        bytes[..LANES].copy_from_slice(&a.0.map(|value| (value.round_ties_even() as u8) ^ flip));
    }

    fn run<K: Kernel<Self>>(self, kernel: K) {
        kernel.run(self);
    }

    fn run_with_dots<K: DotKernel<Self>>(self, kernel: K) {
        kernel.run(self, self);
    }

    fn flipped_bits(self) -> u8 {
        0
    }
}
