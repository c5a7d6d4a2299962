//! A model's calibration, between the crate that keeps it in the model's file and the one that knows what it means, and
//! its application to rows.

use std::sync::Arc;

use astromae::{Model, StoredCalibration, weights::Tensor};
use catalogue::{
    CatalogueRows, Flag,
    intervals::{Calibration, IntervalSums, LevelSet, QuantileColumns, StoredArray, StoredError},
};

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

/// What gives rows their quantiles.
#[derive(Debug, Clone)]
pub struct Intervals {
    pub calibration: Arc<Calibration>,
    /// The levels that the catalogue has.
    pub levels: LevelSet,
}

impl Intervals {
    /// Gives rows their quantiles and [`Flag::OutsideCalibration`], and counts those that have a spectroscopic
    /// redshift. `r` are their magnitudes in this band.
    pub(crate) fn apply(&self, rows: &mut CatalogueRows, r: &[f32], sums: &mut IntervalSums) {
        let mut columns = QuantileColumns::new(self.levels);
        for (row, r) in r.iter().enumerate() {
            let calibrated = rows.z_phot[row].map(|z_phot| self.calibration.quantiles(z_phot, *r));
            if let Some(calibrated) = &calibrated {
                if !calibrated.in_range {
                    rows.flags[row] |= Flag::OutsideCalibration.bit();
                }
                if let Some(z_spec) = rows.z_spec[row] {
                    sums.add(&calibrated.quantiles, z_spec);
                }
            }
            columns.push(calibrated.as_ref().map(|calibrated| &calibrated.quantiles));
        }
        rows.quantiles = Some(columns);
    }
}
