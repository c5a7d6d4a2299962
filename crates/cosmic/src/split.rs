//! `cosmic split`: one data set into partitions, of which a chunk of rows is in memory at a time. Partitions have the types of
//! the published ones, whatever the data set has: images in f32, magnitudes in f64.

use anyhow::{Context, Result, bail};
use clap::Args;
use galaxies::{Dataset, DatasetWriter, Redshifts};
use pipeline::{
    partitions::is_partition,
    storage::{StorageError, as_folder},
};
use serde::Serialize;
use torch_file::DType;

use crate::{
    global::Global,
    location::Location,
    outcome::Outcome,
    output::{Printer, bytes, progress_bar},
    partition_size,
};

/// Rows copied at a time: 10 MB.
const ROWS_PER_CHUNK: u64 = 512;

#[derive(Args)]
pub(crate) struct SplitArgs {
    /// The data set, local or s3://bucket/key.
    file: String,
    /// Size of a partition's galaxies, such as 25MB (10⁶ bytes) or 25MiB (2²⁰ bytes, as in the published partitions).
    #[arg(long, value_name = "SIZE", value_parser = partition_size::parse)]
    partition_size: u64,
    /// Folder for 1.pt, 2.pt …, local or s3://bucket/prefix.
    #[arg(long, value_name = "DEST")]
    out: String,
    /// Delete the .pt and .pth files that the folder holds already.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Serialize)]
struct SplitOutput {
    out: String,
    partitions: u64,
    rows: u64,
    rows_per_partition: u64,
    bytes: u64,
}

pub(crate) async fn split(args: SplitArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let source = Location::parse(&args.file, global).await?;
    let dataset = Dataset::open(source.reader().await?).await?;
    // A folder, whether it is there yet or not.
    let out = if args.out.starts_with("s3://") { args.out.clone() } else { format!("{}/", args.out) };
    let destination = Location::parse(&out, global).await?;
    let folder = as_folder(&destination.key);
    delete_old_partitions(&destination, &folder, &source, args.overwrite).await?;

    let redshifts = match dataset.tensors().find(|(name, _)| *name == "redshifts") {
        Some((_, tensor)) if tensor.dtype() == DType::F64 => Redshifts::F64,
        Some(_) => Redshifts::F32,
        None => Redshifts::None,
    };
    let bytes_per_row = DatasetWriter::bytes_per_galaxy(redshifts);
    let rows_per_partition = (args.partition_size as f64 / bytes_per_row as f64).round().max(1.0) as u64;
    let partitions = dataset.rows().div_ceil(rows_per_partition);
    let bar = progress_bar("{bar:40} {human_pos}/{human_len} galaxies, {eta} left");
    bar.set_length(dataset.rows());
    let scratch = tempfile::tempdir().context("failed to make a temporary folder")?;
    for partition in 0..partitions {
        let rows = partition * rows_per_partition..dataset.rows().min((partition + 1) * rows_per_partition);
        let name = format!("{}.pt", partition + 1);
        let path = scratch.path().join(&name);
        let mut writer = DatasetWriter::create(&path, rows.end - rows.start, redshifts)?;
        let mut from = rows.start;
        while from < rows.end {
            let to = rows.end.min(from + ROWS_PER_CHUNK);
            let chunk = dataset.read(from..to).await?;
            let magnitudes = dataset.read_exact_magnitudes(from..to).await?;
            writer.write(&chunk.images, &magnitudes, chunk.redshifts.as_deref())?;
            bar.inc(to - from);
            from = to;
        }
        writer.finish()?;
        destination.store.put_file(&format!("{folder}{name}"), &path).await?;
        std::fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))?;
    }
    bar.finish_and_clear();
    let output = SplitOutput {
        out: destination.name(),
        partitions,
        rows: dataset.rows(),
        rows_per_partition,
        bytes: dataset.rows() * bytes_per_row,
    };
    printer.print(&output, |output| {
        format!(
            "{} galaxies ({}) in {} partitions of {} ({}) under {}",
            output.rows,
            bytes(output.bytes),
            output.partitions,
            output.rows_per_partition,
            bytes(output.rows_per_partition * bytes_per_row),
            output.out
        )
    })?;
    Ok(Outcome::Done)
}

/// Deletes the partitions that a folder holds already, or refuses to go on where that is not asked for: old partitions
/// beside new ones would be one data set to every later run.
///
/// The data set that is being cut is never one of them.
async fn delete_old_partitions(out: &Location, folder: &str, source: &Location, overwrite: bool) -> Result<()> {
    let store = &out.store;
    let there = match store.list(folder).await {
        Err(StorageError::NotFound { .. }) if folder.is_empty() => return Ok(()),
        there => there?,
    };
    let mut old: Vec<String> =
        there.objects.into_iter().map(|object| object.key).filter(|key| is_partition(key)).collect();
    old.sort();
    if overwrite && old.iter().any(|key| store.location(key) == source.name()) {
        bail!("{} lies in the folder for its partitions, where --overwrite would delete it", source.name());
    }
    match old.first() {
        Some(first) if !overwrite => {
            bail!(
                "{} is there already: choose another folder, or --overwrite to delete its .pt and .pth files",
                store.location(first)
            )
        }
        _ => Ok(store.delete(&old).await?),
    }
}
