//! Quantiles through a whole run: of a calibrated model, by ranks and resumed, into the catalogue and Results.json.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::HashMap, fs};

use astromae::{Model, StoredPrecision};
use catalogue::{
    CatalogueRows, Flag,
    intervals::{Calibration, LabelledGalaxy, LevelSet, MadeOf},
    read,
};
use harness::Sky;
use pipeline::calibration::to_stored;
use serde_json::json;

mod harness;

/// Makes the sky's model one that was calibrated on redshifts as the first two partitions have them: the formula gives
/// a hundredth of the magnitude, and the data set a tenth.
fn calibrate(sky: &Sky) {
    let galaxies: Vec<_> = (0..200)
        .map(|row| {
            let z_phot = 0.11 + 0.0001 * row as f32;
            LabelledGalaxy { z_phot, z_spec: f64::from(z_phot) * 10.0 + 0.001 * f64::from(row % 7 - 3), r: 17.0 }
        })
        .collect();
    let made_of = MadeOf {
        sample: "a test".to_owned(),
        galaxies: 0,
        note: None,
        model_sha256: "ab".to_owned(),
        precision: "f32".to_owned(),
        version: "1".to_owned(),
    };
    let calibration = Calibration::fit(&galaxies, made_of).unwrap();
    let model = Model::open(sky.path("model.pt")).unwrap();
    let model = Model { calibration: Some(to_stored(&calibration)), ..model };
    fs::write(sky.path("model.safetensors"), model.to_safetensors(StoredPrecision::F32, &HashMap::new()).unwrap())
        .unwrap();
}

fn rows(sky: &Sky) -> Vec<CatalogueRows> {
    read(fs::read(sky.path("results/predictions.parquet")).unwrap().into()).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_calibrated_models_catalogue_has_quantiles_and_says_whether_they_hold() {
    let sky = Sky::of(&[5, 4, 3]);
    calibrate(&sky);
    sky.write_partition(2, 4, |row| if row == 1 { f32::NAN } else { 0.0 });
    let (_, summary) = sky.execute(json!({"model": "model.safetensors"})).await;
    assert!(summary.complete);

    // The third partition's redshifts are beyond the sample's.
    let flags: Vec<u8> = sky.catalogue().iter().map(|(.., flags)| *flags).collect();
    assert_eq!(flags, [0, 0, 0, 0, 0, 0, Flag::BadImage.bit(), 0, 0, 8, 8, 8]);
    for rows in rows(&sky) {
        let quantiles = rows.quantiles.unwrap();
        assert_eq!((quantiles.levels, quantiles.values.len()), (LevelSet::Five, 5));
        for (row, z_phot) in rows.z_phot.iter().enumerate() {
            let own: Vec<_> = quantiles.values.iter().map(|values| values[row]).collect();
            assert!(own.iter().all(|quantile| quantile.is_some() == z_phot.is_some()), "{own:?}");
            assert!(own.is_sorted(), "{own:?}");
            // δ is 9 z/(1 + z), of which the median galaxy of the sample has 1.
            assert!(
                z_phot.is_none_or(|z| (own[2].unwrap() - (z + (1.0 + z) * 0.973)).abs() < 0.05),
                "{z_phot:?} {own:?}"
            );
        }
    }

    let results = sky.results();
    assert_eq!((results.counts.predicted, results.counts.flagged), (11, 1));
    assert_eq!((results.counts.flags.outside_calibration, results.counts.flags.bad_image), (3, 1));
    assert!(results.warnings().iter().any(|warning| warning.contains("3 of 12") && warning.contains("calibrated on")));
    let intervals = results.intervals.unwrap();
    assert_eq!(intervals.n, 11);
    assert_eq!(intervals.pit.unwrap().len(), 20);
    assert!(intervals.coverage_95.unwrap() > 0.0 && intervals.crps.unwrap() > 0.0);
    assert_eq!(results.made_by.calibration.unwrap().sample, "a test");
}

#[tokio::test]
async fn ranks_that_an_earlier_execution_has_left_bring_their_counts_along() {
    let sky = Sky::of(&[5, 4]);
    calibrate(&sky);
    let change = json!({"model": "model.safetensors"});
    let planned = sky.initialize("first", change.clone()).await.unwrap();
    sky.rank(&planned, 0).await.unwrap();
    let again = sky.initialize("second", change.clone()).await.unwrap();
    assert_eq!(again.pending, 1);
    sky.rank(&again, 1).await.unwrap();
    assert!(sky.summarize(&again).await.unwrap().complete);
    assert_eq!(sky.results().intervals.unwrap().n, 9);

    let other = json!({"model": "model.safetensors", "levels": true});
    let said = sky.initialize("third", other).await.unwrap_err().to_string();
    assert!(said.contains("`levels` (false there, true here)"), "{said}");
    let other = json!({"model": "model.safetensors", "levels": true, "overwrite": true});
    let anew = sky.initialize("third", other).await.unwrap();
    assert_eq!(anew.pending, 2, "other columns are another catalogue");
    for rank in 0..2 {
        sky.rank(&anew, rank).await.unwrap();
    }
    assert!(sky.summarize(&anew).await.unwrap().complete);
    assert!(rows(&sky).iter().all(|rows| rows.quantiles.as_ref().unwrap().values.len() == 23));
}

#[tokio::test]
async fn a_model_without_a_calibration_has_no_quantiles() {
    let sky = Sky::of(&[5, 4]);
    let (_, summary) = sky.execute(json!({"levels": true})).await;
    assert!(summary.complete);
    assert!(rows(&sky).iter().all(|rows| rows.quantiles.is_none()));
    assert_eq!(sky.results().warnings(), ["the model is not calibrated, so that there are no quantiles at any level"]);
    let results = fs::read_to_string(sky.path("results/Results.json")).unwrap();
    assert!(!results.contains("intervals") && !results.contains("\"calibration\""), "{results}");
}
