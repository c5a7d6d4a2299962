//! The bootstrap of a Lambda zip that carries libtorch: unpacks it and starts the handler.
//!
//! A function's zip may hold 250 MB unpacked, and libtorch alone has 440. Packed it has 90, so the zip carries
//! `libtorch-<hash>.tar.zst`, and this program turns it into a folder under the temporary directory, once per sandbox
//! and in under a second, before it becomes the handler. A container image would be the other way: it needs a
//! registry to deploy to and Docker to build.
//!
//! What fails here goes to the log, and to the Runtime API as an initialization error, so that the execution names
//! the reason and not only "exit status 1".

mod libtorch;
mod runtime_api;

use std::{
    convert::Infallible,
    env,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context, Result};

/// The file of the zip that the launcher becomes.
const HANDLER: &str = "inference";

/// Where the dynamic linker looks before the paths that stand in a binary.
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// What infra/template.yaml sets for the native engine. Libtorch allocates in each operation, and would be slowed down.
const ALLOCATOR_SETTINGS: [&str; 2] = ["MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX"];

fn main() -> ExitCode {
    let Err(error) = launch();
    let message = format!("{error:#}");
    eprintln!("{message}");
    if let Err(unreported) = runtime_api::report_init_error(&message) {
        eprintln!("{unreported:#}");
    }
    ExitCode::FAILURE
}

/// Unpacks, and replaces this process by the handler's.
fn launch() -> Result<Infallible> {
    let started = Instant::now();
    let here = env::current_exe().context("failed to find the launcher's own file")?;
    let here = here.parent().context("the launcher's file has no folder")?;
    let archive = libtorch::find_archive(here)?;
    let unpacked = libtorch::unpack(&archive, &libtorch::cache())?;
    if unpacked.now {
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let folder = unpacked.folder.display().to_string();
        let line = serde_json::json!({
            "level": "INFO", "message": "libtorch unpacked", "folder": folder, "milliseconds": milliseconds
        });
        println!("{line}");
    }
    let inherited = env::var_os(LIBRARY_PATH).unwrap_or_default();
    let search: Vec<PathBuf> = [unpacked.folder]
        .into_iter()
        .chain(env::split_paths(&inherited).filter(|path| !path.as_os_str().is_empty()))
        .collect();
    let search =
        env::join_paths(search).context("the temporary directory's name has a colon: set TMPDIR to another")?;
    let handler = here.join(HANDLER);
    let mut command = Command::new(&handler);
    for setting in ALLOCATOR_SETTINGS {
        command.env_remove(setting);
    }
    let error = command.env(LIBRARY_PATH, search).exec();
    Err(error).with_context(|| format!("failed to start the handler {}", handler.display()))
}
