//! The signals that end a command while it waits for an execution.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for Ctrl-C (SIGINT) or SIGTERM, and gives a word for what came.
///
/// From its first call on, neither signal ends the process by itself any more: whoever calls it goes on waiting for it
/// until the command has ended.
pub(crate) async fn interrupted() -> &'static str {
    tokio::select! {
        () = came(signal(SignalKind::interrupt()).ok()) => "interrupted",
        () = came(signal(SignalKind::terminate()).ok()) => "terminated",
    }
}

/// Waits for a signal; for ever where the system lets nobody listen for it.
async fn came(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => {
            signal.recv().await;
        }
        None => pending().await,
    }
}
