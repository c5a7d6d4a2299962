//! Vectors as arrays, of which the compiler makes the instructions that every processor of the architecture has.

use bytemuck::{Pod, Zeroable};

use super::vector::{Kernel, Simd};

/// No instructions beyond the architecture's own.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// As many as the narrowest vectors of an architecture have: SSE2's and NEON's.
const LANES: usize = 4;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(16))]
pub(crate) struct Lanes([f32; LANES]);

#[inline(always)]
fn each(a: Lanes, b: Lanes, operation: impl Fn(f32, f32) -> f32) -> Lanes {
    Lanes(std::array::from_fn(|lane| operation(a.0[lane], b.0[lane])))
}

impl Simd for Portable {
    type F = Lanes;
    const LANES: usize = LANES;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        Lanes([value; LANES])
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
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        each(a, b, |a, b| if a > b { a } else { b })
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

    fn run<K: Kernel<Self>>(self, kernel: K) {
        kernel.run(self);
    }
}
