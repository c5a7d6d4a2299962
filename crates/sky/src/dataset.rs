//! Writes galaxies to a data set on disk, with memory for some thousand of them however many there are.

use std::{ops::Range, path::Path};

use galaxies::{Column, ColumnValues, DatasetWriter, Item, Layout, Redshifts, WriteError};
use rayon::prelude::*;

use crate::galaxy::Galaxy;

/// Galaxies are made in chunks of this many (21 MB), each while the chunk before is written.
const CHUNK: u64 = 1024;

/// What a data set says of its galaxies beside images, magnitudes and redshifts.
pub struct OwnColumns<'a> {
    /// Names and types.
    pub columns: Vec<Column>,
    /// All items of those columns that are lists.
    pub lists: Vec<Vec<Item>>,
    /// The values that the other columns have for the galaxies of some indices.
    pub values: Box<dyn Fn(Range<u64>) -> Vec<ColumnValues> + Sync + 'a>,
}

impl OwnColumns<'_> {
    fn layout(&self) -> Layout {
        Layout { redshifts: Redshifts::F32, columns: self.columns.clone() }
    }

    /// Bytes of a galaxy in a file with these columns.
    pub fn bytes_per_galaxy(&self) -> u64 {
        self.layout().bytes_per_galaxy()
    }
}

#[derive(Default)]
struct Columns {
    images: Vec<f32>,
    magnitudes: Vec<f64>,
    redshifts: Vec<f64>,
    own: Vec<ColumnValues>,
}

impl Columns {
    /// Makes the galaxies of these indices, on all cores.
    fn make(indices: Range<u64>, galaxy: &(impl Fn(u64) -> Galaxy + Sync), own: &OwnColumns<'_>) -> Self {
        let galaxies: Vec<Galaxy> = indices.clone().into_par_iter().map(galaxy).collect();
        let mut columns = Self { own: (own.values)(indices), ..Self::default() };
        for galaxy in galaxies {
            columns.images.extend(galaxy.images);
            columns.magnitudes.extend(galaxy.object.magnitudes);
            columns.redshifts.push(galaxy.object.redshift);
        }
        columns
    }
}

/// Writes the galaxies of these indices as a data set, with columns of its own. `progress` is called with the number of
/// galaxies that are written so far.
///
/// # Errors
/// [`WriteError::Io`] where the file cannot be made or written, [`WriteError::Rows`] where columns have another number of
/// values.
pub fn write(
    path: impl AsRef<Path>,
    indices: Range<u64>,
    galaxy: impl Fn(u64) -> Galaxy + Sync,
    own: &OwnColumns<'_>,
    progress: impl Fn(u64) + Sync,
) -> Result<(), WriteError> {
    let mut writer = DatasetWriter::create(path, indices.end - indices.start, &own.layout(), own.lists.clone())?;
    let mut next = indices.start;
    let mut ready = Columns { own: (own.values)(next..next), ..Columns::default() };
    loop {
        let making = next..indices.end.min(next + CHUNK);
        next = making.end;
        let write = || writer.write(&ready.images, &ready.magnitudes, Some(&ready.redshifts), &ready.own);
        let (made, written) = rayon::join(|| Columns::make(making, &galaxy, own), write);
        written?;
        ready = made;
        progress(next - indices.start - ready.redshifts.len() as u64);
        if ready.redshifts.is_empty() {
            return writer.finish();
        }
    }
}
