//! Writes pages of runs that were never made into a folder, for scripts/browser.sh, and beside each page the
//! Results.json whose figures it must show: `cargo run -p report --example pages -- DIR`.

#[path = "../tests/made_up/mod.rs"]
mod made_up;

use std::path::PathBuf;

use made_up::{HOSTILE, MadeUp, comparison, logs, run, sweep};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("name a folder to write to")?);
    std::fs::create_dir_all(&folder)?;
    let write = |name: &str, page: String, run: Option<&MadeUp>| -> Outcome {
        std::fs::write(folder.join(format!("{name}.html")), page)?;
        if let Some(run) = run {
            std::fs::write(folder.join(format!("{name}.Results.json")), serde_json::to_vec(&run.results)?)?;
        }
        Ok(())
    };
    let first = MadeUp { logs: Some(logs(11)), ..run(11, 6000, 0.0) };
    let second = run(24, 6000, 0.001);
    let large = run(10_000, 400_000, 0.0);
    let hostile = run(4, 1000, 0.0).hostile();
    write("run", first.page(), Some(&first))?;
    write("large", large.page(), Some(&large))?;
    write("hostile", hostile.page(), Some(&hostile))?;
    write("comparison", comparison(["north", "north-24-ranks"], &first, &second), None)?;
    write("hostile-comparison", comparison([HOSTILE[0], HOSTILE[2]], &hostile, &first), None)?;
    write("sweep", report::sweep_page(&sweep("Lambda.TooManyRequestsException: Rate Exceeded.")), None)?;
    write("hostile-sweep", report::sweep_page(&sweep(HOSTILE[0])), None)
}
