//! The [`Engine`] in Rust alone: no libtorch, and the processor's vectors used as far as they go.
//!
//! - Linear layers, most of the arithmetic, keep a tile of their result in registers, with weights packed at load in the
//!   order they are used in; bias, activation and residual are done while the result is still there (`linear`).
//! - Convolutions, whose maps and channels are too small to fill vectors, have a galaxy in each lane (`conv`).
//! - Attention among 17 tokens never leaves the nearest cache (`attention`).
//! - Each core works on micro-batches of its own, whose activations stay near it, and nothing is allocated meanwhile
//!   (`network`).
//!
//! A galaxy's redshift is the same to the last bit for any batch size, number of threads and place in the batch: each
//! sum is in the order of its own terms, whatever stands beside it.

mod attention;
mod branch;
mod conv;
mod inception;
mod linear;
mod math;
mod network;
pub mod profile;
mod simd;
mod transformer;

use std::sync::{Arc, Mutex, PoisonError};

use astromae::{
    Engine, EngineError, Model,
    engine::{BANDS, PIXELS, galaxies},
    fold,
};
use rayon::prelude::*;

pub use crate::simd::InstructionSet;
use crate::{
    network::{BATCH, Network, Predict, Worker},
    simd::{Choice, Simd},
};

/// The engine's name.
pub const NAME: &str = "native";

/// The network in Rust, with a thread per core.
pub struct NativeEngine {
    instructions: InstructionSet,
    /// One for each thread.
    workers: Vec<Mutex<Box<dyn Predict>>>,
    threads: rayon::ThreadPool,
}

impl NativeEngine {
    /// Prepares a model; `threads` is the number of cores where absent.
    ///
    /// # Errors
    /// [`EngineError::Backend`] for a convolution branch with other kernels than 1×1, 3×3 and 5×5.
    pub fn new(model: Model, threads: Option<usize>) -> Result<Self, EngineError> {
        let fastest = InstructionSet::available().into_iter().next().unwrap_or(InstructionSet::Portable);
        Self::with_instructions(model, threads, fastest)
    }

    /// Prepares a model for one of [`InstructionSet::available`].
    ///
    /// # Errors
    /// Those of [`Self::new`], and where the processor has not got the instructions.
    pub fn with_instructions(
        model: Model,
        threads: Option<usize>,
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
            // 0 is rayon's word for one a core.
            .num_threads(threads.unwrap_or(0))
            .thread_name(|index| format!("native-{index}"))
            .build()
            .map_err(|error| backend(error.to_string()))?;
        let folded = threads.install(|| fold::Network::fold(model)).map_err(|error| backend(error.to_string()))?;
        let count = threads.current_num_threads();
        let workers = threads
            .install(|| instructions.choose(MakeWorkers { network: folded, count }))
            .ok_or_else(|| backend(format!("this processor has no {instructions}")))?;
        Ok(Self { instructions, workers: workers.into_iter().map(Mutex::new).collect(), threads })
    }
}

struct MakeWorkers {
    network: fold::Network,
    count: usize,
}

impl Choice for MakeWorkers {
    type Output = Vec<Box<dyn Predict>>;

    fn call<S: Simd>(self, simd: S) -> Self::Output {
        let network = Arc::new(Network::new(simd, self.network));
        (0..self.count).into_par_iter().map(|_| Box::new(Worker::new(network.clone())) as Box<dyn Predict>).collect()
    }
}

impl Engine for NativeEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        format!("{NAME} ({version}, {}, {} threads)", self.instructions, self.threads.current_num_threads())
    }

    fn predict(&self, images: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError> {
        let count = galaxies(images, magnitudes)?;
        // Shared out evenly among the cores, each of which takes as few shares as it can.
        let cores = self.threads.current_num_threads();
        let share = count.div_ceil(cores * count.div_ceil(cores * BATCH).max(1)).max(1);
        let mut redshifts = vec![0.0; count];
        self.threads.install(|| {
            images
                .par_chunks(share * PIXELS)
                .zip(magnitudes.par_chunks(share * BANDS))
                .zip(redshifts.par_chunks_mut(share))
                .for_each(|((images, magnitudes), redshifts)| {
                    let own = &self.workers[rayon::current_thread_index().unwrap_or(0)];
                    // Never waited for, and nothing in it outlives a call.
                    own.lock().unwrap_or_else(PoisonError::into_inner).predict(images, magnitudes, redshifts);
                });
        });
        Ok(redshifts)
    }
}
