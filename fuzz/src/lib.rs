//! What the fuzz targets share.

#[path = "../../crates/torch-file/tests/written/mod.rs"]
mod written;

use std::convert::Infallible;

use futures::FutureExt;
use galaxies::Dataset;
use torch_file::{Checkpoint, InMemory, TorchFile, Value};

/// The result of reading from memory, where nothing ever waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a reader in memory never waits")
}

/// Looks at everything in a file, as the commands do, and reads what is small.
pub fn look_at(bytes: &[u8]) {
    let Ok(file) = ready(TorchFile::open(InMemory::new("fuzzed.pt", bytes.to_vec()))) else {
        return;
    };
    describe(file.root(), 3);
    if let Ok(checkpoint) = Checkpoint::of(&file) {
        for tensor in checkpoint.tensors.values().take(100) {
            if let Ok(stored) = file.stored(tensor)
                && tensor.elements().is_some_and(|elements| elements < 1 << 20)
            {
                let _ = ready(stored.read::<f32>());
            }
        }
    }
    match Dataset::of(&file) {
        Ok(dataset) => read_some(&dataset),
        Err(error) => drop(error.to_string()),
    }
}

/// Reads the first rows of a data set, and the last one.
pub fn read_some(dataset: &Dataset<InMemory>) {
    let rows = dataset.rows();
    let _: Result<_, galaxies::Error<Infallible>> = ready(dataset.read(0..rows.min(6)));
    let _ = ready(dataset.read(rows.saturating_sub(1)..rows));
    let _ = ready(dataset.read_exact_magnitudes(0..rows.min(6)));
    let _ = (dataset.bytes_per_row(), dataset.unused());
}

fn describe(value: Value<'_>, depth: usize) {
    let said = value.describe();
    assert!(!said.chars().any(char::is_control), "{said:?}");
    let _ = value.describe_samples();
    let _ = value.texts().map(|texts| texts.take(100).map(|text| text.len()).sum::<usize>());
    if depth > 0 {
        value.elements().into_iter().flatten().take(20).for_each(|value| describe(value, depth - 1));
        for (key, value) in value.entries().into_iter().flatten().take(20) {
            describe(key, depth - 1);
            describe(value, depth - 1);
        }
        value.state().into_iter().for_each(|state| describe(state, depth - 1));
    }
}

/// A zip file of the members, as torch.save lays it out, with the right checksums: a fuzzer would never guess them.
pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    written::zip(members)
}
