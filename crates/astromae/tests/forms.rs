//! The forms a model is met in, written by PyTorch (`fixtures/make.py`), and what is refused.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::HashMap, fs, path::PathBuf};

use astromae::{Config, Hyperparameters, Model, StoredPrecision, config::ConvBranchConfig, fold::FoldedNetwork};
use safetensors::{Dtype, tensor::TensorView};
use written::Pickle;

#[path = "../../torch-file/tests/written/mod.rs"]
mod written;

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
    model.to_safetensors(StoredPrecision::F32, &HashMap::new()).unwrap()
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
    let half = model.to_safetensors(StoredPrecision::F16, &notes).unwrap();
    let full = model.to_safetensors(StoredPrecision::F32, &notes).unwrap();
    let saved = 2 * model.weights.parameters();
    assert!(full.len().abs_diff(half.len() + saved) < 2_000, "but for the headers: {} {}", full.len(), half.len());
    assert_eq!(
        half,
        model.to_safetensors(StoredPrecision::F16, &notes).unwrap(),
        "the same model gives the same bytes"
    );
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

/// A tensor of a safetensors file.
type Saved = (String, Dtype, Vec<usize>, Vec<u8>);

/// The small model's tensors, as `save_file(model.state_dict(), path)` has them: in f64, with counters, without
/// metadata.
fn state_dict() -> Vec<Saved> {
    let weights = open("module.pt").weights;
    let tensors = weights.iter().map(|(name, tensor)| {
        let bytes = tensor.data.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect();
        (name.clone(), Dtype::F64, tensor.shape.clone(), bytes)
    });
    let counter = ("blocks.0.PCM.1.num_batches_tracked".to_owned(), Dtype::I64, Vec::new(), vec![0; 8]);
    tensors.chain([counter]).collect()
}

fn save(tensors: &[Saved]) -> Vec<u8> {
    let view = |(name, dtype, shape, bytes)| (name, TensorView::new(dtype, shape, bytes).unwrap());
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| view((name, *dtype, shape.clone(), bytes.as_slice())));
    safetensors::serialize(views, None).unwrap()
}

fn given(bytes: Vec<u8>) -> Result<Model, String> {
    Model::from_bytes_with("model", bytes.into(), Some(GIVEN)).map_err(|error| error.to_string())
}

#[test]
fn bare_safetensors_ask_for_what_they_do_not_say_and_are_read_when_it_is_given() {
    let bare = save(&state_dict());
    let said = from_bytes(bare.clone()).unwrap_err();
    assert!(
        said.contains("model does not say the number of attention heads") && said.contains("--num-heads"),
        "{said}"
    );
    let (found, expected) = (given(bare).unwrap(), open("module.pt"));
    assert_eq!((found.config, found.weights), (expected.config, expected.weights));
}

#[test]
fn a_network_is_found_under_any_prefix_and_whatever_lies_beside_it() {
    let expected = open("module.pt").weights;
    for prefix in ["module.", "_orig_mod.", "module._orig_mod.", "model._orig_mod.module.", "student.encoder."] {
        let mut tensors = state_dict();
        tensors.iter_mut().for_each(|(name, ..)| *name = format!("{prefix}{name}"));
        tensors.push(("n_averaged".into(), Dtype::I64, Vec::new(), vec![0; 8]));
        if !prefix.ends_with("module.") && prefix.contains("encoder") {
            tensors.push(("criterion.weight".into(), Dtype::F32, vec![1], vec![0; 4]));
        }
        assert_eq!(given(save(&tensors)).unwrap().weights, expected, "{prefix}");
    }
    // In the middle of names too.
    let mut tensors = state_dict();
    tensors.iter_mut().for_each(|(name, ..)| *name = name.replace("blocks.1.", "blocks.1._orig_mod."));
    assert_eq!(given(save(&tensors)).unwrap().weights, expected);

    let mut two = state_dict();
    two.extend(state_dict());
    for (index, (name, ..)) in two.iter_mut().enumerate() {
        *name = format!("{}.{name}", if index % 2 == 0 { "student" } else { "teacher" });
    }
    let mut two: Vec<Saved> = two.into_iter().collect();
    two.sort_by(|one, other| one.0.cmp(&other.0));
    two.dedup_by(|one, other| one.0 == other.0);
    let anchor = |prefix: &str| (format!("{prefix}.patch_embed.proj.weight"), Dtype::F32, vec![1], vec![0; 4]);
    two.retain(|(name, ..)| !name.ends_with("patch_embed.proj.weight"));
    two.extend([anchor("student"), anchor("teacher")]);
    let said = given(save(&two)).unwrap_err();
    assert!(said.contains("holds 2 networks (student., teacher.)"), "{said}");
}

/// The small model's tensors under each of these prefixes. Those under `damaged` are no weights that could be used.
fn several(prefixes: &[&str], damaged: &str) -> Vec<u8> {
    let mut tensors = Vec::new();
    for prefix in prefixes {
        tensors.extend(state_dict().into_iter().map(|(name, dtype, shape, bytes)| {
            let bytes = if *prefix == damaged { vec![0xff; bytes.len()] } else { bytes };
            (format!("{prefix}{name}"), dtype, shape, bytes)
        }));
    }
    tensors.push(("ema_model.n_averaged".to_owned(), Dtype::I64, Vec::new(), vec![0; 8]));
    save(&tensors)
}

#[test]
fn of_a_network_and_its_average_the_network_is_taken() {
    let expected = open("module.pt").weights;
    for (prefixes, average) in [
        (["model.", "ema_model.module."], "ema_model.module."),
        (["", "model_ema.module."], "model_ema.module."),
        (["net.", "ema_net."], "ema_net."),
        (["swa.", "encoder."], "swa."),
    ] {
        let read = given(several(&prefixes, average)).unwrap_or_else(|error| panic!("{prefixes:?}: {error}"));
        assert!(read.weights == expected, "{prefixes:?}");
    }
    let alone = given(several(&["ema_model.module."], "")).unwrap();
    assert!(alone.weights == expected);
    let said = given(several(&["ema.", "swa."], "")).unwrap_err();
    assert!(said.contains("holds 2 networks (ema., swa.)"), "{said}");
}

#[test]
fn options_that_contradict_the_file_are_refused() {
    let module = fs::read(fixture("module.pt")).unwrap();
    let converted = changed(|_| ());
    for (other, expected) in [
        (Hyperparameters { num_heads: 4, ..GIVEN }, "the number of attention heads is 3, and not 4"),
        (Hyperparameters { layer_norm_eps: 1e-5, ..GIVEN }, "the eps of its layer norms is 0.000001, and not 0.00001"),
        (Hyperparameters { batch_norm_eps: 1e-3, ..GIVEN }, "the eps of its batch norms is 0.00001, and not 0.001"),
    ] {
        for file in [&module, &converted] {
            let read = |given| Model::from_bytes_with("model", file.clone().into(), Some(given));
            let said = read(other).unwrap_err().to_string();
            assert!(said.contains(expected) && said.contains("leave the options out"), "{said}");
            assert_eq!(read(GIVEN).unwrap().config.hyperparameters, GIVEN);
        }
    }
}

#[test]
fn another_network_is_named_by_its_tensors() {
    let tensor = |name: &str| (name.to_owned(), Dtype::F32, vec![1], vec![0; 4]);
    let resnet = ["conv1.weight", "bn1.weight", "fc.bias"].map(tensor);
    let said = given(save(&resnet)).unwrap_err();
    assert!(said.contains("no tensor patch_embed.proj.weight, but bn1.weight, conv1.weight, fc.bias"), "{said}");

    let with = |names: &[&str]| {
        let mut tensors = state_dict();
        tensors.extend(names.iter().map(|name| tensor(name)));
        given(save(&tensors)).unwrap_err()
    };
    let scaled = ["0", "1"].map(|block| ["1", "2"].map(|layer| format!("blocks.{block}.ls{layer}.gamma")));
    let said = with(&scaled.as_flattened().iter().map(String::as_str).collect::<Vec<_>>());
    let expected = "tensor blocks.0.ls1.gamma has no place in it, nor have blocks.0.ls2.gamma, blocks.1.ls1.gamma, \
                    blocks.1.ls2.gamma";
    assert!(said.contains(expected), "{said}");
    let said = with(&["blocks.0.attn.q_norm.weight"]);
    assert!(said.ends_with("tensor blocks.0.attn.q_norm.weight has no place in it"), "{said}");

    let mut last_norm = state_dict();
    last_norm.iter_mut().for_each(|(name, ..)| *name = name.replace("fc_norm.", "norm."));
    let said = given(save(&last_norm)).unwrap_err();
    assert!(said.contains("norm.weight instead of fc_norm.weight") && said.contains("class token"), "{said}");
}

#[test]
fn blocks_of_timm_are_read() {
    let ours = open("module.pt");
    let width = ours.config.embed_dim;
    let timm = changed(|model| {
        for block in 0..model.config.depth {
            let at = |name: &str| format!("blocks.{block}.attn.{name}");
            let [q, v] = ["q_bias", "v_bias"].map(|name| model.weights.get(&at(name)).unwrap().data.clone());
            let bias = [q, vec![0.0; width], v].concat();
            model.weights.insert(at("qkv.bias"), vec![3 * width], bias);
        }
    });
    // With both kinds of biases, there is one too many.
    assert!(from_bytes(timm.clone()).unwrap_err().contains("q_bias has no place"));
    let file = safetensors::SafeTensors::deserialize(&timm).unwrap();
    let keep = |name: &str| !name.ends_with("attn.q_bias") && !name.ends_with("attn.v_bias");
    let saved = |without_pcm: bool| -> Vec<Saved> {
        let tensors = file.tensors().into_iter().filter(|(name, _)| keep(name));
        let tensors = tensors.filter(|(name, _)| !(without_pcm && name.contains(".PCM.")));
        tensors.map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec())).collect()
    };
    let timm = given(save(&saved(false))).unwrap();
    let [timm, ours] = [timm, ours].map(|model| FoldedNetwork::new(model).unwrap());
    for (timm, ours) in timm.blocks.iter().zip(&ours.blocks) {
        assert_eq!(timm.qkv, ours.qkv);
    }
    let plain = given(save(&saved(true))).unwrap();
    assert_eq!(plain.config.conv_branch, None);
    assert!(FoldedNetwork::new(plain).unwrap().blocks.iter().all(|block| block.conv_branch.is_none()));
}

#[test]
fn a_checkpoint_of_few_bytes_whose_tensors_have_many_is_refused_before_they_are_made() {
    let weights = open("module.pt").weights;
    let network = |storage: i64, stride: fn(&[usize]) -> Vec<i64>, scale: i64| {
        let tensors = weights.iter().fold(Pickle::new().raw(b"}("), |pickle, (name, tensor)| {
            let shape: Vec<i64> = tensor.shape.iter().map(|size| *size as i64).collect();
            let stride = if scale == 0 { vec![0; shape.len()] } else { stride(&tensor.shape) };
            pickle.text(name).tensor("0", storage, &shape, &stride)
        });
        tensors.raw(b"u").file(&[("0", &vec![0; 4 * storage as usize])])
    };
    fn row_major(shape: &[usize]) -> Vec<i64> {
        (0..shape.len()).map(|dimension| shape[dimension + 1..].iter().product::<usize>() as i64).collect()
    }
    let largest = weights.iter().map(|(_, tensor)| tensor.data.len() as i64).max().unwrap();
    for file in [network(1, row_major, 0), network(largest, row_major, 1)] {
        let said = given(file).unwrap_err();
        assert!(said.contains("bytes, which it does not hold") && said.contains(".contiguous()"), "{said}");
    }
}

#[test]
fn an_integer_where_a_weight_should_be_is_named() {
    let mut tensors = state_dict();
    let weight = tensors.iter_mut().find(|(name, ..)| name == "head.weight").unwrap();
    *weight = (weight.0.clone(), Dtype::I64, weight.2.clone(), weight.3.clone());
    let said = given(save(&tensors)).unwrap_err();
    assert!(said.contains("tensor head.weight has shape [24, 24], expected values of type"), "{said}");
}

#[test]
fn hyperparameters_that_no_network_has_are_refused() {
    for (changed, expected) in [
        (Hyperparameters { num_heads: 0, ..GIVEN }, "0 attention heads"),
        (Hyperparameters { num_heads: usize::MAX, ..GIVEN }, "attention heads do not divide"),
        (Hyperparameters { layer_norm_eps: f64::NAN, ..GIVEN }, "the eps of its layer norms is NaN"),
        (Hyperparameters { layer_norm_eps: 0.0, ..GIVEN }, "the eps of its layer norms is 0"),
        (Hyperparameters { batch_norm_eps: -1e-5, ..GIVEN }, "the eps of its batch norms is -0.00001"),
        (Hyperparameters { batch_norm_eps: 1e300, ..GIVEN }, "the eps of its batch norms is 1"),
    ] {
        let bytes = save(&state_dict()).into();
        let said = Model::from_bytes_with("model", bytes, Some(changed)).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

/// A safetensors file of this header, and of nothing else.
fn header(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

#[test]
fn safetensors_whose_shapes_lie_are_refused() {
    let huge = u64::MAX;
    let tensor = |shape: &str| {
        header(&format!(r#"{{"patch_embed.proj.weight":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}}}"#))
    };
    for shape in [
        format!("[{huge},{huge}]"),
        format!("[{huge},0]"),
        format!("[0,{huge},{huge}]"),
        "[0]".to_owned(),
        "[0,0,0,0]".to_owned(),
        "[0,5,8,8]".to_owned(),
        "[0,5,0,0]".to_owned(),
        "[]".to_owned(),
    ] {
        let said = given(tensor(&shape)).unwrap_err();
        assert!(said.contains("model") || said.contains("no AstroMAE network"), "{shape}: {said}");
    }
    let long = [&(1_u64 << 40).to_le_bytes()[..], b"{"].concat();
    assert!(given(long).unwrap_err().contains("not a safetensors file"));

    // The dimensions of one tensor after the other.
    let whole = state_dict();
    for (index, tensor) in whole.iter().enumerate().step_by(11) {
        for size in [0, 1 << 24, 1 << 62] {
            for dimension in 0..tensor.2.len() {
                let mut tensors = whole.clone();
                tensors[index].2[dimension] = size;
                let mut offset = 0;
                let entries: Vec<String> = tensors
                    .iter()
                    .enumerate()
                    .map(|(at, (name, _, shape, bytes))| {
                        // A tensor of no values takes no bytes, and makes the file a valid one.
                        let length = if at != index {
                            bytes.len()
                        } else if size == 0 {
                            0
                        } else {
                            bytes.len()
                        };
                        offset += length;
                        let dtype = if name.ends_with("tracked") { "I64" } else { "F64" };
                        format!(
                            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{},{offset}]}}"#,
                            offset - length
                        )
                    })
                    .collect();
                let mut file = header(&format!("{{{}}}", entries.join(",")));
                file.resize(file.len() + offset, 0);
                assert!(tensor.2[dimension] == size || given(file).is_err(), "{} {dimension} {size}", tensor.0);
            }
        }
    }
}

#[test]
fn a_negative_variance_is_refused() {
    let negative = changed(|model| {
        let name = "blocks.0.PCM.1.running_var";
        let mut tensor = model.weights.get(name).unwrap().clone();
        tensor.data[3] = -1.0;
        model.weights.insert(name, tensor.shape, tensor.data);
    });
    let said = from_bytes(negative).unwrap_err();
    assert!(said.contains("blocks.0.PCM.1.running_var holds a variance below 0"), "{said}");
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
