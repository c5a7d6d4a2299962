//! `cosmic compare`: what another precision, engine, processor or model does to redshifts, for a model and galaxies of one's
//! own.

mod both_precisions;
mod catalogues;
mod output;

use anyhow::{Result, bail};
use astromae::Precision;
use clap::Args;
use pipeline::payload::MAX_BATCH_SIZE;

use crate::{
    compare::output::{CompareOutput, text},
    global::Global,
    outcome::Outcome,
    output::Printer,
};

/// The redshifts of the same galaxies, from two catalogues, or, with --data and --model, computed in f32 and in another
/// precision. Δz is the second redshift without the first, and z the first.
#[derive(Args)]
pub(crate) struct CompareArgs {
    /// A catalogue, or a folder that has a predictions.parquet; local or in S3.
    #[arg(value_name = "FIRST", required_unless_present = "data", requires = "second")]
    first: Option<String>,
    /// The catalogue to hold against it. Both are held in memory whole, with the data sets' own columns.
    #[arg(value_name = "SECOND")]
    second: Option<String>,
    // No environment variable: set for `cosmic infer`, it would stand beside two catalogues.
    /// A data set, or a folder of them, which is read once and computed in both precisions: local, or s3://bucket/prefix.
    #[arg(long, value_name = "PATH", conflicts_with = "first", requires = "model")]
    data: Option<String>,
    /// The model of both, local or s3://bucket/key: a checkpoint or safetensors.
    #[arg(long, value_name = "FILE", env = "COSMIC_MODEL")]
    model: Option<String>,
    /// The precision that is held against f32.
    #[arg(long, value_name = "f32|int8", default_value_t = Precision::Int8, requires = "data")]
    precision: Precision,
    /// Take only the first so many files of the folder, in natural order.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "data")]
    file_limit: Option<u64>,
    /// Galaxies per prediction.
    #[arg(long, value_name = "N", default_value_t = 512, env = "COSMIC_BATCH_SIZE",
          value_parser = clap::value_parser!(u64).range(1..=MAX_BATCH_SIZE))]
    batch_size: u64,
    /// Threads to compute with; one per core if not given.
    #[arg(long, value_name = "N", env = "COSMIC_THREADS",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// Exit with 3 where a galaxy has |Δz|/(1 + z) above this, such as 1e-3, or a redshift in one of the two alone.
    #[arg(long, value_name = "NUMBER", value_parser = limit, allow_negative_numbers = true)]
    limit: Option<f64>,
}

fn limit(text: &str) -> Result<f64> {
    match text.parse() {
        Ok(limit) if (0.0..f64::INFINITY).contains(&limit) => Ok(limit),
        _ => bail!("a limit is a number from 0 on, such as 1e-3"),
    }
}

pub(crate) async fn compare(args: CompareArgs, global: &Global, printer: Printer) -> Result<Outcome> {
    let (sides, matched) = match (&args.first, &args.second, &args.data, &args.model) {
        (Some(first), Some(second), ..) => catalogues::read([first, second], global).await?,
        (_, _, Some(data), Some(model)) => both_precisions::predict(data, model, &args, global).await?,
        _ => bail!("two catalogues are to be named, or --data and --model"),
    };
    let output = CompareOutput::of(sides, &matched, args.limit);
    let within = output.is_within_limit();
    printer.print(&output, text)?;
    Ok(if within { Outcome::Done } else { Outcome::Incomplete })
}
