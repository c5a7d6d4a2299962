//! Reads and writes `torch.save` files without Python, and without executing anything; and reads `numpy.savez` files.
//!
//! A pickle is a program, and `torch.load` runs it: whoever can put a file into a bucket can run code in every
//! function that loads it. This reader is a machine for the opcodes that `torch.save` writes; it builds inert
//! [`Value`]s and calls nothing. Files are hostile until proved otherwise: a member, storage or tensor must lie within
//! the file before its bytes are read, what a pickle builds may take a limited number of bytes, a tensor's bytes are
//! checked against the archive's checksum where all of them are read, and each malformation is a [`FormatError`] of its
//! own.
//!
//! The crate reads byte ranges ([`RangeRead`]), so a few rows of a file of gigabytes in S3 cost a few small requests,
//! and memory for those rows.
//!
//! - [`TorchFile`]: the object of a file, as [`Value`]s.
//! - [`StoredTensor`]: one of its tensors, read whole or by rows.
//! - [`Checkpoint`]: a network's tensors and attributes, from a whole module or a state dict.
//! - [`DataSetWriter`]: data sets that `torch.load` reads.
#![warn(missing_docs)]

mod checkpoint;
mod checksum;
mod dtype;
mod edges;
mod error;
mod file;
mod legacy;
mod machine;
mod networks;
mod npy;
mod npz;
mod numpy;
mod other_files;
mod pickle;
mod pickler;
mod printable;
mod range;
mod rebuild;
mod stored;
mod strides;
mod tensor;
mod text_array;
mod value;
mod writer;
mod zip;
mod zip_writer;

pub use checkpoint::{Attribute, Checkpoint, without_wrappers};
pub use dtype::{DType, Element};
pub use error::{Error, FormatError, WriteError};
pub use file::{Format, TorchFile};
pub use pickler::{Entry, Form, Item};
pub use printable::{Printable, escaped};
pub use range::{InMemory, LocalFile, RangeRead};
pub use stored::StoredTensor;
pub use tensor::{StorageRef, TensorRef};
pub use value::Value;
pub use writer::DataSetWriter;
