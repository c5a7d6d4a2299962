//! `cosmic compare`: two catalogues, and one model in two precisions.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use command::{cosmic, done, json, network, root, text};
use serde_json::Value;

mod command;

fn infer(model: &Path, out: &Path, more: &[&str]) -> Value {
    let data = network("galaxies.pt");
    let arguments = ["infer", "--json", "--data", text(&data), "--model", text(model), "--out", text(out)];
    json(&[&arguments, more].concat())
}

#[test]
fn a_model_in_two_precisions_is_compared_as_its_two_catalogues_are() {
    let folder = tempfile::tempdir().unwrap();
    let [in_f32, in_int8] = ["f32", "int8"].map(|name| folder.path().join(name));
    let (data, model) = (network("galaxies.pt"), network("module.pt"));
    assert_eq!(infer(&model, &in_f32, &[])["made_by"]["precision"], "f32");
    let results = infer(&model, &in_int8, &["--precision", "int8", "--batch-size", "5"]);
    assert_eq!(results["made_by"]["precision"], "int8");
    let ranks: Value = serde_json::from_slice(&fs::read(in_int8.join("combined_data.json")).unwrap()).unwrap();
    assert_eq!(ranks[0]["precision"], "int8");
    assert!(fs::read_to_string(in_int8.join("report.html")).unwrap().contains("int8"));

    // One by its folder, the other by its file.
    let catalogue = in_int8.join("predictions.parquet");
    let of_two = json(&["compare", "--json", text(&in_f32), text(&catalogue)]);
    let at_once = json(&["compare", "--json", "--data", text(&data), "--model", text(&model), "--batch-size", "7"]);
    assert_eq!(of_two["galaxies"].as_u64().unwrap() + of_two["in_neither"].as_u64().unwrap(), 12);
    for name in ["first", "second"] {
        assert_eq!(of_two[name]["precision"], at_once[name]["precision"]);
        assert_eq!(of_two[name]["model_sha256"], at_once[name]["model_sha256"]);
    }
    let figures = |printed: &Value| {
        let mut printed = printed.clone();
        let fields = printed.as_object_mut().unwrap();
        fields.retain(|name, _| !["first", "second", "largest"].contains(&name.as_str()));
        printed
    };
    assert_eq!(figures(&of_two), figures(&at_once));
    assert_eq!(of_two["largest"]["row_index"], at_once["largest"]["row_index"]);
    let said = done(&["compare", text(&in_f32), text(&in_int8)]);
    assert!(said.contains("another precision\n"), "{said}");
    assert!(said.contains("|Δz|/(1 + z)") && said.contains("σ NMAD"), "{said}");
}

#[test]
fn a_limit_is_in_the_exit_code_and_the_farthest_galaxy_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    infer(&network("module.pt"), &first, &[]);
    infer(&root().join("payloads/demo/model.safetensors"), &second, &[]);
    let (code, said, _) = cosmic(&["compare", text(&first), text(&second), "--limit", "1e-3"]);
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("another model") && said.contains("BEYOND 0.001") && said.contains("of galaxies.pt"),
        "{said}"
    );
    let (code, said, _) = cosmic(&["compare", "--json", text(&first), text(&first), "--limit", "0"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["beyond_limit"], &said["same"]), (0, &0.into(), &said["galaxies"]));
}

#[test]
fn what_cannot_be_compared_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (nowhere, data) = (folder.path().join("nowhere"), network("galaxies.pt"));
    for (arguments, expected, said) in [
        (vec!["compare"], 2, "required"),
        (vec!["compare", "a"], 2, "<SECOND>"),
        (vec!["compare", "a", "b", "--data", "c", "--model", "d"], 2, "cannot be used with"),
        (vec!["compare", "--data", "c"], 2, "--model"),
        (vec!["compare", "a", "b", "--limit", "-1"], 2, "a limit is a number from 0 on"),
        (vec!["compare", "--data", "c", "--model", "d", "--precision", "fp16"], 2, "it is f32 or int8"),
        (vec!["compare", text(&nowhere), text(&nowhere)], 1, "nowhere"),
        (vec!["compare", text(&data), text(&data)], 1, "cannot be read as a catalogue"),
    ] {
        let (code, _, error) = cosmic(&arguments);
        assert!(code == expected && error.contains(said), "{arguments:?}: {code} {error}");
    }
}
