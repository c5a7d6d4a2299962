//! The convolution branch of a transformer block as libtorch tensors, and its forward pass.

use astromae::fold;
use tch::{TchError, Tensor};

use crate::layers::{Result, Weight};

/// Two grouped convolutions on the patches' small map, in the form of [`RowConv`].
#[derive(Clone)]
pub(crate) struct TchConvBranch {
    grid: i64,
    conv_in: RowConv,
    conv_out: RowConv,
}

impl TchConvBranch {
    pub(crate) fn new(conv_in: &fold::Conv, conv_out: &fold::Conv, grid: usize) -> Result<Self> {
        Ok(Self { grid: grid as i64, conv_in: RowConv::new(conv_in, grid)?, conv_out: RowConv::new(conv_out, grid)? })
    }

    /// From and to `[n, patches, width]`.
    pub(crate) fn forward(&self, patches: &Tensor) -> Result<Tensor> {
        let hidden = self.conv_in.forward(&self.to_rows(patches, self.conv_in.groups)?)?.f_silu_()?;
        // In the published network both have the same groups, and the rows stay as they are.
        let hidden = match self.conv_in.groups == self.conv_out.groups {
            true => hidden,
            false => self.to_rows(&self.to_patches(&hidden)?, self.conv_out.groups)?,
        };
        self.to_patches(&self.conv_out.forward(&hidden)?)
    }

    /// Rearranges `[n, patches, channels]` as `[groups, grid · n, grid · channels of a group]`: one row of all maps
    /// after the other.
    fn to_rows(&self, patches: &Tensor, groups: i64) -> Result<Tensor> {
        let [count, _, channels] = patches.size()[..] else { return Err(TchError::Shape("patches".into())) };
        patches
            .f_view([count, self.grid, self.grid, groups, channels / groups])?
            .f_permute([3, 1, 0, 2, 4])?
            .f_reshape([groups, self.grid * count, -1])
    }

    /// The inverse of [`Self::to_rows`].
    fn to_patches(&self, rows: &Tensor) -> Result<Tensor> {
        let [groups, lines, columns] = rows.size()[..] else { return Err(TchError::Shape("rows".into())) };
        let (count, channels) = (lines / self.grid, columns / self.grid);
        rows.f_view([groups, self.grid, count, self.grid, channels])?.f_permute([2, 1, 3, 0, 4])?.f_reshape([
            count,
            self.grid * self.grid,
            groups * channels,
        ])
    }
}

/// A grouped convolution of a small map as batched products over its groups, one for each row of the kernel. The input
/// of a product are rows of the map, with all their columns and channels side by side; its output is what they add to
/// the rows that this row of the kernel carries them to: those below, themselves or those above.
#[derive(Clone)]
struct RowConv {
    groups: i64,
    grid: i64,
    /// For each row of the kernel `[groups, grid · inputs, grid · outputs]`, with the inputs and outputs of one group.
    kernel_rows: Vec<Weight>,
    /// `[groups, 1, grid · outputs]`.
    bias: Weight,
}

impl RowConv {
    fn new(conv: &fold::Conv, grid: usize) -> Result<Self> {
        let (groups, kernel) = (conv.groups, conv.kernel);
        let (inputs, outputs) = (conv.inputs / groups, conv.outputs / groups);
        let shape = [groups as i64, (grid * inputs) as i64, (grid * outputs) as i64];
        let kernel_row = |down: usize| {
            let mut weight = vec![0.0; groups * grid * inputs * grid * outputs];
            for (from, to) in (0..grid).flat_map(|from| (0..grid).map(move |to| (from, to))) {
                // Where the kernel that is centred on column `to` has column `from`, if it reaches that far.
                let Some(right) = (from + kernel / 2).checked_sub(to).filter(|right| *right < kernel) else { continue };
                for output in 0..conv.outputs {
                    for input in 0..inputs {
                        let row = (output / outputs * grid + from) * inputs + input;
                        weight[row * grid * outputs + to * outputs + output % outputs] =
                            conv.weight[((output * inputs + input) * kernel + down) * kernel + right];
                    }
                }
            }
            Weight::new(&weight, &shape)
        };
        let bias: Vec<f32> = conv.bias.chunks(outputs).flat_map(|group| group.repeat(grid)).collect();
        Ok(Self {
            groups: shape[0],
            grid: grid as i64,
            kernel_rows: (0..kernel).map(kernel_row).collect::<Result<_>>()?,
            bias: Weight::new(&bias, &[shape[0], 1, shape[2]])?,
        })
    }

    /// From `[groups, grid · n, grid · inputs]` to `[groups, grid · n, grid · outputs]`.
    fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        let lines = rows.size()[1];
        let middle = self.kernel_rows.len() / 2;
        let out = self.bias.f_baddbmm(rows, &self.kernel_rows[middle], 1, 1)?;
        for distance in 1..=middle.min(self.grid as usize - 1) {
            let offset = distance as i64 * lines / self.grid;
            let (first, last) = (
                |map: &Tensor| map.f_narrow(1, 0, lines - offset),
                |map: &Tensor| map.f_narrow(1, offset, lines - offset),
            );
            // A row of the map reaches the rows below it by the kernel's upper part, and those above by its lower.
            let _ = last(&out)?.f_baddbmm_(&first(rows)?, &self.kernel_rows[middle - distance])?;
            let _ = first(&out)?.f_baddbmm_(&last(rows)?, &self.kernel_rows[middle + distance])?;
        }
        Ok(out)
    }
}
