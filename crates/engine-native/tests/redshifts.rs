//! Redshifts as PyTorch eager gives them (`crates/astromae/tests/fixtures/make.py` has made the expected ones), and the
//! same to the last bit however they are asked for.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use astromae::{
    Engine, EngineError, Model, Precision,
    engine::{BANDS, PIXELS},
};
use engine_native::{InstructionSet, NativeEngine};
use galaxies::Dataset;
use proptest::prelude::*;
use torch_file::LocalFile;

/// Six bits below f32's 24: sums of some thousand terms in another order.
const TOLERANCE: f32 = 4e-6;

/// Random galaxies in the fixture.
const GALAXIES: usize = 12;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../astromae/tests/fixtures").join(name)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn engine(threads: usize, instructions: InstructionSet) -> NativeEngine {
    engine_in(Precision::F32, threads, instructions)
}

fn engine_in(precision: Precision, threads: usize, instructions: InstructionSet) -> NativeEngine {
    let model = Model::open(fixture("module.pt")).unwrap();
    NativeEngine::with_instructions(model, Some(threads), precision, instructions).unwrap()
}

/// Images, magnitudes, and the redshifts that PyTorch gives.
fn galaxies() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let rows = block_on(async {
        let dataset = Dataset::open(LocalFile::open(fixture("galaxies.pt")).unwrap()).await.unwrap();
        dataset.read(0..GALAXIES as u64).await.unwrap()
    });
    let expected = serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    (rows.images, rows.magnitudes, expected)
}

/// The galaxies at these places of the fixture, as one batch.
fn batch(images: &[f32], magnitudes: &[f32], places: &[usize]) -> (Vec<f32>, Vec<f32>) {
    (
        places.iter().flat_map(|place| &images[place * PIXELS..][..PIXELS]).copied().collect(),
        places.iter().flat_map(|place| &magnitudes[place * BANDS..][..BANDS]).copied().collect(),
    )
}

#[test]
fn redshifts_are_pytorchs_on_every_instruction_set() {
    let (images, magnitudes, expected) = galaxies();
    for instructions in InstructionSet::available() {
        let found = engine(2, instructions).predict(&images, &magnitudes).unwrap();
        for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!((found - expected).abs() < TOLERANCE, "{instructions}, row {row}: {found} and {expected}");
        }
    }
}

#[test]
fn redshifts_in_int8_are_near_those_in_f32() {
    let (images, magnitudes, expected) = galaxies();
    for instructions in InstructionSet::available() {
        let found = engine_in(Precision::Int8, 2, instructions).predict(&images, &magnitudes).unwrap();
        assert_ne!(found, engine(2, instructions).predict(&images, &magnitudes).unwrap(), "{instructions}");
        for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let change = (found - expected).abs() / (1.0 + expected);
            assert!(change < 1e-3, "{instructions}, row {row}: {found} and {expected}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// A catalogue must not depend on how it was partitioned.
    #[test]
    fn redshifts_are_the_same_to_the_last_bit_at_any_batch_size_number_of_threads_and_place(
        places in prop::collection::vec(0..GALAXIES, 1..150),
        threads in 1..6_usize,
        set in any::<prop::sample::Index>(),
        precision in prop::sample::select(vec![Precision::F32, Precision::Int8]),
    ) {
        let available = InstructionSet::available();
        let instructions = available[set.index(available.len())];
        let (images, magnitudes, _) = galaxies();
        let alone: Vec<f32> = (0..GALAXIES)
            .map(|place| {
                let (images, magnitudes) = batch(&images, &magnitudes, &[place]);
                engine_in(precision, 1, instructions).predict(&images, &magnitudes).unwrap()[0]
            })
            .collect();
        let (images, magnitudes) = batch(&images, &magnitudes, &places);
        let found = engine_in(precision, threads, instructions).predict(&images, &magnitudes).unwrap();
        for (found, place) in found.iter().zip(&places) {
            prop_assert_eq!(found.to_bits(), alone[*place].to_bits());
        }
    }
}

#[test]
fn a_nan_spoils_its_own_galaxy_only() {
    let (mut images, mut magnitudes, expected) = galaxies();
    let precisions = [Precision::F32, Precision::Int8];
    let engines = InstructionSet::available().into_iter().flat_map(|set| precisions.map(|precision| (set, precision)));
    for (instructions, precision) in engines {
        let engine = engine_in(precision, 1, instructions);
        let whole = engine.predict(&images, &magnitudes).unwrap();
        let (pixel, magnitude) = (images[4 * PIXELS + 1234], magnitudes[9 * BANDS + 2]);
        images[4 * PIXELS + 1234] = f32::NAN;
        magnitudes[9 * BANDS + 2] = f32::INFINITY;
        // As many as leave some over behind each width of vectors, too.
        let found = engine.predict(&images, &magnitudes).unwrap();
        let but_one = GALAXIES - 1;
        let fewer = engine.predict(&images[..but_one * PIXELS], &magnitudes[..but_one * BANDS]).unwrap();
        (images[4 * PIXELS + 1234], magnitudes[9 * BANDS + 2]) = (pixel, magnitude);
        for row in 0..but_one {
            let same = fewer[row].to_bits() == found[row].to_bits();
            assert!(same || fewer[row].is_nan() && found[row].is_nan(), "{instructions}, {precision}, row {row}");
        }
        for row in 0..expected.len() {
            match row {
                4 | 9 => assert!(!found[row].is_finite(), "{instructions}, {precision}, row {row}: {}", found[row]),
                _ => assert_eq!(found[row].to_bits(), whole[row].to_bits(), "{instructions}, {precision}, row {row}"),
            }
        }
    }
}

/// Of more threads than galaxies, and more than go through the transformer together, too.
#[test]
fn any_number_of_threads_predicts_any_number_of_galaxies() {
    let (images, magnitudes, _) = galaxies();
    let places: Vec<usize> = (0..65).map(|place| place % GALAXIES).collect();
    let (images, magnitudes) = batch(&images, &magnitudes, &places);
    let instructions = InstructionSet::available()[0];
    let expected = engine(1, instructions).predict(&images, &magnitudes).unwrap();
    let engine = engine(64, instructions);
    for count in [1, 2, 31, 33, 40, 63, 64, 65] {
        let found = engine.predict(&images[..count * PIXELS], &magnitudes[..count * BANDS]).unwrap();
        assert_eq!(found, expected[..count], "{count} galaxies");
    }
}

#[test]
fn no_galaxies_are_no_redshifts_and_half_a_galaxy_is_an_error() {
    let engine = engine(2, InstructionSet::Portable);
    assert_eq!(engine.predict(&[], &[]).unwrap(), Vec::<f32>::new());
    let half = engine.predict(&vec![0.0; PIXELS / 2], &[18.0; BANDS]);
    assert!(matches!(half, Err(EngineError::Input { .. })), "{half:?}");
}

#[test]
fn many_callers_share_an_engine() {
    let (images, magnitudes, _) = galaxies();
    let engine = engine(2, InstructionSet::available()[0]);
    let expected = engine.predict(&images, &magnitudes).unwrap();
    assert_eq!((engine.calls_at_once(1), engine.calls_at_once(512)), (2, 1));
    std::thread::scope(|scope| {
        for caller in 1..5 {
            let (images, magnitudes, expected, engine) = (&images, &magnitudes, &expected, &engine);
            scope.spawn(move || {
                for _ in 0..5 {
                    // Batches of several sizes, some of which all cores share where there is no other call.
                    let batches = images.chunks(caller * PIXELS).zip(magnitudes.chunks(caller * BANDS));
                    let redshifts =
                        batches.flat_map(|(images, magnitudes)| engine.predict(images, magnitudes).unwrap());
                    assert_eq!(redshifts.collect::<Vec<f32>>(), *expected);
                }
            });
        }
    });
}
