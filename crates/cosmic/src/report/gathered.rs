//! What a page is made of, gathered from a folder of results and from the logs.

use anyhow::{Context, Result};
use bytes::Bytes;
use catalogue::{CatalogueRows, Comparison};
use pipeline::{
    run_files::{CATALOGUE, COMBINED_DATA, PICTURE, RESULTS_JSON, Results, RunFiles, sha256},
    storage::{aws_config, explain},
};
use report::{Logs, RankRecord, Run, Stamps};
use serde_json::{Value, json};

use crate::{
    execution::Execution,
    global::Global,
    location::Location,
    statement::{Statement, statement},
    summary::cost_remarks,
};

/// Whose logs are read.
pub(crate) enum LogsOf<'a> {
    Nobody,
    /// This execution or else the one that Results.json names, of this state machine.
    Execution(Option<&'a str>, &'a str),
}

/// The results of a run.
pub(crate) struct Gathered {
    pub(crate) results: Results,
    pub(crate) comparison: Comparison,
    ranks: Vec<RankRecord>,
    catalogue: Bytes,
    picture: Option<Bytes>,
    logs: Option<Logs>,
    notes: Vec<String>,
}

impl Gathered {
    /// Reads the results that lie in a folder. What is missing beside Results.json and the catalogue is said in notes.
    pub(crate) async fn read(path: &str, global: &Global, logs: &LogsOf<'_>) -> Result<Self> {
        let location = Location::parse_folder(path, global).await?;
        let files = RunFiles::new(location.store.clone(), &location.key);
        let results = files.read_file(RESULTS_JSON).await.with_context(|| {
            format!(
                "{} is no folder of results: name the one that `cosmic infer` or `cosmic run --out` wrote, or a result path in S3",
                location.name()
            )
        })?;
        let results: Results = serde_json::from_slice(&results)
            .with_context(|| format!("{} is not of this version of Cosmic", files.location(RESULTS_JSON)))?;
        let mut notes = Vec::new();
        let catalogue = files.read_file(CATALOGUE).await?;
        notes.extend(changed(&results, CATALOGUE, &catalogue));
        let mut comparison = Comparison::default();
        for rows in catalogue::read(catalogue.clone()).with_context(|| files.location(CATALOGUE))? {
            comparison.add(&rows.with_context(|| files.location(CATALOGUE))?);
        }
        let picture = read_optional(&files, &results, PICTURE, &mut notes).await;
        let combined = read_optional(&files, &results, COMBINED_DATA, &mut notes).await;
        let combined: Vec<Value> =
            combined.map_or(Ok(Vec::new()), |combined| serde_json::from_slice(&combined)).unwrap_or_else(|error| {
                notes.push(format!("{COMBINED_DATA} is not a list of ranks: {error}"));
                Vec::new()
            });
        let logs = read_logs(&results, global, logs).await.unwrap_or_else(|error| {
            eprintln!("warning: the report has neither cold starts nor cost: {}", explain(error.as_ref()));
            None
        });
        for note in &notes {
            eprintln!("warning: {note}");
        }
        Ok(Self { results, comparison, ranks: RankRecord::all(combined), catalogue, picture, logs, notes })
    }

    pub(crate) fn as_run<'a>(&'a self, stamps: &'a Stamps) -> Run<'a> {
        Run {
            results: &self.results,
            ranks: &self.ranks,
            comparison: &self.comparison,
            picture: self.picture.as_deref(),
            logs: self.logs.as_ref(),
            stamps,
            notes: &self.notes,
        }
    }

    /// The rows of the catalogue, once more.
    pub(crate) fn rows(&self) -> Result<Vec<CatalogueRows>> {
        Ok(catalogue::read(self.catalogue.clone())?.collect::<Result<_, _>>()?)
    }

    /// The figures as JSON, by their names in Results.json.
    pub(crate) fn figures(&self) -> Value {
        let Results { execution, metrics, complete, counts, timings, throughput, .. } = &self.results;
        json!({
            "execution": execution,
            "complete": complete,
            "metrics": metrics,
            "counts": counts,
            "timings": timings,
            "throughput": throughput,
            "cost": self.logs.as_ref().map(|logs| &logs.cost),
            "cost_remarks": self.logs.as_ref().map(|logs| &logs.cost_remarks),
        })
    }
}

/// Reads one of the results that a page can do without, and notes where it cannot be read.
async fn read_optional(files: &RunFiles, results: &Results, name: &str, notes: &mut Vec<String>) -> Option<Bytes> {
    match files.read_file(name).await {
        Ok(bytes) => {
            notes.extend(changed(results, name, &bytes));
            Some(bytes)
        }
        Err(error) => {
            notes.push(format!("{name} could not be read, and what it says is missing here: {}", explain(&error)));
            None
        }
    }
}

/// Says that a file is not the one that Results.json speaks of, where it is not.
fn changed(results: &Results, name: &str, bytes: &[u8]) -> Option<String> {
    let expected = results.sha256.get(name)?;
    (sha256(bytes) != *expected).then(|| {
        format!("{name} is not the file that Results.json speaks of: another run is replacing these results, or it was changed")
    })
}

/// What the logs say; nothing of a run on one machine, which has none.
async fn read_logs(results: &Results, global: &Global, of: &LogsOf<'_>) -> Result<Option<Logs>> {
    let LogsOf::Execution(asked, machine) = of else { return Ok(None) };
    let name = match asked {
        Some(asked) => asked,
        None if results.payload.is_none() => return Ok(None),
        None => results.execution.as_str(),
    };
    let aws = aws_config(global.endpoint_url.as_deref()).await;
    let (execution, described) = Execution::find(&aws, name, machine).await?;
    let Statement { invocations, cost, cost_of } = statement(&execution, &described).await?;
    Ok(Some(Logs { invocations, cost, cost_remarks: cost_remarks(&cost_of) }))
}
