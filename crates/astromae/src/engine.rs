//! The trait that every backend implements, and the check of its input that they share.

pub use galaxies::{BANDS, PIXELS, SIDE};

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
