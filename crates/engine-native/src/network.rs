//! The whole network on one instruction set, and the order in which a thread computes it.
//!
//! The transformer takes most of the time, and takes few galaxies at once so that their activations stay in a near
//! cache. The last layers have many weights, each used once for a galaxy, and take more galaxies at once so that memory
//! keeps up. The inception network takes a galaxy for each lane.

use std::{mem::take, sync::Arc};

use astromae::{
    Precision,
    engine::{BANDS, PIXELS},
    fold::{self, FoldedNetwork},
};
use bytemuck::zeroed_vec;

use crate::{
    epilogue::Epilogue,
    inception::{self, PackedInception},
    linear::{PackedLinear, pad_inputs},
    simd::Simd,
    transformer::{self, PackedTransformer},
};

/// Galaxies that go through the transformer together. The widest of their activations take 1.7 MB; 32 galaxies were 2
/// to 3 % faster than 16, and as fast as 64. It is a multiple of every vector's lanes.
pub(crate) const MICRO_BATCH: usize = 32;

/// Galaxies that go through the last layers together, and the most that [`Predict::predict`] takes. 128 were 1 % faster
/// than 64.
pub(crate) const BATCH: usize = 128;

/// A [`Worker`], whichever instruction set it is for.
pub(crate) trait Predict: Send {
    /// Predicts the redshifts of at most [`BATCH`] galaxies.
    fn predict(&mut self, images: &[f32], magnitudes: &[f32], redshifts: &mut [f32]);
}

/// A [`FoldedNetwork`] whose weights are packed as the kernels of an instruction set read them.
pub(crate) struct PackedNetwork<S: Simd> {
    pub(crate) transformer: PackedTransformer<S>,
    pub(crate) hidden: PackedPerceptron<S>,
    pub(crate) inception: PackedInception<S>,
    pub(crate) inception_hidden: PackedPerceptron<S>,
    pub(crate) magnitude: PackedPerceptron<S>,
    pub(crate) concat: PackedPerceptron<S>,
}

impl<S: Simd> PackedNetwork<S> {
    /// Packs the weights, and frees those of each folded layer as soon as they are packed.
    pub(crate) fn new(simd: S, precision: Precision, mut network: FoldedNetwork) -> Self {
        // The input of `concat` is the branches' outputs side by side, each in whole vectors.
        let outputs = |layers: &Vec<fold::Linear>| layers.last().map_or(0, |last| last.outputs);
        let branches = [&network.hidden, &network.inception_hidden, &network.magnitude].map(outputs);
        let concat = take(&mut network.concat).into_iter().enumerate().map(|(index, layer)| match index {
            0 => pad_inputs::<S>(layer, &branches),
            _ => layer,
        });
        Self {
            concat: PackedPerceptron::new(simd, concat),
            hidden: PackedPerceptron::new(simd, take(&mut network.hidden)),
            inception_hidden: PackedPerceptron::new(simd, take(&mut network.inception_hidden)),
            magnitude: PackedPerceptron::new(simd, take(&mut network.magnitude)),
            inception: PackedInception::new(simd, &network.stem, &network.inception),
            transformer: PackedTransformer::new(simd, precision, network),
        }
    }

    fn joined_vectors(&self) -> usize {
        self.hidden.vectors() + self.inception_hidden.vectors() + self.magnitude.vectors()
    }
}

/// Linear layers with ReLU between them.
pub(crate) struct PackedPerceptron<S: Simd>(pub(crate) Vec<PackedLinear<S>>);

impl<S: Simd> PackedPerceptron<S> {
    fn new(simd: S, layers: impl IntoIterator<Item = fold::Linear>) -> Self {
        Self(layers.into_iter().map(|layer| PackedLinear::new(simd, &layer)).collect())
    }

    /// The number of vectors in a row of the result.
    fn vectors(&self) -> usize {
        self.0.last().map_or(0, PackedLinear::vectors)
    }

    /// Computes `rows` rows. Strides are in vectors; `inner` and `next` are for what is between two layers.
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
            layer.apply(rows, (source, stride), (to, layer.vectors()), Epilogue::Relu);
            stride = layer.vectors();
            std::mem::swap(&mut from, &mut to);
        }
        let source = if first.is_empty() { input } else { from.as_slice() };
        last.apply(rows, (source, stride), output, Epilogue::Store);
    }
}

/// What one thread predicts with: the network, which all threads share, and memory for its own activations.
pub(crate) struct Worker<S: Simd> {
    network: Arc<PackedNetwork<S>>,
    transformer: transformer::Scratch<S>,
    inception: inception::Scratch<S>,
    /// The input of `hidden`.
    tokens: Vec<S::F>,
    /// The input of `inception_hidden`.
    maps: Vec<S::F>,
    /// The input of `magnitude`.
    magnitudes: Vec<S::F>,
    /// What is between the layers of a perceptron.
    inner: [Vec<S::F>; 2],
    /// The input of `concat`: the branches' outputs side by side.
    joined: Vec<S::F>,
    /// The output of `concat`: the first value of each row is a redshift.
    redshifts: Vec<S::F>,
}

impl<S: Simd> Worker<S> {
    pub(crate) fn new(network: Arc<PackedNetwork<S>>) -> Self {
        let rows = |vectors: usize| zeroed_vec(BATCH * vectors);
        let perceptrons = [&network.hidden, &network.inception_hidden, &network.magnitude, &network.concat];
        let widest =
            perceptrons.into_iter().flat_map(|perceptron| &perceptron.0).map(PackedLinear::vectors).max().unwrap_or(0);
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
