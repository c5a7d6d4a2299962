//! Redshifts as PyTorch eager gives them: `crates/astromae/tests/fixtures/make.py` has made the expected ones.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use astromae::{
    Engine, EngineError, Model, Precision,
    engine::{BANDS, PIXELS},
};
use engine_tch::TchEngine;
use galaxies::Dataset;
use torch_file::LocalFile;

/// Six bits below f32's 24: sums of some thousand terms in another order.
const TOLERANCE: f32 = 4e-6;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../astromae/tests/fixtures").join(name)
}

fn engine(threads: usize) -> TchEngine {
    TchEngine::new(Model::open(fixture("module.pt")).unwrap(), Some(threads), Precision::F32).unwrap()
}

/// Images, magnitudes, and the redshifts that PyTorch gives.
async fn galaxies() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let file = LocalFile::open(fixture("galaxies.pt")).unwrap();
    let dataset = Dataset::open(file).await.unwrap();
    let rows = dataset.read(0..12).await.unwrap();
    let expected = serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    (rows.images, rows.magnitudes, expected)
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
}

#[tokio::test]
async fn redshifts_are_pytorchs_at_any_batch_size_and_number_of_threads() {
    let (images, magnitudes, expected) = galaxies().await;
    let spread = largest_difference(&expected, &[expected[0]; 12]);
    assert!(spread > 0.05, "the galaxies are too alike to tell right from wrong: {spread}");
    for threads in [1, 2, 5] {
        let engine = engine(threads);
        for batch in [1, 3, 5, 12] {
            let found: Vec<f32> = images
                .chunks(batch * PIXELS)
                .zip(magnitudes.chunks(batch * BANDS))
                .flat_map(|(images, magnitudes)| engine.predict(images, magnitudes).unwrap())
                .collect();
            let difference = largest_difference(&found, &expected);
            assert!(difference < TOLERANCE, "batch {batch}, {threads} threads: {difference}");
        }
    }
}

#[tokio::test]
async fn batches_above_a_micro_batch_give_each_galaxy_its_own_redshift() {
    let (images, magnitudes, expected) = galaxies().await;
    let times = 23;
    let found = engine(2).predict(&images.repeat(times), &magnitudes.repeat(times)).unwrap();
    assert!(largest_difference(&found, &expected.repeat(times)) < TOLERANCE);
}

#[tokio::test]
async fn a_nan_spoils_its_own_galaxy_only() {
    let (mut images, mut magnitudes, expected) = galaxies().await;
    let engine = engine(1);
    let whole = engine.predict(&images, &magnitudes).unwrap();
    images[4 * PIXELS + 1234] = f32::NAN;
    magnitudes[9 * BANDS + 2] = f32::INFINITY;
    let found = engine.predict(&images, &magnitudes).unwrap();
    for row in 0..expected.len() {
        match row {
            4 | 9 => assert!(!found[row].is_finite(), "row {row}: {}", found[row]),
            _ => assert_eq!(found[row].to_bits(), whole[row].to_bits(), "row {row}"),
        }
    }
}

#[test]
fn no_galaxies_are_no_redshifts_and_half_a_galaxy_is_an_error() {
    let engine = engine(2);
    assert_eq!(engine.predict(&[], &[]).unwrap(), Vec::<f32>::new());
    let half = engine.predict(&vec![0.0; PIXELS / 2], &[18.0; BANDS]);
    assert!(matches!(half, Err(EngineError::Input { .. })), "{half:?}");
}

#[tokio::test]
async fn many_callers_share_an_engine() {
    let (images, magnitudes, expected) = galaxies().await;
    let engine = engine(2);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let found = engine.predict(&images, &magnitudes).unwrap();
                    assert!(largest_difference(&found, &expected) < TOLERANCE);
                }
            });
        }
    });
}
