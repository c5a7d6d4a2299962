//! The whole network on one instruction set.

use std::sync::Arc;

use astromae::{
    engine::{BANDS, PIXELS},
    fold,
};

use crate::{
    inception::{self, Inception},
    linear::{Linear, pad_inputs},
    math::Activation,
    simd::Simd,
    transformer::{self, Transformer},
};

/// Galaxies that go through the transformer together: their activations stay in the second cache. Measured best
/// between 8 and 64 (`scripts/bench.sh`). A multiple of every vector's lanes.
pub(crate) const MICRO_BATCH: usize = 16;

/// Galaxies that go through the last layers together. Each of their many weights is used once for each galaxy: with
/// fewer galaxies, memory could not keep up.
pub(crate) const BATCH: usize = 64;

/// Runs the network. There is one for each thread, over the same weights.
pub(crate) trait Predict: Send {
    /// Redshifts of at most [`BATCH`] galaxies.
    fn predict(&mut self, images: &[f32], magnitudes: &[f32], redshifts: &mut [f32]);
}

/// Weights as the kernels want them.
pub(crate) struct Network<S: Simd> {
    simd: S,
    pub(crate) transformer: Transformer<S>,
    pub(crate) hidden: Linear<S>,
    pub(crate) inception: Inception<S>,
    pub(crate) inception_hidden: Linear<S>,
    pub(crate) magnitudes: Vec<Linear<S>>,
    pub(crate) concat: Linear<S>,
    pub(crate) out: Linear<S>,
}

impl<S: Simd> Network<S> {
    pub(crate) fn new(simd: S, network: &fold::Network) -> Self {
        let linear = |layer: &fold::Linear| Linear::new(simd, layer);
        let branches = [&network.hidden, &network.inception_hidden].into_iter().chain(network.magnitudes.last());
        let branches: Vec<usize> = branches.map(|branch| branch.outputs).collect();
        Self {
            simd,
            transformer: Transformer::new(simd, network),
            hidden: linear(&network.hidden),
            inception: Inception::new(simd, network),
            inception_hidden: linear(&network.inception_hidden),
            magnitudes: network.magnitudes.iter().map(linear).collect(),
            concat: linear(&pad_inputs::<S>(&network.concat, &branches)),
            out: linear(&network.out),
        }
    }
}

/// The network, with room for its activations.
pub(crate) struct Worker<S: Simd> {
    network: Arc<Network<S>>,
    transformer: transformer::Scratch<S>,
    inception: inception::Scratch<S>,
    /// What goes into `hidden`.
    tokens: Vec<S::F>,
    /// What goes into `inception_hidden`.
    maps: Vec<S::F>,
    /// Two layers of the magnitude branch, in turns.
    magnitudes: [Vec<S::F>; 2],
    /// The branches' outputs side by side.
    joined: Vec<S::F>,
    concat: Vec<S::F>,
    redshifts: Vec<S::F>,
}

impl<S: Simd> Worker<S> {
    pub(crate) fn new(network: Arc<Network<S>>) -> Self {
        let rows = |vectors: usize| vec![network.simd.splat(0.0); BATCH * vectors];
        let widest = network.magnitudes.iter().map(Linear::vectors).max().unwrap_or(0);
        Self {
            transformer: network.transformer.scratch(MICRO_BATCH),
            inception: network.inception.scratch(),
            tokens: rows(network.transformer.vectors()),
            maps: rows(network.inception.outputs().div_ceil(S::LANES)),
            magnitudes: [rows(widest), rows(widest)],
            joined: rows(network.joined_vectors()),
            concat: rows(network.concat.vectors()),
            redshifts: rows(network.out.vectors()),
            network,
        }
    }
}

impl<S: Simd> Network<S> {
    fn joined_vectors(&self) -> usize {
        self.hidden.vectors() + self.inception_hidden.vectors() + self.magnitudes.last().map_or(0, Linear::vectors)
    }
}

impl<S: Simd> Predict for Worker<S> {
    fn predict(&mut self, images: &[f32], magnitudes: &[f32], redshifts: &mut [f32]) {
        let network = &*self.network;
        let count = redshifts.len();
        let (stride, maps_stride) = (network.transformer.vectors(), network.inception.outputs().div_ceil(S::LANES));
        for (images, tokens) in images.chunks(MICRO_BATCH * PIXELS).zip(self.tokens.chunks_mut(MICRO_BATCH * stride)) {
            network.transformer.apply(images, tokens, &mut self.transformer);
        }
        let maps = self.maps.chunks_mut(S::LANES * maps_stride);
        for (images, maps) in images.chunks(S::LANES * PIXELS).zip(maps) {
            let maps: &mut [f32] = bytemuck::cast_slice_mut(maps);
            network.inception.apply(images, maps, maps_stride * S::LANES, &mut self.inception);
        }
        let joined = network.joined_vectors();
        network.hidden.apply(count, (&self.tokens, stride), (&mut self.joined, joined), Activation::Relu);
        let mut first = network.hidden.vectors();
        let output = (&mut self.joined[first..], joined);
        network.inception_hidden.apply(count, (&self.maps, maps_stride), output, Activation::Relu);
        first += network.inception_hidden.vectors();

        let [from, to] = &mut self.magnitudes;
        let values: &mut [f32] = bytemuck::cast_slice_mut(from);
        for (row, magnitudes) in values.chunks_mut(S::LANES.max(8)).zip(magnitudes.chunks_exact(BANDS)) {
            row[..BANDS].copy_from_slice(magnitudes);
        }
        let mut stride = S::LANES.max(8) / S::LANES;
        for (index, layer) in network.magnitudes.iter().enumerate() {
            if index + 1 == network.magnitudes.len() {
                layer.apply(count, (from, stride), (&mut self.joined[first..], joined), Activation::Relu);
            } else {
                layer.apply(count, (from, stride), (to, layer.vectors()), Activation::Relu);
                stride = layer.vectors();
                std::mem::swap(from, to);
            }
        }
        let concat = network.concat.vectors();
        network.concat.apply(count, (&self.joined, joined), (&mut self.concat, concat), Activation::Relu);
        let out = network.out.vectors();
        network.out.apply(count, (&self.concat, concat), (&mut self.redshifts, out), Activation::Keep);
        let found: &[f32] = bytemuck::cast_slice(&self.redshifts);
        for (redshift, found) in redshifts.iter_mut().zip(found.chunks_exact(out * S::LANES)) {
            *redshift = found[0];
        }
    }
}
