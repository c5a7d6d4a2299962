//! The [`Engine`] on libtorch, through tch.
//!
//! It runs no traced or scripted module, but the layers of [`astromae::fold`], with libtorch's operations in the forms
//! that are fast for this network's small maps. This is where PyTorch loses its time, and what is done here instead:
//!
//! - Half of it goes to the grouped 3×3 convolutions on 4×4 maps, which no general convolution does well. Each is three
//!   batched products over the groups, one for each row of the kernel, on whole rows of the map: 1.6 times the
//!   arithmetic, and several times faster.
//! - The threads of parallel loops inside small operations wait for each other. Here each core takes micro-batches of
//!   its own, small enough that their activations stay in its cache, and libtorch runs on one thread in each.
//! - There are more layers than needed. Here they are folded, and pooling and convolutions run channels-last.

mod conv_branch;
mod inception;
mod layers;
mod network;
mod transformer;

use std::sync::{Mutex, PoisonError};

use astromae::{
    Engine, EngineError, Model, Precision,
    engine::{BANDS, PIXELS, validate_batch},
    fold::FoldedNetwork,
};
use rayon::prelude::*;

use crate::network::TchNetwork;

/// Galaxies in a micro-batch: of 16 to 64, this number was the fastest (`scripts/bench.sh`). It also bounds the memory
/// of activations, whatever the batch size.
const MICRO_BATCH: usize = 64;

/// The network on libtorch, with a thread for each core.
pub struct TchEngine {
    /// One for each thread of the pool. They share their weights; a tensor itself can be moved to another thread, but
    /// not be used by two.
    networks: Vec<Mutex<TchNetwork>>,
    threads: rayon::ThreadPool,
}

/// The name that `--engine` and the payload choose the engine by.
pub const NAME: &str = "tch";

impl TchEngine {
    /// Prepares a model; `threads` is the number of cores where absent.
    ///
    /// # Errors
    /// [`EngineError::Backend`], with what libtorch says, and for any precision but f32.
    pub fn new(model: Model, threads: Option<usize>, precision: Precision) -> Result<Self, EngineError> {
        let backend = |reason: String| EngineError::Backend { engine: NAME, reason };
        if precision != Precision::F32 {
            return Err(backend(format!("it computes in f32 alone, not in {precision}: the native engine does")));
        }
        let folded = FoldedNetwork::new(model).map_err(|error| backend(error.to_string()))?;
        let network = TchNetwork::new(&folded).map_err(|error| backend(error.to_string()))?;
        let threads = rayon::ThreadPoolBuilder::new()
            // 0 stands for one thread a core.
            .num_threads(threads.unwrap_or(0))
            .thread_name(|index| format!("tch-{index}"))
            // OpenMP has a number of threads for each thread that calls it.
            .start_handler(|_| tch::set_num_threads(1))
            .build()
            .map_err(|error| backend(error.to_string()))?;
        let networks = (0..threads.current_num_threads()).map(|_| Mutex::new(network.clone())).collect();
        Ok(Self { networks, threads })
    }
}

impl Engine for TchEngine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn description(&self) -> String {
        format!("{NAME} (libtorch {LIBTORCH_VERSION}, {} threads)", self.threads.current_num_threads())
    }

    fn predict(&self, images: &[f32], magnitudes: &[f32]) -> Result<Vec<f32>, EngineError> {
        let count = validate_batch(images, magnitudes)?;
        // A batch of less than a micro-batch for each core is divided evenly among the cores.
        let share = count.div_ceil(self.threads.current_num_threads()).clamp(1, MICRO_BATCH);
        let mut redshifts = vec![0.0; count];
        let step = |((images, magnitudes), redshifts): ((&[f32], &[f32]), &mut [f32])| {
            let network = &self.networks[rayon::current_thread_index().unwrap_or(0)];
            // Each thread locks its own network only, so it never waits; and a prediction changes nothing in it, so
            // that it is as good as before when another call has panicked.
            let network = network.lock().unwrap_or_else(PoisonError::into_inner);
            network.predict(images, magnitudes, redshifts)
        };
        self.threads
            .install(|| {
                images
                    .par_chunks(share * PIXELS)
                    .zip(magnitudes.par_chunks(share * BANDS))
                    .zip(redshifts.par_chunks_mut(share))
                    .try_for_each(step)
            })
            .map_err(|error| EngineError::Backend { engine: NAME, reason: error.to_string() })?;
        Ok(redshifts)
    }
}

/// The only version of libtorch that the tch crate works with.
const LIBTORCH_VERSION: &str = "2.13.0";
