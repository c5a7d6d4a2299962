//! The figures of an earlier run or sweep, for `--from`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use bill::{
    estimate::Place,
    figures::{Figures, Origin},
    fit::{RunRecord, fit},
    records::RankRecord,
};
use experiments::{CellRuns, Repeat, Status, Sweep};
use pipeline::{
    ran_on::RanOn,
    run_files::{COMBINED_DATA, RESULTS_JSON, Results, RunFiles},
};
use serde_json::Value;

use crate::{global::Global, location::Location, report};

/// Name of a run on this machine, where an execution has its own.
const LOCAL: &str = "local";

/// Reads the records of a folder of results, or of a sweep.json or its folder, on this machine or in S3. `place` is that of the plan, which counts where records
/// do not say where they were made.
pub(crate) async fn read(path: &str, place: Place, global: &Global) -> Result<Figures> {
    let base = Figures::shipped()?;
    let sweep = if path.ends_with(RESULTS_JSON) { None } else { report::sweep(path, global).await? };
    let (runs, place, origin) = match sweep {
        Some(sweep) => of_sweep(&sweep, path)?,
        None => of_results(path, place, global).await?,
    };
    fit(&base, &runs, place, origin).with_context(|| format!("{path} has no record of a rank that computed any galaxy"))
}

async fn of_results(path: &str, place: Place, global: &Global) -> Result<(Vec<RunRecord>, Place, Origin)> {
    let folder = path.trim_end_matches(RESULTS_JSON).trim_end_matches('/');
    let folder = if folder.is_empty() { "." } else { folder };
    let location = Location::parse_folder(folder, global).await?;
    let files = RunFiles::new(location.store, &location.key);
    let results: Results = serde_json::from_slice(&files.read_file(RESULTS_JSON).await?)
        .with_context(|| format!("{} is not of this version of Cosmic", files.location(RESULTS_JSON)))?;
    let ranks: Vec<Value> = serde_json::from_slice(&files.read_file(COMBINED_DATA).await?)?;
    // Resumed ranks are of an earlier execution, whose times are in no sum of this one.
    let mine = ranks.iter().filter(|rank| rank["execution"] == results.execution.as_str());
    let ranks = mine.map(rank_record).collect::<Result<Vec<_>>>()?;
    let place = ranks.first().map_or(place, |rank| place_of(rank, &results.execution, place, path));
    let of_local = results.execution == LOCAL;
    let origin = Origin {
        of: path.to_owned(),
        command: if of_local { "cosmic infer".into() } else { format!("execution {}", results.execution) },
        machine: match place {
            Place::Lambda if ranks.first().is_some_and(|rank| rank.ran_on.is_none()) => "taken to be Lambda".into(),
            Place::Lambda => "Lambda".into(),
            Place::Machine { cores } => format!("a machine of {cores} cores"),
        },
        date: ranks.first().map_or(String::new(), |rank| date(rank.started_at)),
        engine: results.made_by.engine.clone(),
        on_lambda: place == Place::Lambda,
    };
    let seconds = (!of_local).then_some(results.timings.wall_seconds);
    Ok((vec![RunRecord { ranks, seconds, billed_seconds: None }], place, origin))
}

/// Where a rank was computed. Where its record does not say so, an execution is taken to have run where the plan is for,
/// and a warning says that.
fn place_of(rank: &RankRecord, execution: &str, planned: Place, path: &str) -> Place {
    let machine = Place::Machine { cores: rank.cores };
    match (rank.ran_on, planned) {
        (Some(RanOn::Lambda), _) => Place::Lambda,
        (Some(RanOn::LocalStack | RanOn::ThisMachine), _) => machine,
        (None, Place::Lambda) if execution != LOCAL => {
            eprintln!(
                "warning: {path} does not say where execution {execution} ran, and its times are taken to be Lambda's: those \
                 of a local stack would make this estimate too low"
            );
            Place::Lambda
        }
        (None, _) => machine,
    }
}

fn of_sweep(sweep: &Sweep, path: &str) -> Result<(Vec<RunRecord>, Place, Origin)> {
    let place = sweep_place(sweep);
    let runs = sweep.cells.iter().map(runs_of).collect::<Result<Vec<_>>>()?.concat();
    let origin = origin(sweep, path, place);
    Ok((runs, place, origin))
}

/// Reads a sweep.json of this machine.
pub(crate) fn sweep(path: &Path) -> Result<Sweep> {
    Sweep::read(path)?.with_context(|| format!("{} does not exist", path.display()))
}

/// Where a sweep's runs took place.
pub(crate) fn sweep_place(sweep: &Sweep) -> Place {
    if sweep.place == "AWS" { Place::Lambda } else { Place::Machine { cores: sweep.machine.cores } }
}

pub(crate) fn origin(sweep: &Sweep, path: &str, place: Place) -> Origin {
    Origin {
        of: path.to_owned(),
        command: format!("cosmic sweep, {}", sweep.name),
        machine: match place {
            Place::Lambda => format!("Lambda in {}", sweep.region.as_deref().unwrap_or("a region not named")),
            Place::Machine { cores } => format!("{}, {cores} cores", sweep.machine.cpu),
        },
        date: date(sweep.started_at),
        engine: sweep.engine.clone().unwrap_or_default(),
        on_lambda: place == Place::Lambda,
    }
}

/// The runs of a cell that are whole.
pub(crate) fn runs_of(cell: &CellRuns) -> Result<Vec<RunRecord>> {
    let done = cell.repeats.iter().filter(|repeat| repeat.status == Status::Done);
    done.map(|repeat| run_of(repeat, cell.cell.partition_bytes)).collect()
}

/// Its ranks' records have no lists of files: how many there are follows from the size of the partitions.
fn run_of(repeat: &Repeat, partition_bytes: Option<u64>) -> Result<RunRecord> {
    let mut ranks = repeat.ranks.iter().map(rank_record).collect::<Result<Vec<_>>>()?;
    if let Some(partition_bytes) = partition_bytes {
        for rank in &mut ranks {
            rank.files =
                rank.files.or(Some((rank.bytes as f64 / partition_bytes as f64 - 0.01).ceil().max(1.0) as u64));
        }
    }
    Ok(RunRecord {
        ranks,
        // Of a run on this machine it is that of the process.
        seconds: repeat.execution.as_ref().map(|_| repeat.seconds),
        billed_seconds: repeat.billed_ms.map(|milliseconds| milliseconds / 1e3),
    })
}

fn rank_record(record: &Value) -> Result<RankRecord> {
    if record.get("phases").is_none() {
        bail!("a rank's record has no phases: it was made by an earlier version of Cosmic");
    }
    serde_json::from_value(record.clone()).context("a rank's record is not of this version of Cosmic")
}

/// The day of a time in seconds since 1970, such as 2026-11-25.
fn date(seconds: f64) -> String {
    let day = aws_sdk_sfn::primitives::DateTime::from_secs_f64(seconds)
        .fmt(aws_sdk_sfn::primitives::DateTimeFormat::DateTime)
        .unwrap_or_default();
    day.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_local_stack_are_never_taken_for_those_of_lambda() {
        let of = |ran_on, execution, planned| {
            place_of(&RankRecord { ran_on, cores: 2, ..RankRecord::default() }, execution, planned, "results")
        };
        let here = Place::Machine { cores: 2 };
        for planned in [Place::Lambda, Place::Machine { cores: 64 }] {
            assert_eq!(of(Some(RanOn::LocalStack), "demo-1", planned), here);
            assert_eq!(of(Some(RanOn::ThisMachine), LOCAL, planned), here);
            assert_eq!(of(Some(RanOn::Lambda), "demo-1", planned), Place::Lambda);
            assert_eq!(of(None, LOCAL, planned), here);
        }
        assert_eq!(of(None, "demo-1", Place::Lambda), Place::Lambda);
        assert_eq!(of(None, "demo-1", Place::Machine { cores: 64 }), here);
    }
}
