//! Chooses among the engines this binary was built with, so that every binary that predicts chooses alike.

use std::sync::Arc;

use astromae::{Engine, EngineError, Model};
use engine_tch::TchEngine;

/// Names of the engines that are built in; the first is the default.
pub const AVAILABLE: [&str; 1] = [engine_tch::NAME];

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is not one of those built in.
    #[error("there is no engine {asked:?}: built in are {}", AVAILABLE.join(", "))]
    Unknown {
        /// The name.
        asked: String,
    },
    /// The engine could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Makes an engine of a model: the one of that name, or the default. `threads` is the number of cores where absent.
///
/// # Errors
/// [`Error`].
pub fn load(name: Option<&str>, model: &Model, threads: Option<usize>) -> Result<Arc<dyn Engine>, Error> {
    match name.unwrap_or(AVAILABLE[0]) {
        engine_tch::NAME => Ok(Arc::new(TchEngine::new(model, threads)?)),
        asked => Err(Error::Unknown { asked: asked.to_owned() }),
    }
}
