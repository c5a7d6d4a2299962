//! A vector of f32 and what a kernel does with it, whichever instruction set it is of.

use bytemuck::Pod;

/// An instruction set that this processor has.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Self::LANES`] values.
    type F: Pod + Send + Sync;
    /// A vector of [`Self::LANES`] values of i32, or of four times as many bytes.
    type I: Pod + Send + Sync;
    /// As many values in half of the bytes, as bits of f16.
    type H: Pod + Send + Sync;
    /// Values in a vector.
    const LANES: usize;
    /// Vector registers of the processor.
    const REGISTERS: usize;

    /// A vector with the value in each lane.
    fn splat(self, value: f32) -> Self::F;
    /// Each lane, which must be finite, as an f32.
    fn widen(self, a: Self::H) -> Self::F;
    /// a + b.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// a − b.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a / b.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a · b + c, which may be rounded twice where the processor has no instruction for it.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a · b + c, rounded once on every instruction set.
    #[inline(always)]
    fn fused(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.fma(a, b, c)
    }
    /// The smaller of a and b; NaN where b is.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger of a and b; NaN where b is.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The bits that are set in both a and b.
    fn and(self, a: Self::F, b: Self::F) -> Self::F;
    /// The nearest whole number, for values below 2²².
    fn round(self, a: Self::F) -> Self::F;
    /// 2ⁿ for a whole n from −126 to 127.
    fn pow2(self, n: Self::F) -> Self::F;
    /// The sum of the lanes, always in the same order.
    fn sum(self, a: Self::F) -> f32;
    /// The lanes of a and b in turns, a₀ b₀ a₁ b₁ …: first those of the lower halves, then those of the upper ones.
    fn interleave(self, a: Self::F, b: Self::F) -> [Self::F; 2];
    /// The smallest of the lanes, none of which is NaN.
    fn least(self, a: Self::F) -> f32;
    /// The largest of the lanes, none of which is NaN.
    fn greatest(self, a: Self::F) -> f32;
    /// A vector with the value in each lane.
    fn splat_i32(self, value: i32) -> Self::I;
    /// Each lane as the nearest f32.
    fn to_f32(self, a: Self::I) -> Self::F;
    /// Stores the whole number from 0 to 255 that is nearest to each lane, the even one of two, as a byte with the bits
    /// of `flip` turned over.
    fn store_bytes(self, a: Self::F, flip: u8, bytes: &mut [u8]);
    /// Runs a kernel compiled for this instruction set.
    fn run<K: Kernel<Self>>(self, kernel: K);
    /// Runs a kernel compiled for this instruction set and for the dot products of bytes that the processor has.
    fn run_with_dots<K: DotKernel<Self>>(self, kernel: K);
    /// The bits of a signed byte that are turned over to make the activations of the processor's [`Dots::dot`].
    fn flipped_bits(self) -> u8;
}

/// Dot products of bytes.
pub(crate) trait Dots<S: Simd>: Copy {
    /// Adds to each lane of the sum the products of its four weights, signed bytes from −127 to 127, with the four
    /// activations, bytes with the bits of [`Simd::flipped_bits`] turned over: signed ones from −128 to 127 where these
    /// are none, and else unsigned ones, which are larger by 128. The activations are the same in all lanes.
    fn dot(self, sum: S::I, activations: S::I, weights: S::I) -> S::I;
}

/// A [`Kernel`] with dot products of bytes.
pub(crate) trait DotKernel<S: Simd> {
    fn run<D: Dots<S>>(self, simd: S, dots: D);
}

/// Lanes of the widest vectors: the side of the largest tile that [`transpose`] takes.
pub(crate) const MAX_LANES: usize = 16;

/// Transposes a tile of as many vectors as each has lanes.
#[inline(always)]
pub(crate) fn transpose<S: Simd>(simd: S, tile: &mut [S::F]) {
    let half = S::LANES / 2;
    let mut from = [simd.splat(0.0); MAX_LANES];
    from[..S::LANES].copy_from_slice(tile);
    let mut to = from;
    // Each round doubles the values of a column that lie side by side.
    let mut side_by_side = 1;
    while side_by_side < S::LANES {
        for index in 0..half {
            let [lower, upper] = simd.interleave(from[index], from[index + half]);
            (to[2 * index], to[2 * index + 1]) = (lower, upper);
        }
        from = to;
        side_by_side *= 2;
    }
    tile.copy_from_slice(&from[..S::LANES]);
}

/// A loop over vectors, with its arguments. Its `run`, and all that it calls, must be `#[inline(always)]`.
pub(crate) trait Kernel<S: Simd> {
    fn run(self, simd: S);
}
