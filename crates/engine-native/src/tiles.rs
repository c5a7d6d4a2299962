//! How a product of matrices with packed weights is cut into tiles, whichever numbers it multiplies.

use crate::simd::Simd;

/// Vectors of outputs in a panel.
pub(crate) const PANEL: usize = 3;

/// A product of rows of inputs with weights that are packed in panels of [`PANEL`] vectors of outputs, the last one
/// perhaps of fewer.
pub(crate) trait TiledProduct<S: Simd> {
    /// The number of rows of the input and of the output.
    fn rows(&self) -> usize;

    /// The number of vectors in a row of the output.
    fn vectors(&self) -> usize;

    /// Computes a tile of the output: R rows from `row` on, and the V vectors of the panel that starts with `first`.
    fn tile<const V: usize, const R: usize>(&mut self, simd: S, first: usize, row: usize);
}

/// Computes a product panel by panel, so that a panel's weights stay in a near cache while it goes through all rows.
#[inline(always)]
pub(crate) fn compute<S: Simd>(simd: S, product: &mut impl TiledProduct<S>) {
    for first in (0..product.vectors()).step_by(PANEL) {
        match product.vectors() - first {
            1 => panel::<S, _, 1>(simd, product, first),
            2 => panel::<S, _, 2>(simd, product, first),
            _ => panel::<S, _, PANEL>(simd, product, first),
        }
    }
}

/// Computes all rows of the V vectors of outputs that start at `first`.
#[inline(always)]
fn panel<S: Simd, P: TiledProduct<S>, const V: usize>(simd: S, product: &mut P, first: usize) {
    let mut row = 0;
    // A full tile and the weights of one input take all registers but one or two.
    if S::REGISTERS >= 32 {
        row = tiles::<S, P, V, 8>(simd, product, first, row);
    }
    row = tiles::<S, P, V, 4>(simd, product, first, row);
    tiles::<S, P, V, 1>(simd, product, first, row);
}

/// Computes as many tiles of R rows as fit between `row` and the last one, and returns the row behind them.
#[inline(always)]
fn tiles<S: Simd, P: TiledProduct<S>, const V: usize, const R: usize>(
    simd: S,
    product: &mut P,
    first: usize,
    mut row: usize,
) -> usize {
    while row + R <= product.rows() {
        product.tile::<V, R>(simd, first, row);
        row += R;
    }
    row
}
