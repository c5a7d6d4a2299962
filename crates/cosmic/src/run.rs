//! `cosmic run`: start an execution or find one that was started, follow it, show its results.

use std::{
    cell::Cell,
    path::PathBuf,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Error, Result, bail};
use aws_config::SdkConfig;
use aws_sdk_sfn::{operation::describe_execution::DescribeExecutionOutput, types::ExecutionStatus};
use bill::Cost;
use bytes::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use pipeline::{
    events::plain_cause,
    payload::Payload,
    result_folder::ResultFolder,
    run_files::{RESULTS, RESULTS_JSON, Results, RunFiles, sha256},
    storage::{S3Store, aws_config, explain},
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    execution::{Execution, Ranks},
    global::Global,
    interrupt::interrupted,
    location::on_this_machine,
    outcome::Outcome,
    output::{Printer, progress_bar, seconds},
    payload_input::PayloadSource,
    plan,
    resume::{DEFAULT_MACHINE, resume_command},
    statement::{CostOf, statement},
    stop::stop,
    summary::{cost_text, paths_text, say_warnings, summary_text},
};

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The payload, a JSON file such as payloads/demo.json, or the ARN of an execution to take that one's.
    #[arg(long, value_name = "FILE|ARN", env = "COSMIC_PAYLOAD", required_unless_present_any = ["attach", "stop"])]
    payload: Option<PathBuf>,
    /// The state machine, by name or ARN.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MACHINE, env = "COSMIC_STATE_MACHINE")]
    state_machine: String,
    /// Set a field of the payload, such as bucket=my-bucket or world_size=40 (may be given several times).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Name of the execution; made of the payload's name and the time if not given. Names of executions that have
    /// ended are not free again for 90 days.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Folder to download catalogue, picture and results into.
    #[arg(long, value_name = "DIR", env = "COSMIC_OUT", value_parser = on_this_machine)]
    out: Option<PathBuf>,
    /// Start it and return at once.
    #[arg(long, conflicts_with = "out")]
    no_wait: bool,
    /// Start nothing that would cost more, by the estimate of `cosmic plan`.
    #[arg(long, value_name = "USD", value_parser = max_usd, allow_negative_numbers = true, env = "COSMIC_MAX_COST")]
    max_cost: Option<f64>,
    /// Start nothing: follow this execution, given by name or ARN, and show its results.
    #[arg(long, value_name = "NAME|ARN", conflicts_with_all = ["set", "name", "no_wait"])]
    attach: Option<String>,
    /// Start nothing: stop this execution, given by name or ARN, and say what of it is kept.
    #[arg(long, value_name = "NAME|ARN", conflicts_with_all = ["set", "name", "no_wait", "attach"])]
    stop: Option<String>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_of: Option<CostOf>,
    /// Where the files of `RESULTS` are.
    paths: Vec<String>,
}

/// An execution that is to be followed, and what it was asked to do.
struct Followed {
    execution: Execution,
    input: Value,
    /// What the input means; an error where it is no payload, which the execution then says by itself.
    payload: Result<Payload>,
}

pub(crate) async fn run(args: RunArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let aws = aws_config(global.endpoint_url.as_deref()).await;
    if let Some(execution) = &args.stop {
        return stop(&aws, execution, &args.state_machine, global, printer).await;
    }
    // Tested before anything starts.
    let out = args.out.as_deref().map(ResultFolder::claim).transpose()?;
    let followed = match (&args.attach, &args.payload) {
        (Some(execution), _) => attach(&aws, execution, &args.state_machine).await?,
        (None, Some(payload)) => start(&aws, &args, &PayloadSource::of(payload), global).await?,
        (None, None) => bail!("none of --payload, --attach and --stop is given"),
    };
    let Execution { name, arn, .. } = &followed.execution;
    if args.no_wait {
        let started = serde_json::json!({"execution": name, "execution_arn": arn});
        printer.print(&started, |_| format!("follow it with: cosmic run --attach {arn}"))?;
        return Ok(Outcome::Done);
    }

    let bar = progress_bar("{bar:40} {pos}/{len} ranks, {elapsed} {msg}");
    let has_ended = Cell::new(false);
    tokio::select! {
        outcome = follow(&followed, &bar, &has_ended, out, global, printer) => outcome,
        signal = interrupted() => {
            bar.finish_and_clear();
            if has_ended.get() {
                bail!("{signal}: the execution has ended; `cosmic run --attach {arn}` shows its results");
            }
            bail!(
                "{signal}: the execution goes on; follow it with `cosmic run --attach {arn}`, or stop it with \
                 `cosmic run --stop {arn}`"
            );
        }
    }
}

/// Follows an execution to its end, and shows its results and its cost.
async fn follow(
    followed: &Followed,
    bar: &ProgressBar,
    has_ended: &Cell<bool>,
    out: Option<ResultFolder>,
    global: &Global,
    printer: Printer,
) -> Result<Outcome> {
    let Followed { execution, payload, .. } = followed;
    let following = execution.follow(|ranks| {
        bar.set_length(ranks.total);
        bar.set_position(ranks.done + ranks.failed);
        if ranks.failed > 0 {
            bar.set_message(format!("({} failed)", ranks.failed));
        }
    });
    let ended = following.await.with_context(|| {
        format!(
            "the execution is not followed any more and goes on; `cosmic run --attach {}` follows it again",
            execution.arn
        )
    })?;
    has_ended.set(true);
    bar.finish_and_clear();

    // Nothing of this run lies there where it was refused or planning failed.
    let (results, paths) = match (summarized(&ended), payload) {
        (true, Err(error)) => bail!("the input of {} is no payload: {}", execution.arn, explain(error.as_ref())),
        (true, Ok(payload)) => {
            let store = S3Store::new(S3Store::client(&execution.aws), &payload.bucket);
            let files = RunFiles::new(Arc::new(store), &payload.result_path);
            let fetched = Fetched::of(&files, execution).await?;
            let paths = match out {
                Some(folder) => fetched.save(folder)?,
                None => RESULTS.map(|name| files.location(name)).to_vec(),
            };
            (Some(fetched.results), paths)
        }
        (false, _) => (None, Vec::new()),
    };
    // Results are worth more than their price: that it cannot be told is no failure.
    let (cost, cost_of) = match statement(execution, &ended).await {
        Ok(statement) => (Some(statement.cost), Some(statement.cost_of)),
        Err(error) => {
            eprintln!("warning: the cost is not known: {}", explain(error.as_ref()));
            (None, None)
        }
    };
    let output = RunOutput {
        execution: execution.name.clone(),
        execution_arn: execution.arn.clone(),
        status: ended.status.as_str().to_owned(),
        seconds: duration(&ended),
        error: ended.error,
        cause: ended.cause.map(|cause| plain_cause(&cause)),
        results,
        cost,
        cost_of,
        paths,
    };
    if let Some(results) = output.results.as_ref().filter(|_| printer.json) {
        say_warnings(results);
    }
    printer.print(&output, text)?;
    match (&ended.status, &output.results) {
        (ExecutionStatus::Succeeded, Some(results)) if results.complete => Ok(Outcome::Done),
        (_, Some(_)) => Ok(Outcome::Incomplete),
        (_, None) => Err(without_results(&output, followed, global).await),
    }
}

/// Reads an amount of money.
fn max_usd(text: &str) -> Result<f64, String> {
    match text.trim_start_matches('$').parse::<f64>() {
        Ok(usd) if usd.is_finite() && usd >= 0.0 => Ok(usd),
        _ => Err("expected US dollars, such as 0.50".to_owned()),
    }
}

/// How an execution ended that has no results, and how to go on where some of its ranks have finished.
async fn without_results(output: &RunOutput, followed: &Followed, global: &Global) -> Error {
    let mut text = format!("execution {} ended as {}", output.execution, output.status);
    for said in [&output.error, &output.cause].into_iter().flatten().filter(|said| !said.is_empty()) {
        text += &format!(": {said}");
    }
    let Ranks { done, total, .. } = followed.execution.ranks().await.unwrap_or_default();
    if let Ok(payload) = &followed.payload
        && done > 0
    {
        let resume = resume_command(&followed.execution, payload, &followed.input, global);
        text += &format!(
            "\n{done} of the {total} ranks that it had to compute have finished, and what they have written stays under \
             s3://{}/{}/. To compute the rest:\n  {resume}",
            payload.bucket, payload.result_path
        );
    }
    Error::msg(text)
}

/// Starts an execution.
async fn start(aws: &SdkConfig, args: &RunArgs, payload: &PayloadSource<'_>, global: &Global) -> Result<Followed> {
    let name = args.name.clone().unwrap_or_else(|| execution_name(payload));
    let input = payload.read(aws, &args.set, global.requester_pays).await?;
    let (checked, warnings) = Payload::parse(&input, &name).with_context(|| payload.to_string())?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    if let Some(max_cost) = args.max_cost {
        plan::refuse_above(max_cost, &checked, &args.state_machine, aws, global).await?;
    }
    let execution = Execution::start(aws, &args.state_machine, &name, &input).await?;
    eprintln!("started {}", execution.arn);
    Ok(Followed { execution, input, payload: Ok(checked) })
}

/// Finds an execution, and the payload that it was started with.
async fn attach(aws: &SdkConfig, execution: &str, machine: &str) -> Result<Followed> {
    let (execution, described) = Execution::find(aws, execution, machine).await?;
    let input = serde_json::from_str(&described.input.unwrap_or_default()).unwrap_or_default();
    let payload = Payload::parse(&input, &execution.name).map(|(payload, _)| payload).map_err(Error::new);
    Ok(Followed { execution, input, payload })
}

/// `demo-1732406400123`: letters, digits, `-` and `_`, unique enough to start twice a second.
fn execution_name(payload: &PayloadSource<'_>) -> String {
    let stem = payload.stem().unwrap_or_else(|| "run".into());
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
            let Some(expected) = results.sha256.get(name) else {
                bail!(
                    "{} does not speak of {name}: the functions are of another version of Cosmic than this command; \
                     package and deploy them again",
                    files.location(RESULTS_JSON)
                );
            };
            let bytes = files.read_file(name).await?;
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
    if let (Some(cost), Some(of)) = (&output.cost, &output.cost_of) {
        text += &cost_text(cost, of, &output.execution);
    }
    if !output.paths.is_empty() {
        text += &format!("\n{}", paths_text(&output.paths));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn execution_names_hold_only_what_step_functions_allows() {
        let name = execution_name(&PayloadSource::of(Path::new("payloads/25MB batch 512.json")));
        assert!(name.starts_with("25MB-batch-512-") && name.len() < 80, "{name}");
    }
}
