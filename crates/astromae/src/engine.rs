//! What every backend implements.

/// Runs the network. One engine serves any number of threads, and uses the cores it was given by itself.
pub trait Engine: Send + Sync {
    /// Short name, as `--engine` and the payload have it.
    fn name(&self) -> &'static str;

    /// Name, version and threads, for results that say what made them.
    fn description(&self) -> String;

    /// Redshifts of n galaxies, in order, from images `[n, 5, 32, 32]` and magnitudes `[n, 5]`, row-major.
    ///
    /// A galaxy's redshift does not depend on the others of the call.
    ///
    /// # Errors
    /// [`EngineError`]; never for particular values of the input, which come out as they come out.
    fn predict(&self, images: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError>;
}

/// Why an engine could not be made, or gave no redshifts.
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
        /// The engine's name.
        engine: &'static str,
        /// What it said.
        reason: String,
    },
}

/// Pixels along a side of an image.
pub const SIDE: usize = torch_file::SIDE as usize;
/// Values of a galaxy's image.
pub const PIXELS: usize = BANDS * SIDE * SIDE;
/// Values of a galaxy's magnitudes.
pub const BANDS: usize = torch_file::BANDS as usize;

/// The number of galaxies in a call of [`Engine::predict`].
///
/// # Errors
/// [`EngineError::Input`] where the two lengths do not fit each other.
pub fn galaxies(images: &[f32], magnitudes: &[f32]) -> Result<usize, EngineError> {
    let count = magnitudes.len() / BANDS;
    if magnitudes.len() == count * BANDS && images.len() == count * PIXELS {
        Ok(count)
    } else {
        Err(EngineError::Input { images: images.len(), magnitudes: magnitudes.len() })
    }
}
