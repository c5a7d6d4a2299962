//! Measures an engine's seconds per batch, for `scripts/bench.sh`: `throughput ENGINE PRECISION MODEL THREADS`. It prints the
//! seconds from the model's file to the first redshift, then reads batch sizes, a line each, from standard input, and
//! answers each with a line.
//!
//! It waits for each line, so that the bench can take turns with other engines on the same cores.

use std::{io::BufRead, time::Instant};

use astromae::{
    Model,
    engine::{BANDS, PIXELS},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, precision, model, threads] = arguments.as_slice() else {
        return Err("usage: throughput ENGINE PRECISION MODEL THREADS".into());
    };
    let started = Instant::now();
    let model = Model::open(model)?;
    let engine = engines::load(Some(engine), model, Some(threads.parse()?), precision.parse()?)?;
    engine.predict(&[0.1; PIXELS], &[18.0; BANDS])?;
    println!("{:.3}", started.elapsed().as_secs_f64());
    for line in std::io::stdin().lock().lines() {
        let batch: usize = line?.trim().parse()?;
        let images: Vec<f32> = (0..batch * PIXELS).map(|index| (index % 97) as f32 / 97.0).collect();
        let magnitudes: Vec<f32> = (0..batch * BANDS).map(|index| 16.0 + (index % 13) as f32 / 4.0).collect();
        engine.predict(&images, &magnitudes)?;
        let repeats = (256 / batch).max(1);
        let started = Instant::now();
        for _ in 0..repeats {
            engine.predict(&images, &magnitudes)?;
        }
        println!("{:.6}", started.elapsed().as_secs_f64() / repeats as f64);
    }
    Ok(())
}
