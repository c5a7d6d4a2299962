//! Cells that are run on this machine: each repeat is a process of its own of this same program, `cosmic infer`, so that
//! its start, its warm-up and its peak memory are those of a real run.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use experiments::{Cell, Repeat, SweepFile};
use pipeline::{
    phases::seconds_since_1970,
    run_files::{CATALOGUE, COMBINED_DATA, PICTURE, RESULTS_JSON, Results},
    storage::printable,
};
use tokio::process::Command;

use crate::sweep::repeat::{failed, with_results};

/// How runs on this machine are made.
pub(super) struct Local {
    /// This program.
    pub(super) program: PathBuf,
    /// Its version and SHA-256.
    pub(super) made_by: String,
    pub(super) requester_pays: bool,
}

impl Local {
    /// Runs a cell once, on the files of a folder, and leaves its Results.json and combined_data.json under `out`.
    /// `lock` is what keeps other sweeps away.
    ///
    /// # Errors
    /// Where no process can be started at all. Whatever else goes wrong is the repeat's reason.
    pub(super) async fn run(
        &self,
        asked: &SweepFile,
        cell: &Cell,
        repeat: u64,
        data: &str,
        out: &Path,
        lock: File,
    ) -> Result<Repeat> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            // The user's defaults for `cosmic infer` are no part of the sweep.
            if name.to_str().is_some_and(|name| name.starts_with("COSMIC_") && name != "COSMIC_LOG") {
                command.env_remove(name);
            }
        }
        command.args(["infer", "--json", "--data", data]).arg("--out").arg(out);
        command.args(["--batch-size", &cell.batch_size.to_string(), "--precision", cell.precision.name()]);
        command.args(self.requester_pays.then_some("--requester-pays"));
        command.args(asked.model.iter().flat_map(|model| ["--model", model]));
        command.args(asked.engine.iter().flat_map(|engine| ["--engine", engine]));
        for (flag, number) in [("--threads", asked.threads), ("--file-limit", cell.file_limit)] {
            command.args(number.iter().flat_map(|number| [flag.to_owned(), number.to_string()]));
        }
        // The process holds the lock for as long as it lives; `cosmic infer` reads nothing from there.
        command.stdin(lock).stdout(Stdio::null()).stderr(Stdio::piped());
        // A Ctrl-C is for the sweep, which then kills it.
        command.kill_on_drop(true).process_group(0);
        let (started_at, started) = (seconds_since_1970(), Instant::now());
        let child = command.spawn().with_context(|| format!("failed to start {}", self.program.display()))?;
        let ended = child.wait_with_output().await.context("failed to wait for cosmic infer")?;
        let seconds = started.elapsed().as_secs_f64();
        let base = failed(repeat, started_at, seconds, String::new());
        let made_by = Some(self.made_by.clone());
        if !matches!(ended.status.code(), Some(0 | 3)) {
            let reason = reason(&String::from_utf8_lossy(&ended.stderr), &ended.status.to_string());
            return Ok(Repeat { reason: Some(reason), made_by, ..base });
        }
        match read_results(out) {
            Ok((results, combined, catalogue)) => {
                let ended = with_results(base, &results, &combined, catalogue)?;
                // Large, and the same in every repeat: the record keeps their hashes.
                for name in [CATALOGUE, PICTURE] {
                    let _ = std::fs::remove_file(out.join(name));
                }
                Ok(Repeat { made_by, ..ended })
            }
            Err(error) => Ok(Repeat { reason: Some(format!("{error:#}")), made_by, ..base }),
        }
    }
}

fn read_results(out: &Path) -> Result<(Results, Vec<u8>, Bytes)> {
    let read = |name: &str| std::fs::read(out.join(name)).with_context(|| format!("it left no {name}"));
    let results = serde_json::from_slice(&read(RESULTS_JSON)?).context("it left a bad Results.json")?;
    Ok((results, read(COMBINED_DATA)?, read(CATALOGUE)?.into()))
}

/// What a process said last of why it failed, or how it ended where it said nothing.
fn reason(stderr: &str, status: &str) -> String {
    let said = stderr.lines().rev().find_map(|line| line.strip_prefix("error: "));
    printable(said.unwrap_or(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_the_process_said_last_or_the_signal_that_ended_it() {
        assert_eq!(reason("warning: x\nerror: bad model m.pt\n", "exit status: 1"), "bad model m.pt");
        assert_eq!(reason("", "signal: 9 (SIGKILL)"), "signal: 9 (SIGKILL)");
    }
}
