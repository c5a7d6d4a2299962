//! The native engine beside libtorch: the same redshifts, within what rounding makes of sums in another order.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use astromae::{
    Model, Precision,
    config::{Config, Hyperparameters},
    engine::{BANDS, PIXELS},
    weights::Weights,
};
use galaxies::Dataset;
use sky::Sky;
use torch_file::LocalFile;

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
    let redshifts = |name: &str| {
        engines::load(Some(name), model.clone(), Some(2), Precision::F32)
            .unwrap()
            .predict(&images, &magnitudes)
            .unwrap()
    };
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

#[test]
fn on_the_demos_galaxies_with_the_demos_model() {
    let model = Model::open(root().join("payloads/demo/model.safetensors")).unwrap();
    assert_agreement(model, simulated());
}

#[tokio::test]
async fn on_random_weights_of_a_small_network() {
    let model = Model::open(root().join("crates/astromae/tests/fixtures/module.pt")).unwrap();
    let file = LocalFile::open(root().join("crates/astromae/tests/fixtures/galaxies.pt")).unwrap();
    let dataset = Dataset::open(file).await.unwrap();
    let rows = dataset.read(0..dataset.rows()).await.unwrap();
    assert_agreement(model, (rows.images, rows.magnitudes));
}

/// Uniform between −1 and 1: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

#[test]
fn on_random_weights_at_the_published_size() {
    let mut model = Model::open(root().join("payloads/demo/model.safetensors")).unwrap();
    let mut random = Random(0);
    let mut weights = Weights::default();
    for (name, tensor) in model.weights.iter() {
        let data = tensor.data.iter().map(|value| value * (1.0 + 0.5 * random.next())).collect();
        weights.insert(name, tensor.shape.clone(), data);
    }
    model.weights = weights;
    assert_agreement(model, simulated());
}

/// A transformer whose dimensions fill no vector.
struct Odd {
    width: usize,
    heads: usize,
    patch: usize,
    /// Hidden channels, kernel, groups into and out of the convolution branch.
    branch: Option<[usize; 4]>,
}

impl Odd {
    /// Random weights, with the other layers of the small network.
    fn model(&self) -> Model {
        let small = Model::open(root().join("crates/astromae/tests/fixtures/module.pt")).unwrap();
        let mut weights = Weights::default();
        for (name, tensor) in small.weights.iter() {
            if name.starts_with("inception_model.")
                || name.starts_with("concat_block.")
                || name.starts_with("vit_block.2")
            {
                weights.insert(name, tensor.shape.clone(), tensor.data.clone());
            }
        }
        let mut random = Random(self.width as u64);
        let mut add = |name: &str, shape: &[usize], about: f32| {
            let scale = 1.0 / (shape[1..].iter().product::<usize>() as f32).sqrt();
            let data = (0..shape.iter().product()).map(|_| about + scale * random.next()).collect();
            weights.insert(name, shape.to_vec(), data);
        };
        let (width, hidden) = (self.width, 2 * self.width + 1);
        add("cls_token", &[1, 1, width], 0.0);
        add("pos_embed", &[1, (32 / self.patch).pow(2) + 1, width], 0.0);
        add("patch_embed.proj.weight", &[width, 5, self.patch, self.patch], 0.0);
        add("patch_embed.proj.bias", &[width], 0.0);
        for block in 0..2 {
            for (name, shape, about) in [
                ("norm1.weight", &[width][..], 1.5),
                ("norm1.bias", &[width], 0.0),
                ("attn.qkv.weight", &[3 * width, width], 0.0),
                ("attn.q_bias", &[width], 0.0),
                ("attn.v_bias", &[width], 0.0),
                ("attn.proj.weight", &[width, width], 0.0),
                ("attn.proj.bias", &[width], 0.0),
                ("norm2.weight", &[width], 1.5),
                ("norm2.bias", &[width], 0.0),
                ("mlp.fc1.weight", &[hidden, width], 0.0),
                ("mlp.fc1.bias", &[hidden], 0.0),
                ("mlp.fc2.weight", &[width, hidden], 0.0),
                ("mlp.fc2.bias", &[width], 0.0),
            ] {
                add(&format!("blocks.{block}.{name}"), shape, about);
            }
            if let Some([channels, kernel, groups, groups_out]) = self.branch {
                for (name, shape, about) in [
                    ("0.weight", &[channels, width / groups, kernel, kernel][..], 0.0),
                    ("0.bias", &[channels], 0.0),
                    ("1.weight", &[channels], 1.5),
                    ("1.bias", &[channels], 0.0),
                    ("1.running_mean", &[channels], 0.0),
                    ("1.running_var", &[channels], 1.5),
                    ("3.weight", &[width, channels / groups_out, kernel, kernel], 0.0),
                    ("3.bias", &[width], 0.0),
                ] {
                    add(&format!("blocks.{block}.PCM.{name}"), shape, about);
                }
            }
        }
        add("fc_norm.weight", &[width], 1.5);
        add("fc_norm.bias", &[width], 0.0);
        add("head.weight", &[width, width], 0.0);
        add("head.bias", &[width], 0.0);
        add("vit_block.0.weight", &[small.config.hidden_dim, width], 0.0);
        add("vit_block.0.bias", &[small.config.hidden_dim], 0.0);
        let hyperparameters = Hyperparameters { num_heads: self.heads, ..small.config.hyperparameters };
        Model { config: Config::infer(&weights, hyperparameters).unwrap(), weights, ..small }
    }
}

#[test]
fn on_random_weights_of_odd_dimensions() {
    for odd in [
        Odd { width: 36, heads: 3, patch: 4, branch: Some([72, 3, 12, 6]) },
        Odd { width: 40, heads: 2, patch: 8, branch: Some([30, 5, 5, 10]) },
        Odd { width: 21, heads: 7, patch: 16, branch: Some([14, 1, 7, 1]) },
        Odd { width: 50, heads: 5, patch: 32, branch: None },
    ] {
        assert_agreement(odd.model(), simulated());
    }
}
