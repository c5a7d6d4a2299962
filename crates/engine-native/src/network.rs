//! The whole network on one instruction set, and the order in which threads compute it.
//!
//! The transformer takes most of the time, and takes few galaxies at once so that their activations stay in a near
//! cache. The last layers have many weights, each used once for a galaxy, and take more galaxies at once so that memory
//! keeps up; of few galaxies, each thread computes some of the outputs of all, so that it reads a part of the weights
//! alone.

use std::{mem::take, sync::Arc};

use astromae::{
    Precision,
    engine::{BANDS, PIXELS},
    fold::{self, FoldedNetwork},
};
use bytemuck::zeroed_vec;
use rayon::prelude::*;

use crate::{
    epilogue::Epilogue,
    inception::{self, PackedInception},
    linear::{PackedLinear, pad_inputs},
    simd::Simd,
    transformer::{self, MICRO_BATCH, PackedTransformer},
};

/// Galaxies that go through the last layers together, and the most that [`Predict::predict`] takes. 128 were 1 % faster
/// than 64.
pub(crate) const BATCH: usize = 128;

/// A [`Worker`], whichever instruction set it is for.
pub(crate) trait Predict: Send {
    /// Predicts the redshifts of at most [`BATCH`] galaxies, on as many threads of the pool that it is called in as
    /// `parts` says, or, for one part, on the calling thread, which need not be of a pool.
    fn predict(&mut self, parts: usize, images: &[f32], magnitudes: &[f32], redshifts: &mut [f32]);
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
        Self(layers.into_iter().map(|layer| PackedLinear::in_fewest_bytes(simd, &layer)).collect())
    }

    /// The number of vectors in a row of the result.
    fn vectors(&self) -> usize {
        self.0.last().map_or(0, PackedLinear::vectors)
    }
}

/// What some galaxies are predicted with: the network, which all threads share, and memory for their activations.
pub(crate) struct Worker<S: Simd> {
    network: Arc<PackedNetwork<S>>,
    /// One for each thread that has worked on a share at once.
    branches: Vec<BranchScratch<S>>,
    hidden: PerceptronScratch<S>,
    inception_hidden: PerceptronScratch<S>,
    magnitude: PerceptronScratch<S>,
    concat: PerceptronScratch<S>,
}

/// What one thread needs for the branches up to their perceptrons.
struct BranchScratch<S: Simd> {
    transformer: transformer::Scratch<S>,
    inception: inception::Scratch<S>,
}

/// The input and the output of a perceptron, in rows of whole vectors, and what is between its layers.
struct PerceptronScratch<S: Simd> {
    /// Vectors in a row of the input.
    stride: usize,
    input: Vec<S::F>,
    inner: [Vec<S::F>; 2],
    blocks: Vec<S::F>,
    output: Vec<S::F>,
}

impl<S: Simd> PerceptronScratch<S> {
    fn new(perceptron: &PackedPerceptron<S>, stride: usize) -> Self {
        let rows = |vectors: usize| zeroed_vec(BATCH * vectors);
        let widest = perceptron.0.iter().map(PackedLinear::vectors).max().unwrap_or(0);
        Self {
            stride,
            input: rows(stride),
            inner: [rows(widest), rows(widest)],
            blocks: rows(widest),
            output: rows(perceptron.vectors()),
        }
    }

    /// Computes `rows` rows of the output from the input, each layer on so many threads.
    fn apply(&mut self, perceptron: &PackedPerceptron<S>, parts: usize, rows: usize) {
        let Some((last, first)) = perceptron.0.split_last() else { return };
        let [from, to] = &mut self.inner;
        let (mut from, mut to) = (from, to);
        let mut source = (self.input.as_slice(), self.stride);
        for layer in first {
            let output = (to.as_mut_slice(), layer.vectors());
            layer.apply_in_parts(parts, rows, source, output, Epilogue::Relu, &mut self.blocks);
            std::mem::swap(&mut from, &mut to);
            source = (from, layer.vectors());
        }
        let output = (self.output.as_mut_slice(), last.vectors());
        last.apply_in_parts(parts, rows, source, output, Epilogue::Store, &mut self.blocks);
    }
}

impl<S: Simd> Worker<S> {
    pub(crate) fn new(network: Arc<PackedNetwork<S>>) -> Self {
        let maps = network.inception.outputs().div_ceil(S::LANES);
        Self {
            branches: Vec::new(),
            hidden: PerceptronScratch::new(&network.hidden, network.transformer.vectors()),
            inception_hidden: PerceptronScratch::new(&network.inception_hidden, maps),
            magnitude: PerceptronScratch::new(&network.magnitude, BANDS.div_ceil(S::LANES)),
            concat: PerceptronScratch::new(&network.concat, network.joined_vectors()),
            network,
        }
    }
}

impl<S: Simd> Predict for Worker<S> {
    fn predict(&mut self, parts: usize, images: &[f32], magnitudes: &[f32], redshifts: &mut [f32]) {
        let Self { network, branches, hidden, inception_hidden, magnitude, concat } = self;
        let count = redshifts.len();
        while branches.len() < parts.min(count) {
            let transformer = network.transformer.scratch(MICRO_BATCH);
            branches.push(BranchScratch { transformer, inception: network.inception.scratch() });
        }
        let rows: &mut [f32] = bytemuck::cast_slice_mut(&mut magnitude.input);
        let rows = rows.chunks_exact_mut(magnitude.stride * S::LANES);
        for (row, magnitudes) in rows.zip(magnitudes.chunks_exact(BANDS)) {
            row[..BANDS].copy_from_slice(magnitudes);
        }
        if count == 1 && parts > 1 {
            // A galaxy alone: a branch for each of two threads.
            let BranchScratch { transformer, inception } = &mut branches[0];
            rayon::join(
                || {
                    network.transformer.apply(images, &mut hidden.input, transformer);
                    hidden.apply(&network.hidden, 1, count);
                },
                || {
                    network.inception.apply(images, (&mut inception_hidden.input, inception_hidden.stride), inception);
                    inception_hidden.apply(&network.inception_hidden, 1, count);
                    magnitude.apply(&network.magnitude, 1, count);
                },
            );
        } else {
            let (tokens_stride, maps_stride) = (hidden.stride, inception_hidden.stride);
            let compute = |images: &[f32], tokens: &mut [S::F], maps: &mut [S::F], scratch: &mut BranchScratch<S>| {
                let tokens = tokens.chunks_mut(MICRO_BATCH * tokens_stride);
                for (images, tokens) in images.chunks(MICRO_BATCH * PIXELS).zip(tokens) {
                    network.transformer.apply(images, tokens, &mut scratch.transformer);
                }
                network.inception.apply(images, (maps, maps_stride), &mut scratch.inception);
            };
            if parts == 1 {
                compute(images, &mut hidden.input, &mut inception_hidden.input, &mut branches[0]);
            } else {
                let share = count.div_ceil(parts);
                let outputs = hidden.input.par_chunks_mut(share * tokens_stride);
                let outputs = outputs.zip(inception_hidden.input.par_chunks_mut(share * maps_stride));
                let shares = images.par_chunks(share * PIXELS).zip(outputs).zip(branches);
                shares.for_each(|((images, (tokens, maps)), scratch)| compute(images, tokens, maps, scratch));
            }
            hidden.apply(&network.hidden, parts, count);
            inception_hidden.apply(&network.inception_hidden, parts, count);
            magnitude.apply(&network.magnitude, parts, count);
        }
        // The branches' outputs, side by side.
        let mut first = 0;
        for (perceptron, scratch) in [
            (&network.hidden, &*hidden),
            (&network.inception_hidden, inception_hidden),
            (&network.magnitude, magnitude),
        ] {
            let vectors = perceptron.vectors();
            let rows = concat.input.chunks_exact_mut(concat.stride).zip(scratch.output.chunks_exact(vectors));
            for (joined, row) in rows.take(count) {
                joined[first..][..vectors].copy_from_slice(row);
            }
            first += vectors;
        }
        concat.apply(&network.concat, parts, count);
        let found: &[f32] = bytemuck::cast_slice(&concat.output);
        for (redshift, found) in redshifts.iter_mut().zip(found.chunks_exact(network.concat.vectors() * S::LANES)) {
            // The others of a row are padding.
            *redshift = found[0];
        }
    }
}
