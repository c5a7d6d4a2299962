//! The last function of an execution: parts become one catalogue. See [`pipeline::summarize`].

use std::{env::consts::ARCH, time::SystemTime};

use pipeline::{
    events::SummarizeEvent,
    storage::{S3Store, aws_config},
    summarize::summarize,
};
use report::page_of_results;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::init_logs();
    let stores = &S3Store::client(&aws_config(None).await);
    lambda::serve(
        |event: &SummarizeEvent, id| {
            tracing::info_span!("summarizer", requestId = id, execution = event.owner.execution, architecture = ARCH)
        },
        move |event, _| async move { summarize(stores, &event, SystemTime::now(), &page_of_results).await },
    )
    .await
}
