//! Single layers as libtorch tensors.
//!
//! Here and in the modules that use them, operations are those whose names start with `f_`: they return libtorch's
//! errors instead of panicking.

use std::ops::Deref;

use astromae::fold;
use tch::{TchError, Tensor};

pub(crate) type Result<T> = std::result::Result<T, TchError>;

/// A tensor that is never written to again: its clones share the values.
pub(crate) struct Weight(pub(crate) Tensor);

impl Clone for Weight {
    fn clone(&self) -> Self {
        Self(self.0.shallow_clone())
    }
}

impl Deref for Weight {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.0
    }
}

impl Weight {
    pub(crate) fn new(values: &[f32], shape: &[i64]) -> Result<Self> {
        Ok(Self(Tensor::f_from_slice(values)?.f_view(shape)?))
    }
}

/// A linear layer.
#[derive(Clone)]
pub(crate) struct TchLinear {
    weight: Weight,
    bias: Weight,
}

impl TchLinear {
    pub(crate) fn new(layer: &fold::Linear) -> Result<Self> {
        let (outputs, inputs) = (layer.outputs as i64, layer.inputs as i64);
        Ok(Self {
            weight: Weight::new(&layer.weight, &[outputs, inputs])?,
            bias: Weight::new(&layer.bias, &[outputs])?,
        })
    }

    /// Convolutions of one pixel, whose outputs are side by side: they are one linear layer over the channels.
    pub(crate) fn pointwise(convs: &[&fold::Conv]) -> Result<Self> {
        let weight: Vec<f32> = convs.iter().flat_map(|conv| conv.weight.iter().copied()).collect();
        let bias: Vec<f32> = convs.iter().flat_map(|conv| conv.bias.iter().copied()).collect();
        let outputs = bias.len() as i64;
        Ok(Self { weight: Weight::new(&weight, &[outputs, -1])?, bias: Weight::new(&bias, &[outputs])? })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.f_linear(&self.weight, Some(&*self.bias))
    }
}

/// A linear layer on the blocks' tokens, in oneDNN's own layout: its products use all of the processor's vector width,
/// where MKL's, behind `linear`, leave half of it idle on processors that are not Intel's.
#[derive(Clone)]
pub(crate) struct TokenLinear {
    weight: Weight,
    bias: Weight,
}

impl TokenLinear {
    pub(crate) fn new(layer: &fold::Linear) -> Result<Self> {
        let TchLinear { weight, bias } = TchLinear::new(layer)?;
        Ok(Self { weight: Weight(weight.f_to_mkldnn(None)?), bias: Weight(bias.f_to_mkldnn(None)?) })
    }

    /// Both `x` and the result are in oneDNN's layout.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.f_mkldnn_linear(&self.weight, Some(&*self.bias))
    }
}

/// Linear layers with ReLU between them.
#[derive(Clone)]
pub(crate) struct TchPerceptron(Vec<TchLinear>);

impl TchPerceptron {
    pub(crate) fn new(layers: &[fold::Linear]) -> Result<Self> {
        layers.iter().map(TchLinear::new).collect::<Result<_>>().map(Self)
    }

    pub(crate) fn forward(&self, mut x: Tensor) -> Result<Tensor> {
        for (index, layer) in self.0.iter().enumerate() {
            if index > 0 {
                let _ = x.f_relu_()?;
            }
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}

/// A convolution of a map, channels last.
#[derive(Clone)]
pub(crate) struct TchConv {
    weight: Weight,
    bias: Weight,
    padding: i64,
}

impl TchConv {
    pub(crate) fn new(conv: &fold::Conv) -> Result<Self> {
        let (outputs, inputs, kernel) = (conv.outputs as i64, (conv.inputs / conv.groups) as i64, conv.kernel as i64);
        let weight = Tensor::f_from_slice(&conv.weight)?.f_view([outputs, inputs, kernel, kernel])?;
        let weight = weight.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?;
        Ok(Self { weight: Weight(weight), bias: Weight::new(&conv.bias, &[outputs])?, padding: kernel / 2 })
    }

    pub(crate) fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let padding = [self.padding, self.padding];
        map.f_contiguous()?
            .f_permute([0, 3, 1, 2])?
            .f_conv2d(&self.weight, Some(&*self.bias), [1, 1], padding, [1, 1], 1)?
            .f_permute([0, 2, 3, 1])
    }
}

/// A layer norm without its affine part, which is folded into the next layer.
pub(crate) fn normalize(x: &Tensor, eps: f64) -> Result<Tensor> {
    let width = x.size().last().copied().unwrap_or(0);
    x.f_layer_norm([width], None::<Tensor>, None::<Tensor>, eps, false)
}

/// The average over each 2×2 pixels of a map, channels last.
pub(crate) fn average_pool(map: &Tensor) -> Result<Tensor> {
    let channels_last = map.f_permute([0, 3, 1, 2])?;
    channels_last.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)?.f_permute([0, 2, 3, 1])
}
