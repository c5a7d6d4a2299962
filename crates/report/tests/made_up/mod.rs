//! Runs and sweeps that were never made, for tests of their pages.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use arrow_array::{Int64Array, StringArray};
use catalogue::{CatalogueRows, Comparison, OwnColumn};
use experiments::Sweep;
use pipeline::run_files::Results;
use report::{RankRecord, Run, Stamps, comparison_page, run_page};
use serde_json::{Value, json};

/// Texts that end elements, attributes and scripts, turn the direction of the line, or are very long.
pub(crate) const HOSTILE: [&str; 5] = [
    "</style></script><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">",
    "\"><svg onload=alert(1)> ' & &lt;b&gt; {{7*7}} ]]> -->",
    "\u{202e}tp.1/yks \u{2066}שלום عالم\u{2069} \u{0} \u{1b}[2J",
    "javascript:alert(1)//http://example.org/x.png",
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
];

/// What a page is made of, owned.
pub(crate) struct MadeUp {
    pub(crate) results: Results,
    pub(crate) ranks: Vec<RankRecord>,
    pub(crate) rows: Vec<CatalogueRows>,
    pub(crate) comparison: Comparison,
    pub(crate) logs: Option<report::Logs>,
    pub(crate) stamps: Stamps,
    pub(crate) notes: Vec<String>,
}

/// A number from 0 to 1 that looks random, and is the same each time.
fn noise(index: u64) -> f64 {
    let mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Something like a normal distribution of width 1.
fn bell(index: u64) -> f64 {
    (0..6).map(|part| noise(7 * index + part)).sum::<f64>() - 3.0
}

fn rows(file: &str, first: u64, count: u64, shift: f64) -> CatalogueRows {
    let z_spec = |row: u64| 0.02 + 0.5 * noise(31 * row).powi(2);
    let all = || first..first + count;
    CatalogueRows {
        source_file: file.to_owned(),
        first_row: first,
        columns: vec![
            OwnColumn {
                name: "object_id".into(),
                values: Arc::new(Int64Array::from_iter_values(all().map(|row| row as i64))),
            },
            OwnColumn {
                name: HOSTILE[0].into(),
                values: Arc::new(StringArray::from_iter_values(all().map(|_| HOSTILE[1]))),
            },
        ],
        z_spec: all().map(|row| (row % 20 != 0).then(|| z_spec(row))).collect(),
        z_phot: all()
            .map(|row| Some((z_spec(row) * (1.0 + shift) + 0.012 * (1.0 + z_spec(row)) * bell(row)) as f32))
            .collect(),
        quantiles: None,
        flags: vec![0; count as usize],
    }
}

/// A run of some galaxies on some ranks, of which one waited long, and one was cold.
pub(crate) fn run(ranks: u64, galaxies: u64, shift: f64) -> MadeUp {
    let rows =
        vec![rows("sky/25MB/1.pt", 0, galaxies / 2, shift), rows("sky/25MB/2.pt", 0, galaxies - galaxies / 2, shift)];
    let mut comparison = Comparison::default();
    rows.iter().for_each(|rows| comparison.add(rows));
    let spent = |wall: f64| json!({"wall_seconds": wall, "cpu_seconds": 0.9 * wall});
    let entries: Vec<Value> = (0..ranks)
        .map(|rank| {
            let waiting = if rank == 3 { 6.5 } else { 0.3 + 0.4 * noise(rank) };
            let (start, model, inference, post) = (0.12, 0.4 + 0.1 * noise(rank + 9), 4.0 + noise(rank + 5), 0.2);
            json!({
                "total_cpu_time (seconds)": 0.9 * inference, "total_cpu_memory (MB)": 380.0 + 40.0 * noise(rank + 3),
                "num_batches": 3, "batch_size": 512, "rank": rank, "world_size": ranks, "execution": "survey-north-2026",
                "rows": galaxies / ranks.max(1), "flagged": 0, "bytes": 20_548 * galaxies / ranks.max(1),
                "started_at": 1_795_644_684.0 + 0.02 * (rank % 64) as f64 + 0.8 * noise(rank + 1),
                "wall_seconds": start + model + waiting + inference + post,
                "phases": {"start": spent(start), "model": spent(model), "waiting": spent(waiting),
                           "inference": spent(inference), "warm_up": spent(0.2), "post_processing": spent(post)},
                "first_of_process": rank % 3 == 0, "cores": 2, "memory_mb": 2048,
                "requests": {"reads": 40, "writes": 2}, "engine": "native (0.1.0, AVX2, 2 threads)",
            })
        })
        .collect();
    let metrics = comparison.metrics();
    let pit: Vec<f64> = (0..20).map(|bin| 0.05 + 0.004 * (noise(bin) - 0.5)).collect();
    let mut results = serde_json::to_value(metrics).unwrap();
    let rest = json!({
        "intervals": {"n": metrics.n, "coverage_68": 0.6777, "coverage_95": 0.9561, "pit": pit, "ks": 0.01, "crps": 0.007},
        "counts": {"files": 2, "ranks": ranks, "rows": galaxies, "predicted": galaxies, "flagged": 3,
                   "flags": {"bad_image": 2, "bad_magnitude": 1, "bad_prediction": 0, "outside_calibration": 5},
                   "compared": metrics.n, "implausible_redshifts": 4},
        "columns": [{"name": "object_id", "type": "int64", "files_without": 0},
                    {"name": "survey", "type": "text", "files_without": 1, "first_without": "sky/25MB/2.pt"}],
        "complete": true, "missing": [],
        "timings": {"wall_seconds": 9.81, "slowest_rank_seconds": 11.6, "rank_seconds": 5.4 * ranks as f64,
                    "cpu_seconds": 4.1 * ranks as f64, "phases": {
                        "start": spent(0.12), "model": spent(0.4), "waiting": spent(0.5), "inference": spent(4.2),
                        "warm_up": spent(0.2), "post_processing": spent(0.2)}},
        "throughput": {"galaxies_per_second": 1012.34, "bytes_per_second": 2.08e7, "galaxies_per_second_per_rank": 217.5, "resumed_rows": 0},
        "made_by": {"fingerprint": "f00dfeed".repeat(8), "model": "model.safetensors", "model_sha256": "a8526df1".repeat(8),
                    "calibration": {"sample": "sky-404-100000.pt", "galaxies": 100_000, "note": "simulated",
                                    "model_sha256": "6141874d".repeat(8), "version": "0.1.0"},
                    "engine": "native (0.1.0, AVX2, 2 threads)", "version": "0.1.0"},
        "execution": "survey-north-2026",
        "sha256": {"predictions.parquet": "ab".repeat(32), "inference.png": "cd".repeat(32), "combined_data.json": "ef".repeat(32)},
        "payload": {"bucket": "survey", "data_bucket": "survey", "data_prefix": "sky/25MB", "batch_size": 512, "world_size": null,
                    "file_limit": null, "model": null, "result_path": "results/survey-north-2026", "engine": "native",
                    "tolerated_failure_percentage": 0.0, "max_concurrency": 0, "levels": false, "overwrite": false},
    });
    results.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let results = serde_json::from_value(results).unwrap();
    let ranks = RankRecord::all(entries);
    MadeUp { results, ranks, rows, comparison, logs: None, stamps: Stamps::new(), notes: Vec::new() }
}

/// What the logs of a run would say of its ranks: each third had a cold start.
pub(crate) fn logs(ranks: u64) -> report::Logs {
    let invocations: Vec<_> = (0..ranks)
        .map(|rank| bill::Invocation {
            function: "cosmic-inference".into(),
            architecture: bill::Architecture::X86_64,
            rank: Some(rank),
            started_at: 1_795_644_684.0,
            requests: bill::Requests { reads: 40, writes: 2 },
            report: bill::InvocationReport {
                request_id: rank.to_string(),
                duration_ms: 5_600.0,
                billed_ms: 6_100.0,
                memory_mb: 2048,
                used_mb: Some(410),
                init_ms: (rank % 3 == 0).then_some(480.0),
                status: None,
            },
        })
        .collect();
    let usage = bill::Usage::of(&invocations, ranks + 2, 19 + 2 * ranks);
    report::Logs {
        cost: bill::Cost::of(&usage, &bill::Prices::of("us-east-1").unwrap()),
        cost_remarks: vec![
            format!("the cost is that of {ranks} of {} invocations", ranks + 2),
            "3 attempts were throttled".to_owned(),
        ],
        invocations,
    }
}

impl MadeUp {
    pub(crate) fn as_run(&self) -> Run<'_> {
        Run {
            results: &self.results,
            ranks: &self.ranks,
            comparison: &self.comparison,
            picture: None,
            logs: self.logs.as_ref(),
            stamps: &self.stamps,
            notes: &self.notes,
        }
    }

    pub(crate) fn page(&self) -> String {
        run_page(&self.as_run())
    }

    /// Puts hostile texts wherever others write.
    pub(crate) fn hostile(mut self) -> Self {
        let [first, second, third, fourth, long] = HOSTILE.map(str::to_owned);
        let results = &mut self.results;
        results.execution.clone_from(&first);
        results.complete = false;
        results.missing = serde_json::from_value(json!([
            {"rank": 7, "files": [second, long.repeat(3)], "rows": null, "reason": first},
            {"rank": 8, "files": [third], "rows": 5, "reason": format!("{third}\n{second}")},
        ]))
        .unwrap();
        results.made_by.model.clone_from(&second);
        results.made_by.engine.clone_from(&third);
        results.made_by.fingerprint = Some(first.clone());
        results.made_by.model_sha256.clone_from(&long);
        results.columns = serde_json::from_value(json!([
            {"name": first, "type": second, "files_without": 1, "first_without": third},
            {"name": long, "type": "text", "files_without": 1, "first_without": fourth},
        ]))
        .unwrap();
        let payload = results.payload.as_mut().unwrap();
        payload.bucket.clone_from(&second);
        payload.data_prefix.clone_from(&long);
        payload.result_path.clone_from(&third);
        payload.model = Some(first.clone());
        results.sha256.insert(second.clone(), first.clone());
        for rank in &mut self.ranks {
            rank.execution.clone_from(&first);
            rank.engine.clone_from(&second);
        }
        for rows in &mut self.rows {
            rows.source_file = format!("{first}{long}");
        }
        self.comparison = Comparison::default();
        self.rows.iter().for_each(|rows| self.comparison.add(rows));
        let stamp = self.comparison.worst()[0].clone();
        self.stamps.insert((stamp.source_file, stamp.row_index), b"\x89PNG".to_vec());
        self.notes = vec![first, fourth];
        self
    }
}

/// The page of two runs.
pub(crate) fn comparison(names: [&str; 2], first: &MadeUp, second: &MadeUp) -> String {
    let matched = catalogue::Matched::of(&first.rows, &second.rows);
    comparison_page(&names.map(str::to_owned), &first.as_run(), &second.as_run(), &matched)
}

/// A sweep over partitions and batch sizes, of which one run failed for this reason.
pub(crate) fn sweep(reason: &str) -> Sweep {
    let spent = |wall: f64| json!({"wall_seconds": wall, "cpu_seconds": wall});
    let mut cells = Vec::new();
    for (index, (partition, bytes)) in
        [("10MiB", 10_485_760), ("25MiB", 26_214_400), ("100MiB", 104_857_600)].into_iter().enumerate()
    {
        for batch_size in [32, 64, 128, 256, 512_u64] {
            let repeats: Vec<Value> = (1..=3_u64)
                .map(|repeat| {
                    let at = index as u64 * 100 + batch_size + repeat;
                    let inference = 30.0 + 200.0 / batch_size as f64 + 4.0 * index as f64 + noise(at);
                    let failed = batch_size == 64 && index == 1 && repeat == 2;
                    json!({
                        "repeat": repeat, "status": if failed { "failed" } else { "done" },
                        "reason": failed.then_some(reason), "execution": format!("sweep-{at}"),
                        "started_at": 1_795_644_684.0, "seconds": 0.3 * inference + 3.0, "map_seconds": null,
                        "rows": 20_000, "bytes": 410_960_000, "ranks": [],
                        "phases": {"start": spent(0.5), "model": spent(2.0), "waiting": spent(3.0 + noise(at + 1)),
                                   "inference": spent(inference), "warm_up": spent(0.2), "post_processing": spent(0.8)},
                        "peak_memory_mb": 300.0 + batch_size as f64 / 3.0 + 5.0 * noise(at + 2),
                        "billed_ms": 1000.0 * (inference + 6.0), "cost_usd": 0.000_033 * (inference + 6.0),
                        "cost_of": {"invocations": 10, "expected_invocations": 10}, "metrics": null, "catalogue_sha256": null,
                        "redshifts_sha256": "same", "made_by": "0.1.0",
                    })
                })
                .collect();
            cells.push(json!({
                "partition": partition, "partition_bytes": bytes, "data": null, "data_bytes": null, "file_limit": null,
                "batch_size": batch_size, "world_size": null, "memory_mb": null, "repeats": repeats,
            }));
        }
    }
    serde_json::from_value(json!({
        "format": 1, "name": "published-grid",
        "asked": {"name": "published-grid", "place": "executions", "data": {"simulate": {"count": 20_000, "seed": 1}},
                  "model": null, "engine": null, "threads": null, "bucket": "survey", "prefix": "sweeps/published-grid",
                  "state_machine": "cosmic-redshift", "max_concurrency": 0,
                  "grids": [{"partition_sizes": ["10MiB", "25MiB", "100MiB"], "data_sizes": [null],
                             "batch_sizes": [32, 64, 128, 256, 512], "world_sizes": [null], "memory_sizes": [null], "repeats": 3}]},
        "machine": {"cpu": "Some processor", "cores": 2, "memory_mb": 24_000, "os": "Debian GNU/Linux 12", "kernel": "6.1.0"},
        "version": "0.1.0", "engine": "native (0.1.0, AVX2, 2 threads)", "model": "model.safetensors",
        "model_sha256": "a8526df1".repeat(8), "place": "local stack", "region": "us-east-1",
        "started_at": 1_795_644_684.0, "ended_at": 1_795_645_684.0, "cells": cells,
    }))
    .unwrap()
}
