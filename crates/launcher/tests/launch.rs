//! The launcher as Lambda starts it: a `bootstrap` beside the files of its zip.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs::{self, File, Permissions},
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

/// A task root with the launcher as `bootstrap`, and an empty temporary directory beside it.
fn zip() -> tempfile::TempDir {
    let zip = tempfile::tempdir().unwrap();
    fs::copy(env!("CARGO_BIN_EXE_launcher"), zip.path().join("bootstrap")).unwrap();
    fs::create_dir(zip.path().join("tmp")).unwrap();
    zip
}

fn add_archive(zip: &Path) {
    let packed = zstd::Encoder::new(File::create(zip.join("libtorch-77.tar.zst")).unwrap(), 1).unwrap();
    let mut archive = tar::Builder::new(packed);
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    archive.append_data(&mut header, "libtorch.so", &b"torch"[..]).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
}

fn add_handler(zip: &Path, script: &str) {
    let handler = zip.join("inference");
    fs::write(&handler, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&handler, Permissions::from_mode(0o755)).unwrap();
}

fn launch(zip: &Path, runtime_api: &str) -> Output {
    Command::new(zip.join("bootstrap"))
        .env("TMPDIR", zip.join("tmp"))
        .env("LD_LIBRARY_PATH", "/opt/lib")
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .output()
        .unwrap()
}

#[test]
fn the_handler_takes_over_with_libtorch_first_in_its_library_path() {
    let zip = zip();
    add_archive(zip.path());
    add_handler(zip.path(), r#"echo "pid $$ path $LD_LIBRARY_PATH"; cat "${LD_LIBRARY_PATH%%:*}/libtorch.so"; exit 7"#);

    let output = launch(zip.path(), "127.0.0.1:1");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{printed}");
    let (log, handler) = printed.split_once('\n').unwrap();
    assert!(log.contains(r#""message":"libtorch unpacked""#), "{printed}");
    assert!(handler.ends_with("/libtorch-77:/opt/lib\ntorch"), "{printed}");

    let again = String::from_utf8(launch(zip.path(), "127.0.0.1:1").stdout).unwrap();
    assert!(again.starts_with("pid "), "unpacked a second time: {again}");
}

#[test]
fn what_fails_is_told_to_the_runtime_api_and_to_the_log() {
    let zip = zip();
    add_archive(zip.path());
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("{}/sandbox-1", server.local_addr().unwrap());
    let api = std::thread::spawn(move || {
        let (mut connection, _) = server.accept().unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        while !request.ends_with(b"}") {
            let length = connection.read(&mut piece).unwrap();
            assert_ne!(length, 0, "the request broke off");
            request.extend_from_slice(&piece[..length]);
        }
        connection.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap()
    });

    let output = launch(zip.path(), &address);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("failed to start the handler") && said.contains("/inference"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let request = api.join().unwrap();
    assert!(request.starts_with("POST /sandbox-1/2018-06-01/runtime/init/error HTTP/1.1\r\n"), "{request}");
    let body: serde_json::Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["errorType"], "BadEngine");
    assert_eq!(body["errorMessage"], said.trim_end());
}
