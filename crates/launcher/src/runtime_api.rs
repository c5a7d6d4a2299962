//! The one request that the launcher makes to the Lambda Runtime API: the report that initialization failed
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).
//!
//! It is a POST without TLS to an address on the same machine, for which a socket is enough. The real client is in the
//! handler.

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

/// The error's name in the state machine, which does not retry it: another start would fail again.
const ERROR_TYPE: &str = "BadEngine";

/// Each read and write is given this long, which is plenty on one machine.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Tells Lambda why initialization failed. Outside Lambda, where `AWS_LAMBDA_RUNTIME_API` is not set, it does nothing.
pub(crate) fn report_init_error(message: &str) -> Result<()> {
    match env::var("AWS_LAMBDA_RUNTIME_API") {
        Ok(address) => post(&address, message).with_context(|| format!("failed to tell the Runtime API at {address}")),
        Err(_) => Ok(()),
    }
}

/// `address` is `host:port`, followed by a path if the API is not at the server's root.
fn post(address: &str, message: &str) -> Result<()> {
    let (host, path) =
        address.split_once('/').map_or((address, String::new()), |(host, path)| (host, format!("/{path}")));
    let body = serde_json::json!({"errorType": ERROR_TYPE, "errorMessage": message, "stackTrace": []}).to_string();
    let mut connection = TcpStream::connect(host)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    write!(
        connection,
        "POST {path}/2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/vnd.aws.lambda.error+json\r\nLambda-Runtime-Function-Error-Type: {ERROR_TYPE}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = [0; 12];
    connection.read_exact(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 2"), "it answered {}", String::from_utf8_lossy(&answer));
    Ok(())
}
