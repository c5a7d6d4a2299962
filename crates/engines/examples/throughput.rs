//! Measures an engine for `scripts/bench.sh`, on the galaxies of a data set:
//! `throughput ENGINE PRECISION CALLS MODEL DATA THREADS`, where CALLS is how many batches are predicted at once,
//! if they are so small that the engine wants as many.
//!
//! It prints the seconds from the model's file to the first redshift. Then it reads commands, a line each, from standard
//! input, and answers each with a line, so that the bench can take turns with other engines on the same cores:
//!
//! | command | answer |
//! | --- | --- |
//! | `time BATCH WARM_UP REPEATS` | the seconds per batch over so many batches, after some that are not timed |
//! | `redshifts BATCH` | the redshifts of all whole batches of that size, as a JSON array |
//!
//! `scripts/bench/runtimes.py` answers the same for other runtimes.

use std::{
    io::BufRead,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use astromae::{
    Engine, Model,
    engine::{BANDS, PIXELS},
};
use galaxies::{Dataset, Galaxies};
use torch_file::LocalFile;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, precision, calls, model, data, threads] = arguments.as_slice() else {
        bail!("usage: throughput ENGINE PRECISION CALLS MODEL DATA THREADS");
    };
    let calls: usize = calls.parse()?;
    let dataset = Dataset::open(LocalFile::open(data)?).await?;
    let galaxies = dataset.read(0..dataset.rows()).await?;
    ensure!(!galaxies.is_empty(), "{data} has no galaxies");

    let started = Instant::now();
    let model = Model::open(model)?;
    let engine = engines::load(Some(engine), model, Some(threads.parse()?), precision.parse()?)?;
    predict(&*engine, &galaxies, 0, 1)?;
    println!("{:.3}", started.elapsed().as_secs_f64());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let command = words.next().unwrap_or_default();
        let numbers: Vec<usize> = words.map(str::parse).collect::<Result<_, _>>().context(line.clone())?;
        match (command, numbers.as_slice()) {
            ("time", &[batch, warm_up, repeats]) => {
                println!("{:.6}", seconds_per_batch(&*engine, calls, &galaxies, batch, warm_up, repeats)?);
            }
            ("redshifts", &[batch]) => {
                let mut redshifts = Vec::new();
                for index in 0..galaxies.len() / batch {
                    redshifts.extend(predict(&*engine, &galaxies, index, batch)?);
                }
                println!("{redshifts:?}");
            }
            _ => bail!("there is no command {line:?}"),
        }
    }
    Ok(())
}

fn seconds_per_batch(
    engine: &dyn Engine,
    calls: usize,
    galaxies: &Galaxies,
    batch: usize,
    warm_up: usize,
    repeats: usize,
) -> Result<f64> {
    let calls = calls.min(engine.calls_at_once(batch).max(1));
    predict_all(engine, calls, galaxies, batch, warm_up)?;
    let started = Instant::now();
    predict_all(engine, calls, galaxies, batch, repeats)?;
    Ok(started.elapsed().as_secs_f64() / repeats as f64)
}

/// Predicts so many batches, `calls` of them at once.
fn predict_all(engine: &dyn Engine, calls: usize, galaxies: &Galaxies, batch: usize, batches: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    let caller = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= batches {
                return Ok(());
            }
            predict(engine, galaxies, index, batch)?;
        }
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..calls).map(|_| scope.spawn(caller)).collect();
        callers.into_iter().try_for_each(|caller| caller.join().map_err(|_| anyhow!("a caller panicked"))?)
    })
}

/// The redshifts of the batch of that index; behind the last whole batch they begin anew.
fn predict(engine: &dyn Engine, galaxies: &Galaxies, index: usize, batch: usize) -> Result<Vec<f32>> {
    let whole = galaxies.len() / batch;
    ensure!(whole > 0, "there are fewer than {batch} galaxies");
    let first = index % whole * batch;
    let rows = first..first + batch;
    let images = &galaxies.images[rows.start * PIXELS..rows.end * PIXELS];
    let magnitudes = &galaxies.magnitudes[rows.start * BANDS..rows.end * BANDS];
    Ok(engine.predict(images, magnitudes)?)
}
