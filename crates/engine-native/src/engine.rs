//! The [`Engine`]: a pool of threads that share the packed network, each with a [`Worker`] of its own.

use std::sync::{Arc, Mutex, PoisonError};

use astromae::{
    Engine, EngineError, Model, Precision,
    engine::{BANDS, PIXELS, validate_batch},
    fold::FoldedNetwork,
};
use rayon::prelude::*;

use crate::{
    network::{BATCH, PackedNetwork, Predict, Worker},
    simd::{Dispatch, InstructionSet, Simd},
};

/// The name that `--engine` and the payload choose the engine by.
pub const NAME: &str = "native";

/// The network in Rust, with a thread for each core.
pub struct NativeEngine {
    instructions: InstructionSet,
    precision: Precision,
    /// One for each thread of the pool.
    workers: Vec<Mutex<Box<dyn Predict>>>,
    threads: rayon::ThreadPool,
}

impl NativeEngine {
    /// Prepares a model for the fastest instruction set that the processor has. `threads` is the number of cores where
    /// absent.
    ///
    /// # Errors
    /// [`EngineError::Backend`] for a convolution branch with other kernels than 1×1, 3×3 and 5×5.
    pub fn new(model: Model, threads: Option<usize>, precision: Precision) -> Result<Self, EngineError> {
        let fastest = InstructionSet::available().into_iter().next().unwrap_or(InstructionSet::Portable);
        Self::with_instructions(model, threads, precision, fastest)
    }

    /// Prepares a model for one of [`InstructionSet::available`].
    ///
    /// # Errors
    /// Those of [`Self::new`]; [`EngineError::Backend`] where the processor does not have the instructions.
    pub fn with_instructions(
        model: Model,
        threads: Option<usize>,
        precision: Precision,
        instructions: InstructionSet,
    ) -> Result<Self, EngineError> {
        let backend = |reason: String| EngineError::Backend { engine: NAME, reason };
        if let Some(branch) = model.config.conv_branch
            && ![1, 3, 5].contains(&branch.kernel)
        {
            return Err(backend(format!(
                "a convolution branch with kernels of {0}×{0}: it has 1, 3 and 5",
                branch.kernel
            )));
        }
        let threads = rayon::ThreadPoolBuilder::new()
            // 0 stands for one thread a core.
            .num_threads(threads.unwrap_or(0))
            .thread_name(|index| format!("native-{index}"))
            .build()
            .map_err(|error| backend(error.to_string()))?;
        let folded = threads.install(|| FoldedNetwork::new(model)).map_err(|error| backend(error.to_string()))?;
        let count = threads.current_num_threads();
        let workers = threads
            .install(|| instructions.dispatch(MakeWorkers { network: folded, precision, count }))
            .ok_or_else(|| backend(format!("this processor has no {instructions}")))?;
        Ok(Self { instructions, precision, workers: workers.into_iter().map(Mutex::new).collect(), threads })
    }
}

struct MakeWorkers {
    network: FoldedNetwork,
    precision: Precision,
    count: usize,
}

impl Dispatch for MakeWorkers {
    type Output = Vec<Box<dyn Predict>>;

    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let network = Arc::new(PackedNetwork::new(simd, self.precision, self.network));
        (0..self.count).into_par_iter().map(|_| Box::new(Worker::new(network.clone())) as Box<dyn Predict>).collect()
    }
}

impl Engine for NativeEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let threads = self.threads.current_num_threads();
        format!("{NAME} ({version}, {}, {}, {threads} threads)", self.precision, self.instructions)
    }

    fn predict(&self, images: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError> {
        let count = validate_batch(images, magnitudes)?;
        // Each core gets the same number of shares, as few as there can be of at most `BATCH` galaxies, all of one
        // size.
        let cores = self.threads.current_num_threads();
        let share = count.div_ceil(cores * count.div_ceil(cores * BATCH).max(1)).max(1);
        let mut redshifts = vec![0.0; count];
        self.threads.install(|| {
            images
                .par_chunks(share * PIXELS)
                .zip(magnitudes.par_chunks(share * BANDS))
                .zip(redshifts.par_chunks_mut(share))
                .for_each(|((images, magnitudes), redshifts)| {
                    let worker = &self.workers[rayon::current_thread_index().unwrap_or(0)];
                    // Each thread locks its own worker only, so it never waits; and after a panic in another call the
                    // worker is as good as before, since a call leaves nothing in it that the next one reads.
                    worker.lock().unwrap_or_else(PoisonError::into_inner).predict(images, magnitudes, redshifts);
                });
        });
        Ok(redshifts)
    }
}
