//! The loop over batches: rows stream in, batches are predicted, catalogue rows come out.
//!
//! Reading runs ahead of computing by one chunk, in a task of its own, so that there are at most three chunks in memory
//! (one computed on, one waiting, one arriving, the last as it is in the file too) whatever the size of the files. A
//! large batch is predicted in parts, a chunk each, since engines take any number of galaxies: 4,096 galaxies are 84 MB
//! in f32, of which four copies would be in memory otherwise. Of small batches several are predicted at once, as many
//! as the engine wants.
//!
//! The loop is where completeness is proved, for ranks and local runs alike: each input is either handed on, with
//! exactly the rows it owes, or named as unreadable. The rows of a file are handed on once all of it was read, because
//! only then its checksum is known; until then they wait, as some twenty bytes a galaxy and what the data set's own
//! columns have of it.

use std::{ops::Range, pin::pin, sync::Arc};

use astromae::Engine;
use catalogue::{CatalogueRows, intervals::IntervalSums};
use futures::{StreamExt, stream};
use galaxies::{BANDS, Galaxies, PIXELS};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    calibration::Intervals,
    deadline::{Deadline, Pace},
    error::{Error, Result},
    phases::{Batches, Phases, Spent, Stopwatch},
    read_ahead::{Chunk, FileRows, Input, Message, OnStorageFailure, Reader, Sent, messages},
    storage::{ObjectStore, explain},
};

/// A file, or a part of one, whose rows are owed and could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableFile {
    pub key: String,
    pub reason: String,
}

/// What predicting some files took.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Work {
    /// What was read, in order, empty files among it.
    pub files: Vec<FileRows>,
    /// What could not be read.
    pub unreadable: Vec<UnreadableFile>,
    /// Rows that were predicted or flagged.
    pub rows: u64,
    /// Rows without a predicted redshift.
    pub flagged: u64,
    /// Rows whose spectroscopic redshift is a number that cannot be one, such as −99, and is taken as unknown.
    pub implausible_redshifts: u64,
    /// How the quantiles compare with the spectroscopic redshifts, where the model is calibrated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub intervals: Option<IntervalSums>,
    /// Number of batches, of which the last of a file may be smaller than the others.
    pub batches: u64,
    /// Bytes of the rows, as they are in the files.
    pub bytes: u64,
    /// The whole loop.
    pub all: Spent,
    /// In the engine.
    pub inference: Spent,
    /// What the first batch took longer than the others: see [`Phases::warm_up`](crate::phases::Phases::warm_up).
    pub warm_up: Spent,
    /// The engine waited for rows.
    pub waiting: Spent,
}

impl Work {
    /// The phases that the loop knows of.
    pub(crate) fn phases(&self) -> Phases {
        let Self { waiting, inference, warm_up, .. } = *self;
        Phases { waiting, inference, warm_up, ..Phases::default() }
    }
}

/// What the loop runs with.
pub struct BatchLoop<'a> {
    pub store: &'a Arc<dyn ObjectStore>,
    pub engine: &'a Arc<dyn Engine>,
    /// Where the model is calibrated and rows are to have quantiles.
    pub intervals: Option<&'a Intervals>,
    /// Galaxies per prediction.
    pub batch_size: u64,
    pub deadline: Option<Deadline>,
    pub on_storage_failure: OnStorageFailure,
}

/// What the loop tells while it runs.
pub enum Output {
    /// So many rows were predicted so far.
    Predicted(u64),
    /// Rows in the order of the inputs.
    Rows(Predicted),
}

/// Consecutive galaxies of a file that were predicted or flagged.
pub struct Predicted {
    /// What goes into the catalogue.
    pub catalogue: CatalogueRows,
    /// Magnitudes in the band r; 0 where the input is flagged.
    pub r: Vec<f32>,
}

/// The file that is being predicted.
struct Current {
    file: FileRows,
    /// The row that must come next.
    next: u64,
    rows: Vec<Predicted>,
    implausible_redshifts: u64,
    bytes: u64,
}

impl BatchLoop<'_> {
    /// Predicts the inputs in order, and hands the catalogue rows of each to `each` once they are all there.
    ///
    /// An input that cannot be read is named in [`Work::unreadable`].
    ///
    /// # Errors
    /// The first failure of predicting, `each`, or storage; the reason of the first input where none can be read;
    /// [`Error::DeadlineExceeded`] in time to be reported.
    pub async fn run(&self, inputs: Vec<Input>, mut each: impl FnMut(Output) -> Result<()>) -> Result<Work> {
        let watch = Stopwatch::start();
        let owed = inputs.len();
        let planned_rows = inputs.iter().map(Input::planned_rows).sum();
        let mut pace = Pace::new(self.deadline, owed, planned_rows);
        let (sender, mut messages) = messages();
        // The task is aborted when the set is dropped: nothing reads on once this function has returned.
        let mut reading = JoinSet::new();
        let reader = Reader::new(Arc::clone(self.store), self.batch_size, self.on_storage_failure, sender);
        reading.spawn(reader.run(inputs));

        let mut work = Work { intervals: self.intervals.map(|_| IntervalSums::default()), ..Work::default() };
        let mut current: Option<Current> = None;
        let mut predicted = 0;
        let mut batches = Batches::default();
        let mut first_failure = None;
        loop {
            let waiting = Stopwatch::start();
            let message = match self.deadline {
                Some(deadline) => tokio::time::timeout_at(deadline.to_stop_waiting().into(), messages.recv())
                    .await
                    .map_err(|_| pace.ran_out_waiting(waiting.elapsed(), predicted))?,
                None => messages.recv().await,
            };
            work.waiting += waiting.spent();
            let chunk = match message {
                Some(Message::Begin(file)) => {
                    batches.end_batch();
                    if let Some(begun) = current.take() {
                        // The file is read once more from its beginning.
                        predicted -= begun.next - begun.file.from;
                    } else {
                        pace.opened(file.to - file.from);
                    }
                    current =
                        Some(Current { next: file.from, file, rows: Vec::new(), implausible_redshifts: 0, bytes: 0 });
                    continue;
                }
                Some(Message::End) => {
                    batches.end_batch();
                    let Current { file, next, rows, implausible_redshifts, bytes } =
                        current.take().ok_or_else(|| Error::fault("a file ended that had not begun"))?;
                    if next != file.to {
                        let FileRows { key, from, to } = &file;
                        return Err(Error::fault(format!("rows {from}..{to} of {key} are owed, and end at {next}")));
                    }
                    for mut rows in rows {
                        if let Some(intervals) = self.intervals {
                            intervals.apply(&mut rows.catalogue, &rows.r, work.intervals.get_or_insert_default());
                        }
                        work.rows += rows.catalogue.len() as u64;
                        work.flagged += rows.catalogue.flagged();
                        each(Output::Rows(rows))?;
                    }
                    work.implausible_redshifts += implausible_redshifts;
                    work.bytes += bytes;
                    work.files.push(file);
                    continue;
                }
                Some(Message::Unreadable(key, error)) => {
                    match current.take() {
                        Some(begun) => predicted -= begun.next - begun.file.from,
                        None => pace.opened(0),
                    }
                    let reason = explain(&error);
                    tracing::warn!(key, reason, "a file cannot be read: its rows will be missing");
                    work.unreadable.push(UnreadableFile { key, reason });
                    first_failure.get_or_insert(error);
                    continue;
                }
                Some(Message::Chunk(Sent { chunk, room })) => {
                    // The next chunk may wait in its place.
                    drop(room);
                    Arc::new(chunk)
                }
                None => break,
            };
            let count = chunk.flags.len();
            let begun = current
                .as_mut()
                .filter(|begun| begun.file.key == chunk.file && begun.next == chunk.first_row)
                .ok_or_else(|| Error::fault(format!("row {} of {} is out of order", chunk.first_row, chunk.file)))?;
            let step = usize::try_from(self.batch_size).unwrap_or(count).max(1);
            let ranges = (0..count).step_by(step).map(|from| from..count.min(from + step));
            let predict = |batch| predict_batch(self.engine, &chunk, batch);
            // The first batch of all is alone, because what it takes longer than the others is told.
            let alone = usize::from(batches.count == 0);
            let first = stream::iter(ranges.clone().take(alone)).then(predict);
            let others = stream::iter(ranges.skip(alone)).map(predict).buffered(self.engine.calls_at_once(step).max(1));
            let mut predictions = pin!(first.chain(others));
            let mut z_phot = Vec::with_capacity(count);
            while z_phot.len() < count {
                pace.check_deadline(predicted)?;
                // Of several batches at once, each takes the time since the one before it came.
                let asked = Stopwatch::start();
                let redshifts = predictions.next().await.unwrap_or_else(|| Err(Error::fault("a batch is missing")))?;
                pace.batch_took(asked.elapsed());
                batches.add_part(self.batch_size, redshifts.len() as u64, asked.spent());
                begun.next += redshifts.len() as u64;
                predicted += redshifts.len() as u64;
                z_phot.extend(redshifts);
                each(Output::Predicted(predicted))?;
            }
            begun.implausible_redshifts += chunk.implausible_redshifts();
            begun.bytes += chunk.bytes;
            begun.rows.push(Predicted { catalogue: chunk.catalogue_rows(z_phot), r: chunk.r() });
        }
        // The end of the messages is the end of the data only where the reader says so: it may have failed or panicked.
        while let Some(outcome) = reading.join_next().await {
            outcome.map_err(|error| Error::internal("the reader stopped", error))??;
        }
        let settled = work.files.len() + work.unreadable.len();
        if settled != owed || current.is_some() {
            return Err(Error::fault(format!("{owed} files are owed, and {settled} came")));
        }
        if let Some(error) = first_failure.filter(|_| work.files.is_empty()) {
            return Err(error);
        }
        batches.end_batch();
        work.batches = batches.count;
        work.inference = batches.all;
        work.warm_up = batches.warm_up();
        work.all = watch.spent();
        Ok(work)
    }
}

/// Runs the engine off the async threads.
async fn predict_batch(engine: &Arc<dyn Engine>, chunk: &Arc<Chunk>, batch: Range<usize>) -> Result<Vec<f32>> {
    let (engine, chunk) = (Arc::clone(engine), Arc::clone(chunk));
    let count = batch.len();
    let z_phot = tokio::task::spawn_blocking(move || {
        let Galaxies { images, magnitudes, .. } = &chunk.galaxies;
        engine.predict(
            &images[batch.start * PIXELS..batch.end * PIXELS],
            &magnitudes[batch.start * BANDS..batch.end * BANDS],
        )
    })
    .await
    .map_err(|error| Error::internal("the engine stopped", error))?
    .map_err(|error| Error::internal("the engine failed", error))?;
    if z_phot.len() == count {
        Ok(z_phot)
    } else {
        Err(Error::fault(format!("the engine gave {} redshifts for {count} galaxies", z_phot.len())))
    }
}
