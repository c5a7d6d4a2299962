//! Parts become one catalogue, proved row by row against the plan.
//!
//! A part counts only if its bytes are those that the rank's record names, and its rows are exactly those of the rank's
//! share, in order, each with a redshift or a flag that says why it has none.

use bytes::Bytes;
use catalogue::{CatalogueRows, CatalogueWriter, Comparison, ParquetError, Provenance};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    plan::{Plan, Slice},
    run_files::{Counts, Missing, RankRecord, RankRun, Results, Throughput, Timings, combined_entry},
};

/// A catalogue that is being merged, and what was found out on the way.
pub(crate) struct Merge {
    catalogue: CatalogueWriter<Vec<u8>>,
    comparison: Comparison,
    counts: Counts,
    pub(crate) missing: Vec<Missing>,
    ranks: Vec<RankRun>,
}

/// What became of a part.
pub(crate) enum Addition {
    Added,
    /// Nothing of it is in the catalogue, for this reason.
    Unusable(String),
}

/// What comes of a merge.
pub(crate) struct Merged {
    pub(crate) results: Results,
    pub(crate) catalogue: Bytes,
    /// The entries of combined_data.json.
    pub(crate) combined: Vec<Value>,
    pub(crate) picture: Bytes,
}

impl Merge {
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        Ok(Self {
            catalogue: CatalogueWriter::new(Vec::new()).map_err(encode)?,
            comparison: Comparison::default(),
            counts: Counts { files: plan.files.len() as u64, ranks: plan.world_size, ..Counts::default() },
            missing: Vec::new(),
            ranks: Vec::new(),
        })
    }

    /// Proves a part against the rank's share, and appends it.
    pub(crate) fn add(&mut self, share: &[Slice<'_>], record: RankRecord, part: Option<Bytes>) -> Result<Addition> {
        let Some(part) = part else { return Ok(Addition::Unusable(format!("its part {} is gone", record.part))) };
        let rows = match prove(share, &record, part) {
            Ok(rows) => rows,
            Err(reason) => {
                return Ok(Addition::Unusable(format!("its part {} cannot be used: {reason}", record.part)));
            }
        };
        for rows in &rows {
            self.catalogue.write(rows).map_err(encode)?;
            self.comparison.add(rows);
            self.counts.add(rows);
        }
        self.counts.implausible_redshifts += record.run.work.implausible_redshifts;
        self.ranks.push(record.run);
        Ok(Addition::Added)
    }

    /// Number of rows in the catalogue so far.
    pub(crate) fn rows(&self) -> u64 {
        self.catalogue.rows()
    }

    /// Closes the catalogue, and draws up the results of the execution.
    pub(crate) fn finish(mut self, plan: &Plan, execution: &str, wall_seconds: f64) -> Result<Merged> {
        self.counts.compared = self.comparison.compared();
        let mut timings = Timings { wall_seconds, ..Timings::default() };
        let (mut own_rows, mut own_bytes) = (0, 0);
        for run in self.ranks.iter().filter(|run| run.execution == execution) {
            timings.add(run);
            own_rows += run.work.rows;
            own_bytes += run.work.bytes;
        }
        let throughput =
            Throughput { resumed_rows: self.counts.rows - own_rows, ..Throughput::of(own_rows, own_bytes, &timings) };
        let mut engines: Vec<&str> = self.ranks.iter().map(|run| run.made_by.engine.as_str()).collect();
        engines.sort_unstable();
        engines.dedup();
        let made_by = Provenance {
            fingerprint: Some(plan.fingerprint.clone()),
            model: plan.model.name.clone(),
            model_sha256: plan.model.sha256.clone(),
            engine: engines.join(" and "),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let catalogue = self.catalogue.finish(&made_by).map_err(encode)?;
        let picture = self
            .comparison
            .picture(execution)
            .map_err(|error| Error::internal("failed to draw inference.png", error))?;
        let results = Results {
            metrics: self.comparison.metrics(),
            complete: self.missing.is_empty(),
            missing: self.missing,
            timings,
            throughput,
            made_by,
            counts: self.counts,
            execution: execution.to_owned(),
            payload: Some(plan.payload.clone()),
        };
        let combined = self.ranks.iter().map(|run| combined_entry(run, &plan.payload.result_path)).collect();
        Ok(Merged { results, catalogue: catalogue.into(), combined, picture: picture.into() })
    }
}

/// The rows of a part, if they are exactly the share's.
fn prove(share: &[Slice<'_>], record: &RankRecord, part: Bytes) -> Result<Vec<CatalogueRows>, String> {
    let sha256 = hex::encode(Sha256::digest(&part));
    if sha256 != record.part_sha256 {
        return Err(format!("its SHA-256 is {sha256}, the rank's record says {}", record.part_sha256));
    }
    if record.run.work.files.len() != share.len() {
        return Err(format!("the rank read {} files, {} were planned", record.run.work.files.len(), share.len()));
    }
    let rows: Vec<CatalogueRows> =
        catalogue::read(part).and_then(Iterator::collect).map_err(|error| error.to_string())?;
    let mut found = rows.iter();
    for (slice, read) in share.iter().zip(&record.run.work.files) {
        let key = &slice.file.object.key;
        let expected = slice.rows.clone().unwrap_or(0..read.to);
        if *key != read.key || expected != (read.from..read.to) {
            return Err(format!(
                "the rank read rows {}..{} of {}, planned were rows {}..{} of {key}",
                read.from, read.to, read.key, expected.start, expected.end
            ));
        }
        let mut next = expected.start;
        while next < expected.end {
            let rows = found.next().ok_or_else(|| format!("row {next} of {key} is not in it"))?;
            if rows.source_file != *key || rows.first_row != next {
                return Err(format!(
                    "row {next} of {key} should come where row {} of {} stands",
                    rows.first_row, rows.source_file
                ));
            }
            next += rows.len() as u64;
        }
        if next > expected.end {
            return Err(format!("it goes on to row {next} of {key}, planned were {} rows", expected.end));
        }
    }
    if let Some(extra) = found.next() {
        return Err(format!("row {} of {} was not planned", extra.first_row, extra.source_file));
    }
    for rows in &rows {
        if rows.z_phot.iter().zip(&rows.flags).any(|(z_phot, flags)| z_phot.is_none() != (*flags != 0)) {
            return Err(format!("{} has a row with neither redshift nor flag, or with both", rows.source_file));
        }
    }
    Ok(rows)
}

fn encode(error: ParquetError) -> Error {
    Error::internal("failed to encode the catalogue", error)
}
