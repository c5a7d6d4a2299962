//! The bootstrap of a Lambda zip that carries libtorch: unpacks it and starts the handler.
//!
//! A function's zip may hold 250 MB unpacked, layers included, and libtorch alone has 445. Packed it has 93, so
//! the zip carries `libtorch-<hash>.tar.zst`, and this program turns that into a folder under the temporary directory,
//! once per execution environment and in about a second, before it becomes the handler. A container image may be
//! larger, but needs a registry to deploy to and Docker to build.
//!
//! What fails here goes to the log, and to the Runtime API as an initialization error, so that the execution names
//! the reason and not only "exit status 1".

mod libtorch;
mod runtime_api;

use std::{
    convert::Infallible,
    env, iter,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context, Result};

/// The file in the zip that the launcher becomes.
const HANDLER: &str = "inference";

/// Where the dynamic linker looks before it follows the RUNPATH of a binary.
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// Settings of the C library's allocator that infra/template.yaml makes for the native engine. They would slow libtorch
/// down, which allocates in each operation.
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

/// Unpacks libtorch, and replaces this process by the handler's: returns only if that fails.
fn launch() -> Result<Infallible> {
    let started = Instant::now();
    let launcher = env::current_exe().context("failed to find the launcher's own file")?;
    let zip = launcher.parent().context("the launcher's file has no folder")?;
    let archive = libtorch::find_archive(zip)?;
    let unpacked = libtorch::unpack(&archive, &libtorch::cache())?;
    if unpacked.newly {
        let line = serde_json::json!({
            "level": "INFO",
            "message": "libtorch unpacked",
            "folder": unpacked.folder.display().to_string(),
            "milliseconds": started.elapsed().as_millis(),
        });
        println!("{line}");
    }
    let inherited = env::var_os(LIBRARY_PATH).unwrap_or_default();
    // The dynamic linker would take an empty entry for the working directory.
    let inherited = env::split_paths(&inherited).filter(|path| !path.as_os_str().is_empty());
    let search = env::join_paths(iter::once(unpacked.folder).chain(inherited))
        .context("the temporary directory's name has a colon: set TMPDIR to another")?;
    let handler = zip.join(HANDLER);
    let mut command = Command::new(&handler);
    for setting in ALLOCATOR_SETTINGS {
        command.env_remove(setting);
    }
    let error = command.env(LIBRARY_PATH, search).exec();
    Err(error).with_context(|| format!("failed to start the handler {}", handler.display()))
}
