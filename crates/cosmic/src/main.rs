//! The `cosmic` command: redshifts on this machine, and runs on AWS.
//!
//! Results go to standard output, everything else to standard error. A command parses its flags, resolves them into
//! complete values, and calls a library; what it prints, it prints at its end, as text or (`--json`) as one JSON
//! value. Exit codes are those of [`Outcome`].

mod assignments;
mod calibrate;
mod calibration_summary;
mod called_functions;
mod compare;
mod convert;
mod csv_catalogue;
mod execution;
mod execution_arn;
mod execution_history;
mod export;
mod global;
mod infer;
mod inputs;
mod inspect;
mod interrupt;
mod location;
mod log_lines;
mod log_pass;
mod logs;
mod outcome;
mod output;
mod partition_size;
mod payload_input;
mod plan;
mod report;
mod resume;
mod run;
mod simulate;
mod split;
mod split_destination;
mod statement;
mod stop;
mod summary;
mod sweep;
mod whole_file;

use std::{io::IsTerminal, process::ExitCode};

use clap::{Parser, Subcommand};
use pipeline::storage::explain;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

use crate::{global::Global, outcome::Outcome, output::Printer};

/// Photometric redshifts of galaxies, in bulk.
#[derive(Parser)]
#[command(
    name = "cosmic",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 bad usage, 3 done but the result is incomplete, or\n\
                  (compare) beyond the limit.\n\
                  AWS credentials, region and profile come from the standard AWS environment."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make galaxies with known redshifts: a simulated sky, or images for a catalogue.
    Simulate(simulate::SimulateArgs),
    /// Show what is in a torch.save, numpy.savez or safetensors file, without executing it.
    Inspect(inspect::InspectArgs),
    /// Cut a data set into partitions 1.pt, 2.pt … of about a size.
    Split(split::SplitArgs),
    /// Make a safetensors model of a checkpoint, to be packaged with the function.
    Convert(convert::ConvertArgs),
    /// Calibrate a model on labelled galaxies, so that its redshifts come with intervals.
    Calibrate(calibrate::CalibrateArgs),
    /// Estimate redshifts on this machine.
    Infer(infer::InferArgs),
    /// Show what another precision, engine or model does to the redshifts of the same galaxies.
    Compare(compare::CompareArgs),
    /// Write a catalogue as a FITS table or as CSV.
    Export(export::ExportArgs),
    /// Estimate what a run would take and cost, before it runs.
    Plan(plan::PlanArgs),
    /// Start, follow or stop an execution on AWS or the local stack, and show its results.
    Run(run::RunArgs),
    /// Run a grid of partition, batch, world and memory sizes several times, and sum it up.
    Sweep(sweep::SweepArgs),
    /// Show an execution's invocations and their cost, or its log lines.
    Logs(logs::LogsArgs),
    /// Make one HTML file of a run, of a sweep, or of two runs compared.
    Report(report::ReportArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let filter = std::env::var("COSMIC_LOG").ok().and_then(|filter| filter.parse().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let is_terminal = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).without_time().with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    let printer = Printer { json: global.json };
    let outcome: anyhow::Result<Outcome> = match command {
        Command::Simulate(args) => simulate::simulate(args, printer).await,
        Command::Inspect(args) => inspect::inspect(args, &global, printer).await,
        Command::Split(args) => split::split(args, &global, printer).await,
        Command::Convert(args) => convert::convert(args, &global, printer).await,
        Command::Calibrate(args) => calibrate::calibrate(args, &global, printer).await,
        Command::Infer(args) => infer::infer(args, &global, printer).await,
        Command::Compare(args) => compare::compare(args, &global, printer).await,
        Command::Export(args) => export::export(args, &global, printer).await,
        Command::Plan(args) => plan::plan(args, &global, printer).await,
        Command::Run(args) => run::run(args, &global, printer).await,
        Command::Sweep(args) => sweep::sweep(args, &global, printer).await,
        Command::Logs(args) => logs::logs(args, &global, printer).await,
        Command::Report(args) => report::report(args, &global, printer).await,
    };
    match outcome {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("error: {}", explain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
