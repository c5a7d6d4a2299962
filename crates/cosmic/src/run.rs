//! `cosmic run`: start an execution, follow it, show its results.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use aws_config::SdkConfig;
use aws_sdk_sfn::{operation::describe_execution::DescribeExecutionOutput, types::ExecutionStatus};
use bill::Cost;
use bytes::Bytes;
use clap::Args;
use pipeline::{
    events::plain_cause,
    payload::{Payload, is_text},
    result_folder::ResultFolder,
    run_files::{RESULTS, RESULTS_JSON, Results, RunFiles, sha256},
    storage::{S3Store, aws_config, explain},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    execution::{Execution, Statement},
    global::Global,
    outcome::Outcome,
    output::{Printer, progress_bar, seconds},
    summary::{cost_text, paths_text, say_warnings, summary_text},
};

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The payload, a JSON file such as payloads/demo.json.
    #[arg(long, value_name = "FILE", env = "COSMIC_PAYLOAD", required_unless_present = "attach")]
    payload: Option<PathBuf>,
    /// The state machine, by name or ARN.
    #[arg(long, value_name = "NAME", default_value = "cosmic-redshift", env = "COSMIC_STATE_MACHINE")]
    state_machine: String,
    /// Set a field of the payload, such as bucket=my-bucket or world_size=40 (may be given several times).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Name of the execution; made of the payload's name and the time if not given. Names of executions that have
    /// ended are not free again for 90 days.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Folder to download catalogue, picture and results into.
    #[arg(long, value_name = "DIR", env = "COSMIC_OUT")]
    out: Option<PathBuf>,
    /// Start it and return at once.
    #[arg(long, conflicts_with = "out")]
    no_wait: bool,
    /// Start nothing: follow this execution, given by name or ARN, and show its results.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["set", "name", "no_wait"])]
    attach: Option<String>,
}

#[derive(Serialize)]
struct RunOutput {
    execution: String,
    execution_arn: String,
    status: String,
    /// Why it failed, in the state machine's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// From start to end, as Step Functions counts.
    seconds: f64,
    results: Option<Results>,
    /// What it cost; absent where the logs could not be read.
    cost: Option<Cost>,
    unreported_invocations: usize,
    /// Where the files of `RESULTS` are.
    paths: Vec<String>,
}

pub(crate) async fn run(args: RunArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    // Tested before anything starts.
    let out = args.out.as_deref().map(ResultFolder::claim).transpose()?;
    let aws = aws_config(global.endpoint_url.as_deref()).await;
    let (execution, checked) = match (&args.attach, &args.payload) {
        (Some(execution), _) => attach(&aws, execution, &args.state_machine).await?,
        (None, Some(file)) => start(&aws, &args, file).await?,
        (None, None) => bail!("neither --payload nor --attach is given"),
    };
    if args.no_wait {
        let started = serde_json::json!({"execution": execution.name, "execution_arn": execution.arn});
        printer.print(&started, |_| format!("follow it with: cosmic run --attach {}", execution.arn))?;
        return Ok(Outcome::Done);
    }

    let bar = progress_bar("{bar:40} {pos}/{len} ranks, {elapsed} {msg}");
    let following = execution.follow(|ranks| {
        bar.set_length(ranks.total);
        bar.set_position(ranks.done + ranks.failed);
        if ranks.failed > 0 {
            bar.set_message(format!("({} failed)", ranks.failed));
        }
    });
    let ended = tokio::select! {
        ended = following => ended.with_context(|| format!(
            "the execution is not followed any more and goes on; `cosmic run --attach {}` follows it again",
            execution.arn
        ))?,
        _ = tokio::signal::ctrl_c() => {
            bar.finish_and_clear();
            bail!(
                "interrupted: the execution goes on; follow it with `cosmic run --attach {0}`, or stop it with `aws stepfunctions stop-execution --execution-arn {0}`",
                execution.arn
            );
        }
    };
    bar.finish_and_clear();

    let store = S3Store::new(S3Store::client(&aws), &checked.bucket);
    let files = RunFiles::new(Arc::new(store), &checked.result_path);
    // Nothing of this run lies there where it was refused or planning failed.
    let results = match summarized(&ended) {
        true => Some(Fetched::of(&files, &execution).await?),
        false => None,
    };
    let paths = match (&results, out) {
        (None, _) => Vec::new(),
        (Some(fetched), Some(folder)) => fetched.save(folder)?,
        (Some(_), None) => RESULTS.map(|name| files.location(name)).to_vec(),
    };
    // Results are worth more than their price: that it cannot be told is no failure.
    let (cost, unreported) = match execution.statement().await {
        Ok(Statement { cost, unreported, .. }) => (Some(cost), unreported),
        Err(error) => {
            eprintln!("warning: the cost is not known: {}", explain(error.as_ref()));
            (None, 0)
        }
    };
    let output = RunOutput {
        execution: execution.name.clone(),
        execution_arn: execution.arn.clone(),
        status: ended.status.as_str().to_owned(),
        seconds: duration(&ended),
        error: ended.error,
        cause: ended.cause.map(|cause| plain_cause(&cause)),
        results: results.map(|fetched| fetched.results),
        cost,
        unreported_invocations: unreported,
        paths,
    };
    if let Some(results) = output.results.as_ref().filter(|_| printer.json) {
        say_warnings(results);
    }
    printer.print(&output, text)?;
    match (&ended.status, &output.results) {
        (ExecutionStatus::Succeeded, Some(results)) if results.complete => Ok(Outcome::Done),
        (_, Some(_)) => Ok(Outcome::Incomplete),
        (status, None) => bail!(
            "execution {} ended as {}: {}: {}",
            output.execution,
            status.as_str(),
            output.error.as_deref().unwrap_or("no error was named"),
            output.cause.as_deref().unwrap_or("nor a cause")
        ),
    }
}

/// Starts an execution with the payload of a file.
async fn start(aws: &SdkConfig, args: &RunArgs, file: &Path) -> Result<(Execution, Payload)> {
    let name = args.name.clone().unwrap_or_else(|| execution_name(file));
    let input = payload(file, &args.set)?;
    let (checked, warnings) = Payload::parse(&input, &name).with_context(|| file.display().to_string())?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let execution = Execution::start(aws, &args.state_machine, &name, &input).await?;
    eprintln!("started {}", execution.arn);
    Ok((execution, checked))
}

/// Finds an execution, and the payload that it was started with.
async fn attach(aws: &SdkConfig, execution: &str, machine: &str) -> Result<(Execution, Payload)> {
    let execution = Execution::find(aws, execution, machine).await?;
    let input = execution.describe().await?.input.unwrap_or_default();
    let input = serde_json::from_str(&input).with_context(|| format!("the input of {} is not JSON", execution.arn))?;
    let (checked, _) =
        Payload::parse(&input, &execution.name).with_context(|| format!("the input of {}", execution.arn))?;
    Ok((execution, checked))
}

/// The payload of a file with fields set over it. Values are JSON where they are that and no text is wanted, else text.
fn payload(path: &Path, set: &[String]) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    // Editors on Windows put a byte order mark in front.
    let mut input: Map<String, Value> = serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text))
        .with_context(|| format!("{} is not a payload: expected one JSON object", path.display()))?;
    for assignment in set {
        let Some((key, value)) = assignment.split_once('=') else {
            bail!("--set {assignment:?} is not of the form key=value");
        };
        let value = match serde_json::from_str(value) {
            // A folder 2024.10 or 007 keeps its name.
            Ok(Value::Number(_) | Value::Bool(_)) if is_text(key) => Value::String(value.to_owned()),
            Ok(value) => value,
            Err(_) => Value::String(value.to_owned()),
        };
        input.insert(key.to_owned(), value);
    }
    Ok(Value::Object(input))
}

/// `demo-1732406400123`: letters, digits, `-` and `_`, unique enough to start twice a second.
fn execution_name(payload: &Path) -> String {
    let stem = payload.file_stem().and_then(|stem| stem.to_str()).unwrap_or("run");
    let stem: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{stem}-{}", now.as_millis())
}

/// Whether the summarizer has written results for this execution.
pub(crate) fn summarized(ended: &DescribeExecutionOutput) -> bool {
    ended.status == ExecutionStatus::Succeeded || ended.error.as_deref() == Some("IncompleteCatalogue")
}

/// The results of an execution, each held against what Results.json says of it.
pub(crate) struct Fetched {
    pub(crate) results: Results,
    /// By their names, Results.json last.
    pub(crate) files: Vec<(&'static str, Bytes)>,
}

impl Fetched {
    pub(crate) async fn of(files: &RunFiles, execution: &Execution) -> Result<Self> {
        let written = files.read_file(RESULTS_JSON).await?;
        let results: Results = serde_json::from_slice(&written)
            .with_context(|| format!("{} is not of this version of Cosmic", files.location(RESULTS_JSON)))?;
        if results.execution != execution.name {
            bail!(
                "{} is of execution {}, which has replaced the results of {}",
                files.location(RESULTS_JSON),
                results.execution,
                execution.name
            );
        }
        let mut fetched = Vec::new();
        for name in RESULTS.into_iter().filter(|name| *name != RESULTS_JSON) {
            let bytes = files.read_file(name).await?;
            let expected =
                results.sha256.get(name).with_context(|| format!("Results.json does not speak of {name}"))?;
            let found = sha256(&bytes);
            if found != *expected {
                bail!(
                    "{} has the SHA-256 {found}, and Results.json says {expected}: another execution is replacing these \
                     results, or the file was changed; nothing was downloaded",
                    files.location(name)
                );
            }
            fetched.push((name, bytes));
        }
        fetched.push((RESULTS_JSON, written));
        Ok(Self { results, files: fetched })
    }

    /// Puts the results into a folder, all or none.
    fn save(&self, folder: ResultFolder) -> Result<Vec<String>> {
        for (name, bytes) in &self.files {
            folder.write(name, bytes)?;
        }
        Ok(folder.publish()?.iter().map(|path| path.display().to_string()).collect())
    }
}

pub(crate) fn duration(ended: &DescribeExecutionOutput) -> f64 {
    ended.stop_date.as_ref().map_or(0.0, |stop| stop.as_secs_f64() - ended.start_date.as_secs_f64())
}

fn text(output: &RunOutput) -> String {
    let mut text = format!("execution  {} {} after {}\n", output.execution, output.status, seconds(output.seconds));
    if let (Some(error), Some(_)) = (&output.error, &output.results) {
        text += &format!("error      {error}: {}\n", output.cause.as_deref().unwrap_or(""));
    }
    if let Some(results) = &output.results {
        text += &format!("\n{}\n", summary_text(results));
    }
    if let Some(cost) = &output.cost {
        text += &cost_text(cost, output.unreported_invocations);
    }
    if !output.paths.is_empty() {
        text += &format!("\n{}", paths_text(&output.paths));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_set_on_the_command_line_win_and_keep_their_types() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        std::fs::write(&path, "\u{feff}{\"bucket\": \"old\", \"batch_size\": 32}").unwrap();
        let set = ["bucket=new", "batch_size=64", "overwrite=true", "result_path=a=b", "prefix=2024.10", "model=null"];
        let input = payload(&path, &set.map(str::to_owned)).unwrap();
        let expected = serde_json::json!({
            "bucket": "new", "batch_size": 64, "overwrite": true, "result_path": "a=b", "prefix": "2024.10", "model": null
        });
        assert_eq!(input, expected);
        assert!(payload(&path, &["nothing".into()]).is_err());
    }

    #[test]
    fn execution_names_hold_only_what_step_functions_allows() {
        let name = execution_name(Path::new("payloads/25MB batch 512.json"));
        assert!(name.starts_with("25MB-batch-512-") && name.len() < 80, "{name}");
    }
}
