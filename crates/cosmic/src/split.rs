//! `cosmic split`: one data set into partitions, a chunk at a time.

use anyhow::{Context, Result, bail};
use clap::Args;
use pipeline::store::{ObjectStore, Write, as_folder};
use serde::Serialize;
use torch_file::{DType, Dataset, DatasetWriter, Redshifts};

use crate::{
    Global, Outcome,
    location::Location,
    output::{Printer, bytes, progress_bar},
    size::Size,
};

/// Rows copied at a time: 10 MB.
const ROWS_PER_CHUNK: u64 = 512;

#[derive(Args)]
pub(crate) struct SplitArgs {
    /// The data set, local or s3://bucket/key.
    file: String,
    /// Size of a partition, such as 25MB (counted like the published partitions: 25 × 2²⁰ bytes of galaxies).
    #[arg(long, value_name = "SIZE")]
    partition_size: Size,
    /// Folder for 1.pt, 2.pt …, local or s3://bucket/prefix.
    #[arg(long, value_name = "DEST")]
    out: String,
    /// Delete the .pt files that the folder holds already.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Serialize)]
struct Report {
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
    refuse_to_mix(destination.store.as_ref(), &folder, args.overwrite).await?;

    let rows_per_partition = (args.partition_size.0 as f64 / dataset.bytes_per_row() as f64).round().max(1.0) as u64;
    let partitions = dataset.rows().div_ceil(rows_per_partition);
    let redshifts = match dataset.tensors().find(|(name, _)| *name == "redshifts") {
        Some((_, tensor)) if tensor.dtype() == DType::F64 => Redshifts::F64,
        Some(_) => Redshifts::F32,
        None => Redshifts::None,
    };
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
            let magnitudes = dataset.magnitudes(from..to).await?;
            writer.write(&chunk.images, &magnitudes, chunk.redshifts.as_deref())?;
            bar.inc(to - from);
            from = to;
        }
        writer.finish()?;
        let written = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        destination.store.put(&format!("{folder}{name}"), written.into(), Write::Replace).await?;
        std::fs::remove_file(&path).with_context(|| format!("failed to remove {}", path.display()))?;
    }
    bar.finish_and_clear();
    let report = Report {
        out: destination.name(),
        partitions,
        rows: dataset.rows(),
        rows_per_partition,
        bytes: dataset.rows() * dataset.bytes_per_row(),
    };
    printer.print(&report, |report| {
        format!(
            "{} galaxies ({}) in {} partitions of {} under {}",
            report.rows,
            bytes(report.bytes),
            report.partitions,
            report.rows_per_partition,
            report.out
        )
    })?;
    Ok(Outcome::Done)
}

/// Old partitions beside new ones would be one data set to every later run.
async fn refuse_to_mix(store: &dyn ObjectStore, folder: &str, overwrite: bool) -> Result<()> {
    let there = match store.list(folder).await {
        Err(pipeline::Error::NotFound { .. }) if folder.is_empty() => return Ok(()),
        there => there?,
    };
    let mut old: Vec<String> = there.into_iter().map(|object| object.key).filter(|key| key.ends_with(".pt")).collect();
    old.sort();
    match old.first() {
        Some(first) if !overwrite => {
            bail!(
                "{} is there already: choose another folder, or --overwrite to delete its .pt files",
                store.location(first)
            )
        }
        _ => Ok(store.delete(&old).await?),
    }
}
