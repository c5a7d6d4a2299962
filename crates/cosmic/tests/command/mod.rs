//! The command as a user types it.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use galaxies::{Dataset, Galaxies};
use serde_json::Value;
use torch_file::InMemory;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub(crate) fn network(name: &str) -> PathBuf {
    root().join("crates/astromae/tests/fixtures").join(name)
}

/// Runs the command in an environment without the user's settings.
pub(crate) fn cosmic(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("cosmic").unwrap();
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("COSMIC_") || name.starts_with("AWS_")) {
            command.env_remove(name);
        }
    }
    let output = command.env_remove("RUST_BACKTRACE").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub(crate) fn done(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = cosmic(arguments);
    assert_eq!(code, 0, "{stderr}");
    stdout
}

pub(crate) fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&done(arguments)).unwrap()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The galaxies of a data set.
pub(crate) fn galaxies(file: &Path) -> Galaxies {
    let bytes = fs::read(file).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let dataset = Dataset::open(InMemory::new("sky.pt", bytes)).await.unwrap();
        dataset.read(0..dataset.rows()).await.unwrap()
    })
}
