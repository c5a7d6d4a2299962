//! The loop over batches: rows stream in, batches are predicted, catalogue rows come out.
//!
//! Reading runs ahead of computing by one chunk, in a task of its own, so that there are at most three chunks in memory
//! (one computed on, one waiting, one arriving, the last as it is in the file too) whatever the size of the files.

use std::{ops::Range, sync::Arc, time::Instant};

use astromae::Engine;
use catalogue::{CatalogueRows, flags, plausible};
use galaxies::{BANDS, Dataset, Galaxies, PIXELS};
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    deadline::{Deadline, Opened, Pace},
    error::{Error, Result},
    partitions,
    plan::{PlannedFile, Slice},
    resource_usage,
    storage::{ObjectReader, ObjectStore},
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

/// What predicting some files took.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Work {
    /// What was read, in order, empty files among it.
    pub files: Vec<FileRows>,
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

impl Work {
    fn opened(&self) -> Opened {
        Opened { files: self.files.len(), rows: self.files.iter().map(|file| file.to - file.from).sum() }
    }
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

/// What the loop runs with.
pub struct BatchLoop<'a> {
    pub store: &'a Arc<dyn ObjectStore>,
    pub engine: &'a Arc<dyn Engine>,
    /// Galaxies per prediction.
    pub batch_size: u64,
    pub deadline: Option<Deadline>,
}

impl BatchLoop<'_> {
    /// Predicts the inputs in order, and hands the catalogue rows of each batch to `each`.
    ///
    /// # Errors
    /// The first failure of reading, predicting or `each`; [`Error::DeadlineExceeded`] in time to be reported.
    pub async fn run(&self, inputs: Vec<Input>, mut each: impl FnMut(CatalogueRows) -> Result<()>) -> Result<Work> {
        let started = Instant::now();
        let cpu_before = resource_usage::cpu_seconds();
        let planned_rows = inputs.iter().map(Input::planned_rows).sum();
        let mut pace = Pace::new(self.deadline, inputs.len(), planned_rows);
        let (sender, mut messages) = mpsc::channel(1);
        // The task is aborted when the set is dropped: nothing reads on once this function has returned.
        let mut reading = JoinSet::new();
        reading.spawn(read_ahead(Arc::clone(self.store), inputs, self.batch_size, sender));

        let mut work = Work::default();
        loop {
            let waited = Instant::now();
            let message = match self.deadline {
                Some(deadline) => tokio::time::timeout_at(deadline.to_stop_waiting().into(), messages.recv())
                    .await
                    .map_err(|_| pace.too_late(work.rows, &work.opened()))?,
                None => messages.recv().await,
            };
            work.waiting_seconds += waited.elapsed().as_secs_f64();
            let chunk = match message {
                Some(Message::File(file)) => {
                    work.files.push(file);
                    continue;
                }
                Some(Message::Chunk(chunk)) => Arc::new(chunk),
                None => break,
            };
            let count = chunk.flags.len();
            let step = usize::try_from(self.batch_size).unwrap_or(count.max(1));
            for from in (0..count).step_by(step) {
                pace.check_deadline(work.rows, &work.opened())?;
                let batch = from..count.min(from + step);
                let asked = Instant::now();
                let z_phot = predict_batch(self.engine, &chunk, batch.clone()).await?;
                let took = asked.elapsed();
                pace.batch_took(took);
                work.inference_seconds += took.as_secs_f64();
                work.batches += 1;
                work.implausible_redshifts += chunk.implausible_redshifts(batch.clone());
                let rows = chunk.catalogue_rows(batch, z_phot);
                work.rows += rows.len() as u64;
                work.flagged += rows.flagged();
                each(rows)?;
            }
            work.bytes += chunk.bytes;
        }
        // The end of the messages is the end of the data only where the reader says so: it may have failed or panicked.
        while let Some(outcome) = reading.join_next().await {
            outcome.map_err(|error| Error::internal("the reader stopped", error))??;
        }
        work.wall_seconds = started.elapsed().as_secs_f64();
        work.cpu_seconds = resource_usage::cpu_seconds() - cpu_before;
        Ok(work)
    }
}

/// What the reading task sends.
enum Message {
    /// A file was opened, and these of its rows follow.
    File(FileRows),
    Chunk(Chunk),
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

/// Sends all rows of the inputs, until they end or nobody listens any more.
async fn read_ahead(
    store: Arc<dyn ObjectStore>,
    inputs: Vec<Input>,
    batch_size: u64,
    sender: mpsc::Sender<Message>,
) -> Result<()> {
    for Input { file, rows, opened } in inputs {
        let dataset = match opened {
            Some(dataset) => dataset,
            None => partitions::open(&store, &file).await?,
        };
        let rows = rows.unwrap_or(0..dataset.rows());
        let key = file.object.key;
        let opened = FileRows { key: key.clone(), from: rows.start, to: rows.end };
        if sender.send(Message::File(opened)).await.is_err() {
            return Ok(());
        }
        let batches = (CHUNK_BYTES / (batch_size * dataset.bytes_per_row()).max(1)).max(1);
        let step = batches * batch_size;
        let mut from = rows.start;
        while from < rows.end {
            let to = rows.end.min(from + step);
            let mut galaxies = dataset.read(from..to).await?;
            let flags = blank_flagged(&mut galaxies);
            let bytes = (to - from) * dataset.bytes_per_row();
            let chunk = Chunk { file: key.clone(), first_row: from, galaxies, flags, bytes };
            if sender.send(Message::Chunk(chunk)).await.is_err() {
                return Ok(());
            }
            from = to;
        }
    }
    Ok(())
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
