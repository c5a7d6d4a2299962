//! Measures how far each kind of layer is from the processor's peak: for `scripts/bench.sh`, and for whoever makes a
//! kernel faster.

use std::time::Instant;

use astromae::{
    EngineError, Model, Precision,
    engine::PIXELS,
    fold::{Conv, FoldedNetwork, InceptionBlock, Linear, TransformerBlock},
};

use crate::{
    attention::Attention,
    conv_branch::TokensShape,
    engine::NAME,
    epilogue::Epilogue,
    linear::PackedLinear,
    network::{BATCH, PackedNetwork},
    simd::{Dispatch, InstructionSet, Kernel, Simd},
    transformer::{MICRO_BATCH, Norm, Normalize, PackedTransformerBlock},
};

/// What all layers of one kind take together, on one thread.
#[derive(Debug, Clone, Copy)]
pub struct LayerProfile {
    pub name: &'static str,
    /// Multiplications and additions for each galaxy, counted as for a general layer of the same shape.
    pub operations: f64,
    /// Seconds for each galaxy.
    pub seconds: f64,
}

/// Measures the multiplications and additions that this number of threads does in a second at best: independent ones,
/// on values in registers.
pub fn peak(instructions: InstructionSet, threads: usize) -> f64 {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| instructions.dispatch(Peak))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).sum()
    })
}

/// Times each kind of layer of a model, with weights and activations where they are in a real run.
///
/// # Errors
/// [`EngineError::Backend`], where the model cannot be folded or the processor does not have the instructions.
pub fn layers(
    model: Model,
    precision: Precision,
    instructions: InstructionSet,
) -> Result<Vec<LayerProfile>, EngineError> {
    let backend = |reason: String| EngineError::Backend { engine: NAME, reason };
    let folded = FoldedNetwork::new(model).map_err(|error| backend(error.to_string()))?;
    let layers = instructions.dispatch(Layers { folded: &folded, precision });
    layers.ok_or_else(|| backend(format!("this processor has no {instructions}")))
}

/// [`peak`] of one thread.
struct Peak;

/// Independent sums: enough to hide the latency of a multiply–add.
const SUMS: usize = 12;

struct MultiplyAdds<'a, F> {
    sums: &'a mut [F; SUMS],
    rounds: usize,
}

impl<S: Simd> Kernel<S> for MultiplyAdds<'_, S::F> {
    #[inline(always)]
    fn run(self, simd: S) {
        let mut sums = *self.sums;
        let (factor, term) = (simd.splat(0.999), simd.splat(0.001));
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.fma(*sum, factor, term);
            }
        }
        *self.sums = sums;
    }
}

impl Dispatch for Peak {
    type Output = f64;

    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let rounds = 1_000_000;
        let mut sums = [simd.splat(0.0); SUMS];
        let seconds = fastest(|| simd.run(MultiplyAdds { sums: &mut sums, rounds }));
        std::hint::black_box(sums);
        (2 * SUMS * S::LANES * rounds) as f64 / seconds
    }
}

/// Seconds of the fastest of some runs.
fn fastest(mut run: impl FnMut()) -> f64 {
    let seconds = (0..9).map(|_| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min)
}

/// Seconds for each of some galaxies in all blocks. They run one after the other, as in a prediction, so that their
/// weights come from as far away.
fn time_blocks<S: Simd>(
    blocks: &[PackedTransformerBlock<S>],
    galaxies: usize,
    mut run: impl FnMut(&PackedTransformerBlock<S>),
) -> f64 {
    fastest(|| blocks.iter().for_each(&mut run)) / galaxies as f64
}

/// [`layers`] of a folded model.
struct Layers<'a> {
    folded: &'a FoldedNetwork,
    precision: Precision,
}

impl Dispatch for Layers<'_> {
    type Output = Vec<LayerProfile>;

    fn with_simd<S: Simd>(self, simd: S) -> Vec<LayerProfile> {
        let folded = self.folded;
        let network = PackedNetwork::new(simd, self.precision, folded.clone());
        let transformer = &network.transformer;
        let mut scratch = transformer.scratch(MICRO_BATCH);
        let images: Vec<f32> = (0..MICRO_BATCH * PIXELS).map(|index| (index % 97) as f32 / 97.0).collect();
        let mut features = vec![simd.splat(0.0); BATCH * transformer.vectors()];
        // Real activations, because the time of some layers depends on them.
        transformer.apply(&images, &mut features, &mut scratch);

        let (tokens, vectors) = (transformer.attention.tokens, transformer.vectors());
        let together = transformer.together;
        let rows = together * tokens;
        let linear = |layer: fn(&TransformerBlock) -> &Linear| -> f64 {
            folded.blocks.iter().map(|block| linear_operations(layer(block), tokens)).sum()
        };
        let blocks = &transformer.blocks;
        let width = folded.config.embed_dim;
        let mut layers = Vec::new();
        let mut add = |name, operations, seconds| layers.push(LayerProfile { name, operations, seconds });

        let norm = Norm { width, eps: transformer.eps };
        let (mut x, mut inner, mut wide, mut bytes) = (scratch.tokens, scratch.inner, scratch.wide, scratch.bytes);
        let seconds = time_blocks(blocks, together, |_| {
            for _ in 0..2 {
                simd.run(Normalize { norm, vectors, from: &x[..rows * vectors], to: &mut inner });
            }
        });
        add("layer norms", 0.0, seconds);
        let seconds = time_blocks(blocks, together, |block| {
            block.qkv.apply(rows, (&inner, vectors), (&mut wide, block.qkv.vectors()), Epilogue::Store, &mut bytes);
        });
        add("query, key, value", linear(|block| &block.qkv), seconds);
        let seconds = time_blocks(blocks, together, |_| {
            let (shape, scratch) = (transformer.attention, &mut scratch.attention);
            simd.run(Attention { shape, galaxies: together, qkv: &wide, context: &mut inner, scratch });
        });
        add("attention", (blocks.len() * 2 * 2 * tokens * tokens * width) as f64, seconds);
        let shape = TokensShape { galaxies: MICRO_BATCH, grid: folded.config.grid(), vectors };
        if let Some(scratch) = &mut scratch.conv_branch {
            let convs = folded.blocks.iter().filter_map(|block| block.conv_branch.as_ref());
            let operations = convs
                .map(|(conv_in, conv_out)| conv_operations(conv_in, shape.grid) + conv_operations(conv_out, shape.grid))
                .sum();
            let mut copy = x.clone();
            let seconds = time_blocks(blocks, MICRO_BATCH, |block| {
                block.conv_branch.iter().for_each(|branch| branch.add_to(&mut copy, shape, scratch));
            });
            add("convolution branch", operations, seconds);
        }
        let seconds = time_blocks(blocks, together, |block| {
            block.proj.apply(
                rows,
                (&inner, transformer.context_vectors()),
                (&mut x, vectors),
                Epilogue::Residual,
                &mut bytes,
            );
        });
        add("projection", linear(|block| &block.proj), seconds);
        let seconds = time_blocks(blocks, together, |block| {
            block.fc1.apply(rows, (&inner, vectors), (&mut wide, block.fc1.vectors()), Epilogue::Gelu, &mut bytes);
        });
        add("MLP, into, with GELU", linear(|block| &block.fc1), seconds);
        let seconds = time_blocks(blocks, together, |block| {
            block.fc2.apply(rows, (&wide, block.fc1.vectors()), (&mut x, vectors), Epilogue::Residual, &mut bytes);
        });
        add("MLP, out of", linear(|block| &block.fc2), seconds);

        let mut scratch = network.inception.scratch();
        let stride = network.inception.outputs().div_ceil(S::LANES);
        let mut maps = vec![simd.splat(0.0); S::LANES * stride];
        let seconds =
            fastest(|| network.inception.apply(&images[..S::LANES * PIXELS], (&mut maps, stride), &mut scratch));
        let sides = [16, 16, 8, 8, 4];
        let inception: f64 =
            folded.inception.iter().zip(sides).map(|(block, side)| inception_operations(block, side)).sum();
        add("inception", inception + conv_operations(&folded.stem, 16), seconds / S::LANES as f64);

        let perceptrons = [
            (&folded.hidden, &network.hidden),
            (&folded.inception_hidden, &network.inception_hidden),
            (&folded.magnitude, &network.magnitude),
            (&folded.concat, &network.concat),
        ];
        let last: Vec<(&Linear, &PackedLinear<S>)> =
            perceptrons.into_iter().flat_map(|(folded, packed)| folded.iter().zip(&packed.0)).collect();
        let widest = last.iter().map(|(layer, _)| layer.inputs.max(layer.outputs) + 64).max().unwrap_or(0);
        let input = vec![simd.splat(0.5); BATCH * widest.div_ceil(S::LANES)];
        let mut output = input.clone();
        let seconds = fastest(|| {
            for (_, layer) in &last {
                let stride = layer.inputs().div_ceil(S::LANES);
                layer.apply(BATCH, (&input, stride), (&mut output, layer.vectors()), Epilogue::Relu);
            }
        });
        let operations = last.iter().map(|(layer, _)| linear_operations(layer, 1)).sum();
        add("last layers", operations, seconds / BATCH as f64);
        layers
    }
}

fn linear_operations(layer: &Linear, rows: usize) -> f64 {
    (2 * layer.inputs * layer.outputs * rows) as f64
}

fn conv_operations(conv: &Conv, side: usize) -> f64 {
    (2 * conv.weight.len() * side * side) as f64
}

fn inception_operations(block: &InceptionBlock, side: usize) -> f64 {
    let InceptionBlock { branch1x1, branch3x3, branch5x5, branch_pool } = block;
    let larger = std::iter::once(branch3x3).chain(branch5x5).flat_map(|(reducing, larger)| [reducing, larger]);
    larger.chain([branch1x1, branch_pool]).map(|conv| conv_operations(conv, side)).sum()
}
