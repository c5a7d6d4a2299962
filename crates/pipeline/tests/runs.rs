//! Whole runs on a folder instead of S3: initialize, each rank, summarize. The network is a formula, so that every
//! value of a catalogue is known; everything else is what runs on Lambda.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::PathBuf, sync::atomic::Ordering};

use astromae::engine::{BANDS, PIXELS};
use catalogue::{Flag, FlagCounts, Metrics};
use galaxies::{DatasetWriter, Layout, Redshifts};
use harness::{INT8_ERROR, Sky, first_magnitude, owner};
use pipeline::{
    concurrency::{LambdaQuota, Quotas},
    events::InitializeEvent,
    initialize::initialize,
    report::ReportInput,
    run_files::{Results, sha256},
    storage::explain,
};
use serde_json::{Value, json};

mod harness;

/// What the catalogue of these partitions must be.
fn expected(partitions: &[u64]) -> Vec<(String, u64, Option<f32>, u8)> {
    let rows = |(index, rows): (usize, &u64)| {
        (0..*rows).map(move |row| {
            let z = first_magnitude(index + 1, row) as f32 / 100.0;
            (format!("{}.pt", index + 1), row, Some(z), 0)
        })
    };
    partitions.iter().enumerate().flat_map(rows).collect()
}

const PARTITIONS: [u64; 11] = [7, 1, 12, 3, 4, 0, 9, 2, 5, 6, 8];

#[tokio::test]
async fn the_catalogue_has_each_planned_row_once_in_the_plans_order_at_any_world_size() {
    for world_size in [Value::Null, 1.into(), 5.into(), 11.into(), 30.into(), 57.into(), 500.into()] {
        let sky = Sky::of(&PARTITIONS);
        let (planned, summary) = sky.execute(json!({"world_size": world_size})).await;
        assert!(summary.complete && summary.accepted, "{world_size}: {:?}", summary.reason);
        assert_eq!(summary.rows, 57);
        assert!(planned.world_size <= 57, "no rank without a row");
        assert_eq!(sky.catalogue(), expected(&PARTITIONS), "world size {world_size}");
        assert!(sky.largest_batch.load(Ordering::Relaxed) <= 4, "the payload's batch_size");
    }
}

#[tokio::test]
async fn metrics_are_those_of_the_catalogue() {
    let sky = Sky::of(&[50]);
    sky.execute(json!({})).await;
    let results = sky.results();
    // z_phot is a tenth of z_spec, exactly but for rounding.
    let metrics = results.metrics;
    let bias: f64 = (0..50).map(|row| first_magnitude(1, row) * (0.01 - 0.1)).sum::<f64>() / 50.0;
    assert!((metrics.mae.unwrap() + bias).abs() < 1e-6, "{metrics:?}");
    assert_eq!((results.counts.compared, results.counts.flagged, results.counts.rows), (50, 0, 50));
}

#[tokio::test]
async fn the_first_files_only_where_a_limit_is_set() {
    let sky = Sky::of(&PARTITIONS);
    let (_, summary) = sky.execute(json!({"file_limit": "3"})).await;
    assert_eq!(summary.rows, 20);
    assert_eq!(sky.catalogue(), expected(&PARTITIONS[..3]));
}

#[tokio::test]
async fn a_missing_rank_is_named_and_accepted_only_where_that_is_tolerated() {
    for (tolerated, accepted) in [(0, false), (24, false), (25, true)] {
        let sky = Sky::of(&[3, 4, 5, 6]);
        let planned = sky.initialize("first", json!({"tolerated_failure_percentage": tolerated})).await.unwrap();
        for rank in [0, 1, 3] {
            sky.rank(&planned, rank).await.unwrap();
        }
        let summary = sky.summarize(&planned).await.unwrap();
        assert_eq!((summary.complete, summary.accepted, summary.rows), (false, accepted, 13), "{tolerated} %");
        let reason = summary.reason.unwrap();
        assert!(reason.contains("Rank 2") && reason.contains("3.pt"), "{reason}");
        assert_eq!(sky.results().missing[0].files, ["data/3.pt"]);
    }
}

#[tokio::test]
async fn the_same_input_again_runs_only_what_is_missing() {
    let sky = Sky::of(&[3, 4, 5, 6]);
    let planned = sky.initialize("first", json!({})).await.unwrap();
    sky.rank(&planned, 0).await.unwrap();
    let two = sky.tasks(&planned).remove(2);
    sky.rank(&planned, 2).await.unwrap();

    // What the engine is by default is no other run when it is named.
    let again = sky.initialize("second", json!({"engine": "native"})).await.unwrap();
    assert_eq!((again.pending, &again.fingerprint), (2, &planned.fingerprint));
    assert_eq!(sky.tasks(&again).iter().map(|task| task.rank).collect::<Vec<_>>(), [1, 3]);
    assert!(sky.task(&again, two).await.unwrap().skipped);
    for rank in [1, 3] {
        assert!(!sky.rank(&again, rank).await.unwrap().skipped);
    }
    assert!(sky.summarize(&again).await.unwrap().complete);
    assert_eq!(sky.catalogue(), expected(&[3, 4, 5, 6]));
    assert_eq!(sky.results().throughput.resumed_rows, 8);
}

#[tokio::test]
async fn data_that_changed_cost_only_the_ranks_they_are_in() {
    let sky = Sky::of(&[3, 4, 5]);
    std::fs::write(sky.path("data/2.pt"), b"not from torch.save").unwrap();
    let (_, summary) = sky.execute(json!({})).await;
    assert_eq!((summary.complete, summary.rows), (false, 8));

    // The bad file is repaired, and another added.
    sky.write_partition(2, 6, |_| 0.0);
    sky.write_partition(4, 7, |_| 0.0);
    let again = sky.initialize("second", json!({})).await.unwrap();
    assert_eq!(sky.tasks(&again).iter().map(|task| task.rank).collect::<Vec<_>>(), [1, 3]);
    for rank in [1, 3] {
        sky.rank(&again, rank).await.unwrap();
    }
    assert!(sky.summarize(&again).await.unwrap().complete);
    assert_eq!(sky.catalogue(), expected(&[3, 6, 5, 7]));

    // A file that is gone is no longer in the catalogue, and what is behind it is not computed anew.
    std::fs::remove_file(sky.path("data/1.pt")).unwrap();
    let fewer = sky.initialize("third", json!({})).await.unwrap();
    assert_eq!((fewer.pending, fewer.world_size), (0, 3));
    assert!(sky.summarize(&fewer).await.unwrap().complete);
    assert_eq!(sky.catalogue(), expected(&[3, 6, 5, 7])[3..]);
}

#[tokio::test]
async fn another_input_does_not_get_the_result_path_unless_it_overwrites() {
    let sky = Sky::of(&[3, 4]);
    sky.execute(json!({})).await;
    let others =
        ["results/notes.txt", "results/ranks/mine.parquet", "results/map/plan.json", "results/ranks/ranks/1.json"];
    for name in others {
        std::fs::create_dir_all(sky.path(name).parent().unwrap()).unwrap();
        std::fs::write(sky.path(name), "mine").unwrap();
    }
    for (change, field) in [
        (json!({"batch_size": 5}), "batch_size"),
        (json!({"file_limit": 1}), "file_limit"),
        (json!({"world_size": 7}), "world_size"),
        (json!({"precision": "int8"}), "`precision` (\"f32\" there, \"int8\" here)"),
    ] {
        let refused = sky.initialize("second", change.clone()).await.unwrap_err();
        assert_eq!(refused.name(), "ResultPathTaken", "{change}: {refused}");
        let said = explain(&refused);
        assert!(said.contains("results") && said.contains("first") && said.contains(field), "{said}");
    }
    sky.initialize("third", json!({"max_concurrency": 2})).await.unwrap();

    let planned = sky.initialize("fourth", json!({"batch_size": 5, "overwrite": true})).await.unwrap();
    assert_eq!((planned.pending, sky.objects().len()), (2, 2), "what ranks had left is gone, and nothing else");
    for name in others {
        assert!(sky.path(name).exists(), "{name}: what is not a run's is nobody's to delete");
    }
    assert_eq!(sky.results().execution, "first", "the old results stay until the new ones are whole");
    for rank in [0, 1] {
        sky.rank(&planned, rank).await.unwrap();
    }
    assert!(sky.summarize(&planned).await.unwrap().complete);
    assert_eq!(sky.results().execution, "fourth");
}

#[tokio::test]
async fn the_same_input_that_overwrites_computes_everything_anew_even_if_it_is_tried_twice() {
    let sky = Sky::of(&[3, 4]);
    sky.execute(json!({})).await;
    let anew = sky.initialize("second", json!({"overwrite": true})).await.unwrap();
    assert_eq!(anew.pending, 2);
    sky.rank(&anew, 1).await.unwrap();
    // A second attempt of the same initializer finds what its own ranks have left.
    let retried = sky.initialize("second", json!({"overwrite": true})).await.unwrap();
    assert_eq!(sky.tasks(&retried).iter().map(|task| task.rank).collect::<Vec<_>>(), [0]);
    sky.rank(&retried, 0).await.unwrap();
    assert!(sky.summarize(&retried).await.unwrap().complete);
    assert_eq!(sky.results().throughput.resumed_rows, 0);
}

#[tokio::test]
async fn a_run_is_computed_in_the_precision_that_is_asked_for_and_says_so() {
    let sky = Sky::of(&[3, 4]);
    sky.execute(json!({})).await;
    assert_eq!(sky.results().made_by.precision, "f32");
    // The process has kept the model, which is the same one.
    let planned = sky.initialize("second", json!({"precision": "int8", "overwrite": true})).await.unwrap();
    for rank in 0..2 {
        assert!(!sky.rank(&planned, rank).await.unwrap().skipped);
    }
    assert!(sky.summarize(&planned).await.unwrap().complete);
    let in_int8 = |(file, row, z, flags): (String, u64, Option<f32>, u8)| (file, row, z.map(|z| z + INT8_ERROR), flags);
    assert_eq!(sky.catalogue(), expected(&[3, 4]).into_iter().map(in_int8).collect::<Vec<_>>());
    assert_eq!(sky.results().made_by.precision, "int8");
    let ranks: Value = serde_json::from_slice(&std::fs::read(sky.path("results/combined_data.json")).unwrap()).unwrap();
    assert_eq!((&ranks[0]["precision"], &ranks[1]["precision"]), (&json!("int8"), &json!("int8")));
    let catalogue = std::fs::read(sky.path("results/predictions.parquet")).unwrap().into();
    assert_eq!(catalogue::read_metadata(&catalogue, "cosmic.precision").unwrap().as_deref(), Some("int8"));
}

#[tokio::test]
async fn a_precision_that_no_engine_of_that_name_has_is_refused_before_anything_runs() {
    let refused = Sky::of(&[3]).initialize("first", json!({"precision": "int8", "engine": "tch"})).await.unwrap_err();
    assert_eq!(refused.name(), "BadPayload");
}

#[tokio::test]
async fn nobody_gets_the_result_path_of_an_execution_that_still_runs() {
    let sky = Sky::of(&[3, 4]);
    sky.initialize("first", json!({})).await.unwrap();
    sky.running.start("first");
    for change in [json!({}), json!({"batch_size": 5}), json!({"batch_size": 5, "overwrite": true})] {
        let refused = sky.initialize("second", change.clone()).await.unwrap_err();
        assert_eq!(refused.name(), "ResultPathBusy", "{change}: {refused}");
        assert!(explain(&refused).contains("arn:first"), "{refused}");
    }
    sky.initialize("first", json!({})).await.unwrap();
    sky.running.stop("first");
    sky.initialize("second", json!({})).await.unwrap();
}

#[tokio::test]
async fn a_run_says_how_many_ranks_run_at_once_and_is_resumed_under_another_quota() {
    let sky = Sky::of(&[3, 4]);
    let planned = async |execution: &str, unreserved, max_concurrency: Value| {
        let payload = sky.payload(json!({"max_concurrency": max_concurrency}));
        let event = InitializeEvent { payload, owner: owner(execution), attempt: 0 };
        let quotas = Quotas { of_stack: None, of_lambda: Ok(LambdaQuota::Unreserved(unreserved)) };
        sky.running.start(execution);
        let planned = initialize(&sky.stores, &sky.running, &quotas, &event, None).await.unwrap();
        sky.running.stop(execution);
        planned
    };
    let first = planned("first", 10, Value::Null).await;
    sky.rank(&first, 0).await.unwrap();
    let second = planned("second", 1000, 0.into()).await;
    let third = planned("third", 10, 50.into()).await;
    assert_eq!([&first, &second, &third].map(|run| run.max_concurrency), [9, 900, 50]);
    assert_eq!([&first, &second, &third].map(|run| run.pending), [2, 1, 1]);
    assert!(second.fingerprint == first.fingerprint && third.fingerprint == first.fingerprint);
    let plan: Value = serde_json::from_slice(&std::fs::read(sky.path("results/plan.json")).unwrap()).unwrap();
    assert_eq!(plan["at_once"]["max_concurrency"], 50);
    assert_eq!(plan["at_once"]["reason"], "the payload's max_concurrency");
    assert!(plan["at_once"]["warning"].as_str().unwrap().contains("only 10 functions"));
}

#[tokio::test]
async fn an_attempt_that_was_given_up_claims_nothing_of_a_later_one() {
    let sky = Sky::of(&[3, 4]);
    sky.running.start("first");
    let attempt = async |attempt| {
        let event = InitializeEvent { payload: sky.payload(json!({})), owner: owner("first"), attempt };
        initialize(&sky.stores, &sky.running, &Quotas::default(), &event, None).await
    };
    let planned = attempt(1).await.unwrap();
    assert_eq!(attempt(0).await.unwrap_err().name(), "PlanMismatch");
    for rank in [0, 1] {
        sky.rank(&planned, rank).await.unwrap();
    }
    assert!(sky.summarize(&planned).await.unwrap().complete);
    assert_eq!(attempt(2).await.unwrap_err().name(), "PlanMismatch", "the summarizer has come after it");
}

#[tokio::test]
async fn steps_of_a_run_that_lost_its_result_path_change_nothing_there() {
    let sky = Sky::of(&[3, 4]);
    let old = sky.initialize("old", json!({})).await.unwrap();
    let tasks = sky.tasks(&old);
    let new = sky.initialize("new", json!({"batch_size": 3, "overwrite": true})).await.unwrap();
    assert_eq!(sky.task(&old, tasks[0].clone()).await.unwrap_err().name(), "PlanMismatch");
    assert_eq!(sky.summarize(&old).await.unwrap_err().name(), "PlanMismatch");
    assert_eq!(sky.objects().len(), 0);
    sky.rank(&new, 0).await.unwrap();
}

#[tokio::test]
async fn what_is_not_what_a_rank_wrote_is_missing_and_runs_again() {
    let sky = Sky::of(&[3, 4, 5]);
    let (planned, _) = sky.execute(json!({})).await;
    let tasks = sky.tasks(&planned);
    let path = |rank: usize| sky.path(&format!("results/ranks/{}.parquet", tasks[rank].object));
    let whole = std::fs::read(path(1)).unwrap();
    let other = std::fs::read(path(2)).unwrap();
    for damage in [Some(whole[..whole.len() / 2].to_vec()), Some(other), Some(Vec::new()), None] {
        match damage {
            Some(bytes) => std::fs::write(path(1), bytes).unwrap(),
            None => std::fs::remove_file(path(1)).unwrap(),
        }
        let planned = sky.initialize("second", json!({})).await.unwrap();
        let summary = sky.summarize(&planned).await.unwrap();
        assert_eq!((summary.complete, summary.rows), (false, 8));
        assert!(summary.reason.unwrap().contains("Rank 1"), "the reason names it");

        let again = sky.initialize("third", json!({})).await.unwrap();
        assert_eq!(again.pending, 1);
        sky.rank(&again, 1).await.unwrap();
        assert!(sky.summarize(&again).await.unwrap().complete);
        assert_eq!(sky.catalogue(), expected(&[3, 4, 5]));
    }
}

#[tokio::test]
async fn one_bad_file_costs_its_own_rows_and_no_others_at_any_world_size() {
    for world_size in [json!(null), json!(1), json!(2), json!(12)] {
        let sky = Sky::of(&[25, 25, 25, 25, 25, 25]);
        let whole = std::fs::read(sky.path("data/3.pt")).unwrap();
        std::fs::write(sky.path("data/3.pt"), &whole[..whole.len() / 2]).unwrap();
        let change = json!({"world_size": world_size, "tolerated_failure_percentage": 17});
        let (_, summary) = sky.execute(change.clone()).await;
        let of_others: Vec<_> = expected(&[25; 6]).into_iter().filter(|row| row.0 != "3.pt").collect();
        assert_eq!(sky.catalogue(), of_others, "{world_size}");
        assert!(summary.accepted && !summary.complete, "a sixth of the files is missing: {:?}", summary.reason);
        assert!(summary.reason.unwrap().contains("data/3.pt"));
        let missing = sky.results().missing;
        assert_eq!((missing.len(), missing[0].files.as_slice()), (1, ["data/3.pt".to_owned()].as_slice()));

        // Once it is repaired the same input makes the catalogue whole.
        std::fs::write(sky.path("data/3.pt"), &whole).unwrap();
        let again = sky.initialize("second", change).await.unwrap();
        for task in sky.tasks(&again) {
            sky.task(&again, task).await.unwrap();
        }
        assert!(sky.summarize(&again).await.unwrap().complete);
        assert_eq!(sky.catalogue(), expected(&[25; 6]));
    }
}

#[tokio::test]
async fn a_data_set_without_rows_is_an_empty_catalogue_at_any_world_size() {
    for world_size in [json!(null), json!(1), json!(9)] {
        let sky = Sky::of(&[0, 0]);
        let (_, summary) = sky.execute(json!({"world_size": world_size})).await;
        assert_eq!((summary.complete, summary.rows), (true, 0), "{world_size}: {:?}", summary.reason);
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_made_costs_no_run() {
    let sky = Sky::of(&[3, 4]);
    let planned = sky.initialize("first", json!({})).await.unwrap();
    for rank in 0..2 {
        sky.rank(&planned, rank).await.unwrap();
    }
    let summary = sky.summarize_with(&planned, &|_| panic!("attempt to subtract with overflow")).await.unwrap();
    assert!(summary.complete);
    let page = std::fs::read(sky.path("results/report.html")).unwrap();
    assert!(page.starts_with(b"<!doctype html>"));
    assert_eq!(sky.results().sha256["report.html"], sha256(&page));
}

#[tokio::test]
async fn a_large_batch_is_predicted_in_parts_and_counted_as_one() {
    let sky = Sky::of(&[1300, 30]);
    let (_, summary) = sky.execute(json!({"batch_size": 1200, "world_size": 1})).await;
    assert_eq!((summary.complete, summary.rows), (true, 1330));
    assert_eq!(sky.largest_batch.load(Ordering::Relaxed), 400, "in memory are parts of at most 512 galaxies");
    let ranks: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sky.path("results/combined_data.json")).unwrap()).unwrap();
    assert_eq!((&ranks[0]["num_batches"], &ranks[0]["batch_size"]), (&json!(3), &json!(1200)));
    let rows = sky.catalogue().into_iter().map(|(file, row, ..)| (file, row));
    let expected = [("1.pt", 1300), ("2.pt", 30)].map(|(file, rows)| (0..rows).map(move |row| (file.to_owned(), row)));
    assert!(rows.eq(expected.into_iter().flatten()));
}

#[tokio::test]
async fn a_report_is_made_of_all_that_a_run_knows() {
    let sky = Sky::of(&[3, 4]);
    let planned = sky.initialize("first", json!({})).await.unwrap();
    for rank in 0..2 {
        sky.rank(&planned, rank).await.unwrap();
    }
    let report = |input: &ReportInput<'_>| {
        let ReportInput { results, ranks, comparison, picture } = input;
        let found = (results.execution.as_str(), ranks.len(), comparison.compared(), picture.starts_with(b"\x89PNG"));
        assert_eq!(found, ("first", 2, results.metrics.n, true));
        "a page".to_owned()
    };
    sky.summarize_with(&planned, &report).await.unwrap();
    assert_eq!(std::fs::read(sky.path("results/report.html")).unwrap(), b"a page");
}

#[tokio::test]
async fn results_say_whose_they_are_and_hash_what_they_speak_of() {
    let sky = Sky::of(&[3]);
    sky.execute(json!({})).await;
    let results = sky.results();
    assert_eq!(results.execution, "first");
    assert_eq!(
        results.sha256.keys().collect::<Vec<_>>(),
        ["combined_data.json", "inference.png", "predictions.parquet", "report.html"]
    );
    for (name, expected) in &results.sha256 {
        let bytes = std::fs::read(sky.path(&format!("results/{name}"))).unwrap();
        assert_eq!(sha256(&bytes), *expected, "{name}");
    }
}

#[tokio::test]
async fn a_galaxy_with_nan_keeps_its_row_and_gets_a_flag() {
    let sky = Sky::of(&[5, 5]);
    sky.write_partition(1, 5, |row| if row == 3 { f32::NAN } else { 0.0 });
    let (_, summary) = sky.execute(json!({})).await;
    assert!(summary.complete);
    let found = sky.catalogue();
    let mut expected = expected(&[5, 5]);
    (expected[3].2, expected[3].3) = (None, Flag::BadImage.bit());
    assert_eq!(found, expected);
    assert_eq!((sky.results().counts.flagged, sky.results().counts.compared), (1, 9));
}

#[tokio::test]
async fn numbers_that_stand_for_missing_are_unknown_or_flagged_and_spoil_no_metric() {
    let sky = Sky::of(&[]);
    let mut writer =
        DatasetWriter::create(sky.path("data/1.pt"), 12, &Layout::published(Redshifts::F64), Vec::new()).unwrap();
    for row in 0..12_u32 {
        let mut image = vec![0.0; PIXELS];
        let mut magnitudes = [18.0; BANDS];
        let mut redshift = 0.1 + f64::from(row) / 100.0;
        match row {
            1 => redshift = -1.0,
            2 => redshift = 1e10,
            3 => redshift = f64::NAN,
            4 => magnitudes[4] = -9999.0,
            5 => magnitudes[2] = 99.0,
            6 => magnitudes[0] = 1e20,
            7 => image[5] = 1e20,
            8 => (image[0], magnitudes[1]) = (f32::INFINITY, f64::NAN),
            // The formula answers 3000.18 and −0.82, of pixels and magnitudes that can be.
            9 => image[0] = 3000.0,
            10 => image[0] = -1.0,
            _ => {}
        }
        writer.write(&image, &magnitudes, Some(&[redshift]), &[]).unwrap();
    }
    writer.finish().unwrap();

    let (_, summary) = sky.execute(json!({})).await;
    assert!(summary.complete);
    let flags: Vec<u8> = sky.catalogue().iter().map(|(.., flags)| *flags).collect();
    assert_eq!(flags, [0, 0, 0, 0, 2, 2, 2, 1, 3, 4, 4, 0]);
    assert!(sky.catalogue().iter().all(|(_, _, z_phot, flags)| *z_phot == (*flags == 0).then_some(0.18)));

    let Results { metrics, counts, .. } = sky.results();
    assert_eq!((counts.rows, counts.predicted, counts.flagged, counts.implausible_redshifts), (12, 5, 7, 2));
    assert_eq!(counts.flags, FlagCounts { bad_image: 2, bad_magnitude: 4, bad_prediction: 2, outside_calibration: 0 });
    // Rows 0 and 11, of redshifts 0.1 and 0.21.
    assert_eq!((metrics.n, counts.compared), (2, 2));
    assert!((metrics.mae.unwrap() - 0.055).abs() < 1e-6, "{metrics:?}");
    let warnings = sky.results().warnings().join("\n");
    for said in [
        "2 of 12 galaxies: the spectroscopic redshift is outside -0.05 to 20",
        "bad_image",
        "bad_magnitude",
        "bad_prediction",
    ] {
        assert!(warnings.contains(said), "{warnings}");
    }
}

#[tokio::test]
async fn results_without_a_metric_read_back_as_they_were_written() {
    let sky = Sky::of(&[1]);
    sky.execute(json!({})).await;
    let metrics = sky.results().metrics;
    assert_eq!((metrics.n, metrics.r2), (1, None));
    assert!(metrics.mae.is_some() && metrics.rail.bias.is_some(), "one null costs no other its value: {metrics:?}");

    sky.write_partition(1, 1, |_| f32::NAN);
    let anew = sky.initialize("second", json!({"overwrite": true})).await.unwrap();
    sky.rank(&anew, 0).await.unwrap();
    sky.summarize(&anew).await.unwrap();
    assert_eq!(sky.results().metrics, Metrics::default());
}

#[tokio::test]
async fn files_that_are_no_partitions_fail_their_rank_with_the_key() {
    let sky = Sky::of(&[3, 4, 5, 6]);
    let whole = std::fs::read(sky.path("data/1.pt")).unwrap();
    std::fs::write(sky.path("data/2.pt"), b"not from torch.save").unwrap();
    std::fs::write(sky.path("data/3.pt"), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(sky.path("data/4.pt"), b"").unwrap();
    let planned = sky.initialize("first", json!({})).await.unwrap();
    for rank in 1..4 {
        let error = sky.rank(&planned, rank).await.unwrap_err();
        assert_eq!(error.name(), "BadPartition", "{error}");
        assert!(explain(&error).contains(&format!("data/{}.pt", rank + 1)), "{error}");
    }
    std::fs::remove_file(sky.path("data/1.pt")).unwrap();
    let none = sky.initialize("second", json!({"world_size": 9, "result_path": "shared"})).await.unwrap_err();
    assert_eq!(none.name(), "BadPartition", "planning by rows reads the headers, and none can be read: {none}");
}

#[tokio::test]
async fn a_partition_that_changes_after_the_plan_is_refused() {
    let sky = Sky::of(&[3, 4]);
    let planned = sky.initialize("first", json!({})).await.unwrap();
    sky.write_partition(2, 9, |_| 0.0);
    let error = sky.rank(&planned, 1).await.unwrap_err();
    assert_eq!(error.name(), "BadPartition");
    assert!(explain(&error).contains("2.pt") && explain(&error).contains("changed"), "{error}");
    let again = sky.initialize("second", json!({})).await.unwrap();
    assert_eq!(again.pending, 2, "nothing was finished");
    sky.rank(&again, 1).await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let sky = Sky::of(&[3]);
    for (change, name, named) in [
        (json!({"prefix": "nothing"}), "EmptyPrefix", "nothing"),
        (json!({"data_bucket": "nowhere"}), "NotFound", "nowhere"),
        (json!({"model": "absent.pt"}), "NotFound", "absent.pt"),
        (json!({"model": null}), "BadModel", "`model`"),
    ] {
        let error = sky.initialize("first", change.clone()).await.unwrap_err();
        assert_eq!(error.name(), name, "{change}: {error}");
        assert!(explain(&error).contains(named), "{change}: {error}");
    }
    assert!(!sky.path("results").exists(), "a refused run leaves nothing");
}

#[tokio::test]
async fn a_model_that_is_none_fails_the_rank_with_its_key() {
    let sky = Sky::of(&[3]);
    std::fs::copy(sky.path("data/1.pt"), sky.path("model.pt")).unwrap();
    let planned = sky.initialize("first", json!({})).await.unwrap();
    let error = sky.rank(&planned, 0).await.unwrap_err();
    assert_eq!(error.name(), "BadModel");
    assert!(explain(&error).contains("model.pt"), "{error}");
}

/// Writes the seeds for fuzzing the files of a run: `cargo test -p pipeline --test runs -- --ignored`.
#[tokio::test]
#[ignore = "it writes into the repository"]
async fn seeds_for_the_fuzzer() {
    let sky = Sky::of(&[2, 0, 3]);
    let (planned, _) = sky.execute(json!({"world_size": 4})).await;
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/run_files");
    std::fs::create_dir_all(&corpus).unwrap();
    let read = |name: &str| std::fs::read_to_string(sky.path(&format!("results/{name}"))).unwrap();
    let plan: Value = serde_json::from_str(&read("plan.json")).unwrap();
    std::fs::write(corpus.join("plan"), format!("{plan}\n{}", read("files.jsonl"))).unwrap();
    std::fs::write(corpus.join("tasks.json"), read("tasks.json")).unwrap();
    assert_eq!(planned.world_size, 4);
    std::fs::copy(&sky.objects()[0], corpus.join("rank.parquet")).unwrap();
}
