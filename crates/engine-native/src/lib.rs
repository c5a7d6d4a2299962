//! The [`Engine`](astromae::Engine) in Rust alone: no libtorch, and the processor's vectors used as far as they go.
//!
//! - Linear layers, which are most of the arithmetic, keep a tile of their result in registers. Their weights are
//!   packed, when the model is loaded, in the order they are used in (`linear`); activation and residual are done while
//!   the tile is still in the nearest cache (`epilogue`, `activation`).
//! - Asked for int8, most of them multiply bytes (`int8`, `token_linear`).
//! - The last layers read most of the weights, and keep them in f16 where that holds them exactly (`linear`).
//! - Convolutions, whose maps and channels are too small to fill vectors, have a galaxy in each lane, or, where there are
//!   few, a row of some galaxies or the pixels of one (`conv`).
//! - Attention among 17 tokens never leaves the nearest cache (`attention`).
//! - Each core works on micro-batches of its own, whose activations stay in its cache, and allocates nothing meanwhile;
//!   of few galaxies, all cores share the work (`network`).
//!
//! Kernels are written once, for vectors of any width (`simd`).
//!
//! A galaxy's redshift is the same to the last bit for any batch size, number of threads and place in the batch,
//! because each sum is in the order of its own terms, whatever is computed beside it.

mod activation;
mod attention;
mod conv;
mod conv_branch;
#[cfg(test)]
mod elementwise_tests;
mod engine;
mod epilogue;
mod galaxy_conv;
mod inception;
mod int8;
mod linear;
mod math;
mod network;
mod packed_conv;
mod pixel_conv;
pub mod profile;
mod row_conv;
mod simd;
mod tiles;
mod token_linear;
mod transformer;

pub use engine::{NAME, NativeEngine};
pub use simd::InstructionSet;
