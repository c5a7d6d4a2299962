//! What data sets say of their galaxies beside images, magnitudes and redshifts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use galaxies::{Column, ColumnType, ColumnValues, DType, Dataset, DatasetWriter, Item, Layout, Redshifts};
use torch_file::{InMemory, LocalFile};
use written::Pickle;

#[path = "../../torch-file/tests/written/mod.rs"]
mod written;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

trait View {
    /// A tensor of the first elements of storage 2.
    fn view(self, shape: &[i64]) -> Self;
}

impl View for Pickle {
    fn view(self, shape: &[i64]) -> Self {
        let stride: Vec<i64> = (0..shape.len()).map(|dimension| shape[dimension + 1..].iter().product()).collect();
        self.tensor("2", 256, shape, &stride)
    }
}

/// A data set of two galaxies, of which the pickle makes tensors of storage 2.
fn of_pickle(pickle: Pickle) -> Result<Dataset<InMemory>, String> {
    let storages: [(&str, &[u8]); 3] = [("0", &[0; 8 * 5120]), ("1", &[0; 40]), ("2", &[0; 4 * 256])];
    run(Dataset::open(InMemory::new("sky.pt", pickle.file(&storages)))).map_err(|error| error.to_string())
}

/// A dictionary of images, magnitudes and these entries.
fn dictionary(entries: impl FnOnce(Pickle) -> Pickle) -> Result<Dataset<InMemory>, String> {
    let pickle = Pickle::new().raw(b"}(").text("images").whole("0", &[2, 5, 32, 32]);
    of_pickle(entries(pickle.text("magnitudes").whole("1", &[2, 5])).raw(b"u"))
}

fn names(dataset: &Dataset<InMemory>) -> Vec<(&str, String)> {
    dataset.columns().iter().map(|column| (column.name.as_str(), column.kind.describe())).collect()
}

#[test]
fn what_has_a_value_for_each_galaxy_is_a_column_and_all_else_is_named_with_the_reason() {
    let dataset = dictionary(|pickle| {
        let pickle = pickle.text("flux").view(&[2]).text("column").view(&[2, 1]);
        let pickle = pickle.text("shape").view(&[2, 64]).text("spectrum").view(&[2, 65]);
        let pickle = pickle.text("moments").view(&[2, 2, 2]).text("weights").view(&[3]);
        let pickle = pickle.text("name").raw(b"](").text("a").raw(b"Ne").text("bands").raw(b"](").text("u").raw(b"e");
        let pickle = pickle.text("survey").text("SDSS").text("mixed").raw(b"](").int(1).text("a").raw(b"e");
        let pickle = pickle.text("mean").raw(b"](").int(1).raw(b"G\x3f\xf0\0\0\0\0\0\0e").text("none").raw(b"N");
        pickle.text("empty").raw(b"](NNe").text("").view(&[2])
    })
    .unwrap();
    let expected =
        [("flux", "float32"), ("column", "float32"), ("shape", "float32 [64]"), ("name", "text"), ("mean", "float64")];
    assert_eq!(names(&dataset), expected.map(|(name, kind)| (name, kind.to_owned())));
    // Whole numbers among others are floats in each partition that a list is cut into.
    assert_eq!(dataset.lists(0..1), [[Item::Str("a".into())]]);
    assert_eq!(run(dataset.read_columns(0..1)).unwrap()[4], ColumnValues::Bytes(1_f64.to_le_bytes().into()));
    assert_eq!(
        dataset.unused(),
        [
            "spectrum (float32 [2, 65]: more than a short vector for each galaxy)",
            "moments (float32 [2, 2, 2]: more than a short vector for each galaxy)",
            "weights (float32 [3]: not one value for each galaxy)",
            "bands (a list of 1: not one value for each galaxy)",
            "survey (the text \"SDSS\": not one value for each galaxy)",
            "mixed (a list of 2: its values are of different types)",
            "empty (a list of 2: no value in it)",
            " (a name without letters)",
        ]
    );
}

#[test]
fn further_tensors_of_a_tuple_are_columns_by_their_places() {
    let tuple = Pickle::new().raw(b"(").whole("0", &[2, 5, 32, 32]).whole("1", &[2, 5]).raw(b"N");
    let dataset = of_pickle(tuple.view(&[2]).raw(b"N").view(&[2, 3]).raw(b"t")).unwrap();
    assert_eq!(names(&dataset), [("column_3", "float32".to_owned()), ("column_5", "float32 [3]".to_owned())]);
}

#[test]
fn names_of_the_catalogue_are_refused_by_name() {
    for name in ["z_phot", "z_spec", "flags", "source_file", "row_index", "Z_PHOT", "z_phot_q16", "z_phot_q02"] {
        let said = dictionary(|pickle| pickle.text(name).view(&[2])).err().unwrap();
        assert!(said.contains("sky.pt") && said.contains(&format!("column {name} has the name of")), "{said}");
    }
    assert!(dictionary(|pickle| pickle.text("z_phot_quality").view(&[2])).is_ok());
}

#[test]
fn of_a_key_that_is_there_twice_the_last_value_counts_and_of_two_names_the_plural_one() {
    let twice = dictionary(|pickle| pickle.text("id").view(&[2, 3]).text("id").view(&[2])).unwrap();
    assert_eq!(names(&twice), [("id", "float32".to_owned())]);
    let dataset = dictionary(|pickle| pickle.text("image").view(&[2]).text("redshift").view(&[2])).unwrap();
    assert!(dataset.has_redshifts());
    assert_eq!(names(&dataset), [("image", "float32".to_owned())]);
}

#[test]
fn long_texts_that_are_named_again_and_again_take_neither_memory_nor_time() {
    let long = "k".repeat(1 << 20);
    // Two copies of 1 MB in each of 300 lists.
    let lists = |pickle: Pickle| {
        let pickle = pickle.text("c").raw(b"](").text(&long).put(0).get(0).raw(b"e");
        (0..300).fold(pickle, |pickle, list| pickle.text(&format!("c{list}")).raw(b"](").get(0).get(0).raw(b"e"))
    };
    let dataset = dictionary(lists).unwrap();
    assert!(dataset.columns().len() < 100, "{} columns", dataset.columns().len());
    assert!(dataset.unused()[0].contains("take too much memory"), "{:?}", dataset.unused());
    // Each look at all of such a key would be one too many.
    let keys = |pickle: Pickle| {
        let pickle = pickle.text(&long).put(0).raw(b"N");
        (0..200_000).fold(pickle, |pickle, _| pickle.get(0).raw(b"N"))
    };
    let dataset = dictionary(keys).unwrap();
    assert_eq!((dataset.columns().len(), dataset.unused()[0].as_str()), (0, "a text of 1048576 bytes"));
}

fn column(name: &str, kind: ColumnType, is_list: bool) -> Column {
    Column { name: name.into(), kind, is_list }
}

#[test]
fn columns_are_written_and_read_back_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sky.pt");
    let written = [
        (column("object_id", ColumnType::Number(DType::I64), false), ColumnValues::Bytes((0..24).collect())),
        (column("psf", ColumnType::Numbers(DType::F32, 2), false), ColumnValues::Bytes((0..24).collect())),
        (
            column("name", ColumnType::Text, true),
            ColumnValues::Items(vec![Item::Str("é".into()), Item::None, Item::Str(String::new())]),
        ),
        (
            column("run", ColumnType::Number(DType::I64), true),
            ColumnValues::Items(vec![Item::Int(i64::MIN), Item::None, Item::Int(1)]),
        ),
        (
            column("is_star", ColumnType::Number(DType::Bool), true),
            ColumnValues::Items(vec![Item::Bool(true), Item::Bool(false), Item::None]),
        ),
    ];
    let layout =
        Layout { redshifts: Redshifts::None, columns: written.iter().map(|(column, _)| column.clone()).collect() };
    let values: Vec<_> = written.iter().map(|(_, values)| values.clone()).collect();
    let lists = values.iter().filter_map(|values| match values {
        ColumnValues::Items(items) => Some(items.clone()),
        ColumnValues::Bytes(_) => None,
    });
    let mut writer = DatasetWriter::create(&path, 3, &layout, lists.collect()).unwrap();
    writer.write(&[0.0; 3 * 5120], &[18.0; 15], None, &values).unwrap();
    writer.finish().unwrap();

    let dataset = run(Dataset::open(LocalFile::open(&path).unwrap())).unwrap();
    assert_eq!(dataset.columns(), layout.columns);
    assert_eq!(run(dataset.read_columns(0..3)).unwrap(), values);
    let last = run(dataset.read_columns(2..3)).unwrap();
    assert_eq!(
        (&last[0], &last[1]),
        (&ColumnValues::Bytes((16..24).collect()), &ColumnValues::Bytes((16..24).collect()))
    );
    assert_eq!(last[2], ColumnValues::Items(vec![Item::Str(String::new())]));
    assert_eq!(dataset.lists(1..2)[1], [Item::None]);
}

#[test]
fn tensors_without_names_stay_a_tensor_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let write = |columns: Vec<Column>, redshifts| {
        let path = folder.path().join("sky.pt");
        let layout = Layout { redshifts, columns };
        DatasetWriter::create(&path, 0, &layout, Vec::new()).unwrap().finish().unwrap();
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(13).any(|window| window == b"TensorDataset")
    };
    let third = || column("column_3", ColumnType::Number(DType::I64), false);
    assert!(write(vec![third()], Redshifts::F32));
    // The third tensor would be taken for redshifts; another name needs a key.
    assert!(!write(vec![third()], Redshifts::None));
    assert!(!write(vec![column("id", ColumnType::Number(DType::I64), false)], Redshifts::F32));
}
