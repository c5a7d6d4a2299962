//! One model on one data set in two precisions: each row is read once, and nothing is kept of it but its redshifts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use astromae::{Engine, EngineError, Model, Precision};
use catalogue::{
    Changes, Flag, Matched, MatchedBy, TwicePredicted,
    flags::{has_redshift, of_prediction},
};
use pipeline::{
    Error,
    batch_loop::{BatchLoop, Output, Predicted},
    read_ahead::OnStorageFailure,
};

use crate::{
    compare::{CompareArgs, output::Side},
    global::Global,
    inputs::{open_all, refuse_unreadable, row_count},
    location::Location,
    output::progress_bar,
};

/// Two engines as one, which gives the first one's redshifts and keeps the second one's.
struct BothEngines {
    first: Arc<dyn Engine>,
    second: Arc<dyn Engine>,
    /// Redshifts of the second, of galaxies whose rows the loop has not yet handed on.
    kept: Mutex<VecDeque<f32>>,
}

impl BothEngines {
    /// Forgets all but the last so many redshifts: the rest are of a file that the loop has begun anew.
    fn keep_last(&self, count: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = kept.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        kept.drain(..stale);
    }

    /// Takes the first so many redshifts.
    fn take(&self, count: usize) -> Vec<f32> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let count = count.min(kept.len());
        kept.drain(..count).collect()
    }
}

impl Engine for BothEngines {
    fn name(&self) -> &'static str {
        self.first.name()
    }

    fn description(&self) -> String {
        format!("{} and {}", self.first.description(), self.second.description())
    }

    fn predict(&self, images: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError> {
        let second = self.second.predict(images, magnitudes)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).extend(second);
        self.first.predict(images, magnitudes)
    }
}

/// Predicts a data set in f32 and in the precision that is asked for.
///
/// # Errors
/// A file that cannot be read, a model that is none, and a precision that the engine does not have.
pub(super) async fn predict(
    data: &str,
    model: &str,
    args: &CompareArgs,
    global: &Global,
) -> Result<([Side; 2], Matched)> {
    let data = Location::parse(data, global).await?;
    let inputs = open_all(&data, args.file_limit).await?;
    let location = Location::parse(model, global).await?;
    let model = Model::from_bytes(&location.name(), location.read_model().await?)?;
    let model_sha256 = model.sha256.clone();
    let (threads, precisions) = (args.threads, [Precision::F32, args.precision]);
    let load = move || -> Result<_, engines::Error> {
        let first = engines::load(None, model.clone(), threads, precisions[0])?;
        Ok((first, engines::load(None, model, threads, precisions[1])?))
    };
    let (first, second) = tokio::task::spawn_blocking(load).await?.context("failed to start the engine")?;
    let side = |engine: &Arc<dyn Engine>, precision: Precision| Side {
        of: data.name(),
        model: Some(location.name()),
        model_sha256: Some(model_sha256.clone()),
        engine: Some(engine.description()),
        precision: precision.to_string(),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
    };
    let sides = [side(&first, precisions[0]), side(&second, precisions[1])];

    let bar = progress_bar("{bar:40} {human_pos}/{human_len} galaxies, {per_sec:0}, {eta} left");
    bar.set_length(row_count(&inputs));
    let both = Arc::new(BothEngines { first, second, kept: Mutex::default() });
    let engine: Arc<dyn Engine> = Arc::<BothEngines>::clone(&both);
    let batches = BatchLoop {
        store: &data.store,
        engine: &engine,
        intervals: None,
        batch_size: args.batch_size,
        deadline: None,
        on_storage_failure: OnStorageFailure::Fail,
    };
    let (mut changes, mut handed_on) = (Changes::default(), 0);
    let work = batches.run(inputs, |output| {
        match output {
            Output::Predicted(rows) => {
                both.keep_last(rows - handed_on);
                bar.set_position(rows);
            }
            Output::Rows(rows) => {
                let second = both.take(rows.catalogue.len());
                if second.len() != rows.catalogue.len() {
                    return Err(Error::fault(
                        "the second engine's redshifts are not those of the first one's galaxies",
                    ));
                }
                handed_on += second.len() as u64;
                add(&mut changes, &rows, &second);
            }
        }
        Ok(())
    });
    let work = work.await?;
    bar.finish_and_clear();
    refuse_unreadable(&data, &work)?;
    Ok((sides, Matched { by: MatchedBy::FileAndRow, galaxies: work.rows, only_first: 0, only_second: 0, changes }))
}

/// Adds rows of the first engine, and what the second one gives them. Both had the same input.
fn add(changes: &mut Changes, Predicted { catalogue: rows, .. }: &Predicted, second: &[f32]) {
    const OF_INPUT: u8 = Flag::BadImage.bit() | Flag::BadMagnitude.bit();
    for (row, second) in second.iter().enumerate() {
        let flags = of_prediction(rows.flags[row] & OF_INPUT, *second);
        changes.add(&TwicePredicted {
            source_file: &rows.source_file,
            row_index: rows.first_row + row as u64,
            z_spec: rows.z_spec[row],
            z_phot: [rows.z_phot[row], has_redshift(flags).then_some(*second)],
            flags: [rows.flags[row], flags],
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives each galaxy its first magnitude, and so much more.
    struct Shifted(f32);

    impl Engine for Shifted {
        fn name(&self) -> &'static str {
            "shifted"
        }

        fn description(&self) -> String {
            "shifted".into()
        }

        fn predict(&self, _: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError> {
            Ok(magnitudes.iter().map(|magnitude| magnitude + self.0).collect())
        }
    }

    #[test]
    fn redshifts_of_a_file_that_is_read_again_are_those_of_the_last_time() {
        let both =
            BothEngines { first: Arc::new(Shifted(0.0)), second: Arc::new(Shifted(0.5)), kept: Mutex::default() };
        assert_eq!(both.predict(&[], &[1.0, 2.0]).unwrap(), [1.0, 2.0]);
        both.keep_last(2);
        // The file begins anew, and its first rows come once more.
        both.predict(&[], &[1.0, 2.0]).unwrap();
        both.keep_last(2);
        both.predict(&[], &[3.0]).unwrap();
        both.keep_last(3);
        assert_eq!((both.take(2), both.take(1)), (vec![1.5, 2.5], vec![3.5]));
        both.predict(&[], &[4.0]).unwrap();
        both.keep_last(1);
        assert_eq!((both.take(1), both.take(1)), (vec![4.5], vec![]));
    }
}
