//! The `cosmic` command: redshifts on this machine, and runs on AWS.
//!
//! Results go to standard output, everything else to standard error. A command parses its flags, resolves them into
//! complete values, and calls the pipeline; what it prints, it prints at its end, as text or (`--json`) as one JSON
//! value. Exit codes are those of [`Outcome`].

mod convert;
mod execution;
mod infer;
mod inspect;
mod location;
mod logs;
mod output;
mod run;
mod simulate;
mod size;
mod split;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    prelude::*,
};

use crate::output::Printer;

/// How a command that could do its work ended. A failure exits with 1, bad usage with 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// 0: done.
    Done,
    /// 3: done, but the result is not complete, and says what is missing.
    Incomplete,
}

/// Photometric redshifts of galaxies, in bulk.
#[derive(Parser)]
#[command(
    name = "cosmic",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 bad usage, 3 done but the result is incomplete.\n\
                  AWS credentials, region and profile come from the standard AWS environment."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone)]
struct Global {
    /// Print one JSON value instead of text.
    #[arg(long, global = true, env = "COSMIC_JSON")]
    json: bool,
    /// Talk to this endpoint instead of AWS, for example http://127.0.0.1:4566 of the local stack.
    #[arg(long, global = true, env = "AWS_ENDPOINT_URL", value_name = "URL")]
    endpoint_url: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Make galaxies with known redshifts: a simulated sky, or images for a catalogue.
    Simulate(simulate::SimulateArgs),
    /// Show what is in a torch.save or safetensors file, without executing it.
    Inspect(inspect::InspectArgs),
    /// Cut a data set into partitions 1.pt, 2.pt … of about a size.
    Split(split::SplitArgs),
    /// Make a safetensors model of a checkpoint, to be packaged with the function.
    Convert(convert::ConvertArgs),
    /// Measure redshifts on this machine.
    Infer(infer::InferArgs),
    /// Start an execution on AWS or the local stack, follow it, and show its results.
    Run(run::RunArgs),
    /// Show an execution's invocations: durations, memory, cold starts, ranks, cost.
    Logs(logs::LogsArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let filter = std::env::var("COSMIC_LOG").ok().and_then(|filter| filter.parse().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let lines = fmt::layer().with_writer(std::io::stderr).without_time().with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    let printer = Printer { json: global.json };
    let outcome = match command {
        Command::Simulate(args) => simulate::simulate(args, &global, printer).await,
        Command::Inspect(args) => inspect::inspect(args, &global, printer).await,
        Command::Split(args) => split::split(args, &global, printer).await,
        Command::Convert(args) => convert::convert(args, &global, printer).await,
        Command::Infer(args) => infer::infer(args, &global, printer).await,
        Command::Run(args) => run::run(args, &global, printer).await,
        Command::Logs(args) => logs::logs(args, &global, printer).await,
    };
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
