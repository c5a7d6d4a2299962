//! The commands that need no AWS, as a user types them. `cosmic run` and `cosmic logs` are tested against the local
//! stack, in infra/tests.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use command::{cosmic, done, galaxies, json, network, root, text};
use galaxies::{DatasetWriter, Layout, Redshifts};
use serde_json::Value;

mod command;

#[test]
fn infer_measures_a_folder_and_says_what_made_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    for name in ["2.pt", "10.pt"] {
        fs::copy(network("galaxies.pt"), data.join(name)).unwrap();
    }
    let (model, out) = (network("module.pt"), folder.path().join("out"));
    let printed = json(&[
        "infer",
        "--json",
        "--data",
        text(&data),
        "--model",
        text(&model),
        "--batch-size",
        "5",
        "--out",
        text(&out),
    ]);
    // The data set's redshifts are PyTorch's predictions.
    assert!(printed["MAE"].as_f64().unwrap() < 1e-6, "{printed}");
    assert_eq!(printed["counts"]["rows"], 24);
    assert_eq!((&printed["complete"], &printed["made_by"]["model"]), (&true.into(), &"module.pt".into()));
    assert!(printed["made_by"]["engine"].as_str().unwrap().starts_with("native ("));
    let written: Value = serde_json::from_slice(&fs::read(out.join("Results.json")).unwrap()).unwrap();
    assert_eq!(written, printed);
    assert!(fs::read(out.join("inference.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(fs::read(out.join("predictions.parquet")).unwrap().starts_with(b"PAR1"));

    let shown = done(&["infer", "--data", text(&data), "--model", text(&model), "--out", text(&out)]);
    let ranks: Value = serde_json::from_slice(&fs::read(out.join("combined_data.json")).unwrap()).unwrap();
    assert_eq!(
        (&ranks[0]["rows"], &ranks[0]["num_batches"], ranks.as_array().unwrap().len()),
        (&24.into(), &2.into(), 1)
    );
    for line in ["R²", "galaxies per second", "24 galaxies in the catalogue, 0 without a redshift"] {
        assert!(shown.contains(line), "{shown}");
    }
}

#[test]
fn infer_says_what_of_the_data_cannot_be_and_which_metrics_that_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let infer = |redshifts: &[f64], magnitude: f64| {
        let (data, out) = (folder.path().join("1.pt"), folder.path().join("out"));
        let mut writer =
            DatasetWriter::create(&data, redshifts.len() as u64, &Layout::published(Redshifts::F64), Vec::new())
                .unwrap();
        for (row, redshift) in redshifts.iter().enumerate() {
            let magnitudes = [18.0, 17.0, 17.0, 16.0, if row == 0 { magnitude } else { 16.0 }];
            writer.write(&vec![0.1; 5 * 32 * 32], &magnitudes, Some(&[*redshift]), &[]).unwrap();
        }
        writer.finish().unwrap();
        let shown =
            done(&["infer", "--data", text(&data), "--model", text(&network("module.pt")), "--out", text(&out)]);
        let results: Value = serde_json::from_slice(&fs::read(out.join("Results.json")).unwrap()).unwrap();
        assert!(fs::read(out.join("inference.png")).unwrap().starts_with(b"\x89PNG"));
        (shown, results)
    };

    let (shown, results) = infer(&[0.1, -1.0, 1e10, 0.3, f64::NAN], 16.0);
    assert!(shown.contains("warning: 2 of 5 galaxies: the spectroscopic redshift is outside -0.05 to 20"), "{shown}");
    assert!(results["R2"].is_f64() && results["counts"]["compared"] == 2, "{results}");

    let (shown, results) = infer(&[0.1, 0.1, 0.1], 99.0);
    assert!(
        shown.contains("n/a: R² needs") && shown.contains("warning: 1 of 3 galaxies: a magnitude is NaN"),
        "{shown}"
    );
    assert!(results["R2"].is_null() && results["MAE"].is_f64(), "{results}");

    let (shown, results) = infer(&[-99.0], 16.0);
    assert!(shown.contains("n/a: no galaxy has both"), "{shown}");
    assert!(results["MAE"].is_null() && results["n"] == 0 && results["counts"]["predicted"] == 1, "{results}");
}

#[test]
fn infer_leaves_out_files_that_are_none_names_them_and_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(network("galaxies.pt"), folder.path().join("1.pt")).unwrap();
    fs::write(folder.path().join("2.pt"), "not a partition").unwrap();
    let out = folder.path().join("out");
    let (code, stdout, _) =
        cosmic(&["infer", "--data", text(folder.path()), "--model", text(&network("module.pt")), "--out", text(&out)]);
    assert_eq!(code, 3);
    assert!(stdout.contains("12 galaxies in the catalogue") && stdout.contains("MISSING 2.pt"), "{stdout}");
}

#[test]
fn what_infer_cannot_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (data, model) = (network("galaxies.pt"), network("module.pt"));
    let out = folder.path().join("out");
    for (data, model, named) in [
        (folder.path(), model.as_path(), "no .pt file"),
        (Path::new("/nowhere/1.pt"), &model, "/nowhere/1.pt"),
        (Path::new("/nowhere/parts"), &model, "/nowhere/parts does not exist"),
        (Path::new(env!("CARGO_MANIFEST_PATH")), &model, "no folder"),
        (&data, Path::new("/nowhere/model.pt"), "/nowhere/model.pt"),
        (&data, &data, "galaxies.pt"),
        (&model, &model, "module.pt"),
    ] {
        let (code, _, stderr) = cosmic(&["infer", "--data", text(data), "--model", text(model), "--out", text(&out)]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(named) && !stderr.contains("panicked"), "{stderr}");
        assert!(!out.join("Results.json").exists());
    }
}

#[test]
fn bad_usage_exits_with_2() {
    for arguments in [
        &["infer"][..],
        &["infer", "--data", "a", "--model", "b", "--batch-size", "0"],
        &["infer", "--data", "a", "--model", "b", "--engine", "abacus"],
        &["split", "a.pt", "--out", "b", "--partition-size", "25 parsec"],
        &["measure"],
    ] {
        assert_eq!(cosmic(arguments).0, 2, "{arguments:?}");
    }
}

#[test]
fn run_refuses_a_payload_that_the_functions_would_before_it_starts_anything() {
    let folder = tempfile::tempdir().unwrap();
    let payload = folder.path().join("payload.json");
    for (contents, named) in [
        (r#"{"bucket": "b", "prefix": "p", "batch_size": "many"}"#, "`batch_size`"),
        (r#"{"bucket": "b", "prefix": "p", "batchsize": 8}"#, "`batch_size`"),
        (r#"["bucket"]"#, "payload.json"),
    ] {
        fs::write(&payload, contents).unwrap();
        let nobody = "http://127.0.0.1:9";
        let (code, _, stderr) = cosmic(&["run", "--endpoint-url", nobody, "--payload", text(&payload)]);
        assert!(code == 1 && stderr.contains(named), "{stderr}");
    }
}

#[test]
fn split_cuts_a_data_set_and_does_not_mix_with_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (galaxies, out) = (network("galaxies.pt"), folder.path().join("cut"));
    let cut = ["split", text(&galaxies), "--partition-size", "100kB", "--out", text(&out)];
    let printed = json(&[&cut[..], &["--json"]].concat());
    assert_eq!((&printed["partitions"], &printed["rows"]), (&3.into(), &12.into()));
    let rows: Vec<_> =
        (1..=3).map(|part| json(&["inspect", "--json", text(&out.join(format!("{part}.pt")))])).collect();
    assert_eq!(rows.iter().map(|part| part["rows"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 5, 2]);

    let (code, _, stderr) = cosmic(&cut);
    assert!(code == 1 && stderr.contains("1.pt is there already"), "{stderr}");
    let whole = ["split", text(&galaxies), "--partition-size", "1MB", "--out", text(&out), "--overwrite"];
    done(&whole);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    let part = out.join("1.pt");
    let itself = ["split", text(&part), "--partition-size", "1MB", "--out", text(&out), "--overwrite"];
    let (code, _, stderr) = cosmic(&itself);
    assert!(code == 1 && stderr.contains("1.pt lies in the folder"), "{stderr}");
    assert!(part.exists());

    let predict = |data: &Path| {
        let results = folder.path().join("results");
        json(&[
            "infer",
            "--json",
            "--data",
            text(data),
            "--model",
            text(&network("module.pt")),
            "--out",
            text(&results),
        ])
    };
    assert_eq!(predict(&out)["MAE"], predict(&galaxies)["MAE"]);
}

/// A folder with a partition that must survive, and the arguments that would write into it.
fn guarded(folder: &Path) -> (PathBuf, PathBuf) {
    let out = folder.join("cut");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("1.pt"), "old").unwrap();
    (network("galaxies.pt"), out)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn split_refuses_whatever_a_run_would_read_or_name_beside_its_partitions() {
    use std::os::unix::{ffi::OsStrExt, fs::symlink};
    type Place = fn(&Path);
    let there: [(Place, &str); 5] = [
        (|out| fs::write(out.join("old.pth"), "old").unwrap(), "old.pth is there already"),
        (|out| fs::write(out.join("9.PT"), "old").unwrap(), "9.PT is there already"),
        (|out| symlink("/nowhere/9.pt", out.join("9.pt")).unwrap(), "9.pt is there already"),
        (|out| fs::write(out.join(std::ffi::OsStr::from_bytes(b"caf\xe9.pt")), "old").unwrap(), "caf\\xe9.pt is there"),
        (
            |out| {
                fs::create_dir(out.join("deep")).unwrap();
                fs::write(out.join("deep/1.pt"), "old").unwrap();
            },
            "deep/1.pt is there already",
        ),
    ];
    let galaxies = network("galaxies.pt");
    for (place, named) in there {
        let folder = tempfile::tempdir().unwrap();
        place(folder.path());
        let cut = ["split", text(&galaxies), "--partition-size", "100kB", "--out", text(folder.path())];
        let (code, _, stderr) = cosmic(&cut);
        assert!(code == 1 && stderr.contains(named), "{named}: {stderr}");
        assert!(!folder.path().join("1.pt").exists());
    }
    // What is hidden is read by no run.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("._1.pt"), "left by macOS").unwrap();
    done(&["split", text(&network("galaxies.pt")), "--partition-size", "100kB", "--out", text(folder.path())]);
    assert_eq!(names(folder.path()), ["._1.pt", "1.pt", "2.pt", "3.pt"]);
}

#[test]
fn split_overwrites_what_a_run_reads_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (galaxies, out) = guarded(folder.path());
    fs::create_dir(out.join("deep")).unwrap();
    for (name, text) in
        [("old.pth", "old"), ("9.PT", "old"), ("deep/1.pt", "old"), (".1.pt", "mine"), ("notes.txt", "mine")]
    {
        fs::write(out.join(name), text).unwrap();
    }
    let overwrite = ["split", text(&galaxies), "--partition-size", "1MB", "--out", text(&out), "--overwrite", "--json"];
    assert_eq!(json(&overwrite)["replaced"], 4);
    assert_eq!(names(&out), [".1.pt", "1.pt", "deep", "notes.txt"]);
    assert_eq!(names(&out.join("deep")), [""; 0]);
    assert_eq!(json(&["inspect", "--json", text(&out.join("1.pt"))])["rows"], 12);

    // Links: one that leads nowhere cannot be replaced, and what lies behind one is not the folder's.
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("1.pt"), "mine").unwrap();
    for (link, target, named) in
        [("7.pt", Path::new("/nowhere"), "7.pt cannot be replaced"), ("linked", &elsewhere, "behind a link")]
    {
        std::os::unix::fs::symlink(target, out.join(link)).unwrap();
        let (code, _, stderr) = cosmic(&overwrite);
        assert!(code == 1 && stderr.contains(named), "{stderr}");
        fs::remove_file(out.join(link)).unwrap();
    }
    assert_eq!(fs::read(elsewhere.join("1.pt")).unwrap(), b"mine");
}

#[test]
fn split_that_fails_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let (galaxies, out) = guarded(folder.path());
    // As on a full disk: the second partition does not fit.
    let script = "trap '' XFSZ; ulimit -f 100; exec \"$@\"";
    let binary = assert_cmd::cargo::cargo_bin("cosmic");
    for (place, overwrite) in [(out.clone(), true), (folder.path().join("new"), false)] {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&binary).args(["split", text(&galaxies), "--partition-size", "100MB"]);
        command.args(["--out", text(&place)]).args(overwrite.then_some("--overwrite"));
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains("File too large"), "{stderr}");
    }
    assert_eq!(names(&out), ["1.pt"]);
    assert_eq!(fs::read(out.join("1.pt")).unwrap(), b"old");
    assert_eq!(names(folder.path()), ["cut"]);
}

#[test]
fn a_split_that_was_interrupted_is_said_of_what_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let [sky, parts, out] = ["sky.pt", "parts", "out"].map(|name| folder.path().join(name));
    done(&["simulate", "--count", "12", "--out", text(&sky)]);
    let split = ["split", text(&sky), "--partition-size", "100kB", "--out", text(&parts)];
    done(&split);
    // As a kill in the midst of its renames leaves it.
    let hidden = parts.join(".cosmic-partitions-x");
    std::fs::create_dir(&hidden).unwrap();
    std::fs::rename(parts.join("2.pt"), hidden.join("2.pt")).unwrap();
    let model = network("module.pt");
    let (code, stdout, stderr) =
        cosmic(&["infer", "--json", "--data", text(&parts), "--model", text(&model), "--out", text(&out)]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stdout.contains("was interrupted"), "{stdout}");
    assert_eq!(cosmic(&split).0, 1);
}

#[test]
fn simulate_writes_none_of_its_files_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sky.pt");
    let (code, _, stderr) = cosmic(&["simulate", "--count", "1", "--out", text(&path), "--preview", text(&path)]);
    assert!(code == 1 && stderr.contains("the same file"), "{stderr}");
    assert!(!path.exists());
}

#[test]
fn outputs_that_are_no_files_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.pt");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for out in [pipe.as_path(), Path::new("/dev/full"), Path::new("/dev/null"), folder.path()] {
        let (code, _, stderr) = cosmic(&["simulate", "--count", "3", "--out", text(out)]);
        assert!(code == 1 && stderr.contains("no file that could be replaced"), "{stderr}");
    }
    let (code, _, stderr) = cosmic(&["simulate", "--count", "3", "--out", "/nowhere/sky.pt"]);
    assert!(code == 1 && stderr.contains("/nowhere"), "{stderr}");
    for out in [pipe.as_path(), Path::new("/dev/null"), &network("galaxies.pt")] {
        let (code, _, stderr) =
            cosmic(&["split", text(&network("galaxies.pt")), "--partition-size", "1MB", "--out", text(out)]);
        assert!(code == 1 && stderr.contains("is no folder"), "{stderr}");
    }
    for arguments in [&["inspect", text(&pipe)][..], &["split", text(&pipe), "--partition-size", "1MB", "--out", "new"]]
    {
        let (code, _, stderr) = cosmic(arguments);
        assert!(code == 1 && stderr.contains("it is a pipe"), "{stderr}");
    }
}

#[test]
fn infer_reads_what_can_be_read_and_names_the_rest() {
    use std::os::unix::{ffi::OsStrExt, fs::symlink};
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join(".Trash-1000")).unwrap();
    for name in ["1.pt", "2.PT", "._1.pt", ".Trash-1000/3.pt"] {
        fs::copy(network("galaxies.pt"), data.join(name)).unwrap();
    }
    let latin = std::ffi::OsStr::from_bytes(b"caf\xe9.pt");
    fs::copy(network("galaxies.pt"), data.join(latin)).unwrap();
    symlink("/nowhere/4.pt", data.join("4.pt")).unwrap();
    symlink(".", data.join("loop")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(data.join("5.pt")).status().unwrap().success());
    let out = folder.path().join("out");
    let (code, stdout, stderr) = cosmic(&[
        "infer",
        "--json",
        "--data",
        text(&data),
        "--model",
        text(&network("module.pt")),
        "--out",
        text(&out),
    ]);
    assert_eq!(code, 3, "{stderr}");
    let printed: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&printed["counts"]["rows"], &printed["counts"]["files"]), (&24.into(), &6.into()));
    let missing = printed["missing"].to_string();
    for (name, reason) in [
        ("4.pt", "a link to /nowhere/4.pt, where nothing is"),
        ("5.pt", "it is a pipe"),
        ("caf\\\\xe9.pt", "not UTF-8"),
        ("loop", "a link to a folder that it lies in"),
    ] {
        assert!(missing.contains(&format!("[\"{name}\"]")) && missing.contains(reason), "{name}: {missing}");
    }
    assert!(stderr.contains("it is hidden") && stderr.contains("of 2 such files"), "{stderr}");
}

#[test]
fn convert_makes_a_model_that_gives_the_same_redshifts_and_says_where_it_is_from() {
    let folder = tempfile::tempdir().unwrap();
    let (dict, out) = (network("state-dict.pt"), folder.path().join("model.safetensors"));
    let convert = ["convert", "--model", text(&dict), "--out", text(&out), "--precision", "f32"];
    let (code, _, stderr) = cosmic(&convert);
    assert!(code == 1 && stderr.contains("--num-heads"), "{stderr}");
    let heads = ["--num-heads", "3", "--layer-norm-eps", "1e-6", "--batch-norm-eps", "1e-5", "--note", "origin=a test"];
    done(&[&convert[..], &heads].concat());

    let shown = done(&["inspect", text(&out)]);
    for part in ["AstroMAE: depth 2, width 24, 3 heads", "origin: a test", "source_sha256: ", "F32"] {
        assert!(shown.contains(part), "{shown}");
    }
    let data = network("galaxies.pt");
    let results = folder.path().join("results");
    let found = json(&["infer", "--json", "--data", text(&data), "--model", text(&out), "--out", text(&results)]);
    assert!(found["MAE"].as_f64().unwrap() < 1e-6, "{found}");
}

#[test]
fn inspect_tells_data_sets_networks_and_other_files_apart() {
    let data = json(&["inspect", "--json", text(&network("galaxies.pt"))]);
    assert_eq!((&data["content"], &data["rows"]), (&"dataset".into(), &12.into()));
    let module = json(&["inspect", "--json", text(&network("module-legacy.pt"))]);
    assert_eq!((&module["class"], &module["format"]), (&"ViT_Astro".into(), &"torch.save (legacy)".into()));
    assert_eq!(module["astromae"]["embed_dim"], 24);
    let (code, _, stderr) = cosmic(&["inspect", text(&network("make.py"))]);
    assert!(code == 1 && stderr.contains("make.py"), "{stderr}");
}

#[test]
fn convert_takes_safetensors_of_a_bare_state_dict() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, bare, out] = ["whole", "bare", "out"].map(|name| folder.path().join(format!("{name}.safetensors")));
    done(&["convert", "--model", text(&network("module.pt")), "--out", text(&whole), "--precision", "f32"]);
    // As safetensors' own `save_file` writes it: without the configuration.
    let bytes = fs::read(&whole).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, values) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    header.as_object_mut().unwrap().remove("__metadata__").unwrap();
    let header = header.to_string();
    fs::write(&bare, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), values].concat()).unwrap();

    let convert = ["convert", "--model", text(&bare), "--out", text(&out), "--precision", "f32"];
    let (code, _, stderr) = cosmic(&convert);
    assert!(code == 1 && stderr.contains("--num-heads"), "{stderr}");
    done(&[&convert[..], &["--num-heads", "3", "--layer-norm-eps", "1e-6", "--batch-norm-eps", "1e-5"]].concat());
    let data = network("galaxies.pt");
    let results = folder.path().join("results");
    let found = json(&["infer", "--json", "--data", text(&data), "--model", text(&out), "--out", text(&results)]);
    assert!(found["MAE"].as_f64().unwrap() < 1e-6, "{found}");
}

#[test]
fn inspect_survives_shapes_that_lie_and_prints_no_control_characters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.safetensors");
    let entry = r#"{"dtype":"F32","shape":[18446744073709551615,18446744073709551615],"data_offsets":[0,0]}"#;
    let header = format!(r#"{{"__metadata__":{{"origin":"\u001b[2J"}},"a\u001b[2J":{entry},"b":{entry}}}"#);
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
    let shown = done(&["inspect", text(&path)]);
    assert!(shown.contains("18446744073709551615 values") && shown.contains("not usable as AstroMAE"), "{shown}");
    assert!(!shown.contains('\u{1b}') && shown.contains("origin: \\u{1b}[2J"), "{shown}");

    // More dimensions than a column is wide, and a file that was cut short.
    let shape = vec!["1"; 22_000].join(",");
    let header = format!(r#"{{"a":{{"dtype":"F32","shape":[{shape}],"data_offsets":[0,4]}}}}"#);
    let whole = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), b"1234"].concat();
    fs::write(&path, &whole).unwrap();
    done(&["inspect", text(&path)]);
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let (code, _, stderr) = cosmic(&["inspect", text(&path)]);
    assert!(code == 1 && stderr.contains("cut short"), "{stderr}");

    fs::write(&path, [&(1_u64 << 62).to_le_bytes()[..], b"{"].concat()).unwrap();
    let (code, _, stderr) = cosmic(&["inspect", text(&path)]);
    assert!(code == 1 && stderr.contains("is not a safetensors file"), "{stderr}");
}

/// The published system's own classes wrote these; they are not part of the project.
#[test]
fn the_published_classes_redshifts_are_reproduced() {
    let fixtures = root().join("../shared/fixtures");
    if !fixtures.exists() {
        eprintln!("skipped: {} is not there", fixtures.display());
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let (data, model) = (fixtures.join("partitions"), fixtures.join("astromae-simulated-sky.pt"));
    done(&["infer", "--data", text(&data), "--model", text(&model), "--out", text(out.path())]);
    let catalogue = fs::read(out.path().join("predictions.parquet")).unwrap();
    let found: Vec<f32> = catalogue::read(catalogue.into())
        .unwrap()
        .flat_map(|rows| rows.unwrap().z_phot.into_iter().map(Option::unwrap))
        .collect();
    let expected: Vec<f32> = fs::read_to_string(fixtures.join("predictions.csv"))
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(found.len(), expected.len());
    let largest = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-4, "{largest}");
}

#[test]
fn simulate_makes_the_same_galaxies_whole_or_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, part, preview] = ["sky.pt", "part.pt", "sky.png"].map(|name| folder.path().join(name));
    let sky = ["simulate", "--seed", "7", "--json"];
    let made = ["--count", "30", "--out", text(&whole), "--preview", text(&preview)];
    let printed = json(&[&sky[..], &made].concat());
    assert_eq!((&printed["galaxies"], &printed["out"]["bytes"]), (&30.into(), &(30 * 20548).into()));
    assert!(fs::read(&preview).unwrap().starts_with(b"\x89PNG"));
    json(&[&sky[..], &["--first", "10", "--count", "3", "--out", text(&part)]].concat());
    let (whole, part) = (galaxies(&whole), galaxies(&part));
    assert_eq!(part.redshifts.unwrap()[..], whole.redshifts.unwrap()[10..13]);
    assert!(part.images == whole.images[10 * 5120..13 * 5120] && part.magnitudes == whole.magnitudes[50..65]);

    for usage in [
        &["simulate", "--count", "3"][..],
        &["simulate", "--out", "a.pt"],
        &["simulate", "--count", "0", "--out", "a.pt"],
        &["simulate", "--catalogue", "a.csv", "--first", "3", "--out", "a.pt"],
    ] {
        assert_eq!(cosmic(usage).0, 2, "{usage:?}");
    }
}

#[test]
fn simulate_takes_magnitudes_and_redshifts_of_a_catalogue_and_names_the_lines_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let [catalogue, out] = ["real.csv", "real.pt"].map(|name| folder.path().join(name));
    let simulate = ["simulate", "--catalogue", text(&catalogue), "--out", text(&out)];
    fs::write(&catalogue, "id,redshift, u,g,r,i,z\n7,0.11,19.1,17.6,16.8,16.4,16.1\n8,0.07,18,17,16.5,16.2,16\n")
        .unwrap();
    assert!(done(&simulate).contains("real.pt: 2 galaxies"));
    let rows = galaxies(&out);
    assert_eq!(rows.magnitudes, [19.1, 17.6, 16.8, 16.4, 16.1, 18.0, 17.0, 16.5, 16.2, 16.0]);
    assert_eq!(rows.redshifts.unwrap(), [0.11_f32, 0.07].map(f64::from));

    for (contents, named) in [
        ("u,g,r,i,z\n18,17,16.5,16.2,16\n", "no column redshift"),
        ("u,g,r,i,z,redshift\n18,17,16.5,16.2,16,0.1\n18,17,16.5,16.2,-9999,0.1\n", "line 3: magnitude -9999 in z"),
        ("u,g,r,i,z,redshift\n18,17,16.5,16.2,16,3.1\n", "line 2: redshift 3.1"),
        ("u,g,r,i,z,redshift\n18,17,?,16.2,16,0.1\n", "line 2: r is \"?\""),
        ("u,g,r,i,z,redshift\n18,17,16.5\n", "line: 2"),
        ("u,g,r,i,z,redshift\n", "no rows"),
    ] {
        fs::write(&catalogue, contents).unwrap();
        let (code, _, stderr) = cosmic(&simulate);
        assert!(code == 1 && stderr.contains("real.csv") && stderr.contains(named), "{stderr}");
    }
}
