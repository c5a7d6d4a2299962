//! The partitions that a sweep runs on, made once for each size.
//!
//! Their folder is named by what they are made of, so that another data set, seed or size has another folder, and a
//! marker in it says that they are all there. A folder without its marker was interrupted, and is made anew.

use std::{collections::BTreeMap, fs, sync::Arc};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use experiments::{Cell, DataSet, Simulated};
use pipeline::{
    partitions::is_partition,
    run_files::sha256,
    storage::{Write, as_folder, if_present},
};
use serde::{Deserialize, Serialize};
use sky::Sky;

use crate::{
    global::Global,
    location::Location,
    output::progress_bar,
    split::{cut, rows_per_partition},
    split_destination::{Destination, find_old},
};

/// The marker's name, which no run takes for a partition.
const MARKER: &str = "partitions.json";

/// What partitions are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MadeOf {
    source: Source,
    /// `None` where all galaxies are in one file.
    partition_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// The tag changes when the file does.
    File { name: String, size: u64, etag: String },
    /// A version of Cosmic may draw another sky for the same seed.
    Simulated { count: u64, seed: u64, version: String },
}

/// The marker: what is in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    made_of: MadeOf,
    partitions: u64,
    rows: u64,
    bytes: u64,
}

/// Where the partitions of a sweep lie, or will.
pub(super) struct Partitions<'a> {
    pub(super) global: &'a Global,
    pub(super) data: &'a DataSet,
    /// The folder that has a folder for each size: a path, or `s3://bucket/prefix`.
    pub(super) under: String,
    /// Those that are there, by the text of their size.
    pub(super) found: BTreeMap<Option<String>, Found>,
}

/// Partitions that are there.
#[derive(Debug, Clone)]
pub(super) struct Found {
    folder: String,
    /// `None` where the data are taken as they lie.
    partitions: Option<u64>,
}

impl Partitions<'_> {
    /// The folder of a cell's partitions, which are made where they are not there.
    ///
    /// # Errors
    /// Also where they hold less than the cell wants: what it would measure is not what it is called.
    pub(super) async fn of(&mut self, cell: &Cell) -> Result<String> {
        let found = match self.found.get(&cell.partition) {
            Some(found) => found.clone(),
            None => {
                let found = match (self.data, cell.partition_bytes) {
                    (DataSet::Path(path), None) => Found { folder: path.clone(), partitions: None },
                    (data, partition_bytes) => self.make(data, partition_bytes, cell.partition.as_deref()).await?,
                };
                self.found.insert(cell.partition.clone(), found.clone());
                found
            }
        };
        if let (Some(wanted), Some(there)) = (cell.file_limit, found.partitions)
            && wanted > there
        {
            bail!(
                "{} are {wanted} partitions of {}, and the data set has {there}",
                cell.data.as_deref().unwrap_or("the data"),
                cell.partition.as_deref().unwrap_or("any size")
            );
        }
        Ok(found.folder)
    }

    async fn make(&self, data: &DataSet, partition_bytes: Option<u64>, size: Option<&str>) -> Result<Found> {
        let (source, location) = match data {
            DataSet::Simulated { simulate: Simulated { count, seed } } => {
                let version = env!("CARGO_PKG_VERSION").to_owned();
                (Source::Simulated { count: *count, seed: *seed, version }, None)
            }
            DataSet::Path(path) => {
                let location = Location::parse(path, self.global).await?;
                if !is_partition(&location.key) {
                    bail!("{} is no file that could be cut into partitions: name one, or leave out the sizes", path);
                }
                let there = location.store.head(&location.key).await?;
                (Source::File { name: location.name(), size: there.size, etag: there.etag }, Some(location))
            }
        };
        let made_of = MadeOf { source, partition_bytes };
        let hash = sha256(&serde_json::to_vec(&made_of)?);
        let text = format!("{}/{}-{}", self.under, size.unwrap_or("whole"), &hash[..12]);
        let folder = Location::parse_folder(&text, self.global).await?;
        let marker = format!("{}{MARKER}", as_folder(&folder.key));
        if let Some(found) = if_present(folder.store.get(&marker).await)?
            && let Ok(found) = serde_json::from_slice::<Marker>(&found.bytes)
            && found.made_of == made_of
        {
            return Ok(Found { folder: text, partitions: Some(found.partitions) });
        }
        eprintln!("making the partitions of {} under {}", size.unwrap_or("the whole data set"), folder.name());
        if let Some(root) = &folder.root {
            fs::create_dir_all(root).with_context(|| format!("failed to make the folder {}", root.display()))?;
        }
        let (partitions, rows, bytes) = match (location, made_of.source.clone(), partition_bytes) {
            (Some(location), _, Some(partition_bytes)) => {
                let cut = cut(&location, &folder, partition_bytes, true).await?;
                (cut.partitions, cut.rows, cut.bytes)
            }
            (None, Source::Simulated { count, seed, .. }, _) => simulate(&folder, count, seed, partition_bytes).await?,
            _ => bail!("a file that is not cut has no partitions"),
        };
        let marked = serde_json::to_vec_pretty(&Marker { made_of, partitions, rows, bytes })?;
        folder.store.put(&marker, Bytes::from(marked), Write::Replace).await?;
        Ok(Found { folder: text, partitions: Some(partitions) })
    }
}

/// Simulates galaxies right into partitions. Gives the partitions, rows and bytes.
async fn simulate(folder: &Location, count: u64, seed: u64, partition_bytes: Option<u64>) -> Result<(u64, u64, u64)> {
    let sky = Arc::new(Sky::new(seed));
    let bytes_per_row = sky.survey().bytes_per_galaxy();
    let rows = partition_bytes.map_or(count, |bytes| rows_per_partition(bytes, bytes_per_row));
    let partitions = count.div_ceil(rows);
    let old = find_old(folder, None, true).await?;
    let mut destination = Destination::open(folder, old)?;
    let bar = progress_bar("{bar:40} {human_pos}/{human_len} galaxies, {per_sec:0}, {eta} left");
    bar.set_length(count);
    let written = async {
        for partition in 0..partitions {
            let indices = partition * rows..count.min((partition + 1) * rows);
            let name = format!("{}.pt", partition + 1);
            let (path, sky, done) = (destination.path(&name), Arc::clone(&sky), bar.clone());
            tokio::task::spawn_blocking(move || {
                let first = indices.start;
                sky::write(
                    &path,
                    indices,
                    |index| sky.galaxy(index),
                    &sky.survey(),
                    |rows| done.set_position(first + rows),
                )
            })
            .await??;
            destination.add(&name).await?;
        }
        Ok(())
    };
    let written = written.await;
    destination.finish(written, partitions).await?;
    bar.finish_and_clear();
    Ok((partitions, count, count * bytes_per_row))
}
