//! Chooses among the engines this binary was built with, so that every binary that predicts chooses alike.
//!
//! Which ones those are, its features say: `native` and `tch`.

use std::sync::Arc;

use astromae::{Engine, EngineError, Model};

/// Names of the engines that are built in; the first is the default.
pub const AVAILABLE: &[&str] = &[
    #[cfg(feature = "native")]
    engine_native::NAME,
    #[cfg(feature = "tch")]
    engine_tch::NAME,
];

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is not one of those built in.
    #[error("there is no engine {asked:?} in this build, which has {}: see \"Engines\" in the README", built_in())]
    Unknown {
        /// The name.
        asked: String,
    },
    /// The engine could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn built_in() -> String {
    if AVAILABLE.is_empty() { "none".to_owned() } else { AVAILABLE.join(", ") }
}

/// Makes an engine of a model: the one of that name, or the default. `threads` is the number of cores where absent.
///
/// # Errors
/// [`Error`].
#[cfg_attr(not(any(feature = "native", feature = "tch")), expect(unused_variables, reason = "no engine takes them"))]
pub fn load(name: Option<&str>, model: Model, threads: Option<usize>) -> Result<Arc<dyn Engine>, Error> {
    let asked = name.or(AVAILABLE.first().copied()).unwrap_or("");
    match asked {
        #[cfg(feature = "native")]
        engine_native::NAME => Ok(Arc::new(engine_native::NativeEngine::new(model, threads)?)),
        #[cfg(feature = "tch")]
        engine_tch::NAME => Ok(Arc::new(engine_tch::TchEngine::new(model, threads)?)),
        _ => Err(Error::Unknown { asked: asked.to_owned() }),
    }
}
