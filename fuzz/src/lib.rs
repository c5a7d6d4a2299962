//! What the fuzz targets share.

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
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, bytes) in members {
        let name = format!("a/{name}");
        let header = file.len() as u32;
        let mut common = vec![0, 8, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc32fast::hash(bytes).to_le_bytes());
        common.extend((bytes.len() as u32).to_le_bytes());
        common.extend((bytes.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        file.extend(b"PK\x03\x04\x14\0");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(*bytes);
        directory.extend(b"PK\x01\x02\x14\0\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(header.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend((members.len() as u16).to_le_bytes());
    file.extend((members.len() as u16).to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}
