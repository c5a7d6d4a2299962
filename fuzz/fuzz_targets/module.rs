//! The pickle of a network, whose tensors all lie in three storages: what is a model is folded.
#![no_main]

use astromae::{Hyperparameters, Model, fold::FoldedNetwork};

libfuzzer_sys::fuzz_target!(|pickle: &[u8]| {
    let storage = vec![0; 1 << 18];
    let members: [(&str, &[u8]); 4] =
        [("data.pkl", pickle), ("data/0", &storage), ("data/1", &storage[..4096]), ("data/2", &storage[..4])];
    let given = Hyperparameters { num_heads: 1, layer_norm_eps: 1e-6, batch_norm_eps: 1e-5 };
    match Model::from_bytes_with("fuzzed.pt", cosmic_fuzz::zip(&members).into(), Some(given)) {
        Ok(model) => drop(FoldedNetwork::new(model)),
        Err(error) => drop(error.to_string()),
    }
});
