//! Files in the forms in which people keep them, through the commands.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::PathBuf};

use command::{cosmic, done, galaxies, json, network, root, text};
use torch_file::{Checkpoint, InMemory, TorchFile};
use written::Pickle;

mod command;
#[path = "../../torch-file/tests/written/mod.rs"]
mod written;

fn fixture(name: &str) -> PathBuf {
    root().join("crates/torch-file/tests/fixtures").join(name)
}

/// `galaxies.npz` holds the galaxies of `zip.pt`, and names for them.
#[test]
fn archives_of_numpy_are_partitions_like_files_of_torch() {
    let inspected = json(&["inspect", "--json", text(&fixture("galaxies.npz"))]);
    assert_eq!((&inspected["format"], &inspected["rows"]), (&"numpy.savez".into(), &6.into()));

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::copy(fixture("galaxies.npz"), data.join("1.NPZ")).unwrap();
    fs::copy(fixture("zip.pt"), data.join("2.pt")).unwrap();
    fs::write(data.join("notes.npy"), "not read").unwrap();
    let out = folder.path().join("out");
    let model = network("module.pt");
    let results = json(&["infer", "--data", text(&data), "--model", text(&model), "--out", text(&out), "--json"]);
    assert_eq!((&results["counts"]["rows"], &results["counts"]["compared"]), (&12.into(), &12.into()));

    let cut = folder.path().join("cut");
    done(&["split", text(&data.join("1.NPZ")), "--partition-size", "80kB", "--out", text(&cut)]);
    let (whole, first) = (galaxies(&fixture("zip.pt")), galaxies(&cut.join("1.pt")));
    assert_eq!(first.magnitudes, whole.magnitudes[..first.magnitudes.len()]);
    assert_eq!(json(&["inspect", "--json", text(&cut.join("1.pt"))])["rows"], 4);
}

/// The network of the fixtures as a state dict, under each of two keys.
fn two_networks(first: &str, second: &str) -> Vec<u8> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bytes = fs::read(network("state-dict.pt")).unwrap();
    let file = runtime.block_on(TorchFile::open(InMemory::new("state-dict.pt", bytes))).unwrap();
    let mut storages: Vec<(String, Vec<u8>)> = Vec::new();
    let mut state_dict = Pickle::default().raw(b"}(");
    for (name, tensor) in Checkpoint::of(&file).unwrap().tensors {
        if tensor.dtype().is_float() {
            let shape: Vec<i64> = tensor.shape.iter().map(|size| *size as i64).collect();
            let values: Vec<f32> = runtime.block_on(file.stored(&tensor).unwrap().read()).unwrap();
            let key = storages.len().to_string();
            state_dict = state_dict.text(&name).whole(&key, &shape);
            storages.push((key, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
        }
    }
    let state_dict = state_dict.raw(b"u");
    let both = Pickle::new().raw(b"}(").text(first).raw(&state_dict.0).text(second).raw(&state_dict.0).raw(b"u");
    let storages: Vec<(&str, &[u8])> = storages.iter().map(|(key, bytes)| (key.as_str(), bytes.as_slice())).collect();
    both.file(&storages)
}

#[test]
fn of_two_networks_one_is_used_and_the_other_is_named_with_the_way_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("both.pt"), folder.path().join("model.safetensors"));
    fs::write(&file, two_networks("ema", "model")).unwrap();
    let options = ["--num-heads", "3", "--layer-norm-eps", "1e-6", "--batch-norm-eps", "1e-5"];
    let convert = [&["convert", "--model", text(&file), "--out", text(&out)][..], &options].concat();
    for command in [&["inspect", text(&file)][..], &convert] {
        let (code, _, stderr) = cosmic(command);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains("holds 2 networks, of which [\"model\"] is used, and not [\"ema\"]"), "{stderr}");
        assert!(stderr.contains("torch.load(path, weights_only=False)[\"ema\"], new_path)"), "{stderr}");
    }
    let module = network("module.pt");
    let other = folder.path().join("other.safetensors");
    done(&["convert", "--model", text(&module), "--out", text(&other)]);
    let tensors = |file| json(&["inspect", "--json", text(file)])["tensors"].clone();
    assert_eq!(tensors(&out), tensors(&other));

    fs::write(&file, two_networks("student", "teacher")).unwrap();
    let (code, _, stderr) = cosmic(&convert);
    assert!(code == 1 && stderr.contains("2 networks, at [\"student\"], [\"teacher\"]: save one of them"), "{stderr}");

    let contradicting = ["convert", "--model", text(&module), "--out", text(&out), "--num-heads", "4"];
    let (code, _, stderr) = cosmic(&[&contradicting[..], &options[2..]].concat());
    assert!(code == 1 && stderr.contains("the number of attention heads is 3, and not 4"), "{stderr}");
}
