//! The AstroMAE network: what it is, not how it is run.
//!
//! A galaxy's five-band image goes through a masked-autoencoder transformer (with a convolution branch in each block)
//! and through an inception network, its five magnitudes through a perceptron; the three are joined into one redshift.
//! [`Model`] reads a trained network from any of the forms it is published in, [`fold`] turns it into the fewest layers
//! that compute the same, and an [`Engine`] runs those. The forward pass, layer by layer, is in the docs of
//! [`fold::FoldedNetwork`].

#![warn(missing_docs)]

pub mod calibration;
pub mod config;
pub mod engine;
mod error;
pub mod fold;
mod model;
mod names;
mod safetensors_file;
mod selection;
pub mod weights;

pub use calibration::StoredCalibration;
pub use config::{Config, Hyperparameters};
pub use engine::{Engine, EngineError, Precision, UnknownPrecision};
pub use error::{Error, Result};
pub use model::{MAX_MODEL, MAX_SAFETENSORS_HEADER, Model, StoredPrecision};
