//! The first function of an execution: from the payload to a plan in the bucket. See [`pipeline::initialize`].

mod executions;

use std::{
    env::{consts::ARCH, var},
    time::Duration,
};

use aws_config::{SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_lambda::Client;
use pipeline::{
    concurrency::{
        INFERENCE_FUNCTION_VARIABLE, MAX_CONCURRENCY_VARIABLE, Quotas, lambda_quota, max_concurrency_of_stack,
    },
    events::InitializeEvent,
    initialize::initialize,
    storage::{S3Store, aws_config},
};

use crate::executions::StepFunctions;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::init_logs();
    let aws = aws_config(None).await;
    let stores = &S3Store::client(&aws);
    let executions = &StepFunctions::new(&aws);
    let functions = &functions_client(&aws);
    let model = &lambda::packaged_model()?;
    lambda::serve(
        |event: &InitializeEvent, id| {
            tracing::info_span!("initializer", requestId = id, execution = event.owner.execution, architecture = ARCH)
        },
        move |event, _| async move {
            let quotas = quotas(functions).await;
            initialize(stores, executions, &quotas, &event, model.as_ref()).await
        },
    )
    .await
}

/// A client of Lambda that gives up soon: a run needs its answer for no more than not to be turned away.
fn functions_client(aws: &SdkConfig) -> Client {
    let limits = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(5)).build();
    let retries = RetryConfig::standard().with_max_attempts(3);
    let config = aws_sdk_lambda::config::Builder::from(aws).timeout_config(limits).retry_config(retries);
    Client::from_conf(config.build())
}

/// What the stack and Lambda say of how many ranks may run at once, now.
async fn quotas(functions: &Client) -> Quotas {
    let of_stack = max_concurrency_of_stack(var(MAX_CONCURRENCY_VARIABLE).ok().as_deref());
    let of_lambda = match var(INFERENCE_FUNCTION_VARIABLE) {
        Ok(inference) => lambda_quota(functions, &inference).await,
        Err(_) => Err(format!("{INFERENCE_FUNCTION_VARIABLE} is not set")),
    };
    Quotas { of_stack, of_lambda }
}
