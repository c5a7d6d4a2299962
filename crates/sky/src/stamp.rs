//! The stamp: a square image of a galaxy in one band, on SDSS's pixels.

pub(crate) use galaxies::SIDE;

/// Arcseconds along a side of a pixel of SDSS's camera.
pub(crate) const PIXEL_SCALE: f64 = 0.396;

/// An image in one band: rows of pixels, the lowest first.
pub(crate) type Stamp = [[f64; SIDE]; SIDE];
