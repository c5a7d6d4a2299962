//! The model that a process keeps from rank to rank, as an engine and its calibration: a warm Lambda loads none.

use std::{path::PathBuf, sync::Arc};

use astromae::{Engine, MAX_MODEL, Model, Precision};
use catalogue::intervals::Calibration;
use tokio::sync::Mutex;

use crate::{
    calibration::calibration_of,
    error::{Error, Result},
    plan::PlannedModel,
    storage::{ObjectReader, ObjectStore, StorageError},
};

/// Makes an engine, of the name that is the first argument, of a model, that computes in a precision.
pub type LoadEngine = dyn Fn(&str, Model, Precision) -> Result<Arc<dyn Engine>> + Send + Sync;

/// The engine of the last run.
pub struct EngineCache {
    packaged_model: PathBuf,
    load: Box<LoadEngine>,
    last: Mutex<Option<Loaded>>,
}

struct Loaded {
    sha256: String,
    /// The engine by its name.
    name: String,
    precision: Precision,
    ready: Ready,
}

/// A model that is ready to predict.
#[derive(Clone)]
pub(crate) struct Ready {
    /// Whether it is the first that this process has loaded, for this rank.
    pub(crate) first_of_process: bool,
    pub(crate) engine: Arc<dyn Engine>,
    /// How sure its redshifts are, if it was calibrated.
    pub(crate) calibration: Option<Arc<Calibration>>,
}

impl EngineCache {
    /// `packaged_model` is the file that is used where the plan names no object.
    pub fn new(packaged_model: PathBuf, load: Box<LoadEngine>) -> Self {
        Self { packaged_model, load, last: Mutex::new(None) }
    }

    /// Whether the model is there that ranks use whose plan names no object.
    ///
    /// # Errors
    /// [`Error::BadModel`] where it is not: the function's zip is not one of scripts/package.sh.
    pub fn check_packaged_model(&self) -> Result<()> {
        if self.packaged_model.is_file() {
            return Ok(());
        }
        let reason = "the function was deployed without its model: run scripts/package.sh, then scripts/deploy.sh, or name a \
                      model of the bucket in the payload's `model`";
        Err(Error::BadModel { location: self.packaged_model.display().to_string(), source: reason.into() })
    }

    /// A planned model, as it was kept or newly loaded.
    pub(crate) async fn get(
        &self,
        store: &Arc<dyn ObjectStore>,
        planned: &PlannedModel,
        name: &str,
        precision: Precision,
    ) -> Result<Ready> {
        let mut last = self.last.lock().await;
        if let Some(loaded) = last.as_ref()
            && loaded.sha256 == planned.sha256
            && loaded.name == name
            && loaded.precision == precision
        {
            return Ok(Ready { first_of_process: false, ..loaded.ready.clone() });
        }
        let first_of_process = last.is_none();
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
            None => {
                self.check_packaged_model()?;
                (self.packaged_model.display().to_string(), Model::open(&self.packaged_model))
            }
        };
        let model = model.map_err(|error| Error::BadModel { location: location.clone(), source: error.into() })?;
        if model.sha256 != planned.sha256 {
            let reason = format!(
                "its SHA-256 is {}, the plan says {}: the functions were deployed with different models, or it changed meanwhile; deploy both again, or start a new execution",
                model.sha256, planned.sha256
            );
            return Err(Error::BadModel { location, source: reason.into() });
        }
        let calibration =
            calibration_of(&model).map_err(|error| Error::BadModel { location, source: error.into() })?.map(Arc::new);
        let ready = Ready { first_of_process, engine: (self.load)(name, model, precision)?, calibration };
        *last = Some(Loaded { sha256: planned.sha256.clone(), name: name.to_owned(), precision, ready: ready.clone() });
        Ok(ready)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::explain;

    #[test]
    fn a_function_that_was_deployed_without_its_model_says_how_to_package_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let engines = EngineCache::new(path.clone(), Box::new(|_, _, _| unreachable!("there is no model to load")));
        let error = engines.check_packaged_model().unwrap_err();
        assert_eq!(error.name(), "BadModel");
        let said = explain(&error);
        assert!(said.contains("model.safetensors") && said.contains("run scripts/package.sh"), "{said}");
        std::fs::write(path, "a model").unwrap();
        assert!(engines.check_packaged_model().is_ok());
    }
}
