//! The first function of an execution: from the payload to a plan in the bucket. See [`pipeline::initialize`].

use std::env::consts::ARCH;

use pipeline::{
    events::InitializeEvent,
    initialize::initialize,
    storage::{S3Store, aws_config},
};

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::init_logs();
    let stores = &S3Store::client(&aws_config(None).await);
    let model = &lambda::packaged_model()?;
    lambda::serve(
        |event: &InitializeEvent, id| {
            tracing::info_span!("initializer", requestId = id, execution = event.execution, architecture = ARCH)
        },
        move |event, _| async move { initialize(stores, &event, model.as_ref()).await },
    )
    .await
}
