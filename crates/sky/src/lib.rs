//! A simulated sky: galaxies as SDSS would have seen them, with known redshifts.
//!
//! No real images come with this project, yet everything has to be tried, trained and measured on some. These are drawn
//! from what is known of real ones: luminosities and sizes from SDSS's own statistics, spectra of nearby galaxies
//! through SDSS's filters at each redshift, a bulge and a disc, dust in the galaxy and in ours, seeing, the sky's and
//! the camera's noise. A network has to find redshifts in them for the same reasons as in the real ones: the break at
//! 4000 Å moves through the bands, and galaxies get smaller and fainter. It is a test of the system, not of
//! astrophysics: there are no neighbours, spiral arms, stars or artefacts, and redshifts learnt here are no use on a
//! real sky.
//!
//! A galaxy depends on the sky's seed and its own index, and on nothing else: each has its own stream of random numbers
//! ([ChaCha8](chacha20)), so that any part of a sky can be made anywhere, alone. It does not depend on the machine
//! either: IEEE 754 says how sums, products and roots are rounded, and [`libm`] computes all other functions.
//!
//! - `galaxy` says what is known of a galaxy, `conditions` what it is seen through; `stamp` and `magnitudes` have the
//!   units of its images and fluxes.
//! - `population` draws galaxies; their redshifts and luminosities are those of `main_sample` or `luminous_red`, their
//!   colours come from `spectra`, and their distances from `cosmology`.
//! - `render` makes images without noise, and `instrument` observes them.
//! - `photometry` completes a galaxy of which magnitudes and redshift are given.
//! - `survey` gives galaxies identifiers and positions.
//! - `sky` puts these together, `dataset` writes its galaxies to files, and [`contact_sheet`] and [`strip`] draw them.

mod conditions;
pub mod contact_sheet;
mod cosmology;
mod dataset;
mod galaxy;
mod instrument;
mod luminous_red;
mod magnitudes;
mod main_sample;
mod photometry;
mod population;
mod random;
mod render;
mod sky;
mod spectra;
mod stamp;
pub mod strip;
mod survey;
mod tables;

pub use conditions::Conditions;
pub use dataset::{OwnColumns, write};
pub use galaxy::{Component, Galaxy, Object, Sample, Shape};
pub use photometry::{Photometry, PhotometryError};
pub use sky::Sky;
