//! Reads and writes `torch.save` files without Python, and without executing anything.
//!
//! A pickle is a program, and `torch.load` runs it: whoever can put a file into a bucket can run code in every
//! function that loads it. This reader is a machine for the opcodes that `torch.save` writes; it builds inert
//! [`Value`]s and calls nothing. Files are hostile until proved otherwise: sizes, offsets, strides and nesting are
//! checked before anything is allocated, and each malformation is an [`Error`] of its own.
//!
//! It reads byte ranges ([`RangeRead`]), so a few rows of a file of gigabytes in S3 cost a few small requests, and
//! memory for those rows.
//!
//! - [`Dataset`]: images, magnitudes and redshifts, by rows.
//! - [`Checkpoint`]: a network's tensors and attributes, from a whole module or a state dict.
//! - [`TorchFile`]: anything else.
//! - [`DatasetWriter`]: data sets that `torch.load` reads.

mod checkpoint;
mod dataset;
mod error;
mod file;
mod legacy;
mod pickle;
mod range;
mod tensor;
mod value;
mod writer;
mod zip;

pub use checkpoint::{Attribute, Checkpoint};
pub use dataset::{BANDS, Dataset, Rows, SIDE};
pub use error::{Error, Result};
pub use file::{Format, TorchFile};
pub use range::{InMemory, LocalFile, RangeRead};
pub use tensor::{DType, Element, StorageRef, TensorRef};
pub use value::Value;
pub use writer::{DatasetWriter, Redshifts};
