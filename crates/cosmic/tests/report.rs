//! `cosmic report` on results of this machine. Executions are tested in infra/tests.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use command::{cosmic, done, json, network, text};

mod command;

fn infer(out: &Path, batch_size: &str) {
    let (data, model) = (network("galaxies.pt"), network("module.pt"));
    done(&["infer", "--data", text(&data), "--model", text(&model), "--batch-size", batch_size, "--out", text(out)]);
}

#[test]
fn a_run_its_galaxies_and_two_runs_compared_are_one_file_each() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, page] = ["first", "second", "page.html"].map(|name| folder.path().join(name));
    infer(&first, "5");
    infer(&second, "12");
    let by_infer = fs::read_to_string(first.join("report.html")).unwrap();
    assert!(by_infer.starts_with("<!DOCTYPE html>") && !by_infer.contains("in five bands"));

    let data = network("galaxies.pt");
    let printed = json(&["report", "--json", text(&first), "--data", text(&data), "--out", text(&page)]);
    let by_report = fs::read_to_string(&page).unwrap();
    assert_eq!((&printed["path"], &printed["bytes"]), (&text(&page).into(), &by_report.len().into()));
    assert_eq!(printed["figures"]["counts"]["rows"], 12);
    assert!(by_report.matches("in five bands and in colour").count() > 1, "there are pictures of galaxies");

    // The results' own page is among those that Results.json vouches for: another is not written over it.
    let results: serde_json::Value = serde_json::from_slice(&fs::read(first.join("Results.json")).unwrap()).unwrap();
    assert!(results["sha256"]["report.html"].is_string());
    assert_eq!(fs::read_to_string(first.join("report.html")).unwrap(), by_infer);

    done(&["report", text(&first), text(&second), "--out", text(&page)]);
    let compared = fs::read_to_string(&page).unwrap();
    assert!(compared.contains("The redshifts are the same to the last bit") && compared.contains("batch_size"));
}

#[test]
fn results_that_were_changed_or_are_not_there_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (out, page) = (folder.path().join("out"), folder.path().join("page.html"));
    infer(&out, "12");
    fs::write(out.join("combined_data.json"), "[]").unwrap();
    fs::remove_file(out.join("inference.png")).unwrap();
    let (code, _, said) = cosmic(&["report", text(&out), "--out", text(&page)]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("combined_data.json is not the file that Results.json speaks of"), "{said}");
    assert!(said.contains("inference.png could not be read"), "{said}");
    let written = fs::read_to_string(&page).unwrap();
    assert!(written.contains("combined_data.json is not the file"), "the page says so too");

    let (code, _, said) = cosmic(&["report", text(&folder.path().join("nowhere"))]);
    assert!(code == 1 && said.contains("is no folder of results"), "{said}");
}
