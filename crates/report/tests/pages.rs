//! What a reader of a page relies on.

mod made_up;

use catalogue::Comparison;
use made_up::{HOSTILE, MadeUp, comparison, logs, run, sweep};
use report::{MAX_BYTES, sweep_page};
use serde_json::Value;

/// The numbers that can be copied out of a page.
fn copied(page: &str) -> Vec<f64> {
    let after = |mark: &'static str| page.split(mark).skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok());
    after("<data class=\"n\" value=\"").chain(after("data-v=\"")).collect()
}

fn contains_once(page: &str, tag: &str) {
    assert_eq!(page.matches(tag).count(), 1, "{tag}");
}

#[test]
fn a_run_shows_the_figures_of_its_results_exactly() {
    let made = MadeUp { logs: Some(logs(11)), ..run(11, 3000, 0.0) };
    let page = made.page();
    let results: Value = serde_json::to_value(&made.results).unwrap();
    let numbers = copied(&page);
    let places = [
        "/R2",
        "/MAE",
        "/Bias",
        "/Precision",
        "/outliers_0.05",
        "/outliers_0.15",
        "/intervals/coverage_68",
        "/intervals/coverage_95",
        "/counts/rows",
        "/counts/flagged",
        "/counts/compared",
        "/timings/wall_seconds",
        "/timings/rank_seconds",
        "/timings/cpu_seconds",
        "/throughput/galaxies_per_second",
        "/throughput/bytes_per_second",
    ];
    for place in places {
        let figure = results.pointer(place).and_then(Value::as_f64).unwrap();
        assert!(numbers.contains(&figure), "{place} = {figure}");
    }
    assert!(numbers.contains(&made.logs.as_ref().unwrap().cost.total_usd));
    let of_two = comparison(["a", "b"], &made, &run(3, 3000, 0.0));
    for remark in ["the cost is that of 11 of 13 invocations", "3 attempts were throttled"] {
        assert!(page.contains(remark) && of_two.contains(remark), "{remark}");
    }
    assert!(of_two.contains("On the cost of the first:") && !of_two.contains("On the cost of the second:"));
    for text in
        ["rank 3: waiting for data, 6.50 s", "Rank 3 took", "cold start", "model.safetensors", &"a8526df1".repeat(8)]
    {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn a_cold_start_is_that_of_the_attempt_which_the_rank_was_computed_by() {
    let mut made = MadeUp { logs: Some(logs(1)), ..run(1, 300, 0.0) };
    assert!(made.page().contains("rank 0: cold start, 0.48 s"));
    // An attempt before it was cold and died, and it itself found the function warm.
    let invocations = &mut made.logs.as_mut().unwrap().invocations;
    let mut died = invocations[0].clone();
    died.started_at -= 60.0;
    invocations[0].report.init_ms = None;
    invocations.insert(0, died);
    assert!(!made.page().contains("rank 0: cold start"));
    // The same where the lines of the second attempt have not come.
    made.logs.as_mut().unwrap().invocations.truncate(1);
    assert!(!made.page().contains("rank 0: cold start"));
}

#[test]
fn texts_of_others_are_no_elements() {
    let hostile = run(4, 1000, 0.0).hostile();
    let mut hostile_sweep = sweep(HOSTILE[0]);
    for cell in &mut hostile_sweep.cells {
        cell.cell.partition = Some(format!("{}{}", HOSTILE[2], HOSTILE[0]));
    }
    let pages = [
        hostile.page(),
        comparison([HOSTILE[0], HOSTILE[2]], &hostile, &run(4, 1000, 0.001)),
        sweep_page(&hostile_sweep),
    ];
    for page in pages {
        for tag in ["<script>", "</script>", "<style>", "</style>", "<title>"].map(str::to_owned) {
            let elements = page.matches(&tag).count();
            let marks = page.matches("<g><title>").count();
            assert_eq!(elements, if tag == "<title>" { 1 + marks } else { 1 }, "{tag}");
        }
        for forbidden in
            ["<img src=x", "<svg onload", "\u{202e}", "\u{2066}", "\u{1b}", "\0", " style=\"", " onerror=\"d"]
        {
            assert!(!page.contains(forbidden), "{forbidden:?}");
        }
        assert!(page.contains("&lt;/style&gt;&lt;/script&gt;"), "it is shown");
        assert!(!page.contains("href=\"javascript"), "no text becomes an address");
    }
}

#[test]
fn a_column_of_others_is_named_as_they_named_it() {
    let mut made = run(1, 300, 0.0);
    for rows in &mut made.rows {
        rows.columns[0].name = "#shot".into();
    }
    made.comparison = Comparison::default();
    made.rows.iter().for_each(|rows| made.comparison.add(rows));
    assert!(made.page().contains("<th scope=\"col\"><bdi>#shot</bdi></th>"));
}

#[test]
fn a_page_asks_for_nothing_and_says_so_in_its_policy() {
    let page = run(3, 2000, 0.0).page();
    contains_once(&page, "content=\"default-src 'none'; style-src 'sha256-");
    assert!(!page.contains("unsafe-inline"));
    let without_namespace = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for address in ["http:", "https:", "url(", "@import", "<link", "src=\"/"] {
        assert!(!without_namespace.contains(address), "{address}");
    }
}

#[test]
fn the_size_does_not_follow_the_ranks_or_the_galaxies() {
    let mut large = MadeUp { logs: Some(logs(10_000)), ..run(10_000, 300_000, 0.0) };
    large.results.missing = (0..10_000_u64)
        .map(|rank| pipeline::run_files::Missing {
            rank: Some(rank),
            files: vec![format!("sky/{}.pt", "k".repeat(900)); 3],
            rows: Some(1),
            reason: format!("{rank}: {}", "a very long reason ".repeat(40)),
        })
        .collect();
    large.results.complete = false;
    let picture = vec![0; 1_200_000];
    let page = report::run_page(&report::Run { picture: Some(&picture), ..large.as_run() });
    assert!(page.len() < MAX_BYTES, "{} bytes", page.len());
    assert!(page.contains("The 100 slowest of "));
    let too_large = vec![0; MAX_BYTES * 3 / 4];
    let page = report::run_page(&report::Run { picture: Some(&too_large), ..large.as_run() });
    assert!(page.len() < MAX_BYTES && page.contains("is too large for this page"));
    let of_galaxies = large.comparison.worst().into_iter().take(12);
    large.stamps = of_galaxies.map(|galaxy| ((galaxy.source_file, galaxy.row_index), vec![0; 90_000])).collect();
    let page = report::run_page(&report::Run { picture: Some(&picture), ..large.as_run() });
    assert!(page.len() < MAX_BYTES && page.contains("is too large for this page"));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let page = || MadeUp { logs: Some(logs(30)), ..run(30, 3000, 0.0) }.page();
    assert!(page() == page());
    assert_eq!(sweep_page(&sweep("r")), sweep_page(&sweep("r")));
    let compared = || comparison(["a", "b"], &run(3, 500, 0.0), &run(4, 500, 0.01));
    assert!(compared() == compared());
}

#[test]
fn what_a_run_does_not_have_costs_the_page_no_more_than_itself() {
    let full = || run(3, 2000, 0.0);
    // No spectroscopic redshifts: the distribution of the predictions alone.
    let mut alone = full();
    for rows in &mut alone.rows {
        rows.z_spec.iter_mut().for_each(|z_spec| *z_spec = None);
    }
    alone.comparison = Comparison::default();
    alone.rows.iter().for_each(|rows| alone.comparison.add(rows));
    alone.results.metrics = alone.comparison.metrics();
    let page = alone.page();
    assert!(page.contains("no galaxy has both a spectroscopic and a predicted redshift"));
    assert!(page.contains("N(z).") && !page.contains("id=\"worst\""));

    let page = MadeUp { results: pipeline::run_files::Results { intervals: None, ..full().results }, ..full() }.page();
    assert!(!page.contains("Probability integral transform") && !page.contains("inside 68.27"));

    let page = run(1, 300, 0.0).page();
    assert!(page.contains("Timeline.") && !page.contains("Spread over the ranks"));

    // All ranks are missing.
    let mut nothing = run(0, 0, 0.0);
    nothing.results.complete = false;
    nothing.results.missing = vec![pipeline::run_files::Missing {
        rank: Some(0),
        files: vec!["1.pt".into()],
        rows: None,
        reason: "out of memory".into(),
    }];
    let page = nothing.page();
    assert!(page.contains("Not complete") && page.contains("out of memory") && page.contains("that is not known"));
    for id in ["quality", "time", "ranks", "worst"] {
        assert!(!page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(!page.contains("could not be drawn"));
}

#[test]
fn two_runs_are_held_against_each_other() {
    let (first, second) = (run(3, 2000, 0.0), run(4, 2000, 0.01));
    let page = comparison(["a", "b"], &first, &second);
    assert!(page.contains("The redshifts differ") && page.contains("matched by file and row"));
    let mut first = first;
    first.rows[0].z_phot[7] = None;
    let page = comparison(["a", "again"], &first, &first);
    assert!(page.contains("The redshifts are the same to the last bit") && page.contains("None has moved."));
}

#[test]
fn a_sweep_names_what_failed() {
    let page = sweep_page(&sweep("Rate Exceeded"));
    assert!(page.contains("Rate Exceeded") && page.contains("44</data> of"), "44 of 45 runs");
    for chart in ["Wall time.", "Throughput.", "Peak memory of a rank.", "Cost.", "Phases."] {
        assert!(page.contains(chart), "{chart}");
    }
}

/// Writes pages into the folder COSMIC_PAGES for `scripts/browser.sh`, and beside those of runs the Results.json whose
/// figures they must show.
#[test]
fn pages_for_a_browser_are_written() {
    let folder =
        std::env::var_os("COSMIC_PAGES").unwrap_or_else(|| concat!(env!("CARGO_TARGET_TMPDIR"), "/pages").into());
    let folder = std::path::PathBuf::from(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let first = MadeUp { logs: Some(logs(11)), ..run(11, 6000, 0.0) };
    let (large, hostile) = (run(10_000, 400_000, 0.0), run(4, 1000, 0.0).hostile());
    for (name, made) in [("run", &first), ("large", &large), ("hostile", &hostile)] {
        std::fs::write(folder.join(format!("{name}.html")), made.page()).unwrap();
        let results = serde_json::to_vec(&made.results).unwrap();
        std::fs::write(folder.join(format!("{name}.Results.json")), results).unwrap();
    }
    let pages = [
        ("comparison", comparison(["north", "north-24-ranks"], &first, &run(24, 6000, 0.001))),
        ("hostile-comparison", comparison([HOSTILE[0], HOSTILE[2]], &hostile, &first)),
        ("sweep", sweep_page(&sweep("Lambda.TooManyRequestsException: Rate Exceeded."))),
        ("hostile-sweep", sweep_page(&sweep(HOSTILE[0]))),
    ];
    for (name, page) in pages {
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
    }
}
