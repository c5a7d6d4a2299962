//! A simulated sky: galaxies as SDSS would have seen them, with known redshifts.
//!
//! No real images come with this project, yet everything has to be tried, trained and measured on some. These are
//! drawn from what is known of real ones: luminosities and sizes from SDSS's own statistics, spectra of nearby galaxies
//! through SDSS's filters at each redshift, a bulge and a disc, dust in the galaxy and in ours, seeing, the sky's and the
//! camera's noise. A network has to find redshifts in them for the same reasons as in the real ones: the break at 4000 Å
//! moves through the bands, and galaxies get smaller and fainter. It is a test of the system, not of astrophysics: there
//! are no neighbours, spiral arms, stars or artefacts, and redshifts learnt here are no use on a real sky.
//!
//! A galaxy depends on the sky's seed and its own index, and on nothing else: each has its own stream of random numbers
//! ([ChaCha8](chacha20)), so that any part of a sky can be made anywhere, alone. It does not depend on the machine either:
//! IEEE 754 says how sums, products and roots are rounded, and [`libm`] does the rest.
//!
//! - `population` draws galaxies, `main_sample` most redshifts and luminosities among them;
//!   `spectra` gives their colours and `cosmology` their distances.
//! - `render` makes images and `instrument` observes them.
//! - [`Photometry`] is what a galaxy may be given by; the rest of it is drawn.
//! - [`write`] makes data sets.

mod cosmology;
mod dataset;
mod instrument;
mod main_sample;
mod photometry;
mod population;
mod random;
mod render;
mod spectra;
mod tables;

pub use dataset::write;
pub use instrument::Conditions;
pub use photometry::{Photometry, PhotometryError};
pub use population::{Component, Object, Sample, Shape};

use crate::{
    instrument::Instrument,
    population::Population,
    random::{Domain, Stream},
    render::Renderer,
};

/// A galaxy and its images.
#[derive(Debug, Clone, PartialEq)]
pub struct Galaxy {
    /// What it is.
    pub object: Object,
    /// `[5, 32, 32]`: u g r i z, rows, pixels of 0.396″; nanomaggies per pixel, sky subtracted, Galactic reddening left in.
    pub images: Vec<f32>,
}

/// A sky full of galaxies.
pub struct Sky {
    seed: u64,
    population: Population,
    instrument: Instrument,
    renderer: Renderer,
}

impl Sky {
    /// The sky of this seed. Different seeds have nothing in common.
    pub fn new(seed: u64) -> Self {
        Self { seed, population: Population::new(), instrument: Instrument::new(), renderer: Renderer::new() }
    }

    /// The object with this index, without its images.
    pub fn object(&self, index: u64) -> Object {
        self.draw(index).0
    }

    /// The galaxy with this index.
    pub fn galaxy(&self, index: u64) -> Galaxy {
        let (object, stream) = self.draw(index);
        self.photograph(object, stream)
    }

    /// A galaxy with this photometry. What it leaves open is drawn from the population, given it, by seed and index; the
    /// image's flux in each band is that of the magnitude, with a Galactic reddening.
    pub fn observed(&self, index: u64, photometry: &Photometry) -> Galaxy {
        let mut stream = Stream::new(Domain::Observed, self.seed, index);
        let object = photometry::complete(&self.population, &mut stream, photometry);
        self.photograph(object, stream)
    }

    fn draw(&self, index: u64) -> (Object, Stream) {
        let mut stream = Stream::new(Domain::Simulated, self.seed, index);
        (self.population.draw(&mut stream, &self.instrument), stream)
    }

    fn photograph(&self, object: Object, mut stream: Stream) -> Galaxy {
        let stamps = self.renderer.stamps(&object.shape, &object.fluxes, &object.conditions);
        let images = self.instrument.expose(&mut stream, &stamps);
        Galaxy { object, images }
    }
}
