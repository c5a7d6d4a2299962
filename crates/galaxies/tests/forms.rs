//! Data sets in the forms in which people keep them, other than torch.save's own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use galaxies::Dataset;
use torch_file::LocalFile;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../torch-file/tests/fixtures").join(name)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn dataset(name: &str) -> Dataset<LocalFile> {
    run(Dataset::open(LocalFile::open(fixture(name)).unwrap())).unwrap()
}

/// `zip.pt` holds the same galaxies, as PyTorch saved them.
#[test]
fn archives_of_numpy_hold_the_same_galaxies_as_files_of_torch() {
    let torch = dataset("zip.pt");
    for (name, rows) in [("galaxies.npz", 6), ("tuple.npz", 2)] {
        let numpy = dataset(name);
        assert_eq!((numpy.rows(), numpy.has_redshifts(), numpy.bytes_per_row()), (rows, true, 20_524), "{name}");
        for rows in [0..rows, 1..2, 1..rows] {
            let [numpy, torch] = [&numpy, &torch].map(|dataset| run(dataset.read(rows.clone())).unwrap());
            assert!(numpy == torch, "{name} {rows:?}");
        }
    }
}
