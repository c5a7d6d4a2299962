//! Data sets in the forms in which people keep them, other than torch.save's own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use galaxies::{Column, ColumnType, ColumnValues, DType, Dataset, DatasetWriter, Item, Layout, Redshifts};
use torch_file::{InMemory, LocalFile};
use written::Pickle;

#[path = "../../torch-file/tests/written/mod.rs"]
mod written;

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
        assert_eq!((numpy.rows(), numpy.has_redshifts()), (rows, true), "{name}");
        for rows in [0..rows, 1..2, 1..rows] {
            let [numpy, torch] = [&numpy, &torch].map(|dataset| run(dataset.read(rows.clone())).unwrap());
            assert!(numpy == torch, "{name} {rows:?}");
        }
    }
}

#[test]
fn arrays_of_text_are_columns() {
    let dataset = dataset("galaxies.npz");
    let column = Column { name: "object_id".to_owned(), kind: ColumnType::Text, is_list: true };
    assert_eq!(dataset.columns(), [column]);
    let names = ["J0002", "J0003"].map(|name| Item::Str(name.to_owned()));
    assert_eq!(run(dataset.read_columns(2..4)).unwrap(), [ColumnValues::Items(names.to_vec())]);
}

/// A data set of two galaxies with this list beside images and magnitudes.
fn with_list(list: &[u8]) -> Dataset<InMemory> {
    let pickle = Pickle::new().raw(b"}(").text("images").whole("0", &[2, 5, 32, 32]);
    let pickle = pickle.text("magnitudes").whole("1", &[2, 5]).text("id").raw(b"](").raw(list).raw(b"eu");
    let file = pickle.file(&[("0", &[0; 8 * 5120]), ("1", &[0; 40])]);
    run(Dataset::open(InMemory::new("sky.pt", file))).unwrap()
}

#[test]
fn lists_of_integers_are_exact_or_refused() {
    let large = |pickle: Pickle| pickle.raw(b"\x8a\x09").raw(&[0, 0, 0, 0, 0, 0, 0, 0x80, 0]);
    let unsigned = with_list(&large(Pickle::default().int(1)).0);
    assert_eq!(unsigned.columns()[0].kind, ColumnType::Number(DType::U64));
    let bytes = [1, 1_u64 << 63].map(u64::to_le_bytes).concat();
    assert_eq!(run(unsigned.read_columns(0..2)).unwrap(), [ColumnValues::Bytes(bytes)]);
    let signed = with_list(&Pickle::default().int(1).int(i64::MIN).0);
    assert_eq!(signed.columns()[0].kind, ColumnType::Number(DType::I64));
    let neither = with_list(&large(Pickle::default().int(-1)).0);
    assert_eq!(neither.unused(), ["id (a list of 2: no type has room for all of its integers)"]);
}

#[test]
fn unsigned_integers_are_written_as_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sky.pt");
    let number = |name: &str, dtype| Column { name: name.to_owned(), kind: ColumnType::Number(dtype), is_list: false };
    let columns =
        vec![number("a", DType::U16), number("b", DType::U32), number("c", DType::U64), number("d", DType::Bool)];
    let list = Column { name: "e".to_owned(), kind: ColumnType::Number(DType::U64), is_list: true };
    let layout = Layout { redshifts: Redshifts::None, columns: [columns, vec![list]].concat() };
    let items = vec![Item::UInt(u64::MAX), Item::None];
    let bytes = [4, 8, 16, 2].map(|size| ColumnValues::Bytes((1..=size).collect()));
    let mut writer = DatasetWriter::create(&path, 2, &layout, vec![items.clone()]).unwrap();
    writer.write(&[0.0; 2 * 5120], &[0.0; 10], None, &bytes).unwrap();
    writer.finish().unwrap();
    let dataset = run(Dataset::open(LocalFile::open(&path).unwrap())).unwrap();
    assert_eq!(dataset.columns(), layout.columns);
    let expected = [&bytes[..], &[ColumnValues::Items(items)]].concat();
    assert_eq!(run(dataset.read_columns(0..2)).unwrap(), expected);
}
