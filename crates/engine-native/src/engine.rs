//! The [`Engine`]: a pool of threads that share the packed network, each with a [`Worker`] of its own.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

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

/// Galaxies for each core up to which all cores together work on one share, if there is no other call: reading the
/// weights of the last layers takes longer than computing with them.
const SMALL_SHARE: usize = 32;

/// The network in Rust, with a thread for each core.
pub struct NativeEngine {
    instructions: InstructionSet,
    precision: Precision,
    make_worker: Box<MakeWorker>,
    /// Those that nobody works with now. There are never more of them than shares were computed at once.
    idle: Mutex<Vec<Box<dyn Predict>>>,
    /// Calls that are computed now.
    calls: AtomicUsize,
    threads: rayon::ThreadPool,
}

/// A call of [`NativeEngine::predict`], for as long as it is counted.
struct Call<'a> {
    calls: &'a AtomicUsize,
    /// The number of calls when this one came, itself among them.
    with: usize,
}

impl<'a> Call<'a> {
    fn begin(calls: &'a AtomicUsize) -> Self {
        Self { calls, with: calls.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

type MakeWorker = dyn Fn() -> Box<dyn Predict> + Send + Sync;

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
        let make_worker = threads
            .install(|| instructions.dispatch(PackNetwork { network: folded, precision }))
            .ok_or_else(|| backend(format!("this processor has no {instructions}")))?;
        Ok(Self { instructions, precision, make_worker, idle: Mutex::default(), calls: AtomicUsize::new(0), threads })
    }

    /// Whether all cores together work on so many galaxies.
    fn is_small(&self, galaxies: usize) -> bool {
        galaxies <= BATCH.min(SMALL_SHARE * self.threads.current_num_threads())
    }

    /// Predicts at most [`BATCH`] galaxies, on so many threads of the pool.
    fn predict_share(&self, parts: usize, images: &[f32], magnitudes: &[f32], redshifts: &mut [f32]) {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // While a thread waits for a part of its share, it may work on another one: the worker is not the thread's.
        let worker = idle().pop();
        let mut worker = worker.unwrap_or_else(|| (self.make_worker)());
        worker.predict(parts, images, magnitudes, redshifts);
        idle().push(worker);
    }
}

struct PackNetwork {
    network: FoldedNetwork,
    precision: Precision,
}

impl Dispatch for PackNetwork {
    type Output = Box<MakeWorker>;

    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let network = Arc::new(PackedNetwork::new(simd, self.precision, self.network));
        Box::new(move || Box::new(Worker::new(Arc::clone(&network))))
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
        if count == 0 {
            return Ok(Vec::new());
        }
        let call = Call::begin(&self.calls);
        let cores = self.threads.current_num_threads();
        let mut redshifts = vec![0.0; count];
        if self.is_small(count) {
            // Cores that other calls keep busy are not waited for.
            let parts = (cores / call.with).max(1);
            let mut predict = || self.predict_share(parts, images, magnitudes, &mut redshifts);
            // A thread of the pool that waits for a part of one call may begin another call meanwhile, for all of which
            // the first one would wait: a call in one part stays on the thread that it comes from.
            if parts == 1 && call.with <= cores {
                predict();
            } else {
                self.threads.install(predict);
            }
            return Ok(redshifts);
        }
        // Each core gets the same number of shares, as few as there can be of at most `BATCH` galaxies, all of one
        // size.
        let share = count.div_ceil(cores * count.div_ceil(cores * BATCH));
        self.threads.install(|| {
            images
                .par_chunks(share * PIXELS)
                .zip(magnitudes.par_chunks(share * BANDS))
                .zip(redshifts.par_chunks_mut(share))
                .for_each(|((images, magnitudes), redshifts)| self.predict_share(1, images, magnitudes, redshifts));
        });
        Ok(redshifts)
    }

    /// Cores that wait for each other's parts of a small batch do less than cores with a batch each.
    fn calls_at_once(&self, galaxies: usize) -> usize {
        if self.is_small(galaxies) { self.threads.current_num_threads() } else { 1 }
    }
}
