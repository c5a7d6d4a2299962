//! The first function of an execution: from the payload to a plan in the bucket. See [`pipeline::initialize`].

mod executions;

use std::env::consts::ARCH;

use pipeline::{
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
    let model = &lambda::packaged_model()?;
    lambda::serve(
        |event: &InitializeEvent, id| {
            tracing::info_span!("initializer", requestId = id, execution = event.owner.execution, architecture = ARCH)
        },
        move |event, _| async move { initialize(stores, executions, &event, model.as_ref()).await },
    )
    .await
}
