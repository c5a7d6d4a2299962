//! What data sets say of their galaxies beside images, magnitudes and redshifts, through whole runs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int8Array, Int64Array, StringArray, UInt8Array,
    cast::AsArray,
    types::{Float32Type, Int64Type},
};
use astromae::engine::PIXELS;
use catalogue::{CatalogueRows, read};
use galaxies::{Column, ColumnType, ColumnValues, DType, DatasetWriter, Item, Layout, Redshifts};
use harness::Sky;
use pipeline::{Error, storage::explain};
use serde_json::json;

mod harness;

/// A column as a data set has it, of as many galaxies as it has values.
fn tensor(name: &str, kind: ColumnType, bytes: Vec<u8>) -> (Column, ColumnValues) {
    (Column { name: name.into(), kind, is_list: false }, ColumnValues::Bytes(bytes))
}

fn ids(values: &[i64]) -> (Column, ColumnValues) {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor("object_id", ColumnType::Number(DType::I64), bytes)
}

fn list(name: &str, kind: ColumnType, items: Vec<Item>) -> (Column, ColumnValues) {
    (Column { name: name.into(), kind, is_list: true }, ColumnValues::Items(items))
}

/// Writes a partition of so many galaxies with these columns.
fn write(sky: &Sky, file: &str, rows: usize, columns: Vec<(Column, ColumnValues)>) {
    let (columns, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let lists = values.iter().filter_map(|values| match values {
        ColumnValues::Items(items) => Some(items.clone()),
        ColumnValues::Bytes(_) => None,
    });
    let layout = Layout { redshifts: Redshifts::F32, columns };
    let mut writer =
        DatasetWriter::create(sky.path(&format!("data/{file}")), rows as u64, &layout, lists.collect()).unwrap();
    let (images, magnitudes, redshifts) = (vec![0.0; rows * PIXELS], vec![18.0; rows * 5], vec![0.1; rows]);
    writer.write(&images, &magnitudes, Some(&redshifts), &values).unwrap();
    writer.finish().unwrap();
}

fn catalogue(sky: &Sky) -> Vec<CatalogueRows> {
    let bytes = std::fs::read(sky.path("results/predictions.parquet")).unwrap();
    read(bytes.into()).unwrap().map(Result::unwrap).collect()
}

fn column(rows: &CatalogueRows, name: &str) -> ArrayRef {
    Arc::clone(&rows.columns.iter().find(|column| *column.name == *name).unwrap().values)
}

#[tokio::test]
async fn every_type_comes_through_as_it_is() {
    let sky = Sky::of(&[]);
    let half = |value: f32| half::bf16::from_f32(value).to_le_bytes();
    write(
        &sky,
        "1.pt",
        2,
        vec![
            // Neither has a double that is equal to it.
            ids(&[i64::MAX, -(1 << 53) - 1]),
            tensor("class", ColumnType::Number(DType::I8), vec![255, 1]),
            tensor("field", ColumnType::Number(DType::U8), vec![255, 0]),
            tensor("is_star", ColumnType::Number(DType::Bool), vec![1, 0]),
            tensor("weight", ColumnType::Number(DType::Bf16), [half(1.5), half(-0.25)].concat()),
            tensor(
                "extinction",
                ColumnType::Numbers(DType::F32, 2),
                [1_f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat(),
            ),
            list("name", ColumnType::Text, vec![Item::Str("M 31 – Andromeda".into()), Item::None]),
            list("ra", ColumnType::Number(DType::F64), vec![Item::Float(10.5), Item::Int(11)]),
        ],
    );
    let (_, summary) = sky.execute(json!({"world_size": 2})).await;
    assert!(summary.complete);
    let rows = catalogue(&sky);
    // A rank each: the catalogue's rows are those of one file.
    let [rows] = &rows[..] else { panic!("{rows:?}") };
    let expected: [(&str, ArrayRef); 7] = [
        ("object_id", Arc::new(Int64Array::from(vec![i64::MAX, -(1 << 53) - 1]))),
        ("class", Arc::new(Int8Array::from(vec![-1, 1]))),
        ("field", Arc::new(UInt8Array::from(vec![255, 0]))),
        ("is_star", Arc::new(BooleanArray::from(vec![true, false]))),
        ("weight", Arc::new(Float32Array::from(vec![1.5, -0.25]))),
        ("name", Arc::new(StringArray::from(vec![Some("M 31 – Andromeda"), None]))),
        ("ra", Arc::new(Float64Array::from(vec![10.5, 11.0]))),
    ];
    for (name, values) in expected {
        assert_eq!(*column(rows, name), *values, "{name}");
    }
    let vectors = column(rows, "extinction");
    assert_eq!(vectors.as_fixed_size_list().value(1).as_primitive::<Float32Type>().values()[..], [3.0, 4.0]);
    let types: Vec<_> = sky.results().columns.into_iter().map(|column| column.kind).collect();
    assert_eq!(types, ["int64", "int8", "uint8", "bool", "float32", "float32 [2]", "text", "float64"]);
}

#[tokio::test]
async fn a_partition_without_a_column_has_nulls_at_any_world_size_and_the_run_says_so() {
    for world_size in [1, 2, 3, 5] {
        let sky = Sky::of(&[]);
        write(&sky, "1.pt", 2, vec![]);
        write(&sky, "2.pt", 2, vec![ids(&[7, 8])]);
        write(&sky, "3.pt", 1, vec![]);
        let (_, summary) = sky.execute(json!({"world_size": world_size})).await;
        assert!(summary.complete);
        let found: Vec<_> = catalogue(&sky)
            .iter()
            .flat_map(|rows| column(rows, "object_id").as_primitive::<Int64Type>().iter().collect::<Vec<_>>())
            .collect();
        assert_eq!(found, [None, None, Some(7), Some(8), None], "{world_size}");
        let warnings = sky.results().warnings().join("\n");
        assert!(
            warnings.contains("2 of 3 files have no value in the column object_id") && warnings.contains("data/1.pt"),
            "{warnings}"
        );
    }
}

#[tokio::test]
async fn columns_of_two_types_are_an_error_that_names_both_files_and_no_rank_runs_twice_once_one_is_mended() {
    let sky = Sky::of(&[]);
    write(&sky, "1.pt", 1, vec![ids(&[7])]);
    write(&sky, "2.pt", 1, vec![ids(&[8])]);
    write(&sky, "3.pt", 1, vec![list("object_id", ColumnType::Text, vec![Item::Str("9".into())])]);
    let says_both = |error: &Error| {
        let said = explain(error);
        assert!(matches!(error, Error::BadPartition(_)), "{said}");
        assert!(
            said.contains("the column object_id is int64 in ") && said.contains(".pt and text in data/3.pt"),
            "{said}"
        );
    };
    // Ranks that share files know before they start; a rank of two files finds out, and so does the summarizer.
    says_both(&sky.initialize("shared", json!({"world_size": 4})).await.unwrap_err());
    let halves = sky.initialize("halves", json!({"world_size": 2, "result_path": "halves"})).await.unwrap();
    says_both(&sky.rank(&halves, 1).await.unwrap_err());
    let planned = sky.initialize("first", json!({})).await.unwrap();
    for rank in 0..3 {
        sky.rank(&planned, rank).await.unwrap();
    }
    // What is there is a catalogue all the same.
    let summary = sky.summarize(&planned).await.unwrap();
    assert_eq!((summary.complete, summary.accepted, summary.rows), (false, false, 2));
    let reason = summary.reason.unwrap();
    assert!(reason.contains("the column object_id is int64 in data/1.pt and text in data/3.pt"), "{reason}");

    write(&sky, "3.pt", 1, vec![ids(&[9])]);
    let again = sky.initialize("second", json!({})).await.unwrap();
    assert_eq!(sky.tasks(&again).iter().map(|task| task.rank).collect::<Vec<_>>(), [2]);
    sky.rank(&again, 2).await.unwrap();
    assert!(sky.summarize(&again).await.unwrap().complete);
}
