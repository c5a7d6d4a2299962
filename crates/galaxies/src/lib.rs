//! What a data set of galaxies is, and how its rows are read from and written to files of `torch.save`, or read
//! from those of `numpy.savez`.
//!
//! | tensor | shape | |
//! | --- | --- | --- |
//! | images | `[n, 5, 32, 32]` | flux in the bands u, g, r, i, z of SDSS, in the pixel scaling that the network was trained with |
//! | magnitudes | `[n, 5]` | of the same bands |
//! | redshifts | `[n]` or `[n, 1]` | spectroscopic, and optional, or `None`: NaN or infinite where the redshift of a galaxy is not known |
//!
//! The tensors come as a `TensorDataset`, tuple or list in this order, or as a dictionary under these names. Each may
//! be of any floating-point type, and a NumPy array instead. Whatever else has a value for each galaxy, such as an
//! identifier, is a [`Column`] of the data set's own. What a file is, as bytes, is the business of [`torch_file`].
#![warn(missing_docs)]

mod advice;
mod column;
mod dataset;
mod error;
mod format;
mod writer;

pub use column::{Column, ColumnType, ColumnValues, is_a_catalogues};
pub use dataset::{Dataset, Galaxies};
pub use error::Error;
pub use format::{BANDS, PIXELS, SIDE};
pub use torch_file::{DType, Item, WriteError};
pub use writer::{DatasetWriter, Layout, Redshifts};
