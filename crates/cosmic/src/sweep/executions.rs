//! Cells that are run as executions of the state machine, each repeat as one of its own with a folder of its own: in a
//! folder that has results of this payload, an execution would compute nothing.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use aws_config::SdkConfig;
use aws_sdk_sfn::{Client, types::HistoryEventType};
use experiments::{Cell, Repeat, SweepFile};
use pipeline::{
    events::plain_cause,
    payload::Payload,
    phases::seconds_since_1970,
    run_files::{CATALOGUE, COMBINED_DATA, RunFiles},
    storage::{S3Store, explain, split_address},
};
use serde_json::{Value, json};

use crate::{
    execution::{Execution, has_ended, in_region_of, machine_arn},
    execution_arn::ExecutionArn,
    run::{Fetched, duration, summarized},
    statement::{Statement, statement},
    sweep::{
        memory::{Function, inference_function},
        repeat::{failed, with_results},
    },
};

/// How executions are run.
pub(super) struct Executions {
    aws: SdkConfig,
    /// The inference function.
    pub(super) function: Function,
    /// The version of this program, and the SHA-256 of the function's code.
    made_by: String,
    requester_pays: bool,
}

/// An execution that has been started.
pub(super) struct Started {
    execution: Execution,
    payload: Payload,
    started_at: f64,
}

impl Started {
    pub(super) fn arn(&self) -> &str {
        &self.execution.arn
    }
}

impl Executions {
    /// Looks at the state machine and its inference function.
    pub(super) async fn connect(aws: SdkConfig, asked: &SweepFile, requester_pays: bool) -> Result<Self> {
        let aws = in_region_of(&aws, &asked.state_machine);
        let sfn = Client::new(&aws);
        let machine = machine_arn(&sfn, &asked.state_machine).await?;
        let described = sfn.describe_state_machine().state_machine_arn(&machine).send().await;
        let described = described.with_context(|| format!("failed to look at the state machine {machine}"))?;
        let definition: Value = serde_json::from_str(&described.definition)
            .with_context(|| format!("the definition of {machine} is not JSON"))?;
        let function = Function::new(&aws, inference_function(&definition)?);
        // Not everyone who may start executions may look at functions.
        let code = function.look().await.ok().and_then(|(_, code)| code);
        let made_by = format!("{}, {}", env!("CARGO_PKG_VERSION"), code.as_deref().unwrap_or("code unknown"));
        Ok(Self { aws, function, made_by, requester_pays })
    }

    /// Starts an execution for a cell, on partitions at `s3://bucket/prefix`.
    pub(super) async fn start(
        &self,
        asked: &SweepFile,
        at: usize,
        cell: &Cell,
        repeat: u64,
        data: &str,
    ) -> Result<Started> {
        let started_at = seconds_since_1970();
        // Names have at most 80 characters, and CloudWatch knows none with others than letters, digits, `-` and `_`:
        // https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
        let name = asked.name.replace('.', "-");
        let name = format!("{name}-{}-{repeat}-{:.0}", at + 1, started_at * 1e3);
        let (data_bucket, prefix) = split_address(data).map_err(|said| anyhow!("{data} {said}"))?;
        let input = json!({
            "bucket": asked.bucket,
            "data_bucket": data_bucket,
            "prefix": prefix,
            "requester_pays": self.requester_pays.then_some(true),
            "batch_size": cell.batch_size,
            "world_size": cell.world_size,
            "file_limit": cell.file_limit,
            "model": asked.model,
            "engine": asked.engine,
            "precision": cell.precision,
            "max_concurrency": asked.max_concurrency,
            "result_path": format!("{}/{name}", asked.prefix),
        });
        let (payload, _) = Payload::parse(&input, &name)?;
        let execution = Execution::start(&self.aws, &asked.state_machine, &name, &input).await?;
        Ok(Started { execution, payload, started_at })
    }

    /// Waits until an execution has ended, and says what came of it, with its combined_data.json where it has one.
    pub(super) async fn finish(&self, started: &Started, repeat: u64) -> Result<(Repeat, Option<Vec<u8>>)> {
        let Started { execution, payload, started_at } = started;
        let ended = execution.follow(|_| {}).await?;
        let base = Repeat {
            execution: Some(execution.name.clone()),
            map_seconds: map_seconds(execution).await?,
            made_by: Some(self.made_by.clone()),
            ..failed(repeat, *started_at, duration(&ended), String::new())
        };
        let base = match statement(execution, &ended).await {
            Ok(statement) => with_cost(base, &statement),
            // A run is worth more than its price: that it cannot be told is no failure.
            Err(error) => {
                eprintln!("warning: the cost of {} is not known: {}", execution.name, explain(error.as_ref()));
                base
            }
        };
        if !summarized(&ended) {
            let error = ended.error.unwrap_or_else(|| ended.status.as_str().to_owned());
            let cause = ended.cause.map_or(String::new(), |cause| format!(": {}", plain_cause(&cause)));
            return Ok((Repeat { reason: Some(format!("{error}{cause}")), ..base }, None));
        }
        let store = S3Store::new(S3Store::client(&self.aws), &payload.bucket);
        let files = RunFiles::new(Arc::new(store), &payload.result_path);
        let fetched = Fetched::of(&files, execution).await?;
        let file = |wanted: &str| {
            let found = fetched.files.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, bytes)| bytes.clone()).with_context(|| format!("the execution has left no {wanted}"))
        };
        let combined = file(COMBINED_DATA)?;
        let repeat = with_results(base, &fetched.results, &combined, file(CATALOGUE)?)?;
        Ok((repeat, Some(combined.to_vec())))
    }

    /// Stops an execution that is of no use any more, if it still runs. Says whether it did.
    pub(super) async fn stop(&self, arn: &str) -> Result<bool> {
        let found = Execution::if_there(&self.aws, ExecutionArn::parse(arn)?).await?;
        let Some((execution, described)) = found else { return Ok(false) };
        let runs = !has_ended(&described);
        if runs {
            execution.stop().await?;
        }
        Ok(runs)
    }
}

/// A repeat with its cost, where the logs have all invocations, and with how many they have.
fn with_cost(repeat: Repeat, Statement { invocations, cost, cost_of }: &Statement) -> Repeat {
    let if_whole = |figure: f64| cost_of.is_whole().then_some(figure);
    Repeat {
        billed_ms: if_whole(invocations.iter().map(|invocation| invocation.report.billed_ms).sum()),
        cost_usd: if_whole(cost.total_usd),
        cost_of: Some(cost_of.found()),
        ..repeat
    }
}

/// The wall seconds that an execution spent in its map.
async fn map_seconds(execution: &Execution) -> Result<Option<f64>> {
    let history = execution.sfn.get_execution_history().execution_arn(&execution.arn).include_execution_data(false);
    let mut pages = history.into_paginator().send();
    let (mut entered, mut left) = (None, None);
    while let Some(page) = pages.next().await {
        for event in page.context("failed to read the execution's history")?.events {
            let time = event.timestamp.as_secs_f64();
            match event.r#type {
                HistoryEventType::MapStateEntered => entered = Some(time),
                HistoryEventType::MapStateExited => left = Some(time),
                _ => {}
            }
        }
    }
    Ok(entered.zip(left).map(|(entered, left)| left - entered))
}
