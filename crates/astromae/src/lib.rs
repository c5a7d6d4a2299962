//! The AstroMAE network: what it is, not how it is run.
//!
//! A galaxy's five-band image goes through a masked-autoencoder transformer (with a convolution branch in each block)
//! and through an inception network, its five magnitudes through a perceptron; the three are joined into one redshift.
//! [`Model`] reads a trained network from any of the forms it is met in, [`fold`] turns it into the fewest layers that
//! compute the same, and an [`Engine`] runs those. The forward pass, layer by layer, is in the docs of [`fold::Network`].

pub mod config;
pub mod engine;
pub mod fold;
mod model;
pub mod weights;

pub use config::{Config, Hyperparameters};
pub use engine::{Engine, EngineError};
pub use model::{Model, Precision};

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read as torch.save wrote it.
    #[error(transparent)]
    Torch(#[from] torch_file::Error),
    /// The file could not be read as safetensors.
    #[error("{file} is not a safetensors file: {source}")]
    Safetensors {
        /// The file.
        file: String,
        /// What is wrong.
        source: safetensors::SafeTensorError,
    },
    /// The file's metadata are not what [`Model::to_safetensors`] writes.
    #[error("{file}: its metadata have no usable `astromae` entry ({reason}): make the file with `cosmic convert`")]
    Metadata {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A state dict does not say all that is needed.
    #[error(
        "{file} does not say {what}, which no tensor's shape gives away: use the whole-module checkpoint, or run \
         `cosmic convert` with --num-heads, --layer-norm-eps and --batch-norm-eps"
    )]
    Hyperparameters {
        /// The file.
        file: String,
        /// What is not known.
        what: String,
    },
    /// A dimension that cannot be.
    #[error("this is no AstroMAE network: {reason}")]
    Config {
        /// What is wrong.
        reason: String,
    },
    /// A tensor is not there.
    #[error("this is no AstroMAE network: tensor {name} is missing")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor that the network does not have.
    #[error("this is no AstroMAE network: tensor {name} has no place in it")]
    Unexpected {
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the others ask for.
    #[error("this is no AstroMAE network: tensor {name} has shape {found:?}, expected {expected}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What was expected.
        expected: String,
    },
    /// A tensor holds NaN or infinity.
    #[error("tensor {name} holds a value that is not finite: the training has diverged, or the file is damaged")]
    NotFinite {
        /// The tensor.
        name: String,
    },
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
