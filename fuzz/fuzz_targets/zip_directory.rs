//! A whole file of either form, byte by byte.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cosmic_fuzz::look_at(bytes));
