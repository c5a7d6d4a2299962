//! What ranks have left becomes one catalogue, proved row by row against the plan.
//!
//! What a rank has left counts only if its rows are exactly those of the rank's share, in order, each with a redshift
//! or a flag that says why it has none; files that the rank could not read are named instead.
//!
//! The catalogue is handed on while it grows, and its columns stand in front of the first row. Which they are is known
//! once all ranks were looked at. Most often the first one's are all there are, so that these are believed; where a later
//! rank brings another, the merge goes on without writing, to find them all, and is done [once more](Merge::wider).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use catalogue::{
    CatalogueColumns, CatalogueRows, CatalogueWriter, ColumnCounts, Comparison, Flag, ParquetError, Provenance,
    flags::has_redshift,
    intervals::{IntervalMetrics, IntervalSums},
};

use crate::{
    error::{Error, Result},
    picture::draw,
    plan::{Plan, Slice},
    report::{self, ReportInput, WriteReport},
    run_files::{
        CATALOGUE, COMBINED_DATA, CombinedEntries, Counts, Missing, Outbox, PICTURE, REPORT, RankObject, RankRun,
        Results, Throughput, Timings, sha256, to_json,
    },
};

/// A catalogue that is being merged, and what was found out on the way.
pub(crate) struct Merge {
    /// Nothing before the first rows.
    catalogue: Option<CatalogueWriter<Outbox>>,
    columns: CatalogueColumns,
    /// A column came that the catalogue was started without: no more is written.
    is_too_narrow: bool,
    column_counts: ColumnCounts,
    comparison: Comparison,
    /// Of the ranks whose model was calibrated.
    intervals: Option<IntervalSums>,
    counts: Counts,
    missing: Vec<Missing>,
    /// Parts of files count as such.
    missing_files: f64,
    ranks: Vec<RankRun>,
}

/// What comes of a merge.
pub(crate) struct Merged {
    pub(crate) results: Results,
    /// How many of the planned files are missing; parts of files count as such.
    pub(crate) missing_files: f64,
    /// What is left to send of the catalogue.
    pub(crate) catalogue: Outbox,
    /// The other results that Results.json speaks of, by name, in the order in which they are written.
    pub(crate) files: Vec<(&'static str, Bytes)>,
}

impl Merge {
    /// Starts a merge whose catalogue has at least these columns.
    pub(crate) fn new(plan: &Plan, columns: CatalogueColumns) -> Self {
        Self {
            catalogue: None,
            columns,
            is_too_narrow: false,
            column_counts: ColumnCounts::default(),
            comparison: Comparison::default(),
            intervals: None,
            counts: Counts { files: plan.files, ranks: plan.world_size, ..Counts::default() },
            missing: Vec::new(),
            missing_files: 0.0,
            ranks: Vec::new(),
        }
    }

    /// Appends what a rank has left, whose rows [`prove`] has found to be the rank's.
    pub(crate) fn add(&mut self, rank: u64, share: &[Slice<'_>], mut object: RankObject) -> Result<()> {
        for rows in &object.rows {
            match self.columns.admit(rows) {
                Ok(is_new) => self.is_too_narrow |= is_new && self.catalogue.is_some(),
                // All rows of an object have the same columns, so that this comes before any of them is written.
                Err(conflict) => {
                    self.miss(Some(rank), share, conflict.to_string());
                    return Ok(());
                }
            }
            if self.is_too_narrow {
                continue;
            }
            let catalogue = writer(&mut self.catalogue, &self.columns).map_err(encode)?;
            catalogue.write(rows).map_err(encode)?;
            self.column_counts.add(rows);
            self.comparison.add(rows);
            self.counts.add(rows);
        }
        for unreadable in &object.run.work.unreadable {
            let slices: Vec<_> =
                share.iter().filter(|slice| slice.file.object.key == unreadable.key).cloned().collect();
            self.miss(Some(rank), &slices, unreadable.reason.clone());
        }
        self.counts.implausible_redshifts += object.run.work.implausible_redshifts;
        // Taken out of what is kept of the rank: a histogram of 8 kB, of each of up to 100,000 ranks.
        if let Some(sums) = object.run.work.intervals.take() {
            self.intervals.get_or_insert_default().merge(&sums);
        }
        // Files may have been added before its own since it was computed.
        self.ranks.push(RankRun { rank, ..object.run });
        Ok(())
    }

    /// Names what is missing, and why.
    pub(crate) fn miss(&mut self, rank: Option<u64>, slices: &[Slice<'_>], reason: String) {
        for slice in slices {
            self.missing_files += match (&slice.rows, slice.file.rows) {
                (Some(rows), Some(of)) => (rows.end - rows.start) as f64 / of as f64,
                _ => 1.0,
            };
        }
        let name = |slice: &Slice<'_>| match &slice.rows {
            Some(rows) => format!("{} [{}, {})", slice.file.object.key, rows.start, rows.end),
            None => slice.file.object.key.clone(),
        };
        let files = slices.iter().map(name).collect();
        let rows = slices.iter().map(Slice::row_count).sum();
        self.missing.push(Missing { rank, files, rows, reason });
    }

    /// Number of rows in the catalogue so far.
    pub(crate) fn rows(&self) -> u64 {
        self.counts.rows
    }

    /// What is written of the catalogue, and is to be sent.
    pub(crate) fn outbox(&mut self) -> Option<&mut Outbox> {
        self.catalogue.as_mut().map(CatalogueWriter::sink_mut)
    }

    /// The columns to merge with once more, where those that the catalogue was started with are not all.
    pub(crate) fn wider(&self) -> Option<&CatalogueColumns> {
        self.is_too_narrow.then_some(&self.columns)
    }

    /// Closes the catalogue, and draws up the results of the execution.
    pub(crate) fn finish(mut self, plan: &Plan, wall_seconds: f64, report: &WriteReport) -> Result<Merged> {
        let execution = &plan.owner.execution;
        for Missing { rank, reason, .. } in &self.missing {
            tracing::warn!(rank, reason, "missing");
        }
        self.counts.compared = self.comparison.compared();
        let mut timings = Timings { wall_seconds, ..Timings::default() };
        let (mut own_rows, mut own_bytes) = (0, 0);
        for run in self.ranks.iter().filter(|run| run.execution == *execution) {
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
            calibration: self.ranks.iter().find_map(|run| run.made_by.calibration.clone()),
            engine: engines.join(" and "),
            precision: plan.payload.precision.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut catalogue = match self.catalogue {
            Some(catalogue) => catalogue,
            None => CatalogueWriter::new(Outbox::default(), &self.columns).map_err(encode)?,
        };
        // No two executions' catalogues are the same bytes: a late write is told by its ETag.
        catalogue.note("cosmic.execution", plan.owner.execution_arn.clone());
        let catalogue = catalogue.finish(&made_by).map_err(encode)?;
        let metrics = self.comparison.metrics();
        let picture = draw(&self.comparison, &metrics, execution)?;
        let ranks = CombinedEntries::new(&self.ranks, &plan.payload.result_path);
        let mut files = vec![(PICTURE, picture.clone()), (COMBINED_DATA, to_json(&ranks)?)];
        let mut hashes: BTreeMap<_, _> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), sha256(bytes))).collect();
        hashes.insert(CATALOGUE.to_owned(), catalogue.sha256());
        let mut results = Results {
            metrics,
            intervals: self.intervals.as_ref().map(IntervalMetrics::of),
            complete: self.missing.is_empty(),
            missing: self.missing,
            timings,
            throughput,
            made_by,
            counts: self.counts,
            columns: self.column_counts.summaries(),
            execution: execution.clone(),
            sha256: hashes,
            payload: Some(plan.payload.clone()),
        };
        let input = ReportInput { results: &results, ranks, comparison: &self.comparison, picture: &picture };
        let page = report::write(report, &input);
        results.sha256.insert(REPORT.to_owned(), sha256(&page));
        files.push((REPORT, page));
        Ok(Merged { results, missing_files: self.missing_files, catalogue, files })
    }
}

/// The catalogue's writer, which starts with these columns where there is none yet.
fn writer<'a>(
    catalogue: &'a mut Option<CatalogueWriter<Outbox>>,
    columns: &CatalogueColumns,
) -> Result<&'a mut CatalogueWriter<Outbox>, ParquetError> {
    let started = match catalogue.take() {
        Some(started) => started,
        None => CatalogueWriter::new(Outbox::default(), columns)?,
    };
    Ok(catalogue.insert(started))
}

/// Proves that what a rank has left is what its share owes. The error says why it is not.
pub(crate) fn prove(share: &[Slice<'_>], object: &RankObject) -> Result<(), String> {
    let work = &object.run.work;
    let mut unreadable: VecDeque<_> = work.unreadable.iter().collect();
    let mut files: VecDeque<_> = work.files.iter().collect();
    let mut found = object.rows.iter();
    for slice in share {
        let key = &slice.file.object.key;
        if unreadable.front().is_some_and(|file| file.key == *key) {
            unreadable.pop_front();
            continue;
        }
        let Some(read) = files.pop_front() else { return Err(format!("the rank did not read {key}")) };
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
    if let Some(key) = files.pop_front().map(|file| &file.key).or(unreadable.pop_front().map(|file| &file.key)) {
        return Err(format!("the rank was not to read {key}"));
    }
    let flagged: u64 = object.rows.iter().map(CatalogueRows::flagged).sum();
    if flagged != work.flagged {
        return Err(format!("{flagged} rows are flagged, and its record says {}", work.flagged));
    }
    match object.rows.iter().find(|rows| !every_row_says(rows)) {
        Some(rows) => Err(format!("{} has a row with neither redshift nor flag, or with both", rows.source_file)),
        None => Ok(()),
    }
}

/// Whether each row has either a redshift, or a flag that says why it has none, and no flag that is not known.
fn every_row_says(rows: &CatalogueRows) -> bool {
    let known = Flag::ALL.iter().fold(0, |known, flag| known | flag.bit());
    rows.z_phot
        .iter()
        .zip(&rows.flags)
        .all(|(z_phot, flags)| z_phot.is_some() == has_redshift(*flags) && flags & !known == 0)
}

fn encode(error: ParquetError) -> Error {
    Error::internal("failed to encode the catalogue", error)
}
