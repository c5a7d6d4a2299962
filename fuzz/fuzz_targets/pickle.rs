//! The pickle of a zip file with a few small storages.
#![no_main]

libfuzzer_sys::fuzz_target!(|pickle: &[u8]| {
    let storage = [0; 4096];
    let members: [(&str, &[u8]); 5] = [
        ("data.pkl", pickle),
        ("byteorder", b"little"),
        ("data/0", &storage),
        ("data/1", &storage[..40]),
        ("data/2", &storage[..8]),
    ];
    cosmic_fuzz::look_at(&cosmic_fuzz::zip(&members));
});
