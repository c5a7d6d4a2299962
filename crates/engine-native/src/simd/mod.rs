//! Vectors of f32 on each instruction set, behind one trait, so that a kernel is written once.
//!
//! [`InstructionSet::dispatch`] gives [`Dispatch::with_simd`] the [`Simd`] of an instruction set, and [`Simd::run`]
//! runs a [`Kernel`] that is compiled for it.
//!
//! All `unsafe` of this crate is in this folder, and of two kinds. A value of an instruction set's type ([`Simd`])
//! exists only where the processor was found to have it, so its methods may use its instructions. And [`Simd::run`]
//! calls a kernel through a function compiled for that instruction set: kernels and what they call are
//! `#[inline(always)]`, so that they become part of that function.
//!
//! Dot products of bytes ([`Dots`]) are instructions of their own, which a processor with the rest of an instruction set
//! may lack: [`Simd::run_with_dots`] compiles a [`DotKernel`] with them and without, and all ways give the same sums. What
//! proves that the processor has them is made in `run_with_dots` alone, of an instruction set's value that says so. NEON's
//! are inline assembly, because their intrinsics are not stable.
//!
//! Every method gives the same bits wherever and whenever it is called on one machine. Between machines with other
//! instruction sets, sums are in another order and a multiply–add may round twice.

#![expect(unsafe_code, reason = "the one place of this crate where it is needed")]

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod dispatch;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod instructions;
mod portable;
#[cfg(test)]
mod tests;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use dispatch::Dispatch;
pub use dispatch::InstructionSet;
pub(crate) use vector::{DotKernel, Dots, Kernel, MAX_LANES, Simd, transpose};
