//! Chooses among the engines that a binary was built with, which are the features `native` and `tch` of this crate, so
//! that every binary that predicts chooses alike.

use std::sync::Arc;

use astromae::{Engine, EngineError, Model, Precision};

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
    /// The name is none of [`AVAILABLE`].
    #[error("there is no engine {asked:?} in this build, which has {}: see \"Engines\" in the README", built_in())]
    Unknown { asked: String },
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
/// [`Error`]; [`Error::Engine`] too where the engine does not compute in that precision.
#[cfg_attr(not(any(feature = "native", feature = "tch")), expect(unused_variables, reason = "no engine takes them"))]
pub fn load(
    name: Option<&str>,
    model: Model,
    threads: Option<usize>,
    precision: Precision,
) -> Result<Arc<dyn Engine>, Error> {
    let asked = name.or(AVAILABLE.first().copied()).unwrap_or("");
    match asked {
        #[cfg(feature = "native")]
        engine_native::NAME => Ok(Arc::new(engine_native::NativeEngine::new(model, threads, precision)?)),
        #[cfg(feature = "tch")]
        engine_tch::NAME => Ok(Arc::new(engine_tch::TchEngine::new(model, threads, precision)?)),
        _ => Err(Error::Unknown { asked: asked.to_owned() }),
    }
}
