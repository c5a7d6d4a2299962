//! What the three functions share, so that each `main.rs` only says what it does: logs as one JSON object a line,
//! errors under the names the state machine knows, events that do not parse as [`Error::BadPayload`].

pub mod embedded_metrics;

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    path::PathBuf,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use pipeline::{
    Error,
    deadline::Deadline,
    plan::PlannedModel,
    storage::{Requests, explain},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tracing::Instrument;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

/// Filter of the logs, as `RUST_LOG` has it: `info`, `pipeline=debug`.
const LOG_FILTER: &str = "COSMIC_LOG";

/// Describes the packaged model. It lies beside the model in the inference function's zip, and alone in the
/// initializer's.
const MODEL_DESCRIPTION: &str = "model.json";

/// Serves events for the life of the process.
///
/// `span` makes the span around an event, whose fields stand in each of its log lines: it should hold `requestId`,
/// `execution` and `rank`. Without them `cosmic logs` cannot tell whose line it is. `handler` is told when its time
/// ends.
pub async fn serve<E, A, F>(
    span: impl Fn(&E, &str) -> tracing::Span,
    handler: impl Fn(E, Deadline) -> F,
) -> Result<(), lambda_runtime::Error>
where
    E: DeserializeOwned,
    A: Serialize,
    F: Future<Output = Result<A, Error>>,
{
    serve_observed(span, |_, _| |_| (), handler).await
}

/// Serves events as [`serve`] does. `begin` is called with each event and its request's id before it is handled, and
/// what it gives is called with the outcome, also where the handler panicked or its time ran out.
pub async fn serve_observed<E, A, F, O>(
    span: impl Fn(&E, &str) -> tracing::Span,
    begin: impl Fn(&E, &str) -> O,
    handler: impl Fn(E, Deadline) -> F,
) -> Result<(), lambda_runtime::Error>
where
    E: DeserializeOwned,
    A: Serialize,
    F: Future<Output = Result<A, Error>>,
    O: FnOnce(Result<&A, &Error>),
{
    let (span, begin, handler) = (&span, &begin, &handler);
    run(&|LambdaEvent { payload, context }| {
        Box::pin(async move {
            let event: E = serde_json::from_value(payload)
                .map_err(|error| logged(&Error::BadPayload(format!("the event is not this function's: {error}"))))?;
            let span = span(&event, &context.request_id);
            let end = begin(&event, &context.request_id);
            let deadline = deadline(context.deadline, u64::try_from(context.env_config.memory).unwrap_or(0));
            async move {
                let before = Requests::so_far();
                let work = AssertUnwindSafe(handler(event, deadline)).catch_unwind();
                let outcome = match tokio::time::timeout_at(deadline.to_answer().into(), work).await {
                    Ok(outcome) => outcome.unwrap_or_else(|panic| Err(panicked(&*panic))),
                    // What takes long by itself knows its deadline: this is what waits for others.
                    Err(_) => Err(Error::fault("the function's time has run out while it waited for storage")),
                };
                end(outcome.as_ref());
                let outcome = outcome.map_err(|error| logged(&error));
                let Requests { reads, writes } = Requests::so_far() - before;
                tracing::info!(reads, writes, "requests to S3");
                let answer = outcome?;
                serde_json::to_value(answer)
                    .map_err(|error| logged(&Error::internal("failed to encode the answer", error)))
            }
            .instrument(span)
            .await
        })
    })
    .await
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Value, Diagnostic>> + 'a>>;

/// Runs Lambda's loop. It is compiled here once, and not again for the types of each function.
async fn run<'a>(handler: &'a dyn Fn(LambdaEvent<Value>) -> Answer<'a>) -> Result<(), lambda_runtime::Error> {
    lambda_runtime::run(service_fn(handler)).await
}

/// Characters of an error's message: Step Functions keeps
/// [32,768 of a cause](https://docs.aws.amazon.com/step-functions/latest/apireference/API_ExecutionFailedEventDetails.html),
/// which is Lambda's answer as JSON, with the message escaped in it. A message may quote what it was given.
const LONGEST_MESSAGE: usize = 12_000;

/// The error as Lambda hands it to Step Functions, and a line on it in the log.
fn logged(error: &Error) -> Diagnostic {
    let (name, message) = (error.name(), shortened(explain(error)));
    tracing::error!(error_type = name, "{message}");
    Diagnostic { error_type: name.to_owned(), error_message: message }
}

fn shortened(message: String) -> String {
    match message.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{} … and {} bytes more", &message[..end], message.len() - end),
        None => message,
    }
}

/// A panic as the fault of ours that it is. The runtime would name it by a type of its own, which nobody could read.
fn panicked(panic: &(dyn Any + Send)) -> Error {
    let message = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    Error::fault(format!("the function panicked: {}", message.unwrap_or("it gave no message")))
}

fn deadline(epoch_milliseconds: u64, memory_mb: u64) -> Deadline {
    let at = UNIX_EPOCH + Duration::from_millis(epoch_milliseconds);
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    Deadline::in_time(left, memory_mb)
}

/// One JSON object a line on standard output, which Lambda sends to CloudWatch.
pub fn init_logs() {
    let filter = std::env::var(LOG_FILTER).ok().and_then(|filter| filter.parse().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines =
        fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false).with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

/// The path of a file of the function's zip.
pub fn packaged(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("LAMBDA_TASK_ROOT").unwrap_or_else(|| ".".into())).join(name)
}

/// The model that the functions were deployed with, if one was packaged.
///
/// # Errors
/// A description that is there and cannot be read.
pub fn packaged_model() -> Result<Option<PlannedModel>, lambda_runtime::Error> {
    let path = packaged(MODEL_DESCRIPTION);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let model = serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Some(model))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_no_longer_than_a_cause_may_be() {
        assert_eq!(shortened("a".repeat(LONGEST_MESSAGE)), "a".repeat(LONGEST_MESSAGE));
        let long = shortened("é".repeat(LONGEST_MESSAGE + 3));
        assert_eq!(long, format!("{} … and 6 bytes more", "é".repeat(LONGEST_MESSAGE)));
    }

    #[test]
    fn a_panic_says_what_it_said() {
        for panic in [Box::new("at once") as Box<dyn Any + Send>, Box::new("at once".to_owned())] {
            let error = panicked(&*panic);
            assert_eq!(
                (error.name(), error.to_string()),
                ("Internal", "internal error: the function panicked: at once".into())
            );
        }
    }
}
