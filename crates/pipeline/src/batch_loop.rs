//! The loop over batches: rows stream in, batches are predicted, catalogue rows come out.
//!
//! Reading runs ahead of computing by one chunk, in a task of its own, so that there are at most three chunks in memory
//! (one computed on, one waiting, one arriving, the last as it is in the file too) whatever the size of the files.
//!
//! The loop is where completeness is proved, for ranks and local runs alike: each input is either handed on, with
//! exactly the rows it owes, or named as unreadable. The rows of a file are handed on once all of it was read, because
//! only then its checksum is known; until then they wait, as some twenty bytes a galaxy.

use std::{ops::Range, sync::Arc, time::Instant};

use astromae::Engine;
use catalogue::{CatalogueRows, flags, plausible};
use galaxies::{BANDS, Dataset, Galaxies, PIXELS};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    deadline::{Deadline, Pace},
    error::{Error, Result},
    partitions,
    plan::{PlannedFile, Slice},
    resource_usage,
    storage::{ObjectReader, ObjectStore, explain},
};

/// Bytes that are fetched at a time where batches are smaller: below this, a request's latency costs more than its
/// transfer.
const CHUNK_BYTES: u64 = 8 << 20;

/// The rows of a file that were predicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRows {
    pub key: String,
    pub from: u64,
    /// One past the last row.
    pub to: u64,
}

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
    /// Number of calls of the engine.
    pub batches: u64,
    /// Bytes of the rows, as they are in the files.
    pub bytes: u64,
    /// Wall seconds of the whole loop.
    pub wall_seconds: f64,
    /// Wall seconds in the engine.
    pub inference_seconds: f64,
    /// Wall seconds in which the engine waited for rows.
    pub waiting_seconds: f64,
    /// CPU seconds that all threads of the process used meanwhile.
    pub cpu_seconds: f64,
}

/// A file, or a part of one, that is to be predicted.
pub struct Input {
    pub file: PlannedFile,
    /// The rows; `None` is all of them, however many there are.
    pub rows: Option<Range<u64>>,
    /// The file, where it was opened already: no file is opened twice.
    pub opened: Option<Dataset<ObjectReader>>,
}

impl Input {
    /// A file that is opened when its turn comes.
    pub fn planned(slice: &Slice<'_>) -> Self {
        Self { file: slice.file.clone(), rows: slice.rows.clone(), opened: None }
    }

    /// The number of rows, where it is known before the file is opened.
    fn planned_rows(&self) -> Option<u64> {
        self.rows.as_ref().map(|rows| rows.end - rows.start).or(self.file.rows)
    }
}

/// What becomes of a file that storage does not deliver, after all attempts of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStorageFailure {
    /// The loop fails, because somebody will run it again.
    Fail,
    /// The file is named as unreadable.
    LeaveOut,
}

/// What the loop runs with.
pub struct BatchLoop<'a> {
    pub store: &'a Arc<dyn ObjectStore>,
    pub engine: &'a Arc<dyn Engine>,
    /// Galaxies per prediction.
    pub batch_size: u64,
    pub deadline: Option<Deadline>,
    pub on_storage_failure: OnStorageFailure,
}

/// What the loop tells while it runs.
pub enum Output {
    /// So many rows were predicted so far.
    Predicted(u64),
    /// Rows for the catalogue, in the order of the inputs.
    Rows(CatalogueRows),
}

/// The file that is being predicted.
struct Current {
    file: FileRows,
    /// The row that must come next.
    next: u64,
    rows: CatalogueRows,
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
        let started = Instant::now();
        let cpu_before = resource_usage::cpu_seconds();
        let owed = inputs.len();
        let planned_rows = inputs.iter().map(Input::planned_rows).sum();
        let mut pace = Pace::new(self.deadline, owed, planned_rows);
        let (sender, mut messages) = mpsc::channel(1);
        // The task is aborted when the set is dropped: nothing reads on once this function has returned.
        let mut reading = JoinSet::new();
        let reader = Reader {
            store: Arc::clone(self.store),
            batch_size: self.batch_size,
            on_storage_failure: self.on_storage_failure,
            sender,
            said_unused: false,
        };
        reading.spawn(reader.run(inputs));

        let mut work = Work::default();
        let mut current: Option<Current> = None;
        let mut predicted = 0;
        let mut first_failure = None;
        loop {
            let waited = Instant::now();
            let message = match self.deadline {
                Some(deadline) => tokio::time::timeout_at(deadline.to_stop_waiting().into(), messages.recv())
                    .await
                    .map_err(|_| pace.ran_out_waiting(waited.elapsed(), predicted))?,
                None => messages.recv().await,
            };
            work.waiting_seconds += waited.elapsed().as_secs_f64();
            let chunk = match message {
                Some(Message::Begin(file)) => {
                    if let Some(begun) = current.take() {
                        // The file is read once more from its beginning.
                        predicted -= begun.next - begun.file.from;
                    } else {
                        pace.opened(file.to - file.from);
                    }
                    let rows =
                        CatalogueRows { source_file: file.key.clone(), first_row: file.from, ..Default::default() };
                    current = Some(Current { next: file.from, file, rows, implausible_redshifts: 0, bytes: 0 });
                    continue;
                }
                Some(Message::End) => {
                    let Current { file, next, rows, implausible_redshifts, bytes } =
                        current.take().ok_or_else(|| Error::fault("a file ended that had not begun"))?;
                    if next != file.to {
                        let FileRows { key, from, to } = &file;
                        return Err(Error::fault(format!("rows {from}..{to} of {key} are owed, and end at {next}")));
                    }
                    work.rows += rows.len() as u64;
                    work.flagged += rows.flagged();
                    each(Output::Rows(rows))?;
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
                Some(Message::Chunk(chunk)) => Arc::new(chunk),
                None => break,
            };
            let count = chunk.flags.len();
            let begun = current
                .as_mut()
                .filter(|begun| begun.file.key == chunk.file && begun.next == chunk.first_row)
                .ok_or_else(|| Error::fault(format!("row {} of {} is out of order", chunk.first_row, chunk.file)))?;
            let step = usize::try_from(self.batch_size).unwrap_or(count).max(1);
            for from in (0..count).step_by(step) {
                pace.check_deadline(predicted)?;
                let batch = from..count.min(from + step);
                let asked = Instant::now();
                let z_phot = predict_batch(self.engine, &chunk, batch.clone()).await?;
                let took = asked.elapsed();
                pace.batch_took(took);
                work.inference_seconds += took.as_secs_f64();
                work.batches += 1;
                begun.implausible_redshifts += chunk.implausible_redshifts(batch.clone());
                let rows = chunk.catalogue_rows(batch, z_phot);
                begun.next += rows.len() as u64;
                predicted += rows.len() as u64;
                begun.rows.append(rows);
                each(Output::Predicted(predicted))?;
            }
            begun.bytes += chunk.bytes;
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
        work.wall_seconds = started.elapsed().as_secs_f64();
        work.cpu_seconds = resource_usage::cpu_seconds() - cpu_before;
        Ok(work)
    }
}

/// What the reading task sends.
enum Message {
    /// A file was opened, and these of its rows follow. Where the same file has begun already, its rows come anew.
    Begin(FileRows),
    Chunk(Chunk),
    /// The file that has begun is whole.
    End,
    /// The next file, or the one that has begun, cannot be read.
    Unreadable(String, Error),
}

/// Consecutive rows of one file. Rows with flags are blank.
struct Chunk {
    file: String,
    first_row: u64,
    galaxies: Galaxies,
    flags: Vec<u8>,
    bytes: u64,
}

impl Chunk {
    /// The catalogue's rows of a batch, from the engine's answer.
    fn catalogue_rows(&self, batch: Range<usize>, z_phot: Vec<f32>) -> CatalogueRows {
        let first_row = self.first_row + batch.start as u64;
        let input_flags = self.flags[batch.clone()].iter();
        let flags: Vec<u8> = input_flags.zip(&z_phot).map(|(input, z)| flags::of_prediction(*input, *z)).collect();
        let z_spec = match &self.galaxies.redshifts {
            Some(redshifts) => redshifts[batch].iter().map(|z| plausible::is_redshift(*z).then_some(*z)).collect(),
            None => vec![None; flags.len()],
        };
        let z_phot = z_phot.into_iter().zip(&flags).map(|(z, flags)| (*flags == 0).then_some(z)).collect();
        CatalogueRows { source_file: self.file.clone(), first_row, z_spec, z_phot, flags }
    }

    /// Rows of a batch whose redshift is finite and cannot be one. NaN and infinity say that none is known.
    fn implausible_redshifts(&self, batch: Range<usize>) -> u64 {
        let redshifts = self.galaxies.redshifts.as_ref().map_or(&[][..], |redshifts| &redshifts[batch]);
        redshifts.iter().filter(|z| z.is_finite() && !plausible::is_redshift(**z)).count() as u64
    }
}

/// The task that reads ahead.
struct Reader {
    store: Arc<dyn ObjectStore>,
    batch_size: u64,
    on_storage_failure: OnStorageFailure,
    sender: mpsc::Sender<Message>,
    /// What a file holds and nobody reads is said once, and not of each file.
    said_unused: bool,
}

impl Reader {
    /// Sends all rows of the inputs, until they end or nobody listens any more.
    async fn run(mut self, inputs: Vec<Input>) -> Result<()> {
        for Input { file, rows, opened } in inputs {
            let mut begun = false;
            let outcome = match self.send_file(&file, rows.as_ref(), opened, &mut begun).await {
                // What arrived may not be what is stored: the file is read once more before that is believed of it, as
                // opening it does by itself.
                Err(Error::BadPartition(reason)) if begun => {
                    tracing::warn!(key = file.object.key, reason = explain(&*reason), "read once more");
                    self.send_file(&file, rows.as_ref(), None, &mut begun).await
                }
                first => first,
            };
            let message = match outcome {
                Ok(()) => Message::End,
                Err(error) if error.is_permanent() || self.on_storage_failure == OnStorageFailure::LeaveOut => {
                    Message::Unreadable(file.object.key, error)
                }
                Err(error) => return Err(error),
            };
            if self.sender.send(message).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends the rows of one file. `begun` becomes true once it was opened.
    async fn send_file(
        &mut self,
        file: &PlannedFile,
        rows: Option<&Range<u64>>,
        opened: Option<Dataset<ObjectReader>>,
        begun: &mut bool,
    ) -> Result<()> {
        let dataset = match opened {
            Some(dataset) => dataset,
            None => partitions::open(&self.store, file).await?,
        };
        *begun = true;
        let rows = rows.cloned().unwrap_or(0..dataset.rows());
        let key = &file.object.key;
        if !dataset.unused().is_empty() && !self.said_unused {
            self.said_unused = true;
            let unused = dataset.unused().join(", ");
            tracing::warn!(key, unused, "files hold more than is read, which the catalogue will not have");
        }
        let begin = Message::Begin(FileRows { key: key.clone(), from: rows.start, to: rows.end });
        if self.sender.send(begin).await.is_err() {
            return Ok(());
        }
        let batches = (CHUNK_BYTES / (self.batch_size * dataset.bytes_per_row()).max(1)).max(1);
        let step = batches * self.batch_size;
        let mut from = rows.start;
        while from < rows.end {
            let to = rows.end.min(from + step);
            let mut galaxies = dataset.read(from..to).await?;
            let flags = blank_flagged(&mut galaxies);
            let bytes = (to - from) * dataset.bytes_per_row();
            let chunk = Chunk { file: key.clone(), first_row: from, galaxies, flags, bytes };
            if self.sender.send(Message::Chunk(chunk)).await.is_err() {
                return Ok(());
            }
            from = to;
        }
        Ok(())
    }
}

/// The flags of the galaxies' input. Values of flagged ones become zero, so that nothing spreads from them in a batch.
fn blank_flagged(galaxies: &mut Galaxies) -> Vec<u8> {
    let images = galaxies.images.chunks_exact_mut(PIXELS);
    let magnitudes = galaxies.magnitudes.chunks_exact_mut(BANDS);
    images
        .zip(magnitudes)
        .map(|(image, magnitudes)| {
            let flags = flags::of_input(image, magnitudes);
            if flags != 0 {
                image.fill(0.0);
                magnitudes.fill(0.0);
            }
            flags
        })
        .collect()
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
