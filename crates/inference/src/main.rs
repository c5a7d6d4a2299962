//! One rank of an execution: its share of the galaxies in, its part of the catalogue out. See [`pipeline::rank`].

mod rank_metrics;

use std::env::consts::ARCH;

use lambda::embedded_metrics::EmbeddedMetrics;
use pipeline::{
    Error,
    engine_cache::EngineCache,
    events::{RankAnswer, RankEvent},
    rank,
    storage::{S3Store, aws_config, explain},
};

use crate::rank_metrics::RankMetrics;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::init_logs();
    let stores = &S3Store::client(&aws_config(None).await);
    let engines = &EngineCache::new(
        lambda::packaged("model.safetensors"),
        Box::new(|name, model, precision| {
            engines::load(Some(name), model, None, precision).map_err(|error| Error::BadEngine(error.into()))
        }),
    );
    // Said at once: ranks whose payload names a model need no packaged one, and the others end with this error.
    if let Err(error) = engines.check_packaged_model() {
        tracing::error!(error_type = error.name(), "{}", explain(&error));
    }
    let metrics = &RankMetrics::new(EmbeddedMetrics::of_environment());
    lambda::serve_observed(
        |event: &RankEvent, id| {
            tracing::info_span!(
                "rank",
                requestId = id,
                execution = event.owner.execution,
                architecture = ARCH,
                rank = event.task.rank
            )
        },
        |event, id| {
            let begun = metrics.begin(event, id);
            move |outcome: Result<&RankAnswer, &Error>| begun.end(outcome)
        },
        move |event, deadline| async move { rank::run(stores, engines, &event, Some(deadline)).await },
    )
    .await
}

#[cfg(all(test, feature = "native"))]
mod tests {
    #[test]
    fn payloads_that_name_no_engine_get_the_one_that_is_built_in_first() {
        assert_eq!(engines::AVAILABLE.first(), Some(&pipeline::payload::DEFAULT_ENGINE));
    }
}
