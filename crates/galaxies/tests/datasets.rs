//! Data sets that PyTorch wrote (`crates/torch-file/tests/fixtures/make.py`), read back, and data sets that are
//! written.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use galaxies::{ColumnType, DType, Dataset, DatasetWriter, Error, Galaxies, Layout, Redshifts};
use torch_file::{FormatError, InMemory, LocalFile, RangeRead};
use written::Pickle;

#[path = "../../torch-file/tests/written/mod.rs"]
mod written;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../torch-file/tests/fixtures").join(name)
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn dataset(name: &str) -> Result<Dataset<LocalFile>, Error<io::Error>> {
    run(Dataset::open(LocalFile::open(fixture(name)).unwrap()))
}

fn open_bytes(bytes: Vec<u8>) -> Result<(), Error<std::convert::Infallible>> {
    run(async {
        let dataset = Dataset::open(InMemory::new("mutated.pt", bytes)).await?;
        // A mutated header may promise any number of rows; reading a few must stay cheap.
        dataset.read(0..dataset.rows().min(6)).await.map(drop)
    })
}

/// The galaxies of make.py.
fn galaxies(rows: Range<u64>) -> Galaxies {
    let (mut images, mut magnitudes, mut redshifts) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows.map(|row| row as f32) {
        for band in (0_u8..5).map(f32::from) {
            images.extend((0..1024).map(|pixel| row + 0.5 * band + pixel as f32 / 1024.0));
            magnitudes.push(15.0 + row + 0.25 * band);
        }
        redshifts.push(f64::from(row) / 8.0);
    }
    Galaxies { images, magnitudes, redshifts: Some(redshifts) }
}

#[test]
fn every_form_of_a_data_set_gives_the_same_galaxies() {
    for name in
        ["zip.pt", "legacy.pt", "protocol4.pt", "tuple.pt", "dict.pt", "channels-last.pt", "view.pt", "legacy-view.pt"]
    {
        let dataset = dataset(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(dataset.rows(), 6, "{name}");
        for rows in [0..6, 2..3, 4..6, 3..3] {
            assert!(run(dataset.read(rows.clone())).unwrap() == galaxies(rows.clone()), "{name} {rows:?}");
        }
    }
}

#[test]
fn half_precision_is_converted() {
    let rows = run(dataset("half.pt").unwrap().read(0..6)).unwrap();
    let expected = galaxies(0..6);
    assert!(rows.images.iter().zip(&expected.images).all(|(a, b)| (a - b).abs() <= 1.0 / 256.0));
    assert_eq!((rows.magnitudes, rows.redshifts), (expected.magnitudes, expected.redshifts));
}

#[test]
fn redshifts_may_be_unknown() {
    let dataset = dataset("no-redshift.pt").unwrap();
    assert!(!dataset.has_redshifts());
    assert_eq!(dataset.bytes_per_row(), 20_520);
    assert_eq!(run(dataset.read(0..1)).unwrap().redshifts, None);
}

#[test]
fn rows_that_are_not_there_are_an_error() {
    let error = run(dataset("zip.pt").unwrap().read(4..7)).unwrap_err();
    assert!(
        matches!(&error, Error::File(torch_file::Error::Format(FormatError::Rows { start: 4, end: 7, rows: 6, .. }))),
        "{error}"
    );
}

#[test]
fn wrong_contents_say_what_was_found_and_what_was_wanted() {
    let said = |name| dataset(name).err().unwrap().to_string();
    let integers = said("integer-images.pt");
    assert!(integers.contains("images are int64 [1, 5, 32, 32]") && integers.contains("floating-point"), "{integers}");
    let bands = said("four-bands.pt");
    assert!(bands.contains("[1, 4, 32, 32]") && bands.contains("[1, 5, 32, 32]"), "{bands}");
    assert!(integers.contains(".float()"), "{integers}");
    assert!(said("no-tensors.pt").contains("the integer 1"));
    assert!(said("state-dict.pt").contains("a dictionary of"));
    assert!(said("compressed.pt").contains("compressed member"));
    assert!(said("make.py").contains("is not a torch.save file"));
}

/// The data set in a file of these bytes.
fn in_memory(bytes: Vec<u8>) -> Result<Dataset<InMemory>, String> {
    run(Dataset::open(InMemory::new("sky.pt", bytes))).map_err(|error| error.to_string())
}

/// A dictionary of these entries, made of storages 0 (one image) and 1 (the magnitudes of one galaxy).
fn dictionary(entries: impl FnOnce(Pickle) -> Pickle) -> Vec<u8> {
    let pickle = entries(Pickle::new().raw(b"}(")).raw(b"u");
    pickle.file(&[("0", &[0; 4 * 5120]), ("1", &[0; 20])])
}

#[test]
fn arrays_of_numpy_are_read_and_redshifts_may_be_none() {
    let dataset = dataset("numpy.pt").unwrap();
    let expected = galaxies(0..2);
    let read = run(dataset.read(0..2)).unwrap();
    assert!((read.images, read.magnitudes) == (expected.images, expected.magnitudes));
    assert_eq!(read.redshifts, None);
    let columns: Vec<_> = dataset.columns().iter().map(|column| (column.name.as_str(), column.kind)).collect();
    assert_eq!(columns, [("object_id", ColumnType::Number(DType::I64))]);
    assert!(dataset.unused().is_empty());
}

#[test]
fn keys_that_are_not_read_are_named_and_so_are_those_of_a_dictionary_without_images() {
    let with = |pickle: Pickle| {
        let pickle = pickle.text("image").whole("0", &[1, 5, 32, 32]).text("magnitudes").whole("1", &[1, 5]);
        pickle.text("ra\u{1b}").int(1).int(3).int(1)
    };
    assert_eq!(
        in_memory(dictionary(with)).unwrap().unused(),
        ["the integer 3", "ra\\u{1b} (the integer 1: not one value for each galaxy)"]
    );
    let other = |pickle: Pickle| pickle.text("X").whole("0", &[1, 5, 32, 32]).text("mags").whole("1", &[1, 5]);
    let said = in_memory(dictionary(other)).err().unwrap();
    assert!(said.contains("keys X, mags: save it with the keys images, magnitudes and redshifts"), "{said}");
    let five = Pickle::new().raw(b"(").whole("0", &[1, 5, 32, 32]).whole("1", &[1, 5]).raw(b"N").int(7).text("x");
    let five = in_memory(five.raw(b"t").file(&[("0", &[0; 4 * 5120]), ("1", &[0; 20])])).unwrap();
    assert!(!five.has_redshifts());
    assert_eq!(
        five.unused(),
        [
            "column_3 (the integer 7: not one value for each galaxy)",
            "column_4 (the text \"x\": not one value for each galaxy)"
        ]
    );
}

#[test]
fn a_list_of_samples_is_named_with_the_way_to_stack_it() {
    let error = dataset("samples.pt").err().unwrap().to_string();
    assert!(error.contains("a list of 40 samples, each a tuple of 3 (a tensor of float32 [5, 32, 32], "), "{error}");
    assert!(error.contains("torch.stack"), "{error}");

    // So many that they are not all read, in the batches of Python's pickler.
    let sample = Pickle::default().tensor("0", 5120, &[5, 32, 32], &[1024, 32, 1]).tensor("1", 5, &[5], &[1]);
    let batch = Pickle::default().raw(b"(").times(1_000, &sample.clone().raw(b"G\0\0\0\0\0\0\0\0\x87").0).raw(b"e");
    let many = Pickle::new().raw(b"]").times(60, &batch.0);
    let said = in_memory(many.file(&[])).err().unwrap();
    assert!(said.contains(" samples, each a tuple of 3 (a tensor of float32 [5, 32, 32], "), "{said}");
    assert!(said.contains("torch.stack"), "{said}");
}

#[test]
fn images_in_one_place_are_refused_and_magnitudes_in_one_place_are_not() {
    let expanded = |rows: i64| {
        let images = Pickle::default().tensor("0", 5120, &[rows, 5, 32, 32], &[0, 1024, 32, 1]);
        let magnitudes = Pickle::default().tensor("1", 5, &[rows, 5], &[0, 1]);
        dictionary(|pickle| pickle.text("images").raw(&images.0).text("magnitudes").raw(&magnitudes.0))
    };
    let said = in_memory(expanded(3_000_000_000_000_000)).err().unwrap();
    assert!(said.contains("the images are float32 [3000000000000000, 5, 32, 32]"), "{said}");
    assert!(said.contains(".contiguous()"), "{said}");
    assert!(in_memory(expanded(2)).is_err());
    assert_eq!(in_memory(expanded(1)).unwrap().rows(), 1);

    let magnitudes = Pickle::default().tensor("1", 5, &[2, 5], &[0, 1]);
    let pickle = Pickle::new().raw(b"(").whole("0", &[2, 5, 32, 32]).raw(&magnitudes.0).raw(b"t");
    let dataset = in_memory(pickle.file(&[("0", &[0; 8 * 5120]), ("1", &[0; 20])])).unwrap();
    assert_eq!(run(dataset.read(0..2)).unwrap().magnitudes, [0.0; 10]);
}

/// Reads all galaxies in ranges that end at these rows, and says with which of them it failed.
fn read_in_steps(dataset: &Dataset<InMemory>, ends: &[u64]) -> Vec<Option<String>> {
    let starts = [0].into_iter().chain(ends.iter().copied());
    let read = |(from, to): (u64, &u64)| run(dataset.read(from..*to)).err().map(|error| error.to_string());
    starts.zip(ends).map(read).collect()
}

#[test]
fn the_read_that_ends_with_the_last_row_knows_of_a_flipped_bit_in_any() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sky.pt");
    let rows = 30;
    let mut writer = DatasetWriter::create(&path, rows, &Layout::published(Redshifts::F32), Vec::new()).unwrap();
    for row in 0..rows {
        writer.write(&[row as f32; 5120], &[0.5; 5], Some(&[0.1]), &[]).unwrap();
    }
    writer.finish().unwrap();
    let whole = std::fs::read(path).unwrap();
    let open = |bytes: Vec<u8>| in_memory(bytes).unwrap();
    assert_eq!(read_in_steps(&open(whole.clone()), &[7, 8, 30]), [None, None, None]);

    let mut flipped = whole;
    flipped[200_000] ^= 1;
    let flipped = open(flipped);
    let damaged = |read: &Option<String>| {
        read.as_ref().is_some_and(|said| said.contains("sky.pt is damaged") && said.contains("sky/data/0"))
    };
    // Twice, since what was found is to be found again.
    for _ in 0..2 {
        let read = read_in_steps(&flipped, &[7, 8, 30]);
        assert!(matches!(&read[..], [None, None, last] if damaged(last)), "{read:?}");
        assert!(run(flipped.read(8..30)).is_err(), "the last range alone, again");
    }
    // Of parts, nothing can be said.
    assert!(run(flipped.read(0..7)).is_ok() && run(flipped.read(8..30)).is_ok());
}

#[test]
fn what_is_written_reads_back_and_is_the_same_bytes_again() {
    let folder = tempfile::tempdir().unwrap();
    // In steps that end at these rows.
    let write = |name: &str, ends: &[u64], redshifts| {
        let path = folder.path().join(name).join("sky.pt");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut writer = DatasetWriter::create(&path, 6, &Layout::published(redshifts), Vec::new()).unwrap();
        let mut next = 0;
        for end in ends {
            let rows = galaxies(next..*end);
            next = *end;
            let magnitudes: Vec<f64> = rows.magnitudes.iter().map(|value| f64::from(*value)).collect();
            let z = rows.redshifts.as_deref().filter(|_| redshifts != Redshifts::None);
            writer.write(&rows.images, &magnitudes, z, &[]).unwrap();
        }
        writer.finish().unwrap();
        path
    };
    let at_once = write("a", &[6], Redshifts::F32);
    let in_steps = write("b", &[1, 5, 6], Redshifts::F32);
    assert!(std::fs::read(&at_once).unwrap() == std::fs::read(in_steps).unwrap());
    let back = run(async { Dataset::open(LocalFile::open(&at_once).unwrap()).await.unwrap().read(0..6).await });
    assert!(back.unwrap() == galaxies(0..6));
    let without = write("c", &[6], Redshifts::None);
    let without = run(Dataset::open(LocalFile::open(without).unwrap())).unwrap();
    assert!(!without.has_redshifts());
}

#[test]
fn a_data_set_that_is_not_whole_is_not_finished() {
    let folder = tempfile::tempdir().unwrap();
    let writer =
        DatasetWriter::create(folder.path().join("short.pt"), 6, &Layout::published(Redshifts::F64), Vec::new())
            .unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("0 of its 6 rows"));
}

#[test]
fn a_truncated_file_is_an_error_wherever_it_is_cut() {
    for name in ["no-redshift.pt", "legacy.pt"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for length in (0..whole.len()).step_by(997) {
            let error = open_bytes(whole[..length].to_vec()).expect_err(name);
            assert!(error.to_string().contains("mutated.pt"), "{error}");
        }
    }
}

/// Counts the reads of a file, and how many of them are under way at the same time.
struct Counted {
    file: InMemory,
    reads: Arc<Mutex<Vec<Range<u64>>>>,
}

impl RangeRead for Counted {
    type Error = std::convert::Infallible;

    fn name(&self) -> &str {
        self.file.name()
    }

    fn size(&self) -> u64 {
        self.file.size()
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, Self::Error> {
        self.reads.lock().unwrap().push(range.clone());
        // Lets the other reads of the same step start.
        tokio::task::yield_now().await;
        self.file.read(range).await
    }
}

#[test]
fn opening_a_file_takes_one_read_at_each_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.pt");
    let rows = 100;
    let mut writer = DatasetWriter::create(&path, rows, &Layout::published(Redshifts::F32), Vec::new()).unwrap();
    for _ in 0..rows {
        writer.write(&[0.0; 5120], &[0.0; 5], Some(&[0.0]), &[]).unwrap();
    }
    writer.finish().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let size = bytes.len() as u64;
    let reads = Arc::new(Mutex::new(Vec::new()));
    let file = Counted { file: InMemory::new("1.pt", bytes), reads: Arc::clone(&reads) };
    let dataset = run(Dataset::open(file)).unwrap();
    let ends = std::mem::take(&mut *reads.lock().unwrap());
    assert!(matches!(&ends[..], [head, tail] if head.start == 0 && tail.end == size), "{ends:?}");
    assert!(ends.iter().all(|range| (64 << 10..65 << 10).contains(&(range.end - range.start))), "{ends:?}");
    run(dataset.read(0..10)).unwrap();
    assert_eq!(reads.lock().unwrap().len(), 3, "one for each tensor");
}

mod broken {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Bytes of the header, the pickle and the directory, where every byte has a meaning.
        #[test]
        fn no_change_of_bytes_makes_it_panic(
            legacy in any::<bool>(),
            changes in proptest::collection::vec((0_usize..2_000, any::<bool>(), any::<u8>()), 1..4),
        ) {
            let name = if legacy { "legacy.pt" } else { "no-redshift.pt" };
            let mut bytes = std::fs::read(fixture(name)).unwrap();
            for (at, from_end, value) in changes {
                let at = if from_end { bytes.len() - 1 - at } else { at };
                bytes[at] = value;
            }
            let _ = open_bytes(bytes);
        }
    }
}
