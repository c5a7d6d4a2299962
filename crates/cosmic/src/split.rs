//! `cosmic split`: one data set into partitions, of which a chunk of rows is in memory at a time. Partitions have the
//! types of the published ones, whatever the data set has: images in f32, magnitudes in f64. Its own columns keep
//! theirs.

use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;
use galaxies::{Dataset, DatasetWriter, Layout, Redshifts};
use pipeline::storage::ObjectReader;
use serde::Serialize;
use torch_file::DType;

use crate::{
    global::Global,
    location::Location,
    outcome::Outcome,
    output::{Printer, bytes, progress_bar},
    partition_size,
    split_destination::{Destination, find_old},
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
    /// Replace the partitions that a run would read in the folder: its .pt, .pth and .npz files at any depth, but
    /// hidden ones.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Serialize)]
struct SplitOutput {
    out: String,
    #[serde(flatten)]
    cut: Cut,
}

/// What a data set was cut into.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cut {
    pub(crate) partitions: u64,
    pub(crate) rows: u64,
    pub(crate) rows_per_partition: u64,
    pub(crate) bytes: u64,
    /// Partitions that were there, and were deleted.
    pub(crate) replaced: u64,
}

pub(crate) async fn split(args: SplitArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let source = Location::parse(&args.file, global).await?;
    let out = Location::parse_folder(&args.out, global).await?;
    let cut = cut(&source, &out, args.partition_size, args.overwrite).await?;
    let output = SplitOutput { out: out.name(), cut };
    printer.print(&output, |SplitOutput { out, cut }| {
        let replaced = match cut.replaced {
            0 => String::new(),
            replaced => format!(", in place of {replaced} that were there"),
        };
        format!(
            "{} galaxies ({}) in {} partitions of {} ({}) under {out}{replaced}",
            cut.rows,
            bytes(cut.bytes),
            cut.partitions,
            cut.rows_per_partition,
            bytes(cut.rows_per_partition * (cut.bytes / cut.rows)),
        )
    })?;
    Ok(Outcome::Done)
}

/// The rows of partitions of about this many bytes.
pub(crate) fn rows_per_partition(partition_bytes: u64, bytes_per_row: u64) -> u64 {
    (partition_bytes as f64 / bytes_per_row as f64).round().max(1.0) as u64
}

/// Cuts a data set into partitions of about this many bytes, in place of those that lie there only where `overwrite`.
pub(crate) async fn cut(source: &Location, out: &Location, partition_bytes: u64, overwrite: bool) -> Result<Cut> {
    let dataset = Dataset::open(source.reader().await?).await?;
    let old = find_old(out, Some(source), overwrite).await?;
    if !dataset.unused().is_empty() {
        eprintln!(
            "warning: {} holds what can be no column of a catalogue, and the partitions will not have it: {}",
            source.name(),
            dataset.unused().join(", ")
        );
    }
    if dataset.rows() == 0 {
        bail!("{} holds no galaxies: there is nothing to cut", source.name());
    }

    let redshifts = match dataset.tensors().find(|(name, _)| *name == "redshifts") {
        Some((_, tensor)) if tensor.dtype() == DType::F64 => Redshifts::F64,
        Some(_) => Redshifts::F32,
        None => Redshifts::None,
    };
    let layout = Layout { redshifts, columns: dataset.columns().to_vec() };
    let rows_per_partition = rows_per_partition(partition_bytes, layout.bytes_per_galaxy());
    let partitions = dataset.rows().div_ceil(rows_per_partition);
    let replaced = old.len() as u64;
    if replaced > 0 {
        eprintln!("replacing the {replaced} partitions under {}", out.name());
    }
    let bar = progress_bar("{bar:40} {human_pos}/{human_len} galaxies, {eta} left");
    bar.set_length(dataset.rows());
    let mut destination = Destination::open(out, old)?;
    let written = async {
        for partition in 0..partitions {
            let rows = partition * rows_per_partition..dataset.rows().min((partition + 1) * rows_per_partition);
            let name = format!("{}.pt", partition + 1);
            write_rows(&dataset, rows, &layout, &destination.path(&name), |rows| bar.inc(rows)).await?;
            destination.add(&name).await?;
        }
        Ok(())
    };
    let written = written.await;
    destination.finish(written, partitions).await?;
    bar.finish_and_clear();
    let bytes = dataset.rows() * layout.bytes_per_galaxy();
    Ok(Cut { partitions, rows: dataset.rows(), rows_per_partition, bytes, replaced })
}

/// Writes rows of a data set as a partition.
async fn write_rows(
    dataset: &Dataset<ObjectReader>,
    rows: std::ops::Range<u64>,
    layout: &Layout,
    path: &Path,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    let lists = dataset.lists(rows.clone());
    let mut writer = DatasetWriter::create(path, rows.end - rows.start, layout, lists)?;
    let mut from = rows.start;
    while from < rows.end {
        let to = rows.end.min(from + ROWS_PER_CHUNK);
        let chunk = dataset.read(from..to).await?;
        let magnitudes = dataset.read_exact_magnitudes(from..to).await?;
        let columns = dataset.read_columns(from..to).await?;
        writer.write(&chunk.images, &magnitudes, chunk.redshifts.as_deref(), &columns)?;
        progress(to - from);
        from = to;
    }
    Ok(writer.finish()?)
}
