//! What a rank leaves: one Parquet file with its rows, and in the metadata its record.

use bytes::Bytes;
use catalogue::{CatalogueRows, GrowingCatalogue, ParquetError, Provenance, read, read_metadata, row_count};
use serde::{Deserialize, Serialize};

use crate::batch_loop::Work;

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
    /// Wall seconds to load model and engine; 0 where an earlier rank of the same process had done it.
    pub model_seconds: f64,
    /// Wall seconds of everything, from the event to this record.
    pub wall_seconds: f64,
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

impl RankRun {
    /// Checks that the figures can be, so that their sums can be too. The error says which cannot.
    fn check(&self) -> Result<(), String> {
        let work = &self.work;
        let times = [
            self.model_seconds,
            self.wall_seconds,
            work.wall_seconds,
            work.inference_seconds,
            work.waiting_seconds,
            work.cpu_seconds,
        ];
        if let Some(time) = times.into_iter().find(|time| !(0.0..=LONGEST).contains(time)) {
            return Err(format!("its record speaks of {time} seconds"));
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
    pub(crate) fn finish(&self, part: GrowingCatalogue) -> Result<Bytes, ParquetError> {
        let record = serde_json::to_string(self).map_err(|error| ParquetError::External(error.into()))?;
        part.finish(&[(RECORD, record)], &self.made_by)
    }
}
