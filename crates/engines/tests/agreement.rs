//! The native engine beside libtorch: the same redshifts, within what rounding makes of sums in another order.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::PathBuf, sync::Arc};

use astromae::{
    Model,
    engine::{BANDS, PIXELS},
    weights::Weights,
};
use sky::Sky;
use torch_file::{Dataset, LocalFile};

/// Of redshifts of order one.
const TOLERANCE: f32 = 2e-5;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Images and magnitudes of the first galaxies of the demo's sky.
fn simulated() -> (Vec<f32>, Vec<f32>) {
    let sky = Sky::new(303);
    let galaxies: Vec<_> = (0..100).map(|index| sky.galaxy(index)).collect();
    let magnitudes = galaxies.iter().flat_map(|galaxy| galaxy.object.magnitudes);
    (galaxies.iter().flat_map(|galaxy| galaxy.images.clone()).collect(), magnitudes.map(|value| value as f32).collect())
}

fn assert_agreement(model: Model, (images, magnitudes): (Vec<f32>, Vec<f32>)) {
    let redshifts =
        |name: &str| engines::load(Some(name), model.clone(), Some(2)).unwrap().predict(&images, &magnitudes).unwrap();
    let (native, tch) = (redshifts("native"), redshifts("tch"));
    assert_eq!(native.len(), images.len() / PIXELS);
    assert_eq!(native.len(), magnitudes.len() / BANDS);
    let largest = tch.iter().fold(0.0_f32, |largest, redshift| largest.max(redshift.abs()));
    let spread = tch.iter().fold(0.0_f32, |spread, redshift| spread.max((redshift - tch[0]).abs()));
    assert!(spread > 0.01 * largest, "the redshifts are too alike to tell right from wrong: {spread} of {largest}");
    for (row, (native, tch)) in native.iter().zip(&tch).enumerate() {
        assert!((native - tch).abs() <= TOLERANCE * largest.max(1.0), "row {row}: {native} and {tch}");
    }
}

#[tokio::test]
async fn on_the_demos_galaxies_with_the_demos_model() {
    let model = Model::open(root().join("payloads/demo/model.safetensors")).await.unwrap();
    assert_agreement(model, simulated());
}

#[tokio::test]
async fn on_random_weights_of_a_small_network() {
    let model = Model::open(root().join("crates/astromae/tests/fixtures/module.pt")).await.unwrap();
    let file = LocalFile::open(root().join("crates/astromae/tests/fixtures/galaxies.pt")).unwrap();
    let dataset = Dataset::open(Arc::new(file)).await.unwrap();
    let rows = dataset.read(0..dataset.rows()).await.unwrap();
    assert_agreement(model, (rows.images, rows.magnitudes));
}

#[tokio::test]
async fn on_random_weights_at_the_published_size() {
    let mut model = Model::open(root().join("payloads/demo/model.safetensors")).await.unwrap();
    // SplitMix64: each weight between half and one and a half of what it was.
    let mut state = 0_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 40) as f32 / (1 << 24) as f32 + 0.5
    };
    let mut weights = Weights::default();
    for (name, tensor) in model.weights.iter() {
        weights.insert(name, tensor.shape.clone(), tensor.data.iter().map(|value| value * random()).collect());
    }
    model.weights = weights;
    assert_agreement(model, simulated());
}
