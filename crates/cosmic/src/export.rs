//! `cosmic export`: a catalogue as a FITS table or as CSV, for those who have no Python at hand.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result, bail};
use aws_sdk_sfn::primitives::{DateTime, DateTimeFormat};
use clap::Args;
use export::{CatalogueFile, write_csv, write_fits};
use pipeline::storage::ObjectReader;
use serde::Serialize;
use torch_file::RangeRead;

use crate::{
    global::Global,
    location::Location,
    outcome::Outcome,
    output::{Printer, bytes},
    whole_file::{WholeFile, show},
};

/// Bytes of an object in S3 that are fetched at a time.
const FETCHED_AT_A_TIME: u64 = 8 << 20;

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// A catalogue, or a folder that has a predictions.parquet; local or in S3.
    catalogue: String,
    /// The file to write: .fits or .csv.
    out: PathBuf,
}

#[derive(Clone, Copy)]
enum Form {
    Fits,
    Csv,
}

impl Form {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase).as_deref() {
            Some("fits" | "fit" | "fts") => Ok(Self::Fits),
            Some("csv") => Ok(Self::Csv),
            _ => bail!("{} says not what to write: give it a name that ends in .fits or .csv", show(path)),
        }
    }
}

#[derive(Serialize)]
struct ExportOutput {
    out: String,
    rows: u64,
    columns: usize,
    bytes: u64,
    /// What is otherwise in the file than in the catalogue.
    notices: Vec<String>,
}

pub(crate) async fn export(args: ExportArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let form = Form::of(&args.out)?;
    if args.out.to_string_lossy().starts_with("s3:/") {
        bail!("{} is not on this machine: export writes local files, which `aws s3 cp` copies", args.out.display());
    }
    let whole = WholeFile::create(&args.out)?;
    let location = Location::parse_catalogue(&args.catalogue, global).await?;
    let file = match location.path() {
        Some(path) => File::open(&path).with_context(|| format!("failed to read {}", show(&path)))?,
        None => fetched(&location.reader().await?, &whole.path().with_extension("parquet")).await?,
    };
    let shown = show(&args.out);
    let exported = |file: File| -> Result<ExportOutput> {
        let catalogue = CatalogueFile::open(file)?;
        let mut to = BufWriter::with_capacity(1 << 20, File::create(whole.path())?);
        let notices = match form {
            Form::Fits => {
                let now = DateTime::from(SystemTime::now()).fmt(DateTimeFormat::DateTime)?;
                // FITS has times without a zone and, here, without fractions.
                write_fits(&catalogue, &mut to, &now[..19])?
            }
            Form::Csv => write_csv(&catalogue, &mut to)?,
        };
        to.flush()?;
        let bytes = to.get_ref().metadata()?.len();
        Ok(ExportOutput { out: shown.clone(), rows: catalogue.rows(), columns: catalogue.columns(), bytes, notices })
    };
    let output = exported(file).with_context(|| format!("failed to export {} to {shown}", location.name()))?;
    whole.finish()?;
    printer.print(&output, |output| {
        let notices: String = output.notices.iter().map(|notice| format!("note: {notice}\n")).collect();
        let (rows, columns, size) = (output.rows, output.columns, bytes(output.bytes));
        format!("{notices}wrote {}: {rows} rows, {columns} columns, {size}", output.out)
    })?;
    Ok(Outcome::Done)
}

/// A copy of an object on this machine, since Parquet is read from its end, and by parts.
async fn fetched(reader: &ObjectReader, path: &Path) -> Result<File> {
    let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
    let mut start = 0;
    while start < reader.size() {
        let end = reader.size().min(start + FETCHED_AT_A_TIME);
        file.write_all(&reader.read(start..end).await?)?;
        start = end;
    }
    Ok(file)
}
