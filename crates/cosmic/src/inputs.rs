//! The files of a data set, for commands that can do nothing with a part of it.

use anyhow::{Result, bail};
use pipeline::{
    batch_loop::Work,
    partitions,
    read_ahead::Input,
    storage::{Unreadable, printable},
};

use crate::location::Location;

/// Opens all files of a data set, or the first so many.
///
/// # Errors
/// The first file that cannot be read.
pub(crate) async fn open_all(data: &Location, limit: Option<u64>) -> Result<Vec<Input>> {
    let found = data.partitions(limit).await?;
    if let Some(Unreadable { name, reason }) = found.unreadable.first() {
        bail!("{} cannot be read: {}", data.store.location(name), printable(reason));
    }
    let mut inputs = Vec::new();
    for file in found.files {
        let dataset = partitions::open(&data.store, &file).await?;
        let rows = Some(0..dataset.rows());
        inputs.push(Input { file, rows, opened: Some(dataset) });
    }
    Ok(inputs)
}

/// Number of galaxies in opened files.
pub(crate) fn row_count(inputs: &[Input]) -> u64 {
    inputs.iter().filter_map(|input| input.rows.as_ref()).map(|rows| rows.end - rows.start).sum()
}

/// Refuses work that lacks a file.
///
/// # Errors
/// The first file that could not be read whole.
pub(crate) fn refuse_unreadable(data: &Location, work: &Work) -> Result<()> {
    match work.unreadable.first() {
        Some(file) => bail!("{} cannot be read: {}", data.store.location(&file.key), file.reason),
        None => Ok(()),
    }
}
