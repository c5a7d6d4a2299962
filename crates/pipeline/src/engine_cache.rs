//! The engine that a process keeps from rank to rank: a warm Lambda loads no model.

use std::{path::PathBuf, sync::Arc};

use astromae::{Engine, MAX_MODEL, Model};
use tokio::sync::Mutex;

use crate::{
    error::{Error, Result},
    plan::PlannedModel,
    storage::{ObjectReader, ObjectStore, StorageError},
};

/// Makes an engine, of the name that is the first argument, of a model.
pub type LoadEngine = dyn Fn(&str, Model) -> Result<Arc<dyn Engine>> + Send + Sync;

/// The engine of the last run.
pub struct EngineCache {
    packaged_model: PathBuf,
    load: Box<LoadEngine>,
    last: Mutex<Option<Loaded>>,
}

#[derive(Clone)]
struct Loaded {
    sha256: String,
    asked: String,
    engine: Arc<dyn Engine>,
}

impl EngineCache {
    /// `packaged_model` is the file that is used where the plan names no object.
    pub fn new(packaged_model: PathBuf, load: Box<LoadEngine>) -> Self {
        Self { packaged_model, load, last: Mutex::new(None) }
    }

    /// The engine of a planned model, as it was kept or newly made.
    pub(crate) async fn get(
        &self,
        store: &Arc<dyn ObjectStore>,
        planned: &PlannedModel,
        asked: &str,
    ) -> Result<Arc<dyn Engine>> {
        let mut last = self.last.lock().await;
        if let Some(loaded) = last.as_ref()
            && loaded.sha256 == planned.sha256
            && loaded.asked == asked
        {
            return Ok(Arc::clone(&loaded.engine));
        }
        // The old model goes before the new one comes: a rank never holds two.
        *last = None;
        let (location, model) = match &planned.object {
            Some(object) => {
                let location = store.location(&object.key);
                check_model_size(&location, object.size)?;
                let bytes = match ObjectReader::new(Arc::clone(store), object.clone()).read_all().await {
                    Err(error @ StorageError::Changed { .. }) => {
                        return Err(Error::BadModel { location, source: error.into() });
                    }
                    bytes => bytes?,
                };
                let model = Model::from_bytes(&location, bytes);
                (location, model)
            }
            None => (self.packaged_model.display().to_string(), Model::open(&self.packaged_model)),
        };
        let model = model.map_err(|error| Error::BadModel { location: location.clone(), source: error.into() })?;
        if model.sha256 != planned.sha256 {
            let reason = format!(
                "its SHA-256 is {}, the plan says {}: the functions were deployed with different models, or it changed meanwhile; deploy both again, or start a new execution",
                model.sha256, planned.sha256
            );
            return Err(Error::BadModel { location, source: reason.into() });
        }
        let engine = (self.load)(asked, model)?;
        *last = Some(Loaded { sha256: planned.sha256.clone(), asked: asked.to_owned(), engine: Arc::clone(&engine) });
        Ok(engine)
    }
}

/// Refuses a file that is too large for a model, before it is fetched.
pub(crate) fn check_model_size(location: &str, size: u64) -> Result<()> {
    match size {
        ..=MAX_MODEL => Ok(()),
        _ => {
            let reason = format!("it has {size} bytes, at most {MAX_MODEL} are read");
            Err(Error::BadModel { location: location.to_owned(), source: reason.into() })
        }
    }
}
