//! A model's calibration, between the crate that keeps it in the model's file and the one that knows what it means.

use astromae::{Model, StoredCalibration, weights::Tensor};
use catalogue::intervals::{Calibration, StoredArray, StoredError};

/// Reads the calibration that a model has, if it has one.
///
/// # Errors
/// [`StoredError`] says what is wrong with it.
pub fn calibration_of(model: &Model) -> Result<Option<Calibration>, StoredError> {
    let Some(StoredCalibration { tensors, description }) = &model.calibration else { return Ok(None) };
    let array = |tensor: &Tensor| StoredArray { shape: tensor.shape.clone(), values: tensor.data.clone() };
    let arrays = tensors.iter().map(|(name, tensor)| (name.clone(), array(tensor))).collect();
    Calibration::from_stored(&arrays, description).map(Some)
}

/// A calibration in the form that a model's file keeps.
pub fn to_stored(calibration: &Calibration) -> StoredCalibration {
    let (arrays, description) = calibration.to_stored();
    let tensors = arrays.into_iter().map(|(name, array)| (name, Tensor { shape: array.shape, data: array.values }));
    StoredCalibration { tensors: tensors.collect(), description }
}
