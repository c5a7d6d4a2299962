//! The header of a safetensors file, in front of zeros: what is a model is folded.
#![no_main]

use astromae::{Hyperparameters, Model, fold::FoldedNetwork};

libfuzzer_sys::fuzz_target!(|header: &[u8]| {
    // As many zeros as the header speaks of, if that is little, so that its offsets are right.
    let text = String::from_utf8_lossy(header);
    let numbers = text.split(|character: char| !character.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
    let end = numbers.filter(|number| *number < 1 << 22).max().unwrap_or(0_usize);
    let mut file = [&(header.len() as u64).to_le_bytes(), header].concat();
    file.resize(file.len() + end, 0);
    let given = Hyperparameters { num_heads: 1, layer_norm_eps: 1e-6, batch_norm_eps: 1e-5 };
    match Model::from_bytes_with("fuzzed.safetensors", file.into(), Some(given)) {
        Ok(model) => drop(FoldedNetwork::new(model)),
        Err(error) => drop(error.to_string()),
    }
});
