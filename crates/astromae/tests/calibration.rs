//! The calibration in a model's file: kept beside the network, and refused where it is not whole.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use astromae::{Model, StoredCalibration, StoredPrecision, weights::Tensor};

fn model() -> Model {
    Model::open(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/module.pt")).unwrap()
}

/// The small model with a calibration, whose values no f16 has.
fn calibrated() -> Model {
    let tensor = |shape: &[usize], value| Tensor { shape: shape.to_vec(), data: vec![value; shape.iter().product()] };
    let tensors = BTreeMap::from([
        ("calibration.z_edges".to_owned(), tensor(&[3], 0.1)),
        ("calibration.quantiles".to_owned(), tensor(&[2, 1, 23], 1e-7)),
    ]);
    Model { calibration: Some(StoredCalibration { tensors, description: "{}".to_owned() }), ..model() }
}

fn read_back(model: &Model, notes: &HashMap<String, String>) -> Result<Model, String> {
    let bytes = model.to_safetensors(StoredPrecision::F16, notes).unwrap();
    Model::from_bytes("model", bytes.into()).map_err(|error| error.to_string())
}

#[test]
fn a_calibration_comes_back_unrounded_beside_the_same_network() {
    let notes = HashMap::from([("origin".to_owned(), "a test".to_owned())]);
    let read = read_back(&calibrated(), &notes).unwrap();
    assert_eq!((&read.calibration, &read.metadata), (&calibrated().calibration, &notes));
    let without = read_back(&model(), &notes).unwrap();
    assert_eq!((without.calibration, without.config, without.weights), (None, read.config, read.weights));
}

#[test]
fn the_same_model_gives_the_same_file() {
    let notes: HashMap<_, _> = (0..20).map(|note| (format!("note {note}"), "text".to_owned())).collect();
    let again: HashMap<_, _> = notes.clone().into_iter().collect();
    let bytes = |notes| calibrated().to_safetensors(StoredPrecision::F16, notes).unwrap();
    assert_eq!(bytes(&notes), bytes(&again));
}

#[test]
fn the_exact_precision_is_that_of_the_weights() {
    let half = read_back(&calibrated(), &HashMap::new()).unwrap();
    assert_eq!((half.exact_precision(), model().exact_precision()), (StoredPrecision::F16, StoredPrecision::F32));
}

#[test]
fn a_calibration_of_another_network_is_refused_and_a_converted_one_keeps_its_own() {
    let bytes = calibrated().to_safetensors(StoredPrecision::F32, &HashMap::new()).unwrap();
    // The last byte is the network's: the calibration's tensors come first. It stays a finite number.
    let mut trained_further = bytes.clone();
    *trained_further.last_mut().unwrap() ^= 0x80;
    let said = Model::from_bytes("model", trained_further.into()).unwrap_err().to_string();
    assert!(said.contains("that of another network") && said.contains("cosmic calibrate"), "{said}");
    let converted = read_back(&Model::from_bytes("model", bytes.into()).unwrap(), &HashMap::new()).unwrap();
    assert_eq!(converted.calibration, calibrated().calibration);
}

#[test]
fn a_calibration_that_is_not_whole_is_refused() {
    type Change = fn(&mut BTreeMap<String, Tensor>);
    let changes: [(Change, &str); 2] = [
        (|tensors| tensors.clear(), "describe tensors that it does not hold"),
        (
            |tensors| {
                let huge = Tensor { shape: vec![1 << 21], data: vec![0.0; 1 << 21] };
                tensors.insert("calibration.more".to_owned(), huge);
            },
            "may have 1048576",
        ),
    ];
    for (change, expected) in changes {
        let mut model = calibrated();
        change(&mut model.calibration.as_mut().unwrap().tensors);
        let said = read_back(&model, &HashMap::new()).unwrap_err();
        assert!(said.contains(expected) && said.contains("cosmic calibrate"), "{said}");
    }

    // Without a description, or in another type.
    let bytes = calibrated().to_safetensors(StoredPrecision::F32, &HashMap::new()).unwrap();
    for (from, to, expected) in [
        (r#""calibration":"{}""#, r#""calibratiom":"{}""#, "its metadata lack `calibration`"),
        (
            r#""calibration.z_edges":{"dtype":"F32","shape":[3]"#,
            r#""calibration.z_edges":{"dtype":"I32","shape":[3]"#,
            "type I32 instead of F32",
        ),
    ] {
        let place = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut changed = bytes.clone();
        changed[place..place + from.len()].copy_from_slice(to.as_bytes());
        let said = Model::from_bytes("model", changed.into()).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}
