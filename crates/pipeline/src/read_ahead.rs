//! Reading ahead of the loop over batches: rows of files become chunks, in a task of its own.

use std::{ops::Range, sync::Arc};

use catalogue::{CatalogueRows, OwnColumn, flags, plausible};
use galaxies::{BANDS, Dataset, Galaxies, PIXELS};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::{
    error::{Error, Result},
    own_columns, partitions,
    plan::{PlannedFile, Slice},
    storage::{ObjectReader, ObjectStore, explain},
};

/// Bytes that are fetched at a time where batches are smaller: below this, a request's latency costs more than its
/// transfer.
const CHUNK_BYTES: u64 = 8 << 20;

/// Rows that are fetched at a time at most where batches are larger: 10 MB of images in f32, which are enough work for
/// the threads of an engine that none of them waits for long at the end of a part.
const LARGEST_PART: u64 = 512;

/// Rows that are fetched at a time: several batches where they are small, and a part of one where they are large.
pub fn rows_per_read(batch_size: u64, bytes_per_row: u64) -> u64 {
    let batch_size = batch_size.max(1);
    if batch_size > LARGEST_PART {
        return batch_size.div_ceil(batch_size.div_ceil(LARGEST_PART));
    }
    let batches = CHUNK_BYTES / (batch_size * bytes_per_row).max(1);
    batches.max(1) * batch_size
}

/// What the reading task sends beside chunks and the loop has not taken yet, at most. At the end of a file there are an
/// end and a beginning, and both must fit in front of the next file's first chunk: otherwise that is not asked for
/// before the last chunk was predicted, which costs two requests' time for each file.
const MESSAGES: usize = 4;

/// The way from the reading task to the loop over batches, on which one chunk waits at most.
pub(crate) fn messages() -> (Sender, mpsc::Receiver<Message>) {
    let (messages, receiver) = mpsc::channel(MESSAGES);
    (Sender { messages, room: Arc::new(Semaphore::new(1)) }, receiver)
}

/// The reading task's end of [`messages`].
pub(crate) struct Sender {
    messages: mpsc::Sender<Message>,
    /// For the chunk that waits.
    room: Arc<Semaphore>,
}

/// Nobody listens any more.
struct Unheard;

impl Sender {
    async fn send(&self, message: Message) -> Result<(), Unheard> {
        self.messages.send(message).await.map_err(|_| Unheard)
    }

    async fn send_chunk(&self, chunk: Chunk) -> Result<(), Unheard> {
        let room = Arc::clone(&self.room).acquire_owned();
        // The room is given up by a loop that ended, too.
        let room = tokio::select! {
            room = room => room.map_err(|_| Unheard)?,
            () = self.messages.closed() => return Err(Unheard),
        };
        self.send(Message::Chunk(Sent { chunk, room })).await
    }
}

/// Reads of a file before it is believed that its bytes are not those that were written.
const READS: usize = 3;

/// The rows of a file that were predicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRows {
    pub key: String,
    pub from: u64,
    /// One past the last row.
    pub to: u64,
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
    pub(crate) fn planned_rows(&self) -> Option<u64> {
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

/// What the reading task sends.
pub(crate) enum Message {
    /// A file was opened, and these of its rows follow. Where the same file has begun already, its rows come anew.
    Begin(FileRows),
    Chunk(Sent),
    /// The file that has begun is whole.
    End,
    /// The next file, or the one that has begun, cannot be read.
    Unreadable(String, Error),
}

/// A chunk on its way, with the room that it takes there.
pub(crate) struct Sent {
    pub(crate) chunk: Chunk,
    pub(crate) room: OwnedSemaphorePermit,
}

/// Consecutive rows of one file. Rows with flags are blank.
pub(crate) struct Chunk {
    pub(crate) file: String,
    pub(crate) first_row: u64,
    pub(crate) galaxies: Galaxies,
    pub(crate) columns: Vec<OwnColumn>,
    pub(crate) flags: Vec<u8>,
    pub(crate) bytes: u64,
}

impl Chunk {
    /// The catalogue's rows, from the engine's answers.
    pub(crate) fn catalogue_rows(&self, z_phot: Vec<f32>) -> CatalogueRows {
        let flags = self.flags.iter().zip(&z_phot);
        let flags: Vec<u8> = flags.map(|(input, z)| flags::of_prediction(*input, *z)).collect();
        let z_spec = match &self.galaxies.redshifts {
            Some(redshifts) => redshifts.iter().map(|z| plausible::is_redshift(*z).then_some(*z)).collect(),
            None => vec![None; flags.len()],
        };
        let z_phot = z_phot.into_iter().zip(&flags).map(|(z, flags)| (*flags == 0).then_some(z)).collect();
        let (source_file, columns) = (self.file.clone(), self.columns.clone());
        CatalogueRows { source_file, first_row: self.first_row, columns, z_spec, z_phot, quantiles: None, flags }
    }

    /// The magnitudes in the band r, which are 0 where a row is blank.
    pub(crate) fn r(&self) -> Vec<f32> {
        self.galaxies.magnitudes.chunks_exact(BANDS).map(|magnitudes| magnitudes[R_BAND]).collect()
    }

    /// Rows whose redshift is finite and cannot be one. NaN and infinity say that none is known.
    pub(crate) fn implausible_redshifts(&self) -> u64 {
        let redshifts = self.galaxies.redshifts.iter().flatten();
        redshifts.filter(|z| z.is_finite() && !plausible::is_redshift(**z)).count() as u64
    }
}

/// The place of the band r among a galaxy's magnitudes.
const R_BAND: usize = 2;

/// The task that reads ahead.
pub(crate) struct Reader {
    store: Arc<dyn ObjectStore>,
    batch_size: u64,
    on_storage_failure: OnStorageFailure,
    sender: Sender,
    /// What a file holds and nobody reads is said once, and not of each file.
    said_unused: bool,
}

impl Reader {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        batch_size: u64,
        on_storage_failure: OnStorageFailure,
        sender: Sender,
    ) -> Self {
        Self { store, batch_size, on_storage_failure, sender, said_unused: false }
    }

    /// Sends all rows of the inputs, until they end or nobody listens any more.
    pub(crate) async fn run(mut self, inputs: Vec<Input>) -> Result<()> {
        for Input { file, rows, opened } in inputs {
            let mut begun = false;
            let mut outcome = self.send_file(&file, rows.as_ref(), opened, &mut begun).await;
            // What arrived may not be what is stored: the file is read again before that is believed of it, as opening
            // it does by itself.
            for _ in 1..READS {
                let Err(Error::BadPartition(reason)) = &outcome else { break };
                if !begun {
                    break;
                }
                tracing::warn!(key = file.object.key, reason = explain(&**reason), "read again");
                outcome = self.send_file(&file, rows.as_ref(), None, &mut begun).await;
            }
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
            tracing::warn!(key, unused, "files hold what can be no column of the catalogue, which will not have it");
        }
        let begin = Message::Begin(FileRows { key: key.clone(), from: rows.start, to: rows.end });
        if self.sender.send(begin).await.is_err() {
            return Ok(());
        }
        // At once, since they are small: so a file takes one request for each column and not one for each chunk of it.
        let values = dataset.read_columns(rows.clone()).await?;
        let columns = own_columns::catalogue_columns(dataset.columns(), values)?;
        let step = rows_per_read(self.batch_size, dataset.bytes_per_row());
        let mut from = rows.start;
        while from < rows.end {
            let mut to = rows.end.min(from + step);
            if step < self.batch_size {
                // Only the last part of a batch is smaller than the others.
                let batch_end = from + self.batch_size - (from - rows.start) % self.batch_size;
                to = to.min(batch_end);
            }
            let mut galaxies = dataset.read(from..to).await?;
            let flags = blank_flagged(&mut galaxies);
            let chunk_of = |column: &OwnColumn| column.slice((from - rows.start) as usize, (to - from) as usize);
            let columns = columns.iter().map(chunk_of).collect();
            let bytes = (to - from) * dataset.bytes_per_row();
            let chunk = Chunk { file: key.clone(), first_row: from, galaxies, columns, flags, bytes };
            if self.sender.send_chunk(chunk).await.is_err() {
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
