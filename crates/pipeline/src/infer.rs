//! The same inference on one machine: files in a folder or bucket in, the same results out, no AWS needed.

use std::{path::Path, sync::Arc, time::Instant};

use astromae::Engine;
use futures::{StreamExt, stream};

use crate::{
    Error, Result,
    catalogue::{CatalogueWriter, Provenance},
    plan::{PlannedFile, Slice},
    predict::{open, predict},
    results::{Counts, Missing, Results, Throughput, Timings},
    store::ObjectStore,
    summarize::{Compared, picture},
};

/// Headers read at once.
const CONCURRENT_READS: usize = 8;

/// What local inference is made with.
pub struct Inference<'a> {
    /// Where the data files lie.
    pub store: &'a Arc<dyn ObjectStore>,
    /// The engine.
    pub engine: &'a Arc<dyn Engine>,
    /// Name of the model's file.
    pub model: &'a str,
    /// SHA-256 of the model's file.
    pub model_sha256: &'a str,
    /// Wall seconds it took to load model and engine.
    pub model_seconds: f64,
    /// Galaxies per prediction.
    pub batch_size: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Rows done.
    pub rows: u64,
    /// Rows in all readable files.
    pub of: u64,
}

impl Inference<'_> {
    /// Predicts `files` in order and writes predictions.parquet, inference.png and Results.json into `out`.
    ///
    /// A file that cannot be opened is left out and named in [`Results::missing`]; nothing else is.
    ///
    /// # Errors
    /// Where no file can be opened, the reason of the first; else whatever stops reading, predicting or writing.
    pub async fn run(
        &self,
        files: Vec<PlannedFile>,
        out: &Path,
        mut progress: impl FnMut(Progress),
    ) -> Result<Results> {
        let started = Instant::now();
        let planned = files.len() as u64;
        let (files, missing) = self.open_all(files).await?;
        let of = files.iter().filter_map(|file| file.rows).sum();
        progress(Progress { rows: 0, of });

        let writing = |name: &str| {
            let path = out.join(name);
            move |error: std::io::Error| Error::StoreUnavailable {
                action: "write",
                location: path.display().to_string(),
                reason: error.to_string(),
            }
        };
        std::fs::create_dir_all(out).map_err(writing(""))?;
        // Results.json is the mark that the rest is whole: an old one must not vouch for new files.
        remove_if_present(&out.join("Results.json")).map_err(writing("Results.json"))?;
        let path = out.join("predictions.parquet");
        let encode =
            |error: parquet::errors::ParquetError| writing("predictions.parquet")(std::io::Error::other(error));
        let sink = std::fs::File::create(&path).map_err(writing("predictions.parquet"))?;
        let mut catalogue = CatalogueWriter::new(std::io::BufWriter::new(sink)).map_err(encode)?;

        let share: Vec<_> = files.iter().map(|file| Slice { file, rows: file.rows.map(|rows| 0..rows) }).collect();
        let mut counts = Counts { files: planned, ranks: 1, ..Counts::default() };
        let mut compared = Compared::default();
        let work = predict(self.store, &share, self.engine, self.batch_size, None, |rows| {
            catalogue.write(&rows).map_err(encode)?;
            compared.add(&rows);
            counts.rows += rows.len() as u64;
            counts.flagged += rows.flagged();
            progress(Progress { rows: counts.rows, of });
            Ok(())
        })
        .await?;
        let made_by = Provenance {
            fingerprint: None,
            model: self.model.to_owned(),
            model_sha256: self.model_sha256.to_owned(),
            engine: self.engine.description(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        catalogue.finish(&made_by).map_err(encode)?;
        counts.predicted = counts.rows - counts.flagged;
        counts.compared = compared.len();

        let metrics = compared.metrics();
        let title = format!("{} · {}", self.model, self.engine.name());
        let picture = picture(&compared, metrics.as_ref(), &title)?;
        std::fs::write(out.join("inference.png"), picture).map_err(writing("inference.png"))?;

        let wall_seconds = self.model_seconds + started.elapsed().as_secs_f64();
        let results = Results {
            metrics,
            counts,
            complete: missing.is_empty(),
            missing,
            timings: Timings {
                wall_seconds,
                slowest_rank_seconds: wall_seconds,
                rank_seconds: wall_seconds,
                inference_seconds: work.inference_seconds,
                waiting_seconds: work.waiting_seconds,
                model_seconds: self.model_seconds,
                cpu_seconds: work.cpu_seconds,
            },
            throughput: Throughput {
                galaxies_per_second: work.rows as f64 / wall_seconds.max(1e-9),
                bytes_per_second: work.bytes as f64 / wall_seconds.max(1e-9),
                galaxies_per_second_per_rank: work.rows as f64 / work.inference_seconds.max(1e-9),
                resumed_rows: 0,
            },
            made_by,
            execution: "local".into(),
            payload: None,
        };
        let json = serde_json::to_vec_pretty(&results).map_err(|error| Error::Internal(error.to_string()))?;
        std::fs::write(out.join("Results.json"), json).map_err(writing("Results.json"))?;
        Ok(results)
    }

    /// Reads all headers: the files with their rows, and those that cannot be read with the reason.
    async fn open_all(&self, files: Vec<PlannedFile>) -> Result<(Vec<PlannedFile>, Vec<Missing>)> {
        let opened: Vec<_> = stream::iter(files)
            .map(async |file| {
                let rows = open(self.store, &file).await.map(|dataset| dataset.rows());
                (file, rows)
            })
            .buffered(CONCURRENT_READS)
            .collect()
            .await;
        let mut first_error = None;
        let (mut readable, mut missing) = (Vec::new(), Vec::new());
        for (file, rows) in opened {
            match rows {
                Ok(rows) => readable.push(PlannedFile { rows: Some(rows), ..file }),
                Err(error) => {
                    missing.push(Missing {
                        rank: None,
                        files: vec![file.object.key],
                        rows: None,
                        reason: error.to_string(),
                    });
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if readable.is_empty() => Err(error),
            _ => Ok((readable, missing)),
        }
    }
}

fn remove_if_present(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
