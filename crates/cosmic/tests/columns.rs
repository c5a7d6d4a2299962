//! The columns of a user's own table, from the table into the catalogue.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use arrow_array::{
    cast::AsArray,
    types::{Float64Type, Int64Type},
};
use catalogue::CatalogueRows;
use command::{cosmic, done, galaxies, json, network, root, text};
use galaxies::{BANDS, DatasetWriter, Layout, PIXELS, Redshifts};
use serde_json::json;

mod command;

fn catalogue(out: &Path) -> Vec<CatalogueRows> {
    let bytes = fs::read(out.join("predictions.parquet")).unwrap();
    catalogue::read(bytes.into()).unwrap().map(Result::unwrap).collect()
}

#[test]
fn columns_of_a_table_are_in_the_catalogue_after_simulate_split_and_infer() {
    let folder = tempfile::tempdir().unwrap();
    let [table, sky, partitions, out] =
        ["real.csv", "sky.pt", "partitions", "out"].map(|name| folder.path().join(name));
    let ids = [1_237_648_720_693_755_918_i64, 7, -3];
    let rows: String = ids
        .iter()
        .zip(["NGC 1", "", "é"])
        .zip(["180.5", "", "2"])
        .map(|((id, name), ra)| format!("{id},0.11,19.1,17.6,16.8,16.4,16.1,{name},{ra}\n"))
        .collect();
    fs::write(&table, format!("objid,redshift,u,g,r,i,z,name,ra\n{rows}")).unwrap();
    done(&["simulate", "--catalogue", text(&table), "--out", text(&sky)]);
    done(&["split", text(&sky), "--partition-size", "41KB", "--out", text(&partitions)]);
    let printed = json(&["inspect", "--json", text(&partitions.join("2.pt"))]);
    let columns = json!([
        {"name": "objid", "type": "int64"}, {"name": "name", "type": "text"}, {"name": "ra", "type": "float64"}
    ]);
    assert_eq!((&printed["rows"], &printed["columns"]), (&1.into(), &columns));

    let (data, model) = (text(&partitions), network("module.pt"));
    let printed = json(&["infer", "--json", "--data", data, "--model", text(&model), "--out", text(&out)]);
    assert_eq!(printed["columns"][0], json!({"name": "objid", "type": "int64", "files_without": 0}));
    let rows = catalogue(&out);
    let of = |at: usize| rows.iter().map(move |rows| (&*rows.columns[at].name, &rows.columns[at].values));
    let found: Vec<i64> = of(0).flat_map(|(_, values)| values.as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(found, ids);
    let names: Vec<_> = of(1).flat_map(|(_, values)| values.as_string::<i32>().iter().collect::<Vec<_>>()).collect();
    assert_eq!(names, [Some("NGC 1"), Some(""), Some("é")]);
    let ra: Vec<f64> = of(2).flat_map(|(_, values)| values.as_primitive::<Float64Type>().values().to_vec()).collect();
    assert!(ra[0] == 180.5 && ra[1].is_nan() && ra[2] == 2.0, "{ra:?}");
}

#[test]
fn simulated_galaxies_have_identifiers_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, part] = ["sky.pt", "part.pt"].map(|name| folder.path().join(name));
    let simulate = |path: &Path, first: &str, count: &str| {
        done(&["simulate", "--seed", "7", "--first", first, "--count", count, "--out", text(path)]);
        let out = folder.path().join("out");
        done(&["infer", "--data", text(path), "--model", text(&network("module.pt")), "--out", text(&out)]);
        catalogue(&out).remove(0).columns
    };
    let (whole, part) = (simulate(&whole, "0", "5"), simulate(&part, "3", "2"));
    assert_eq!(whole.iter().map(|column| &*column.name).collect::<Vec<_>>(), ["object_id", "ra", "dec"]);
    for (whole, part) in whole.iter().zip(part) {
        assert_eq!(*whole.values.slice(3, 2), *part.values);
    }
}

#[test]
fn files_that_disagree_on_a_column_are_named_before_anything_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let table = folder.path().join("real.csv");
    for (name, id) in [("1.pt", "7"), ("2.pt", "7b")] {
        fs::write(&table, format!("id,redshift,u,g,r,i,z\n{id},0.11,19.1,17.6,16.8,16.4,16.1\n")).unwrap();
        done(&["simulate", "--catalogue", text(&table), "--out", text(&data.join(name))]);
    }
    let out = folder.path().join("out");
    let model = network("module.pt");
    let infer = ["infer", "--data", text(&data), "--model", text(&model), "--out", text(&out)];
    let (code, _, stderr) = cosmic(&infer);
    assert!(code == 1 && stderr.contains("the column id is int64 in 1.pt and text in 2.pt"), "{stderr}");
    assert!(!out.join("predictions.parquet").exists());
}

#[test]
fn a_table_with_a_column_of_the_catalogue_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [table, sky] = ["real.csv", "sky.pt"].map(|name| folder.path().join(name));
    for (column, said) in
        [("z_phot", "column z_phot has the name"), ("", "column 7 has no name"), ("id,id", "column 8")]
    {
        fs::write(&table, format!("redshift,u,g,r,i,z,{column}\n0.11,19.1,17.6,16.8,16.4,16.1,1,1\n")).unwrap();
        let (code, _, stderr) = cosmic(&["simulate", "--catalogue", text(&table), "--out", text(&sky)]);
        assert!(code == 1 && stderr.contains(said) && !sky.exists(), "{stderr}");
    }
}

/// Noise, neighbours, and sources of thousands of nanomaggies: what a simulated sky does not have.
#[test]
fn real_pixels_get_redshifts_or_flags_under_their_identifiers() {
    let folder = tempfile::tempdir().unwrap();
    let [damaged, out] = ["damaged.pt", "out"].map(|name| folder.path().join(name));
    let real = root().join("crates/sky/tests/real/sdss.npz");
    let model = root().join("payloads/demo/model.safetensors");
    let infer = |data: &Path| {
        done(&["infer", "--data", text(data), "--model", text(&model), "--out", text(&out)]);
        catalogue(&out).remove(0)
    };
    let rows = infer(&real);
    assert_eq!(rows.columns[0].values.as_primitive::<Int64Type>().values()[..], Vec::from_iter(1..=20)[..]);
    assert!(rows.flags.iter().zip(&rows.z_phot).all(|(flags, z_phot)| (flags & 7 == 0) == z_phot.is_some()));
    assert!(rows.flags.iter().filter(|flags| **flags & 7 == 0).count() >= 18, "{:?}", rows.flags);

    let mut galaxies = galaxies(&real);
    galaxies.images[3 * PIXELS + 700] = f32::NAN;
    galaxies.magnitudes[5 * BANDS] = f32::NAN;
    let magnitudes: Vec<f64> = galaxies.magnitudes.iter().map(|magnitude| f64::from(*magnitude)).collect();
    let layout = Layout::published(Redshifts::None);
    let mut writer = DatasetWriter::create(&damaged, 20, &layout, Vec::new()).unwrap();
    writer.write(&galaxies.images, &magnitudes, None, &[]).unwrap();
    writer.finish().unwrap();
    let flagged = infer(&damaged);
    assert_eq!((flagged.flags[3], flagged.flags[5]), (1, 2));
    let others = |rows: &CatalogueRows| [&rows.z_phot[..3], &rows.z_phot[6..]].concat();
    assert_eq!(others(&flagged), others(&rows), "no galaxy's redshift depends on another");
}

#[test]
fn inspect_shows_the_columns_and_what_is_none() {
    let numpy = root().join("crates/torch-file/tests/fixtures/numpy.pt");
    assert_eq!(json(&["inspect", "--json", text(&numpy)])["columns"], json!([{"name": "object_id", "type": "int64"}]));
    assert!(done(&["inspect", text(&numpy)]).contains("object_id"));
}
