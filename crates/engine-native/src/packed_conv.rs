//! A convolution's weights, in the order in which its sums take them in.

use astromae::fold;

use crate::simd::Simd;

/// Which channels of a map are a convolution's inputs or outputs: consecutive ones from `first` on.
#[derive(Clone, Copy)]
pub(crate) struct Channels {
    /// The number of all channels of the map.
    pub(crate) total: usize,
    pub(crate) first: usize,
}

/// The most vectors of a map whose sums are in registers at once.
pub(crate) const TILE: usize = 4;

/// A convolution without groups, or one group of a grouped one.
pub(crate) struct PackedConv<S: Simd> {
    pub(crate) simd: S,
    inputs: usize,
    pub(crate) kernel: usize,
    /// Panels of outputs, each `[inputs, kernel, kernel, outputs of the panel]`.
    weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl<S: Simd> PackedConv<S> {
    /// Outputs in a panel. The sums of a tile of these and [`TILE`] vectors take half of the registers.
    const OUTPUTS: usize = S::REGISTERS / 2 / TILE;

    /// Packs the weights of each group of a convolution.
    pub(crate) fn pack_groups(simd: S, conv: &fold::Conv) -> Vec<Self> {
        let (inputs, outputs) = (conv.inputs / conv.groups, conv.outputs / conv.groups);
        let taps = inputs * conv.kernel * conv.kernel;
        let groups = conv.weight.chunks_exact(outputs * taps).zip(conv.bias.chunks_exact(outputs));
        groups
            .map(|(weights, bias)| {
                let mut weight = Vec::with_capacity(weights.len());
                let mut first = 0;
                while first < outputs {
                    let panel = Self::panel_outputs(outputs - first);
                    for tap in 0..taps {
                        weight.extend((first..first + panel).map(|output| weights[output * taps + tap]));
                    }
                    first += panel;
                }
                Self { simd, inputs, kernel: conv.kernel, weight, bias: bias.to_vec() }
            })
            .collect()
    }

    /// The number of outputs in the next panel when `left` outputs remain.
    fn panel_outputs(left: usize) -> usize {
        if left >= Self::OUTPUTS { Self::OUTPUTS } else { 1 }
    }

    /// The first output of each panel, the number of its outputs, and their weights.
    #[inline(always)]
    pub(crate) fn panels(&self) -> impl Iterator<Item = (usize, usize, &[f32])> {
        let (mut first, mut weights) = (0, self.weight.as_slice());
        let taps = self.inputs * self.kernel * self.kernel;
        std::iter::from_fn(move || {
            let outputs = Self::panel_outputs(self.outputs() - first);
            let own = weights.split_off(..outputs * taps)?;
            let panel = (first, outputs, own);
            first += outputs;
            Some(panel)
        })
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.bias.len()
    }
}
