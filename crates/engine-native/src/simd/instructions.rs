//! The macro that makes a [`Simd`](super::vector::Simd) of an instruction set's intrinsics.

/// Methods of `Simd` as expressions of an instruction set's intrinsics, and a `run` compiled for its features.
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

pub(super) use instructions;
