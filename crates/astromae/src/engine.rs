//! The trait that every backend implements, and the check of its input that they share.

use std::{fmt, str::FromStr};

pub use galaxies::{BANDS, PIXELS, SIDE};
use serde::{Deserialize, Serialize};

/// The numbers that an engine multiplies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// All layers in f32.
    #[default]
    F32,
    /// The linear layers of the transformer's blocks but the first in int8, with a scale for each output of their
    /// weights, found when the model is loaded, and one for each token of their input, found as it comes. Their sums are
    /// exact, and all else is as in [`Self::F32`]. Redshifts move by some 10⁻⁴.
    Int8,
}

impl Precision {
    /// Its name in payloads, arguments and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no [`Precision`] has.
#[derive(Debug, Clone, thiserror::Error)]
#[error("there is no precision {0:?}: it is f32 or int8")]
pub struct UnknownPrecision(String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, UnknownPrecision> {
        [Self::F32, Self::Int8]
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| UnknownPrecision(name.to_owned()))
    }
}

/// Runs the network. One engine serves any number of threads, and uses the cores it was given by itself.
pub trait Engine: Send + Sync {
    /// The short name that `--engine` and the payload choose it by.
    fn name(&self) -> &'static str;

    /// Name, version and number of threads, for results that say what made them.
    fn description(&self) -> String;

    /// Predicts the redshifts of n galaxies, in order, from images `[n, 5, 32, 32]` and magnitudes `[n, 5]`, both
    /// row-major. A galaxy's redshift does not depend on the others of the call. Where its input is NaN or infinite,
    /// so may be its redshift.
    ///
    /// # Errors
    /// [`EngineError`]; never because of particular values of the input.
    fn predict(&self, images: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError>;

    /// How many calls of [`Self::predict`] at once, from as many threads, get the most galaxies through where each is of
    /// so many galaxies.
    fn calls_at_once(&self, _galaxies: usize) -> usize {
        1
    }
}

/// Why an engine could not be made, or predicted nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// Images and magnitudes are not of the same number of galaxies.
    #[error("{images} pixels and {magnitudes} magnitudes are not the same number of galaxies")]
    Input {
        /// Values in `images`.
        images: usize,
        /// Values in `magnitudes`.
        magnitudes: usize,
    },
    /// The backend failed.
    #[error("{engine}: {reason}")]
    Backend {
        /// [`Engine::name`] of the backend.
        engine: &'static str,
        /// What it said.
        reason: String,
    },
}

/// Checks that the two inputs of [`Engine::predict`] hold the same number of whole galaxies, and returns that number.
///
/// # Errors
/// [`EngineError::Input`] where they do not.
pub fn validate_batch(images: &[f32], magnitudes: &[f32]) -> Result<usize, EngineError> {
    let count = magnitudes.len() / BANDS;
    if magnitudes.len() == count * BANDS && images.len() == count * PIXELS {
        Ok(count)
    } else {
        Err(EngineError::Input { images: images.len(), magnitudes: magnitudes.len() })
    }
}
