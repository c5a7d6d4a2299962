//! The [`Engine`] on libtorch, through tch.
//!
//! Not a traced or scripted module: the layers are ours ([`astromae::fold`]), run with libtorch's operations in the
//! forms that are fast for this network's small maps. Where PyTorch loses its time, and what is done here:
//!
//! - Half of it goes to the grouped 3×3 convolutions on 4×4 maps, which no general convolution does well. Each is three
//!   batched products over the groups, one for each row of the kernel, on whole rows of the map: 1.6 times the
//!   arithmetic, and several times faster.
//! - Parallel loops inside small operations wait for each other. Here each core takes micro-batches of its own, small
//!   enough that their activations stay in its cache, and libtorch runs on one thread in each.
//! - Folding leaves fewer layers, and pooling and convolutions run channels-last.

mod network;

use std::sync::{Mutex, PoisonError};

use astromae::{
    Engine, EngineError, Model,
    engine::{BANDS, PIXELS, galaxies},
    fold::Network,
};
use rayon::prelude::*;

use crate::network::TchNetwork;

/// Galaxies of a micro-batch: measured best between 16 and 64 (`scripts/bench.sh`). It also bounds the memory of
/// activations, whatever the batch size.
const MICRO_BATCH: usize = 64;

/// The network on libtorch, with a thread per core.
pub struct TchEngine {
    /// One for each thread, sharing their weights: tensors may go from thread to thread, but not be shared by two.
    networks: Vec<Mutex<TchNetwork>>,
    threads: rayon::ThreadPool,
}

/// The engine's name.
pub const NAME: &str = "tch";

impl TchEngine {
    /// Prepares a model; `threads` is the number of cores where absent.
    ///
    /// # Errors
    /// [`EngineError::Backend`], with what libtorch says.
    pub fn new(model: Model, threads: Option<usize>) -> Result<Self, EngineError> {
        let backend = |reason: String| EngineError::Backend { engine: NAME, reason };
        let folded = Network::fold(model).map_err(|error| backend(error.to_string()))?;
        let network = TchNetwork::new(&folded).map_err(|error| backend(error.to_string()))?;
        let threads = rayon::ThreadPoolBuilder::new()
            // 0 is rayon's word for one a core.
            .num_threads(threads.unwrap_or(0))
            .thread_name(|index| format!("tch-{index}"))
            // OpenMP's number of threads is each thread's own.
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
        let count = galaxies(images, magnitudes)?;
        // A batch smaller than a micro-batch a core is shared out evenly.
        let share = count.div_ceil(self.threads.current_num_threads()).clamp(1, MICRO_BATCH);
        let mut redshifts = vec![0.0; count];
        let step = |((images, magnitudes), redshifts): ((&[f32], &[f32]), &mut [f32])| {
            let own = &self.networks[rayon::current_thread_index().unwrap_or(0)];
            // Never waited for, and nothing is left half-written in it should a thread die.
            let own = own.lock().unwrap_or_else(PoisonError::into_inner);
            own.predict(images, magnitudes, redshifts)
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

/// The only version that this tch works with.
const LIBTORCH_VERSION: &str = "2.13.0";
