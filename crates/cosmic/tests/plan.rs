//! `cosmic plan` without AWS.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod command;

use std::fs;

use serde_json::Value;

use crate::command::{cosmic, done, json, root, text};

fn payload() -> String {
    root().join("payloads/25MB-batch-512.json").display().to_string()
}

#[test]
fn data_that_nobody_has_seen_are_planned_and_priced() {
    let arguments = ["plan", "--json", "--payload", &payload(), "--size", "12.6GB", "--partition-size", "25MiB"];
    let plan = json(&arguments);
    assert_eq!((plan["work"]["files"].as_u64(), plan["work"]["ranks"].as_u64()), (Some(481), Some(481)));
    assert_eq!(plan["work"]["galaxies_from"], "sizes");
    let usd = |estimate: &str| plan[estimate]["cost"]["total_usd"].as_f64().unwrap();
    assert!(0.0 < usd("low") && usd("low") < usd("estimate") && usd("estimate") < usd("high") && usd("high") < 1.0);
    assert_eq!(plan["estimate"]["cost"]["region"], "us-east-1");
    let choices = plan["choices"].as_array().unwrap();
    for name in ["cheapest", "knee", "fastest"] {
        let named = choices.iter().filter(|choice| choice["names"].as_array().unwrap().iter().any(|n| n == name));
        let named: Vec<_> = named.collect();
        assert_eq!(named.len(), 1, "{name}");
        assert_eq!(named[0]["pareto"], true);
    }
    // The same again is the same.
    assert_eq!(json(&arguments), plan);
}

#[test]
fn what_is_set_changes_the_plan() {
    let payload = payload();
    let base = ["plan", "--json", "--payload", &payload, "--size", "1GB", "--partition-size", "25MB"];
    let plan = |more: &[&str]| json(&[&base, more].concat());
    let ranks = |more: &[&str]| plan(more)["work"]["ranks"].as_u64().unwrap();
    assert_eq!(ranks(&[]), 40);
    assert_eq!(ranks(&["--set", "world_size=7"]), 7);
    assert_eq!(ranks(&["--set", "world_size=100"]), 100);
    assert_eq!(ranks(&["--set", "file_limit=5"]), 5);
    let usd = |more: &[&str]| plan(more)["estimate"]["cost"]["total_usd"].as_f64().unwrap();
    assert!(usd(&["--architecture", "arm64"]) < usd(&[]));
    assert!(usd(&["--region", "sa-east-1"]) > usd(&[]));
    assert!(usd(&["--memory", "1769"]) < usd(&["--memory", "10240"]));
}

#[test]
fn int8_is_estimated_by_itself_and_the_plan_says_what_that_rests_on() {
    let payload = payload();
    let base = ["plan", "--json", "--payload", &payload, "--size", "1GB", "--partition-size", "25MB"];
    let plan = |more: &[&str]| json(&[&base, more].concat());
    let compute = |plan: &Value, of: &str| plan[of]["rank_parts"]["compute"].as_f64().unwrap();
    let int8 = ["--set", "precision=int8"];
    let (in_f32, in_int8) = (plan(&[]), plan(&int8));
    assert_eq!((&in_f32["work"]["precision"], &in_int8["work"]["precision"]), (&"f32".into(), &"int8".into()));
    assert_eq!(in_f32["slowdown"], in_int8["slowdown"]);
    let ratio = compute(&in_int8, "estimate") / compute(&in_f32, "estimate");
    assert!((0.1..0.95).contains(&ratio), "{ratio}");
    // No function is promised a processor with instructions for it.
    assert_eq!(in_int8["high"], in_f32["high"]);
    let said = in_int8["warnings"].to_string();
    assert!(said.contains("promises to no function") && said.contains("payloads/sweep-precisions.json"), "{said}");

    let on_arm64 = plan(&[&int8[..], &["--architecture", "arm64"]].concat());
    let said = on_arm64["warnings"].to_string();
    assert!(said.contains("nothing was measured on arm64"), "{said}");
    assert!(compute(&on_arm64, "high") < compute(&in_int8, "high"), "each processor of arm64 has the instructions");
    let (code, _, error) = cosmic(&[&base, &int8[..], &["--set", "engine=tch"]].concat());
    assert!(code == 1 && error.contains("`precision`"), "{error}");
}

#[test]
fn warnings_say_what_would_go_wrong() {
    let payload = payload();
    let base = ["plan", "--json", "--payload", &payload, "--size", "12.6GB", "--partition-size", "25MiB"];
    let warnings = |more: &[&str]| {
        let plan = json(&[&base, more].concat());
        plan["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(warnings(&[]), "");
    assert!(warnings(&["--set", "world_size=1"]).contains("world_size"));
    assert!(warnings(&["--timeout", "10", "--memory", "1024"]).contains("481 of 481 ranks would not be done"));
    assert!(warnings(&["--memory", "128"]).contains("InferenceMemory"));
    assert_eq!(warnings(&["--account-concurrency", "10"]), "", "the initializer starts 9 at once");
    let all_at_once = warnings(&["--account-concurrency", "10", "--set", "max_concurrency=481"]);
    assert!(all_at_once.contains("would be turned away") && all_at_once.contains("max_concurrency=9 avoids it"));
    let held = ["--account-concurrency", "10", "--set", "max_concurrency=10"];
    assert_eq!(warnings(&held), "");
    assert!(warnings(&["--account-concurrency", "10", "--set", "max_concurrency=50"]).contains("only 10 functions"));
    let huge = json(&["plan", "--json", "--payload", &payload, "--size", "5TB", "--partition-size", "1GB"]);
    let huge = huge["warnings"].to_string();
    assert!(huge.contains("SummarizerMemory") && huge.contains("the summarizer would take"), "{huge}");
    assert!(warnings(&["--region", "mars-north-1"]).contains("those of us-east-1"));
}

#[test]
fn a_folder_is_planned_by_its_headers_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let sky = folder.path().join("sky.pt");
    done(&["simulate", "--count", "300", "--seed", "7", "--out", text(&sky)]);
    let data = folder.path().join("partitions");
    done(&["split", text(&sky), "--partition-size", "2MB", "--out", text(&data)]);
    let before = fs::read_dir(&data).unwrap().count();
    let payload = payload();
    let plan = |more: &[&str]| {
        let base = ["plan", "--json", "--payload", &payload, "--data", text(&data)];
        json(&[&base, more].concat())
    };
    let by_headers = plan(&["--headers"]);
    assert_eq!(by_headers["work"]["galaxies"].as_u64(), Some(300));
    let by_sizes = plan(&[])["work"]["galaxies"].as_f64().unwrap();
    assert!((by_sizes / 300.0 - 1.0).abs() < 0.02, "{by_sizes}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), before);

    let picture = folder.path().join("choices.png");
    let in_int8 = ["--set", "precision=int8", "--picture", text(&picture)];
    let said = done(&[&["plan", "--payload", &payload, "--data", text(&data)], &in_int8[..]].concat());
    let command = format!("cheapest: cosmic run --payload {payload} --set precision=int8 --set world_size=");
    assert!(said.contains(&command), "{said}");
    assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn an_earlier_run_gives_its_figures() {
    let folder = tempfile::tempdir().unwrap();
    let (sky, out) = (folder.path().join("sky.pt"), folder.path().join("out"));
    done(&["simulate", "--count", "60", "--seed", "7", "--out", text(&sky)]);
    let model = root().join("payloads/demo/model.safetensors");
    done(&["infer", "--data", text(&sky), "--model", text(&model), "--batch-size", "16", "--out", text(&out)]);
    let payload = payload();
    let base = ["plan", "--json", "--payload", &payload, "--size", "1GB", "--partition-size", "25MB"];
    let plan = json(&[&base, ["--from", text(&out)].as_slice()].concat());
    assert_eq!(plan["figures"]["origin"]["of"], text(&out));
    assert_eq!(plan["figures"]["rank"]["inference"][0]["batch_size"].as_u64(), Some(16));
    assert_eq!(plan["figures"]["rank"]["inference"][0]["precision"], "f32");
    let (code, _, stderr) = cosmic(&[&base, ["--from", text(folder.path())].as_slice()].concat());
    assert_eq!(code, 1);
    assert!(stderr.contains("Results.json"), "{stderr}");
}

#[test]
fn sizes_that_no_plan_can_be_of_are_refused_at_once() {
    for (size, partition_size, said) in [
        ("1PB", "25MiB", "choose a larger --partition-size"),
        ("1GB", "1B", "there is no galaxy in"),
        ("1kB", "25MiB", "there is no galaxy in"),
    ] {
        let (code, _, error) =
            cosmic(&["plan", "--payload", &payload(), "--size", size, "--partition-size", partition_size]);
        assert!(code == 1 && error.contains(said), "{error}");
    }
}

#[test]
fn arguments_that_contradict_each_other_are_refused() {
    let payload = payload();
    for more in [
        ["--size", "1GB"].as_slice(),
        &["--partition-size", "25MB"],
        &["--size", "1GB", "--partition-size", "25MB", "--data", "."],
        &["--size", "1GB", "--partition-size", "25MB", "--headers"],
        &["--size", "1GB", "--partition-size", "25MB", "--memory", "99"],
    ] {
        let (code, _, _) = cosmic(&[&["plan", "--payload", &payload], more].concat());
        assert_eq!(code, 2, "{more:?}");
    }
    let (code, _, stderr) = cosmic(&["plan", "--payload", &payload, "--data", "/nowhere/at/all"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("does not exist"), "{stderr}");
}
