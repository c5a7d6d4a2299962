//! The loop at the heart of it: rows stream in, batches are predicted, catalogue rows come out.
//!
//! Reading runs ahead of computing by one chunk, in a task of its own, so a rank holds at most three chunks (one
//! computed on, one waiting, one arriving) whatever the size of its partition.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use astromae::Engine;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use torch_file::Dataset;

use crate::{
    Error, Result,
    catalogue::{Rows, flags},
    plan::{PlannedFile, Slice},
    store::{ObjectReader, ObjectStore},
    usage,
};

/// Bytes fetched at a time where batches are smaller: below this, a request's latency costs more than its transfer.
const CHUNK_BYTES: u64 = 8 << 20;

/// Kept free before a deadline to write the part and the mark.
const WRITE_RESERVE: Duration = Duration::from_secs(3);

/// When a rank must be done.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// The end of the function's time.
    pub at: Instant,
    /// Memory of the function in MB, to say what could be raised.
    pub memory_mb: u64,
}

/// Rows of one file that were predicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRows {
    /// The file's key.
    pub key: String,
    /// First row.
    pub from: u64,
    /// One past the last row.
    pub to: u64,
}

/// What predicting a share took.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Work {
    /// What was read, in order; empty files too.
    pub files: Vec<FileRows>,
    /// Rows predicted or flagged.
    pub rows: u64,
    /// Rows without a redshift.
    pub flagged: u64,
    /// Calls of the engine.
    pub batches: u64,
    /// Bytes of the rows read.
    pub bytes: u64,
    /// Wall seconds of the whole loop.
    pub wall_seconds: f64,
    /// Wall seconds in the engine.
    pub inference_seconds: f64,
    /// Wall seconds in which the engine waited for rows.
    pub waiting_seconds: f64,
    /// CPU seconds of the process meanwhile, all threads.
    pub cpu_seconds: f64,
}

/// Opens one planned file, and holds it to what was planned.
pub async fn open(store: &Arc<dyn ObjectStore>, file: &PlannedFile) -> Result<Dataset> {
    let location = store.location(&file.object.key);
    let reader = ObjectReader::new(Arc::clone(store), file.object.clone());
    let dataset = Dataset::open(Arc::new(reader)).await.map_err(|error| Error::from_torch(&location, error))?;
    match file.rows {
        Some(planned) if planned != dataset.rows() => {
            Err(Error::bad_partition(location, format!("{} rows were planned, {} are there", planned, dataset.rows())))
        }
        _ => Ok(dataset),
    }
}

/// Predicts `share` in order, handing each batch's catalogue rows to `each`.
///
/// # Errors
/// The first failure of reading, predicting or `each`; [`Error::DeadlineExceeded`] in time to be reported.
pub async fn predict(
    store: &Arc<dyn ObjectStore>,
    share: &[Slice<'_>],
    engine: &Arc<dyn Engine>,
    batch_size: u64,
    deadline: Option<Deadline>,
    mut each: impl FnMut(Rows) -> Result<()>,
) -> Result<Work> {
    let started = Instant::now();
    let cpu_before = usage::cpu_seconds();
    let (sender, mut chunks) = mpsc::channel(1);
    let owned = share.iter().map(|slice| (slice.file.clone(), slice.rows.clone())).collect();
    let reading = tokio::spawn(read_ahead(Arc::clone(store), owned, batch_size, sender));
    // Nothing reads on once this function has returned, however it returned.
    let _stop_reading = AbortOnDrop(reading.abort_handle());

    let mut work = Work::default();
    let mut pace = Pace { deadline, share, started, slowest: Duration::ZERO };
    loop {
        let waited = Instant::now();
        let message = match deadline {
            Some(deadline) => {
                let latest = deadline.at.checked_sub(WRITE_RESERVE).unwrap_or(deadline.at);
                tokio::time::timeout_at(latest.into(), chunks.recv()).await.map_err(|_| pace.too_late(&work))?
            }
            None => chunks.recv().await,
        };
        work.waiting_seconds += waited.elapsed().as_secs_f64();
        let chunk = match message {
            Some(Ok(Message::File(file))) => {
                work.files.push(file);
                continue;
            }
            Some(Ok(Message::Chunk(chunk))) => chunk,
            Some(Err(error)) => return Err(error),
            None => break,
        };
        let chunk = Arc::new(chunk);
        let count = chunk.flags.len();
        let step = usize::try_from(batch_size).unwrap_or(count.max(1));
        for from in (0..count).step_by(step) {
            pace.check(&work)?;
            let batch = from..count.min(from + step);
            let asked = Instant::now();
            let z_phot = run_engine(engine, &chunk, batch.clone()).await?;
            let took = asked.elapsed();
            pace.slowest = pace.slowest.max(took);
            work.inference_seconds += took.as_secs_f64();
            work.batches += 1;
            let rows = chunk.catalogue_rows(batch, z_phot);
            work.rows += rows.len() as u64;
            work.flagged += rows.flagged();
            each(rows)?;
        }
        work.bytes += chunk.bytes;
    }
    work.wall_seconds = started.elapsed().as_secs_f64();
    work.cpu_seconds = usage::cpu_seconds() - cpu_before;
    Ok(work)
}

/// What the reading task sends.
enum Message {
    /// A file was opened, and these of its rows follow.
    File(FileRows),
    /// Some of them.
    Chunk(Chunk),
}

/// Consecutive rows of one file, their bad inputs blanked.
struct Chunk {
    file: String,
    first_row: u64,
    rows: torch_file::Rows,
    flags: Vec<u8>,
    bytes: u64,
}

impl Chunk {
    /// The catalogue's rows of one batch, from the engine's answer.
    fn catalogue_rows(&self, batch: Range<usize>, z_phot: Vec<f32>) -> Rows {
        let first_row = self.first_row + batch.start as u64;
        let flags: Vec<u8> = self.flags[batch.clone()]
            .iter()
            .zip(&z_phot)
            .map(|(flags, z)| if *flags == 0 && !z.is_finite() { flags::BAD_PREDICTION } else { *flags })
            .collect();
        let z_spec = match &self.rows.redshifts {
            Some(redshifts) => redshifts[batch].iter().map(|z| Some(*z).filter(|z| z.is_finite())).collect(),
            None => vec![None; flags.len()],
        };
        let z_phot = z_phot.into_iter().zip(&flags).map(|(z, flags)| (*flags == 0).then_some(z)).collect();
        Rows { source_file: self.file.clone(), first_row, z_spec, z_phot, flags }
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read_ahead(
    store: Arc<dyn ObjectStore>,
    share: Vec<(PlannedFile, Option<Range<u64>>)>,
    batch_size: u64,
    sender: mpsc::Sender<Result<Message>>,
) {
    let read = async {
        for (file, rows) in share {
            let dataset = open(&store, &file).await?;
            let rows = rows.unwrap_or(0..dataset.rows());
            let key = file.object.key;
            let opened = FileRows { key: key.clone(), from: rows.start, to: rows.end };
            if sender.send(Ok(Message::File(opened))).await.is_err() {
                return Ok(());
            }
            let batches = (CHUNK_BYTES / (batch_size * dataset.bytes_per_row()).max(1)).max(1);
            let step = batches * batch_size;
            let mut from = rows.start;
            while from < rows.end {
                let to = rows.end.min(from + step);
                let mut rows =
                    dataset.read(from..to).await.map_err(|error| Error::from_torch(&store.location(&key), error))?;
                let flags = blank_bad_rows(&mut rows);
                let bytes = (to - from) * dataset.bytes_per_row();
                let chunk = Chunk { file: key.clone(), first_row: from, rows, flags, bytes };
                if sender.send(Ok(Message::Chunk(chunk))).await.is_err() {
                    return Ok(());
                }
                from = to;
            }
        }
        Ok(())
    };
    if let Err(error) = read.await {
        // Nobody listens any more only where the other side has failed already.
        let _ = sender.send(Err(error)).await;
    }
}

/// Flags rows with NaN or infinite input, and sets their values to zero so that nothing spreads from them.
fn blank_bad_rows(rows: &mut torch_file::Rows) -> Vec<u8> {
    let count = rows.len().max(1);
    let (pixels, bands) = (rows.images.len() / count, rows.magnitudes.len() / count);
    let images = rows.images.chunks_exact_mut(pixels.max(1));
    let magnitudes = rows.magnitudes.chunks_exact_mut(bands.max(1));
    images
        .zip(magnitudes)
        .map(|(image, magnitudes)| {
            if image.iter().chain(magnitudes.iter()).all(|value| value.is_finite()) {
                return 0;
            }
            image.fill(0.0);
            magnitudes.fill(0.0);
            flags::BAD_INPUT
        })
        .collect()
}

/// Runs the engine off the async threads.
async fn run_engine(engine: &Arc<dyn Engine>, chunk: &Arc<Chunk>, batch: Range<usize>) -> Result<Vec<f32>> {
    let (engine, chunk) = (Arc::clone(engine), Arc::clone(chunk));
    let count = batch.len();
    let z_phot = tokio::task::spawn_blocking(move || {
        let (rows, all) = (&chunk.rows, chunk.flags.len());
        let (pixels, bands) = (rows.images.len() / all, rows.magnitudes.len() / all);
        engine.predict(
            &rows.images[batch.start * pixels..batch.end * pixels],
            &rows.magnitudes[batch.start * bands..batch.end * bands],
        )
    })
    .await
    .map_err(|error| Error::Internal(format!("the engine stopped: {error}")))?
    .map_err(|error| Error::Internal(format!("the engine failed: {error}")))?;
    if z_phot.len() == count {
        Ok(z_phot)
    } else {
        Err(Error::Internal(format!("the engine gave {} redshifts for {count} galaxies", z_phot.len())))
    }
}

/// Whether the share will be done in time.
struct Pace<'a> {
    deadline: Option<Deadline>,
    share: &'a [Slice<'a>],
    started: Instant,
    slowest: Duration,
}

impl Pace<'_> {
    /// Refuses to start a batch that might not end before the deadline.
    fn check(&self, work: &Work) -> Result<()> {
        match self.deadline {
            Some(deadline) if Instant::now() + self.slowest + WRITE_RESERVE > deadline.at => Err(self.too_late(work)),
            _ => Ok(()),
        }
    }

    fn too_late(&self, work: &Work) -> Error {
        let planned: Option<u64> = self
            .share
            .iter()
            .map(|slice| slice.rows.as_ref().map(|rows| rows.end - rows.start).or(slice.file.rows))
            .sum();
        let opened: u64 = work.files.iter().map(|file| file.to - file.from).sum();
        let of = match planned {
            Some(rows) => format!("{rows}"),
            None if work.files.len() == self.share.len() => format!("{opened}"),
            None => format!("more than {opened}"),
        };
        let seconds = self.started.elapsed().as_secs_f64();
        let memory = self.deadline.map_or(0, |deadline| deadline.memory_mb);
        Error::DeadlineExceeded(format!(
            "stopped before the function's timeout with {} of {of} rows done in {seconds:.0} s ({:.0} galaxies/s with \
             {memory} MB): give the function more memory (InferenceMemory; CPU grows with it) or time \
             (InferenceTimeout), or make the shares smaller with a larger `world_size`",
            work.rows,
            work.rows as f64 / seconds.max(1e-3),
        ))
    }
}
