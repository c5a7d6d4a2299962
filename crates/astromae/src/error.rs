//! Why a model cannot be used: one variant per cause, each with the name of the file or the tensor.

use torch_file::Printable;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened or read.
    #[error("failed to read {file}: {source}")]
    Read {
        /// Path of the file.
        file: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is larger than [`MAX_MODEL`](crate::MAX_MODEL).
    #[error("{file} has {size} bytes, and a model has at most {limit}")]
    TooLarge {
        /// Path or key of the file.
        file: String,
        /// Bytes of the file.
        size: u64,
        /// The most bytes that are read.
        limit: u64,
    },
    /// The bytes are not what `torch.save` writes, or not a network.
    #[error(transparent)]
    Torch(#[from] torch_file::FormatError),
    /// The bytes are not a safetensors file, or could not be made into one.
    #[error("{file} is not a safetensors file: {source}")]
    Safetensors {
        /// Path or key of the file.
        file: String,
        /// What is wrong with its header or its tensors.
        source: safetensors::SafeTensorError,
    },
    /// The file's metadata are not what [`Model::to_safetensors`](crate::Model::to_safetensors) writes.
    #[error("{file}: its metadata have no usable `astromae` entry ({reason}): make the file with `cosmic convert`")]
    Metadata {
        /// Path or key of the file.
        file: String,
        /// What is wrong with the entry.
        reason: String,
    },
    /// The file's calibration is not what [`Model::to_safetensors`](crate::Model::to_safetensors) writes.
    #[error(
        "{file}: its calibration cannot be used ({reason}): run `cosmic calibrate` again, on the model that it was made of"
    )]
    Calibration {
        /// Path or key of the file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A state dict does not hold the [`Hyperparameters`](crate::Hyperparameters), and none were given.
    #[error(
        "{file} does not say {what}, which no tensor's shape gives away: use the whole-module checkpoint, or run \
         `cosmic convert` with --num-heads, --layer-norm-eps and --batch-norm-eps"
    )]
    Hyperparameters {
        /// Path or key of the file.
        file: String,
        /// The hyperparameter that is not known, in words.
        what: String,
    },
    /// A hyperparameter was given that is not the one in the file.
    #[error("{file} says that {what} is {found}, and not {given} as given: leave the options out")]
    Contradicted {
        /// Path or key of the file.
        file: String,
        /// The hyperparameter, in words.
        what: String,
        /// What the file says.
        found: f64,
        /// What was given.
        given: f64,
    },
    /// Dimensions or attributes that no AstroMAE network has.
    #[error("this is no AstroMAE network: {reason}")]
    Config {
        /// Which dimension or attribute, and what it should be.
        reason: String,
    },
    /// A tensor that every such network has is not there.
    #[error("this is no AstroMAE network: tensor {} is missing", Printable(name))]
    Missing {
        /// Name of the tensor.
        name: String,
    },
    /// Tensors that no such network has.
    #[error("this is no AstroMAE network: tensor {} has no place in it{others}", Printable(name))]
    Unexpected {
        /// Name of the first tensor.
        name: String,
        /// The end of a sentence on the other ones, which may be empty.
        others: String,
    },
    /// A tensor's shape or type contradicts that of the others.
    #[error("this is no AstroMAE network: tensor {} has shape {found:?}, expected {expected}", Printable(name))]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the other tensors ask for, or the types that are read.
        expected: String,
    },
    /// The variance that a batch norm has seen is below 0.
    #[error("tensor {} holds a variance below 0: the file is damaged", Printable(name))]
    NegativeVariance {
        /// Name of the tensor.
        name: String,
    },
    /// The tensors claim more bytes than the file has, as expanded ones do.
    #[error(
        "{file}: its tensors have {claimed} bytes, which it does not hold: save them with `.contiguous()`, as \
         `torch.save({{name: tensor.contiguous() for name, tensor in model.state_dict().items()}}, path)`"
    )]
    Expanded {
        /// Path or key of the file.
        file: String,
        /// Bytes of all tensors.
        claimed: u64,
    },
    /// A tensor holds NaN or infinity.
    #[error(
        "tensor {} holds a value that is not finite: the training has diverged, or the file is damaged",
        Printable(name)
    )]
    NotFinite {
        /// Name of the tensor.
        name: String,
    },
}

/// A result whose error is [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
