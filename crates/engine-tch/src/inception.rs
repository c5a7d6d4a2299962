//! An inception block as libtorch tensors, and its forward pass.

use astromae::fold::InceptionBlock;
use tch::Tensor;

use crate::layers::{Result, TchConv, TchLinear};

/// An inception block, on maps that are channels last.
#[derive(Clone)]
pub(crate) struct TchInceptionBlock {
    /// The 1×1 convolutions that read the input: the 1×1 branch, and the first ones of the 3×3 and 5×5 branches.
    pointwise: TchLinear,
    /// The numbers of their outputs.
    widths: Vec<i64>,
    conv3x3: TchConv,
    conv5x5: Option<TchConv>,
    branch_pool: TchLinear,
}

impl TchInceptionBlock {
    pub(crate) fn new(block: &InceptionBlock) -> Result<Self> {
        let mut pointwise = vec![&block.branch1x1, &block.branch3x3.0];
        pointwise.extend(block.branch5x5.as_ref().map(|(first, _)| first));
        Ok(Self {
            widths: pointwise.iter().map(|conv| conv.outputs as i64).collect(),
            pointwise: TchLinear::pointwise(&pointwise)?,
            conv3x3: TchConv::new(&block.branch3x3.1)?,
            conv5x5: block.branch5x5.as_ref().map(|(_, second)| TchConv::new(second)).transpose()?,
            branch_pool: TchLinear::pointwise(&[&block.branch_pool])?,
        })
    }

    pub(crate) fn forward(&self, map: &Tensor) -> Result<Tensor> {
        let reduced = self.pointwise.forward(map)?.f_relu_()?.f_split_with_sizes(&self.widths, 3)?;
        let pooled = map
            .f_permute([0, 3, 1, 2])?
            .f_max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false)?
            .f_permute([0, 2, 3, 1])?;
        let mut branches = vec![reduced[0].shallow_clone(), self.conv3x3.forward(&reduced[1])?.f_relu_()?];
        if let Some(conv5x5) = &self.conv5x5 {
            branches.push(conv5x5.forward(&reduced[2])?.f_relu_()?);
        }
        branches.push(self.branch_pool.forward(&pooled)?.f_relu_()?);
        Tensor::f_cat(&branches, 3)
    }
}
