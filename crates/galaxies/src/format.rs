//! The dimensions of a galaxy's image, which are the network's: it was trained on SDSS cut-outs of this size.

/// Bands of an image, and magnitudes of a galaxy: u, g, r, i and z of SDSS, in this order.
pub const BANDS: usize = 5;
/// Pixels along each side of an image.
pub const SIDE: usize = 32;
/// Values of a galaxy's image, in all bands together.
pub const PIXELS: usize = BANDS * SIDE * SIDE;
