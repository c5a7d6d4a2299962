//! The whole network on one instruction set.

use std::{mem::take, sync::Arc};

use astromae::{
    engine::{BANDS, PIXELS},
    fold,
};
use bytemuck::zeroed_vec;

use crate::{
    inception::{self, Inception},
    linear::{Linear, pad_inputs},
    math::Activation,
    simd::Simd,
    transformer::{self, Transformer},
};

/// Galaxies that go through the transformer together, with the widest of their activations in 1.7 MB: 32 were 2 to 3 %
/// faster than 16, and as fast as 64. A multiple of every vector's lanes.
pub(crate) const MICRO_BATCH: usize = 32;

/// Galaxies that go through the last layers together. Each of their many weights is used once for each galaxy: with
/// fewer galaxies, memory could not keep up. 128 were 1 % faster than 64.
pub(crate) const BATCH: usize = 128;

/// Runs the network. There is one for each thread, over the same weights.
pub(crate) trait Predict: Send {
    /// Redshifts of at most [`BATCH`] galaxies.
    fn predict(&mut self, images: &[f32], magnitudes: &[f32], redshifts: &mut [f32]);
}

/// Weights as the kernels want them.
pub(crate) struct Network<S: Simd> {
    pub(crate) transformer: Transformer<S>,
    pub(crate) hidden: Perceptron<S>,
    pub(crate) inception: Inception<S>,
    pub(crate) inception_hidden: Perceptron<S>,
    pub(crate) magnitude: Perceptron<S>,
    pub(crate) concat: Perceptron<S>,
}

impl<S: Simd> Network<S> {
    /// Packs the weights, and lets go of each layer's as soon as it has them.
    pub(crate) fn new(simd: S, mut network: fold::Network) -> Self {
        // The branches' outputs are side by side, each in whole vectors.
        let outputs = |layers: &Vec<fold::Linear>| layers.last().map_or(0, |last| last.outputs);
        let branches = [&network.hidden, &network.inception_hidden, &network.magnitude].map(outputs);
        let concat = take(&mut network.concat).into_iter().enumerate().map(|(index, layer)| match index {
            0 => pad_inputs::<S>(layer, &branches),
            _ => layer,
        });
        Self {
            concat: Perceptron::new(simd, concat),
            hidden: Perceptron::new(simd, take(&mut network.hidden)),
            inception_hidden: Perceptron::new(simd, take(&mut network.inception_hidden)),
            magnitude: Perceptron::new(simd, take(&mut network.magnitude)),
            inception: Inception::new(simd, &network.stem, &network.inception),
            transformer: Transformer::new(simd, network),
        }
    }

    fn joined_vectors(&self) -> usize {
        self.hidden.vectors() + self.inception_hidden.vectors() + self.magnitude.vectors()
    }
}

/// Linear layers with ReLU between them.
pub(crate) struct Perceptron<S: Simd>(pub(crate) Vec<Linear<S>>);

impl<S: Simd> Perceptron<S> {
    fn new(simd: S, layers: impl IntoIterator<Item = fold::Linear>) -> Self {
        Self(layers.into_iter().map(|layer| Linear::new(simd, &layer)).collect())
    }

    /// Vectors of a row of the result.
    fn vectors(&self) -> usize {
        self.0.last().map_or(0, Linear::vectors)
    }

    /// Computes `rows` rows. Strides are in vectors; `inner` is for what is between two layers.
    fn apply(
        &self,
        rows: usize,
        (input, input_stride): (&[S::F], usize),
        output: (&mut [S::F], usize),
        [inner, next]: &mut [Vec<S::F>; 2],
    ) {
        let Some((last, first)) = self.0.split_last() else { return };
        let (mut from, mut to) = (inner, next);
        let mut stride = input_stride;
        for (index, layer) in first.iter().enumerate() {
            let source = if index == 0 { input } else { from.as_slice() };
            layer.apply(rows, (source, stride), (to, layer.vectors()), Activation::Relu);
            stride = layer.vectors();
            std::mem::swap(&mut from, &mut to);
        }
        let source = if first.is_empty() { input } else { from.as_slice() };
        last.apply(rows, (source, stride), output, Activation::Keep);
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
    /// What goes into `magnitude`.
    magnitudes: Vec<S::F>,
    /// What is between the layers of a perceptron.
    inner: [Vec<S::F>; 2],
    /// The branches' outputs side by side.
    joined: Vec<S::F>,
    redshifts: Vec<S::F>,
}

impl<S: Simd> Worker<S> {
    pub(crate) fn new(network: Arc<Network<S>>) -> Self {
        let rows = |vectors: usize| zeroed_vec(BATCH * vectors);
        let perceptrons = [&network.hidden, &network.inception_hidden, &network.magnitude, &network.concat];
        let widest =
            perceptrons.into_iter().flat_map(|perceptron| &perceptron.0).map(Linear::vectors).max().unwrap_or(0);
        Self {
            transformer: network.transformer.scratch(MICRO_BATCH),
            inception: network.inception.scratch(),
            tokens: rows(network.transformer.vectors()),
            maps: rows(network.inception.outputs().div_ceil(S::LANES)),
            magnitudes: rows(BANDS.div_ceil(S::LANES)),
            inner: [rows(widest), rows(widest)],
            joined: rows(network.joined_vectors()),
            redshifts: rows(network.concat.vectors()),
            network,
        }
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
        let magnitudes_stride = BANDS.div_ceil(S::LANES);
        let rows: &mut [f32] = bytemuck::cast_slice_mut(&mut self.magnitudes);
        for (row, magnitudes) in rows.chunks_exact_mut(magnitudes_stride * S::LANES).zip(magnitudes.chunks_exact(BANDS))
        {
            row[..BANDS].copy_from_slice(magnitudes);
        }
        let (joined, inner) = (network.joined_vectors(), &mut self.inner);
        let mut first = 0;
        for (perceptron, input, stride) in [
            (&network.hidden, &self.tokens, stride),
            (&network.inception_hidden, &self.maps, maps_stride),
            (&network.magnitude, &self.magnitudes, magnitudes_stride),
        ] {
            perceptron.apply(count, (input, stride), (&mut self.joined[first..], joined), inner);
            first += perceptron.vectors();
        }
        network.concat.apply(count, (&self.joined, joined), (&mut self.redshifts, network.concat.vectors()), inner);
        let found: &[f32] = bytemuck::cast_slice(&self.redshifts);
        for (redshift, found) in redshifts.iter_mut().zip(found.chunks_exact(network.concat.vectors() * S::LANES)) {
            *redshift = found[0];
        }
    }
}
