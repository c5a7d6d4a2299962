//! `cosmic calibrate`, and what follows of it for the other commands.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use command::{cosmic, done, json, network, text};
use galaxies::{DatasetWriter, Layout, Redshifts};
use serde_json::Value;

mod command;

/// A data set of galaxies that differ in their magnitudes, with redshifts that the model's errors scatter about.
fn data_set(folder: &Path, name: &str, rows: u64, redshift: impl Fn(u64) -> Option<f64>) -> PathBuf {
    let data = folder.join(name);
    let layout =
        if redshift(0).is_some() { Layout::published(Redshifts::F64) } else { Layout::published(Redshifts::None) };
    let mut writer = DatasetWriter::create(&data, rows, &layout, Vec::new()).unwrap();
    for row in 0..rows {
        let magnitude = 16.0 + (row * 37 % rows) as f64 / rows as f64;
        let image: Vec<f32> = (0..5 * 32 * 32).map(|pixel| ((pixel as u64 * 31 + row) % 17) as f32 / 17.0).collect();
        let redshift = redshift(row);
        writer
            .write(
                &image,
                &[magnitude + 1.0, magnitude, magnitude, 16.0, 16.0],
                redshift.as_ref().map(std::slice::from_ref),
                &[],
            )
            .unwrap();
    }
    writer.finish().unwrap();
    data
}

#[test]
fn a_calibrated_model_gives_intervals_and_says_what_it_was_calibrated_on() {
    let folder = tempfile::tempdir().unwrap();
    let scattered = |row: u64| Some(0.5 + (row * 7 % 101) as f64 / 1000.0);
    let sample = data_set(folder.path(), "sample.pt", 120, |row| if row < 110 { scattered(row) } else { Some(-9.0) });
    let [model, half] = ["model", "half"].map(|name| folder.path().join(format!("{name}.safetensors")));
    let module = network("module.pt");
    let calibrate =
        ["calibrate", "--data", text(&sample), "--model", text(&module), "--out", text(&model), "--note", "seed 404"];
    let shown = done(&calibrate);
    for part in ["110 galaxies of sample.pt (seed 404)", "in 1 × 1 cells", "warning: 10 galaxies were left out"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let first = fs::read(&model).unwrap();
    done(&calibrate);
    assert_eq!(first, fs::read(&model).unwrap(), "the same sample and model give the same file");

    // Converted, and calibrated once more in its own place: nothing is lost, and f16 stays f16.
    done(&["convert", "--model", text(&model), "--out", text(&half)]);
    let inspected = json(&["inspect", "--json", text(&half)]);
    assert_eq!(
        (&inspected["calibration"]["galaxies"], &inspected["calibration"]["note"]),
        (&110.into(), &"seed 404".into())
    );
    let plain = folder.path().join("plain.safetensors");
    done(&["convert", "--model", text(&module), "--out", text(&plain)]);
    assert_eq!(inspected["parameters"], json(&["inspect", "--json", text(&plain)])["parameters"]);
    assert!(done(&["inspect", text(&half)]).contains("calibrated on 110 galaxies of sample.pt (seed 404)"));
    let size = fs::metadata(&half).unwrap().len();
    let again = json(&["calibrate", "--json", "--data", text(&sample), "--model", text(&half), "--out", text(&half)]);
    assert_eq!(again["left_out"]["without_z_spec"], 10, "{again}");
    assert!(again["calibration"]["half_width_68"].as_f64().unwrap() > 0.0, "{again}");
    assert!(fs::metadata(&half).unwrap().len().abs_diff(size) < 200);

    let out = folder.path().join("out");
    let infer = ["infer", "--data", text(&sample), "--model", text(&model), "--out", text(&out)];
    let shown = done(&[&infer[..], &["--levels"]].concat());
    assert!(shown.contains("inside 68.27 %") && shown.contains("inside 95.45 %"), "{shown}");
    let results: Value = serde_json::from_slice(&fs::read(out.join("Results.json")).unwrap()).unwrap();
    assert_eq!(
        (&results["intervals"]["n"], &results["made_by"]["calibration"]["sample"]),
        (&110.into(), &"sample.pt".into())
    );
    let coverage = results["intervals"]["coverage_68"].as_f64().unwrap();
    assert!((0.67..0.75).contains(&coverage), "on its own sample: {coverage}");
}

#[test]
fn what_cannot_calibrate_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let unlabelled = data_set(folder.path(), "unlabelled.pt", 120, |_| None);
    let few = data_set(folder.path(), "few.pt", 99, |_| Some(0.5));
    let (module, out) = (network("module.pt"), folder.path().join("model.safetensors"));
    for (data, said) in [
        (&unlabelled, "has no redshifts: a model is calibrated on galaxies whose spectroscopic redshifts are known"),
        (&few, "few.pt cannot calibrate a model: 99 galaxies have both redshifts"),
    ] {
        let (code, _, stderr) =
            cosmic(&["calibrate", "--data", text(data), "--model", text(&module), "--out", text(&out)]);
        assert!(code == 1 && stderr.contains(said), "{stderr}");
        assert!(!out.exists());
    }
    let infer = ["infer", "--levels", "--data", text(&few), "--model", text(&module), "--out", text(folder.path())];
    let (code, _, stderr) = cosmic(&infer);
    assert!(code == 1 && stderr.contains("is not calibrated") && stderr.contains("cosmic calibrate"), "{stderr}");
    let note = ["convert", "--model", text(&module), "--out", text(&out), "--note", "calibration=done"];
    let (code, _, stderr) = cosmic(&note);
    assert!(code == 1 && stderr.contains("calibration"), "{stderr}");
}
