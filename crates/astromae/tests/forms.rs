//! The forms a model is met in, written by PyTorch (`fixtures/make.py`), and what is refused.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::HashMap, fs, path::PathBuf};

use astromae::{Config, Hyperparameters, Model, Precision, config::ConvBranchConfig};

const GIVEN: Hyperparameters = Hyperparameters { num_heads: 3, layer_norm_eps: 1e-6, batch_norm_eps: 1e-5 };

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn open(name: &str) -> Model {
    Model::open(fixture(name)).unwrap()
}

fn from_bytes(bytes: Vec<u8>) -> Result<Model, String> {
    Model::from_bytes("model", bytes.into()).map_err(|error| error.to_string())
}

/// The small model as f32 safetensors, after `change`.
fn changed(change: impl FnOnce(&mut Model)) -> Vec<u8> {
    let mut model = open("module.pt");
    change(&mut model);
    model.to_safetensors(Precision::F32, &HashMap::new()).unwrap()
}

#[test]
fn dimensions_come_from_shapes_and_the_rest_from_the_modules_attributes() {
    let expected = Config {
        embed_dim: 24,
        patch_size: 8,
        depth: 2,
        mlp_dim: 96,
        conv_branch: Some(ConvBranchConfig { dim: 96, kernel: 3, groups: 6, groups_out: 6 }),
        hidden_dim: 40,
        magnitude_dim: 24,
        concat_dim: 24,
        hyperparameters: GIVEN,
    };
    assert_eq!(open("module.pt").config, expected);
    assert_eq!(open("module-legacy.pt").config, expected);
}

#[test]
fn all_forms_hold_the_same_network() {
    let module = open("module.pt");
    assert_eq!(module.weights, open("module-legacy.pt").weights);

    let bytes = fs::read(fixture("state-dict.pt")).unwrap();
    let state_dict = Model::from_bytes_with("state-dict.pt", bytes.into(), Some(GIVEN)).unwrap();
    assert_eq!((module.config.clone(), module.weights.clone()), (state_dict.config, state_dict.weights));

    let full = from_bytes(changed(|_| ())).unwrap();
    assert_eq!((module.config, module.weights), (full.config, full.weights));
}

#[test]
fn a_state_dict_alone_asks_for_what_it_does_not_say() {
    let said = Model::open(fixture("state-dict.pt")).unwrap_err().to_string();
    assert!(said.contains("state-dict.pt") && said.contains("attention heads"), "{said}");
    assert!(said.contains("cosmic convert"), "{said}");
}

#[test]
fn half_precision_halves_the_file_and_keeps_three_digits_and_the_notes() {
    let model = open("module.pt");
    let notes = HashMap::from([("origin".to_owned(), "a test".to_owned())]);
    let half = model.to_safetensors(Precision::F16, &notes).unwrap();
    let full = model.to_safetensors(Precision::F32, &notes).unwrap();
    let saved = 2 * model.weights.parameters();
    assert!(full.len().abs_diff(half.len() + saved) < 2_000, "but for the headers: {} {}", full.len(), half.len());
    assert_eq!(half, model.to_safetensors(Precision::F16, &notes).unwrap(), "the same model gives the same bytes");
    let read = from_bytes(half).unwrap();
    assert_eq!((read.metadata, read.config), (notes, model.config.clone()));
    assert_ne!(read.sha256, model.sha256);
    for ((name, before), (_, after)) in model.weights.iter().zip(read.weights.iter()) {
        for (before, after) in before.data.iter().zip(&after.data) {
            assert!((before - after).abs() <= before.abs() * 1e-3 + 1e-7, "{name}: {before} became {after}");
        }
    }
}

#[test]
fn a_tensor_that_is_missing_empty_or_has_no_place_is_named() {
    let without = changed(|model| {
        let kept = model.weights.iter().filter(|(name, _)| *name != "blocks.1.mlp.fc2.bias");
        let mut weights = astromae::weights::Weights::default();
        kept.for_each(|(name, tensor)| weights.insert(name, tensor.shape.clone(), tensor.data.clone()));
        model.weights = weights;
    });
    let said = from_bytes(without).unwrap_err();
    assert!(said.contains("blocks.1.mlp.fc2.bias is missing"), "{said}");

    let with = changed(|model| model.weights.insert("blocks.0.gate.weight", vec![2], vec![0.0; 2]));
    let said = from_bytes(with).unwrap_err();
    assert!(said.contains("blocks.0.gate.weight has no place"), "{said}");

    let reshaped = changed(|model| model.weights.insert("blocks.1.attn.proj.weight", vec![24, 12], vec![0.0; 288]));
    let said = from_bytes(reshaped).unwrap_err();
    assert!(said.contains("blocks.1.attn.proj.weight has shape [24, 12], expected [24, 24]"), "{said}");

    let empty = changed(|model| {
        for (name, shape) in [("concat_block.0.weight", vec![0, 104]), ("concat_block.0.bias", vec![0])] {
            model.weights.insert(name, shape, Vec::new());
        }
        model.weights.insert("concat_block.2.weight", vec![1, 0], Vec::new());
    });
    let said = from_bytes(empty).unwrap_err();
    assert!(said.contains("concat_block.0.weight has no values"), "{said}");
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let diverged = changed(|model| model.weights.insert("fc_norm.bias", vec![24], vec![f32::NAN; 24]));
    let said = from_bytes(diverged).unwrap_err();
    assert!(said.contains("fc_norm.bias") && said.contains("not finite"), "{said}");
}

#[test]
fn other_files_are_refused_with_their_name() {
    let whole = changed(|_| ());
    for (bytes, expected) in [
        (Vec::new(), "model"),
        (b"<html>403 Forbidden</html>".to_vec(), "model"),
        (whole[..whole.len() / 2].to_vec(), "model is not a safetensors file"),
        (fs::read(fixture("galaxies.pt")).unwrap(), "model"),
        (fs::read(fixture("module.pt")).unwrap()[..100_000].to_vec(), "model"),
    ] {
        let said = from_bytes(bytes).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}
