//! `cosmic sweep`: the published experiments. Each cell of a sweep file's grids is run several times, on this machine or
//! as executions, and what came of it is put into tables, pictures and the folders that the published scripts read.
//!
//! Repeats are interleaved: all cells are run once before any is run twice, so that a machine that slows down does so for
//! all of them. sweep.json is written after every run, and a sweep that is started again in its folder makes only what is
//! missing there or has failed.

mod executions;
mod local;
mod machine;
mod memory;
mod output;
mod partitions;
mod progress;
mod repeat;
mod runner;
mod state;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use experiments::{Place, SweepFile};
use pipeline::{result_folder::sha256_of_file, run_files::sha256, storage::aws_config};

use crate::{
    assignments::assignments,
    global::Global,
    location::{Location, on_this_machine},
    outcome::Outcome,
    output::Printer,
    sweep::{
        executions::Executions,
        local::Local,
        machine::this_machine,
        output::{dry_run, finish},
        runner::{Backend, Ended, Runner},
        state::{State, Where},
    },
};

/// The fields of a sweep file that hold no text.
const NO_TEXTS: [&str; 4] = ["threads", "max_concurrency", "data", "grids"];

#[derive(Args)]
pub(crate) struct SweepArgs {
    /// What to run: a JSON file such as payloads/sweep.json.
    file: PathBuf,
    /// Folder for sweep.json, sweep.csv, the pictures and the published folders; a sweep that was stopped there goes on.
    /// If not given, out/NAME with the sweep's name.
    #[arg(long, value_name = "DIR", value_parser = on_this_machine)]
    out: Option<PathBuf>,
    /// Set a field of the file, such as bucket=my-bucket or model=model.safetensors (may be given several times).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder for partitions that are made on this machine, which several sweeps may share; partitions in the folder of
    /// the sweep if not given.
    #[arg(long, value_name = "DIR")]
    partitions: Option<PathBuf>,
    /// Show the cells and what they need, and run nothing.
    #[arg(long, conflicts_with = "restore")]
    dry_run: bool,
    /// Run nothing: stop the execution that a killed sweep has left, and put the function's memory back.
    #[arg(long)]
    restore: bool,
}

pub(crate) async fn sweep(args: SweepArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let set = assignments(&args.set, |field| !NO_TEXTS.contains(&field))?;
    let asked = SweepFile::read(&args.file, &set.into_iter().collect())?;
    if args.dry_run {
        printer.print(&dry_run(&asked), |rows| output::dry_run_text(&asked, rows))?;
        return Ok(Outcome::Done);
    }
    let out = args.out.unwrap_or_else(|| PathBuf::from("out").join(&asked.name));
    let machine = this_machine();
    let (backend, at) = match asked.place {
        Place::Infer => {
            let model = asked.model.as_deref().unwrap_or_default();
            let model = Location::parse(model, global).await?.read_model().await?;
            let program = std::env::current_exe().context("failed to find this program's own file")?;
            let made_by = format!("{}, {}", env!("CARGO_PKG_VERSION"), file_sha256(&program)?);
            let model_sha256 = Some(sha256(&model));
            let local = Backend::Local(Local { program, made_by, requester_pays: global.requester_pays });
            (local, Where { place: "this machine", region: None, machine, model_sha256 })
        }
        Place::Executions => {
            let aws = aws_config(global.endpoint_url.as_deref()).await;
            let region = aws.region().map(ToString::to_string);
            let executions = Executions::connect(aws, &asked, global.requester_pays).await?;
            let place = if global.is_on_aws() { "AWS" } else { "local stack" };
            (Backend::Executions(Box::new(executions)), Where { place, region, machine, model_sha256: None })
        }
    };
    let under = match (&asked.bucket, args.partitions) {
        (Some(_), Some(_)) => bail!("--partitions is for sweeps on this machine: executions read them from the bucket"),
        (Some(bucket), None) => format!("s3://{bucket}/{}/partitions", asked.prefix),
        (None, Some(folder)) => folder.display().to_string(),
        (None, None) => out.join("partitions").display().to_string(),
    };
    let state = State::open(&out, asked, at)?;
    let mut runner = Runner::new(state, backend, global, under);
    if args.restore {
        let mut said = Vec::new();
        let restored = runner.restore(&mut said).await;
        printer.print(&said, |said| match restored {
            Ok(()) if said.is_empty() => "there is nothing to put back".to_owned(),
            _ => said.join("\n"),
        })?;
        return restored.map(|()| Outcome::Done);
    }
    let ended = runner.run().await;
    let outcome = finish(runner.state(), printer);
    match ended? {
        Ended::All => outcome,
        Ended::Stopped(word) => {
            outcome?;
            bail!("{word}: the same command goes on with what is missing in {}", out.display())
        }
    }
}

/// The SHA-256 of a file, in hexadecimal.
fn file_sha256(path: &Path) -> Result<String> {
    let hashed = sha256_of_file(path);
    hashed.with_context(|| format!("failed to read {}", path.display()))
}
