//! A transformer block as libtorch tensors, and its forward pass.

use astromae::fold::TransformerBlock;
use tch::{TchError, Tensor};

use crate::{
    conv_branch::TchConvBranch,
    layers::{Result, TokenLinear, normalize},
};

/// A transformer block.
#[derive(Clone)]
pub(crate) struct TchTransformerBlock {
    qkv: TokenLinear,
    proj: TokenLinear,
    conv_branch: Option<TchConvBranch>,
    fc1: TokenLinear,
    fc2: TokenLinear,
}

impl TchTransformerBlock {
    pub(crate) fn new(block: &TransformerBlock, grid: usize) -> Result<Self> {
        Ok(Self {
            qkv: TokenLinear::new(&block.qkv)?,
            proj: TokenLinear::new(&block.proj)?,
            conv_branch: block
                .conv_branch
                .as_ref()
                .map(|(conv_in, conv_out)| TchConvBranch::new(conv_in, conv_out, grid))
                .transpose()?,
            fc1: TokenLinear::new(&block.fc1)?,
            fc2: TokenLinear::new(&block.fc2)?,
        })
    }

    /// From and to `[n, 1 + patches, width]`.
    pub(crate) fn forward(&self, mut x: Tensor, heads: i64, eps: f64) -> Result<Tensor> {
        let attended = self.attention(&normalize(&x, eps)?, heads)?;
        let patches = x.size()[1] - 1;
        let branch = self.conv_branch.as_ref().map(|branch| branch.forward(&x.f_narrow(1, 1, patches)?)).transpose()?;
        let _ = x.f_add_(&attended)?;
        if let Some(branch) = branch {
            let _ = x.f_narrow(1, 1, patches)?.f_add_(&branch)?;
        }
        let hidden = self.fc1.forward(&normalize(&x, eps)?.f_to_mkldnn(None)?)?.f_gelu("none")?;
        x.f_add_(&self.fc2.forward(&hidden)?.f_to_dense(None, false)?)
    }

    fn attention(&self, x: &Tensor, heads: i64) -> Result<Tensor> {
        let [count, tokens, width] = x.size()[..] else { return Err(TchError::Shape("tokens".into())) };
        let qkv = self.qkv.forward(&x.f_to_mkldnn(None)?)?.f_to_dense(None, false)?.f_view([
            count,
            tokens,
            3,
            heads,
            width / heads,
        ])?;
        let qkv = qkv.f_permute([2, 0, 3, 1, 4])?;
        let (q, k, v) = (qkv.f_select(0, 0)?, qkv.f_select(0, 1)?, qkv.f_select(0, 2)?);
        let weights = q.f_matmul(&k.f_transpose(-2, -1)?)?.f_softmax(-1, None)?;
        let context = weights.f_matmul(&v)?.f_transpose(1, 2)?.f_reshape([count, tokens, width])?;
        self.proj.forward(&context.f_to_mkldnn(None)?)?.f_to_dense(None, false)
    }
}
