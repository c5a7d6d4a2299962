//! `cosmic report`: a run, a sweep, or two runs compared, as one HTML file.

mod gathered;
mod stamps;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use experiments::Sweep;
use serde::Serialize;
use serde_json::Value;

use crate::{
    global::Global,
    location::{Location, on_this_machine},
    outcome::Outcome,
    output::Printer,
    report::gathered::{Gathered, LogsOf},
    resume::DEFAULT_MACHINE,
};

/// The results of a run are read from their folder, and what only the logs of an execution know is added where they can
/// be reached: cold starts, and the cost. With a second folder, the two runs are compared galaxy by galaxy.
#[derive(Args)]
pub(crate) struct ReportArgs {
    /// The folder of a run's results, or of a sweep's: local, or s3://bucket/prefix.
    #[arg(value_name = "PATH")]
    path: String,
    /// The folder of the results of another run, to be held against the first. Both catalogues are held in memory whole,
    /// with the data sets' own columns.
    #[arg(value_name = "OTHER")]
    other: Option<String>,
    /// The file to write; named after the folders, in the current one, if not given.
    #[arg(long, value_name = "FILE.html", env = "COSMIC_OUT", value_parser = on_this_machine)]
    out: Option<PathBuf>,
    /// The execution whose logs are read, by its ARN or name, where it is not the one that Results.json names.
    #[arg(long, value_name = "ARN|NAME", conflicts_with = "other")]
    execution: Option<String>,
    /// The state machine of the execution, by its name or ARN.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MACHINE, env = "COSMIC_STATE_MACHINE")]
    state_machine: String,
    /// Read no logs: the page has neither cold starts nor cost.
    #[arg(long)]
    no_logs: bool,
    /// The data set that the run read, for the pictures of galaxies: local, or s3://bucket/prefix. If not given, it is
    /// looked for where the payload says.
    #[arg(long, value_name = "PATH", env = "COSMIC_DATA")]
    data: Option<String>,
}

#[derive(Serialize)]
struct ReportOutput {
    /// The file that was written.
    path: String,
    bytes: u64,
    /// What the page shows most prominently: of a run, or of each of two.
    figures: Value,
}

pub(crate) async fn report(args: ReportArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let logs =
        if args.no_logs { LogsOf::Nobody } else { LogsOf::Execution(args.execution.as_deref(), &args.state_machine) };
    let (page, figures) = match &args.other {
        None => match sweep(&args.path, global).await? {
            Some(sweep) => {
                (report::sweep_page(&sweep), serde_json::json!({"sweep": sweep.name, "cells": sweep.cells.len()}))
            }
            None => {
                let run = Gathered::read(&args.path, global, &logs).await?;
                let stamps = stamps::find(&run, args.data.as_deref(), global).await;
                (report::run_page(&run.as_run(&stamps)), run.figures())
            }
        },
        Some(other) => {
            let first = Gathered::read(&args.path, global, &logs).await?;
            let second = Gathered::read(other, global, &logs).await?;
            let matched = catalogue::Matched::of(&first.rows()?, &second.rows()?);
            let stamps = report::Stamps::new();
            let names = [shortest_name(&args.path), shortest_name(other)];
            let page = report::comparison_page(&names, &first.as_run(&stamps), &second.as_run(&stamps), &matched);
            (page, Value::Array(vec![first.figures(), second.figures()]))
        }
    };
    let out = args.out.unwrap_or_else(|| default_name(&args.path, args.other.as_deref()));
    std::fs::write(&out, &page).with_context(|| format!("failed to write {}", out.display()))?;
    let output = ReportOutput { path: out.display().to_string(), bytes: page.len() as u64, figures };
    printer.print(&output, |output| format!("report  {}, {}", output.path, crate::output::bytes(output.bytes)))?;
    Ok(Outcome::Done)
}

/// The sweep whose record this is, or lies in this folder; `None` where there is none.
pub(crate) async fn sweep(path: &str, global: &Global) -> Result<Option<Sweep>> {
    const RECORD: &str = "sweep.json";
    let location = Location::parse(path, global).await?;
    let is_record = location.key.rsplit('/').next().is_some_and(|name| name.ends_with(".json"));
    let key = match location.key.as_str() {
        key if is_record => key.to_owned(),
        "" => RECORD.to_owned(),
        folder => format!("{folder}/{RECORD}"),
    };
    match location.store.get(&key).await {
        Ok(object) => {
            let read = serde_json::from_slice(&object.bytes);
            let place = location.store.location(&key);
            Ok(Some(read.with_context(|| format!("{place} is not a sweep.json of this version of Cosmic"))?))
        }
        Err(error) if is_record => Err(error.into()),
        // The results of a run are looked for next, and say what is wrong with the place.
        Err(_) => Ok(None),
    }
}

/// The last part of a path that says something.
fn shortest_name(path: &str) -> String {
    let local = Path::new(path).canonicalize().ok();
    let full = local.as_ref().map_or(path.to_owned(), |path| path.display().to_string());
    let named = full.trim_end_matches('/').rsplit('/').find(|part| !part.is_empty() && !part.ends_with(".json"));
    named.unwrap_or("run").to_owned()
}

fn default_name(path: &str, other: Option<&str>) -> PathBuf {
    let name = shortest_name(path);
    PathBuf::from(match other {
        None => format!("{name}-report.html"),
        Some(other) => format!("{name}-and-{}-report.html", shortest_name(other)),
    })
}
