//! Galaxies to disk, as many as there may be.

use std::{ops::Range, path::Path};

use rayon::prelude::*;
use torch_file::{DatasetWriter, Redshifts, Result};

use crate::Galaxy;

/// Galaxies that are made while as many before them are written: 20 MB.
const CHUNK: u64 = 1024;

/// Columns of a data set.
#[derive(Default)]
struct Columns {
    images: Vec<f32>,
    magnitudes: Vec<f64>,
    redshifts: Vec<f64>,
}

impl Columns {
    /// Makes the galaxies of these indices, on all cores.
    fn make(indices: Range<u64>, galaxy: &(impl Fn(u64) -> Galaxy + Sync)) -> Self {
        let galaxies: Vec<Galaxy> = indices.into_par_iter().map(galaxy).collect();
        let mut columns = Self::default();
        for galaxy in galaxies {
            columns.images.extend(galaxy.images);
            columns.magnitudes.extend(galaxy.object.magnitudes);
            columns.redshifts.push(galaxy.object.redshift);
        }
        columns
    }
}

/// Writes the galaxies of these indices as a data set in the published format, in memory for some thousand of them.
/// `progress` is told the number of those that are written.
///
/// # Errors
/// [`torch_file::Error::Write`] where the disk does not take them.
pub fn write(
    path: impl AsRef<Path>,
    indices: Range<u64>,
    galaxy: impl Fn(u64) -> Galaxy + Sync,
    progress: impl Fn(u64) + Sync,
) -> Result<()> {
    let mut writer = DatasetWriter::create(path, indices.end - indices.start, Redshifts::F32)?;
    let mut next = indices.start;
    let mut ready = Columns::default();
    loop {
        let making = next..indices.end.min(next + CHUNK);
        next = making.end;
        let write = || writer.write(&ready.images, &ready.magnitudes, Some(&ready.redshifts));
        let (made, written) = rayon::join(|| Columns::make(making, &galaxy), write);
        written?;
        ready = made;
        progress(next - indices.start - ready.redshifts.len() as u64);
        if ready.redshifts.is_empty() {
            return writer.finish();
        }
    }
}
