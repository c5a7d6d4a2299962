//! The pickle of a data set of two galaxies: what opens is read.
#![no_main]

use torch_file::InMemory;

libfuzzer_sys::fuzz_target!(|pickle: &[u8]| {
    let storage = vec![0; 2 * 4 * 5120];
    let members: [(&str, &[u8]); 4] =
        [("data.pkl", pickle), ("data/0", &storage), ("data/1", &storage[..80]), ("data/2", &storage[..8])];
    let file = InMemory::new("fuzzed.pt", cosmic_fuzz::zip(&members));
    match cosmic_fuzz::ready(galaxies::Dataset::open(file)) {
        Ok(dataset) => {
            assert!(dataset.rows() <= 2, "{} rows of two", dataset.rows());
            cosmic_fuzz::read_some(&dataset);
        }
        Err(error) => drop(error.to_string()),
    }
});
