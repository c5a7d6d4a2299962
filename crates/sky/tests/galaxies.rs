//! What a galaxy depends on, and what may be asked for.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fmt::Write, ops::Range, path::Path, sync::Mutex};

use galaxies::{ColumnValues, Dataset, Galaxies};
use sha2::{Digest, Sha256};
use sky::{Galaxy, Photometry, PhotometryError, Sky};
use torch_file::InMemory;

/// The SHA-256 of the bits of these galaxies' images, magnitudes and redshifts.
fn fingerprint(galaxies: impl Iterator<Item = Galaxy>) -> String {
    let mut hasher = Sha256::new();
    for galaxy in galaxies {
        for pixel in galaxy.images {
            hasher.update(pixel.to_le_bytes());
        }
        for value in galaxy.object.magnitudes.into_iter().chain([galaxy.object.redshift]) {
            hasher.update(value.to_le_bytes());
        }
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// These hashes must be the same on any processor, and with any compiler and C library. They change only where the sky
/// is changed on purpose, together with the names of the domains in `random::Stream::new`.
#[test]
fn galaxies_are_the_same_on_every_machine() {
    let sky = Sky::new(1);
    assert_eq!(
        fingerprint((0..100).map(|index| sky.galaxy(index))),
        "4b4b3d65852c2fc86c0aabc60e5d70b651f8be87935f8fbfbe1974e422aa446b"
    );
    let given = |index: u64| {
        let object = sky.object(index);
        sky.observed(index, &Photometry::new(object.magnitudes, object.redshift).unwrap())
    };
    assert_eq!(fingerprint((0..100).map(given)), "d823243071aa04713ec3ea471a8254f9951f7ff6d50a394b24d8b5b0c3831b6a");
}

fn written(sky: &Sky, path: &Path, indices: Range<u64>) -> (Galaxies, Vec<ColumnValues>) {
    sky::write(path, indices.clone(), |index| sky.galaxy(index), &sky.survey(), |_| ()).unwrap();
    let reader = InMemory::new("sky.pt", std::fs::read(path).unwrap());
    let rows = 0..indices.end - indices.start;
    futures::executor::block_on(async {
        let dataset = Dataset::open(reader).await.unwrap();
        (dataset.read(rows.clone()).await.unwrap(), dataset.read_columns(rows).await.unwrap())
    })
}

#[test]
fn parts_of_a_sky_are_the_galaxies_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sky.pt");
    let (whole, whole_columns) = written(&Sky::new(7), &path, 0..2100);
    assert_eq!(whole.len(), 2100);
    for part in [0..1, 1..100, 1000..1030, 2099..2100] {
        let [from, to] = [part.start, part.end].map(|index| index as usize);
        // Another `Sky` of the same seed makes the part.
        let (rows, columns) = written(&Sky::new(7), &path, part);
        assert!(rows.images == whole.images[from * 5120..to * 5120]);
        assert!(rows.magnitudes == whole.magnitudes[from * 5..to * 5]);
        assert!(rows.redshifts.as_ref().unwrap()[..] == whole.redshifts.as_ref().unwrap()[from..to]);
        for (part, whole) in columns.iter().zip(&whole_columns) {
            let (ColumnValues::Bytes(part), ColumnValues::Bytes(whole)) = (part, whole) else { panic!("lists") };
            assert!(part[..] == whole[8 * from..8 * to]);
        }
        assert_eq!(columns.len(), 3);
    }
    assert_ne!(Sky::new(8).object(0), Sky::new(7).object(0));
}

#[test]
fn progress_counts_what_is_written_and_a_file_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let sky = Sky::new(1);
    let told = Mutex::new(Vec::new());
    let progress = |rows| told.lock().unwrap().push(rows);
    sky::write(folder.path().join("1.pt"), 5..2500, |index| sky.galaxy(index), &sky.survey(), progress).unwrap();
    assert_eq!(*told.lock().unwrap(), [0, 1024, 2048, 2495]);
    let failed = sky::write("/nowhere/1.pt", 0..1, |index| sky.galaxy(index), &sky.survey(), |_| ()).unwrap_err();
    assert!(failed.to_string().contains("/nowhere/1.pt"), "{failed}");
}

fn flux(galaxy: &Galaxy, band: usize) -> f64 {
    galaxy.images[band * 1024..][..1024].iter().map(|pixel| f64::from(*pixel)).sum()
}

#[test]
fn a_given_galaxy_has_the_given_magnitudes_in_catalogue_and_image() {
    let sky = Sky::new(1);
    let magnitudes = [18.9, 17.4, 16.6, 16.2, 15.9];
    let mut lost = [0.0; 5];
    for index in 0..200 {
        let galaxy = sky.observed(index, &Photometry::new(magnitudes, 0.12).unwrap());
        assert_eq!((galaxy.object.magnitudes, galaxy.object.redshift), (magnitudes, 0.12));
        let extinction = galaxy.object.conditions.extinction();
        for (band, lost) in lost.iter_mut().enumerate() {
            let given = 10_f64.powf(0.4 * (22.5 - magnitudes[band] - extinction[band]));
            let [bulge, disc] = galaxy.object.fluxes.map(|fluxes| fluxes[band]);
            assert!(((bulge + disc) / 10_f64.powf(0.4 * (22.5 - magnitudes[band])) - 1.0).abs() < 1e-12);
            *lost += (1.0 - flux(&galaxy, band) / given) / 200.0;
        }
    }
    // Only what the stamp's edges cut off is missing.
    assert!(lost.iter().all(|lost| (0.0..0.25).contains(lost)), "{lost:?}");
}

/// Galaxies that are drawn anew from the magnitudes and redshifts of simulated ones have the same properties on
/// average.
#[test]
fn what_magnitudes_leave_open_is_drawn_as_the_population_has_it() {
    const COUNT: u64 = 4000;
    let sky = Sky::new(3);
    let mut truth = [0.0; 4];
    let mut drawn = [0.0; 4];
    let mut same_type = 0;
    for index in 0..COUNT {
        let object = sky.object(index);
        let given = sky.observed(index, &Photometry::new(object.magnitudes, object.redshift).unwrap()).object;
        same_type += u32::from(object.early == given.early);
        for (sums, object) in [(&mut truth, &object), (&mut drawn, &given)] {
            let early = f64::from(u8::from(object.early));
            let values = [early, object.shape.bulge_fraction, object.shape.disc.radius.ln(), object.absolute_magnitude];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value / COUNT as f64;
            }
        }
    }
    println!("{truth:.3?} {drawn:.3?} {same_type}");
    for ((truth, drawn), allowed) in truth.into_iter().zip(drawn).zip([0.03, 0.02, 0.04, 0.03]) {
        assert!((truth - drawn).abs() < allowed, "{truth} {drawn}");
    }
    assert!(f64::from(same_type) > 0.75 * COUNT as f64, "{same_type}");
}

#[test]
fn what_no_galaxy_can_be_is_refused_by_name() {
    let refused = |magnitudes, redshift| Photometry::new(magnitudes, redshift).unwrap_err();
    assert!(matches!(refused([18.0; 5], f64::NAN), PhotometryError::Redshift(_)));
    assert_eq!(refused([18.0; 5], 0.8).to_string(), "redshift 0.8 is not between 0.003 and 0.7");
    assert!(refused([18.0, 18.0, f64::NAN, 18.0, 18.0], 0.1).to_string().contains("NaN in r"));
    assert!(refused([18.0, -9999.0, 18.0, 18.0, 18.0], 0.1).to_string().contains("-9999 in g"));
}
