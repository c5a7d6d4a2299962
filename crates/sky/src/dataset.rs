//! Writes galaxies to a data set on disk, with memory for some thousand of them however many there are.

use std::{ops::Range, path::Path};

use galaxies::{DatasetWriter, Redshifts, WriteError};
use rayon::prelude::*;

use crate::galaxy::Galaxy;

/// Galaxies are made in chunks of this many (21 MB), each while the chunk before is written.
const CHUNK: u64 = 1024;

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

/// Writes the galaxies of these indices as a data set in the published format. `progress` is called with the number of
/// galaxies that are written so far.
///
/// # Errors
/// [`WriteError::Io`] where the file cannot be made or written.
pub fn write(
    path: impl AsRef<Path>,
    indices: Range<u64>,
    galaxy: impl Fn(u64) -> Galaxy + Sync,
    progress: impl Fn(u64) + Sync,
) -> Result<(), WriteError> {
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
