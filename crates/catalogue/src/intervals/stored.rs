//! A calibration as it is stored in a model's file: three named arrays of f32, and a text of JSON beside them.
//!
//! | array | shape | |
//! | --- | --- | --- |
//! | `calibration.z_edges` | `[columns + 1]` | edges in z_phot |
//! | `calibration.r_edges` | `[columns, rows + 1]` | edges in r of each column's cells |
//! | `calibration.quantiles` | `[columns, rows, levels]` | quantiles of δ |
//!
//! A model's file comes from anywhere, so nothing of it is believed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    calibration::{Calibration, MadeOf},
    levels::{COUNT, LEVELS},
};
use crate::plausible::{MAGNITUDES, REDSHIFTS};

const Z_EDGES: &str = "calibration.z_edges";
const R_EDGES: &str = "calibration.r_edges";
const QUANTILES: &str = "calibration.quantiles";

/// The most columns, and cells of each, that are read.
const MOST: usize = 100;

/// The longest description that is read, in bytes.
const LONGEST_DESCRIPTION: usize = 64 << 10;

/// The greatest δ that can be: of redshifts from −0.05 to 20, it is at most 20.05/0.95.
const GREATEST_ERROR: f32 = 22.0;

/// An array of a calibration, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredArray {
    /// The size of each dimension, outermost first.
    pub shape: Vec<usize>,
    /// As many values as the product of the shape.
    pub values: Vec<f32>,
}

/// What is wrong with a stored calibration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum StoredError {
    #[error("the calibration lacks its array `{0}`")]
    Missing(&'static str),
    #[error("the calibration has an array `{0}` that this version of Cosmic does not know")]
    Unknown(String),
    #[error("`{name}` has the shape {found:?} instead of {expected}")]
    Shape { name: &'static str, found: Vec<usize>, expected: String },
    #[error("`{name}` has {found} values, which its shape does not")]
    Length { name: &'static str, found: usize },
    #[error("`{name}` has the value {value}, which is no {what}")]
    Value { name: &'static str, value: f32, what: &'static str },
    #[error("`{name}` must not decrease: {after} follows {before}")]
    Decreasing { name: &'static str, before: f32, after: f32 },
    #[error("the calibration's description cannot be read: {0}")]
    Description(String),
    #[error("the calibration is for other levels than this version's: {0:?}")]
    Levels(Vec<f64>),
}

/// The text beside the arrays.
#[derive(Serialize, Deserialize)]
struct Description {
    #[serde(flatten)]
    made_of: MadeOf,
    levels: Vec<f64>,
}

impl Calibration {
    /// The calibration's arrays by name, and its description as JSON.
    pub fn to_stored(&self) -> (BTreeMap<String, StoredArray>, String) {
        let (columns, rows) = self.shape();
        let flat = |nested: &[Vec<f32>]| nested.concat();
        let arrays = [
            (Z_EDGES, vec![columns + 1], self.z_edges.clone()),
            (R_EDGES, vec![columns, rows + 1], flat(&self.r_edges)),
            (QUANTILES, vec![columns, rows, COUNT], self.errors.iter().flatten().flatten().copied().collect()),
        ];
        let arrays = arrays.map(|(name, shape, values)| (name.to_owned(), StoredArray { shape, values }));
        let description = Description { made_of: self.made_of.clone(), levels: LEVELS.to_vec() };
        // Texts and finite numbers under names that are texts have a form in JSON.
        (arrays.into(), serde_json::to_string(&description).unwrap_or_default())
    }

    /// Reads a calibration back.
    ///
    /// # Errors
    /// [`StoredError`] where it is not whole, or not as [`Calibration::fit`] makes them.
    pub fn from_stored(arrays: &BTreeMap<String, StoredArray>, description: &str) -> Result<Self, StoredError> {
        if let Some(unknown) = arrays.keys().find(|name| ![Z_EDGES, R_EDGES, QUANTILES].contains(&name.as_str())) {
            return Err(StoredError::Unknown(unknown.clone()));
        }
        if description.len() > LONGEST_DESCRIPTION {
            return Err(StoredError::Description(format!("it is {} bytes long", description.len())));
        }
        let description: Description =
            serde_json::from_str(description).map_err(|error| StoredError::Description(error.to_string()))?;
        if description.levels != LEVELS {
            return Err(StoredError::Levels(description.levels));
        }
        let array = |name: &'static str| arrays.get(name).ok_or(StoredError::Missing(name));
        let (z_edges, r_edges, quantiles) = (array(Z_EDGES)?, array(R_EDGES)?, array(QUANTILES)?);
        let [columns, rows, COUNT] = quantiles.shape[..] else {
            return Err(wrong_shape(QUANTILES, quantiles, format!("[columns, rows, {COUNT}]")));
        };
        if !(1..=MOST).contains(&columns) || !(1..=MOST).contains(&rows) {
            return Err(wrong_shape(QUANTILES, quantiles, format!("1 to {MOST} columns and rows")));
        }
        for (name, array, shape) in [
            (Z_EDGES, z_edges, vec![columns + 1]),
            (R_EDGES, r_edges, vec![columns, rows + 1]),
            (QUANTILES, quantiles, vec![columns, rows, COUNT]),
        ] {
            if array.shape != shape {
                return Err(wrong_shape(name, array, format!("{shape:?}")));
            }
            if array.values.len() != shape.iter().product::<usize>() {
                return Err(StoredError::Length { name, found: array.values.len() });
            }
        }
        for (name, array, range, what) in [
            (Z_EDGES, z_edges, REDSHIFTS, "redshift"),
            (R_EDGES, r_edges, MAGNITUDES, "magnitude"),
            (QUANTILES, quantiles, -GREATEST_ERROR..=GREATEST_ERROR, "error of a redshift"),
        ] {
            if let Some(value) = array.values.iter().copied().find(|value| !range.contains(value)) {
                return Err(StoredError::Value { name, value, what });
            }
            let row = array.shape.last().copied().unwrap_or(1);
            for pair in array.values.chunks(row).flat_map(|row| row.windows(2)) {
                if pair[0] > pair[1] {
                    return Err(StoredError::Decreasing { name, before: pair[0], after: pair[1] });
                }
            }
        }
        let cells: Vec<[f32; COUNT]> = quantiles.values.as_chunks().0.to_vec();
        Ok(Self {
            made_of: description.made_of,
            z_edges: z_edges.values.clone(),
            r_edges: r_edges.values.chunks(rows + 1).map(<[f32]>::to_vec).collect(),
            errors: cells.chunks(rows).map(<[_]>::to_vec).collect(),
        })
    }
}

fn wrong_shape(name: &'static str, array: &StoredArray, expected: String) -> StoredError {
    StoredError::Shape { name, found: array.shape.clone(), expected }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calibration() -> Calibration {
        Calibration {
            made_of: MadeOf {
                sample: "sky.pt".into(),
                galaxies: 1600,
                note: Some("seed 404".into()),
                model_sha256: "ab".into(),
                precision: "int8".into(),
                version: "1".into(),
            },
            z_edges: vec![0.0, 0.5, 1.0],
            r_edges: vec![vec![14.0, 17.0, 18.0], vec![16.0, 19.0, 20.0]],
            errors: vec![vec![LEVELS.map(|level| level as f32); 2], vec![LEVELS.map(|level| level as f32 - 0.5); 2]],
        }
    }

    #[test]
    fn a_calibration_comes_back_as_it_was_stored() {
        let (arrays, description) = calibration().to_stored();
        assert_eq!(Calibration::from_stored(&arrays, &description).unwrap(), calibration());
        let shapes: Vec<_> = arrays.iter().map(|(name, array)| (name.as_str(), array.shape.as_slice())).collect();
        assert_eq!(shapes, [(QUANTILES, &[2, 2, 23][..]), (R_EDGES, &[2, 3]), (Z_EDGES, &[3])]);
        assert!(description.contains(r#""sample":"sky.pt","galaxies":1600,"note":"seed 404""#), "{description}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        type Arrays = BTreeMap<String, StoredArray>;
        type Change = fn(&mut Arrays, &mut String);
        let changes: [(Change, &str); 12] = [
            (|arrays, _| drop(arrays.remove(R_EDGES)), "lacks its array `calibration.r_edges`"),
            (|arrays, _| drop(arrays.insert("calibration.more".into(), arrays[R_EDGES].clone())), "`calibration.more`"),
            (|_, text| *text = "{".into(), "description cannot be read"),
            (|_, text| *text = " ".repeat(1 << 20), "1048576 bytes long"),
            (|_, text| *text = text.replace("0.0228", "0.0227"), "other levels"),
            (|arrays, _| arrays.get_mut(QUANTILES).unwrap().shape[2] = 22, "[columns, rows, 23]"),
            (|arrays, _| arrays.get_mut(QUANTILES).unwrap().shape[0] = 0, "1 to 100"),
            (|arrays, _| arrays.get_mut(QUANTILES).unwrap().shape[0] = usize::MAX, "1 to 100"),
            (|arrays, _| arrays.get_mut(Z_EDGES).unwrap().values.truncate(2), "has 2 values"),
            (|arrays, _| arrays.get_mut(Z_EDGES).unwrap().values[1] = 2.0, "must not decrease: 1 follows 2"),
            (|arrays, _| arrays.get_mut(QUANTILES).unwrap().values[30] = f32::NAN, "NaN, which is no error"),
            (|arrays, _| arrays.get_mut(R_EDGES).unwrap().values[5] = 1e20, "is no magnitude"),
        ];
        for (change, expected) in changes {
            let (mut arrays, mut description) = calibration().to_stored();
            change(&mut arrays, &mut description);
            let said = Calibration::from_stored(&arrays, &description).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }

    proptest! {
        /// One place of a good table is overwritten with anything: it is refused, or gives finite quantiles in order.
        #[test]
        fn no_table_panics_or_gives_what_is_no_redshift(
            array in 0_usize..3, place in any::<prop::sample::Index>(), value in any::<u32>(), z in -0.05_f32..20.0, r in -5.0_f32..50.0,
        ) {
            let (mut arrays, description) = calibration().to_stored();
            let values = &mut arrays.get_mut([Z_EDGES, R_EDGES, QUANTILES][array]).unwrap().values;
            let place = place.index(values.len());
            values[place] = f32::from_bits(value);
            if let Ok(calibration) = Calibration::from_stored(&arrays, &description) {
                let quantiles = calibration.quantiles(z, r).quantiles;
                prop_assert!(quantiles.all().iter().all(|z| z.is_finite()));
                prop_assert!(quantiles.all().is_sorted());
            }
        }

        #[test]
        fn no_shape_panics(
            shapes in prop::array::uniform3(prop::collection::vec(prop_oneof![0_usize..5, Just(23), any::<usize>()], 0..4)),
            values in prop::collection::vec(0.0_f32..1.0, 0..200), text in ".{0,40}",
        ) {
            let arrays: BTreeMap<_, _> = [Z_EDGES, R_EDGES, QUANTILES].into_iter().map(str::to_owned)
                .zip(shapes.map(|shape| StoredArray { shape, values: values.clone() })).collect();
            prop_assert!(Calibration::from_stored(&arrays, &text).is_err());
            let _ = Calibration::from_stored(&arrays, &calibration().to_stored().1);
        }
    }
}
