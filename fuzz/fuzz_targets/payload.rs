//! The payload of an execution.
#![no_main]

use pipeline::payload::Payload;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice(bytes) else {
        return;
    };
    match Payload::parse(&value, "execution") {
        Ok((payload, _)) => assert!(!payload.result_path.is_empty()),
        Err(error) => drop(error.to_string()),
    }
});
