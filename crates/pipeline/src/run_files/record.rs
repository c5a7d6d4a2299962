//! What a rank leaves: one Parquet file with its rows, and in the metadata its record.

use bytes::Bytes;
use catalogue::{CatalogueRows, GrowingCatalogue, ParquetError, Provenance, read, read_metadata, row_count};
use serde::{Deserialize, Serialize};

use crate::{batch_loop::Work, phases::Phases, ran_on::RanOn, storage::Requests};

/// The most rows of a rank that are believed, 20 TB of images.
const MAX_ROWS: u64 = 1 << 30;
/// The most bytes of a row that are believed, far above those of a galaxy in float64.
const MAX_BYTES_PER_ROW: u64 = 1 << 20;

/// The metadata's key of the record.
const RECORD: &str = "cosmic.rank";

/// What a rank did. A run on one machine is one rank too.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankRun {
    pub rank: u64,
    /// Number of ranks of the run.
    pub world_size: u64,
    /// Name of the execution that computed it.
    pub execution: String,
    pub made_by: Provenance,
    /// Galaxies per prediction.
    pub batch_size: u64,
    pub work: Work,
    /// When it began, in seconds since 1970 by the clock of its machine.
    pub started_at: f64,
    /// What its phases took, up to this record.
    pub phases: Phases,
    /// Wall seconds of everything, from the event to this record.
    pub wall_seconds: f64,
    /// Whether no other rank was computed in the process before.
    pub first_of_process: bool,
    pub ran_on: RanOn,
    /// Processors that the process saw.
    pub cores: u64,
    /// Memory that the function is configured with, in MB of 2²⁰ bytes, by which Lambda gives it CPU; null elsewhere.
    pub memory_mb: Option<u64>,
    /// Requests to S3, the one that writes this record among them.
    pub requests: Requests,
    /// The most resident memory that the process has used so far, in MB.
    pub peak_memory_mb: f64,
}

/// What a rank has left.
#[derive(Debug, Clone)]
pub struct RankObject {
    pub run: RankRun,
    pub rows: Vec<CatalogueRows>,
}

impl RankObject {
    /// Reads the Parquet file. The error says why it is not what a rank leaves.
    pub fn parse(bytes: Bytes) -> Result<Self, String> {
        let run =
            read_metadata(&bytes, RECORD).map_err(|error| error.to_string())?.ok_or("it holds no record of a rank")?;
        let run: RankRun = serde_json::from_str(&run).map_err(|error| format!("its record cannot be read: {error}"))?;
        run.check()?;
        // Checked before the rows are read: a few bytes of Parquet can stand for any number of rows.
        let rows = row_count(&bytes).map_err(|error| error.to_string())?;
        if rows != run.work.rows {
            return Err(format!("it has {rows} rows, and its record says {}", run.work.rows));
        }
        let rows = read(bytes).and_then(Iterator::collect).map_err(|error| error.to_string())?;
        Ok(Self { run, rows })
    }
}

/// The longest time that a record may speak of, in seconds: a year, where a function has 15 minutes.
const LONGEST: f64 = 365.0 * 86_400.0;
/// The latest time that a record may have begun, in seconds after 1970: the year 9999.
const LATEST: f64 = 253_402_300_800.0;

impl RankRun {
    /// Checks that the figures can be, so that their sums can be too. The error says which cannot.
    fn check(&self) -> Result<(), String> {
        let work = &self.work;
        let spent = self.phases.named().map(|(_, spent)| spent);
        let spent = spent.iter().chain([&work.all, &work.inference, &work.warm_up, &work.waiting]);
        // All threads' time together.
        let longest_cpu = LONGEST * 1024.0;
        let times = spent.flat_map(|spent| [(spent.wall_seconds, LONGEST), (spent.cpu_seconds, longest_cpu)]);
        let wall = (self.wall_seconds, LONGEST);
        if let Some((time, _)) = times.chain([wall]).find(|(time, longest)| !(0.0..=*longest).contains(time)) {
            return Err(format!("its record speaks of {time} seconds"));
        }
        if !(0.0..=LATEST).contains(&self.started_at) {
            return Err(format!("its record says that it began {} seconds after 1970", self.started_at));
        }
        if let Some(intervals) = &work.intervals {
            intervals.check().map_err(|reason| format!("its record's intervals cannot be: {reason}"))?;
            if intervals.n > work.rows {
                return Err(format!("its record speaks of {} intervals in {} rows", intervals.n, work.rows));
            }
        }
        let bytes_per_row = work.bytes / work.rows.max(1);
        if work.rows > MAX_ROWS || bytes_per_row > MAX_BYTES_PER_ROW || work.implausible_redshifts > work.rows {
            return Err(format!("its record speaks of {} rows in {} bytes", work.rows, work.bytes));
        }
        Ok(())
    }

    /// Ends a rank's Parquet file with this record.
    ///
    /// # Errors
    /// What Parquet says.
    pub fn finish(&self, part: GrowingCatalogue) -> Result<Bytes, ParquetError> {
        let record = serde_json::to_string(self).map_err(|error| ParquetError::External(error.into()))?;
        part.finish(&[(RECORD, record)], &self.made_by)
    }
}
