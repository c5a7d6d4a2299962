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
//! sums and products of IEEE 754 are exact, and [`libm`] does the rest.
//!
//! - `population` draws galaxies, `main_sample` most redshifts and luminosities among them;
//!   `spectra` gives their colours and `cosmology` their distances.
//! - `render` makes images and `instrument` observes them.
//! - `observed` completes galaxies whose magnitudes and redshift are given.
//! - [`write`] makes data sets.

mod cosmology;
mod dataset;
mod instrument;
mod main_sample;
mod observed;
mod population;
mod random;
mod render;
mod spectra;
mod tables;

pub use dataset::write;
pub use instrument::Conditions;
pub use population::{Component, Object, Sample, Shape};

use crate::{
    instrument::Instrument,
    population::Population,
    random::{Domain, Stream},
    render::Renderer,
};

/// Why there is no galaxy, or no data set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No galaxy of the population can be there.
    #[error("redshift {redshift} is not between {least} and {most}, where the spectra are known")]
    Redshift {
        /// The redshift.
        redshift: f64,
        /// The least that there may be.
        least: f64,
        /// The greatest.
        most: f64,
    },
    /// No galaxy has such a magnitude.
    #[error("magnitude {magnitude} in {band} is not between {least} and {most}: leave out rows without a measurement")]
    Magnitude {
        /// u, g, r, i or z.
        band: char,
        /// The magnitude.
        magnitude: f64,
        /// The least that there may be.
        least: f64,
        /// The greatest.
        most: f64,
    },
    /// Writing failed.
    #[error(transparent)]
    Write(#[from] torch_file::Error),
}

/// [`std::result::Result`] with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

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

    /// A galaxy with these magnitudes (u g r i z) and this redshift, such as a row of a real catalogue. What they leave
    /// open is drawn from the population, given them, by seed and index.
    ///
    /// Magnitudes are taken as dereddened, AB and Pogson's; the image's flux in each band is theirs, reddened. SDSS's own
    /// asinh magnitudes may be given: down to 22 in u, g, r and i and 20.5 in z, they differ by less than 0.015.
    ///
    /// # Errors
    /// [`Error::Redshift`] and [`Error::Magnitude`] where no galaxy can be like that.
    pub fn observed(&self, index: u64, magnitudes: [f64; 5], redshift: f64) -> Result<Galaxy> {
        let mut stream = Stream::new(Domain::Observed, self.seed, index);
        let object = observed::complete(&self.population, &mut stream, magnitudes, redshift)?;
        Ok(self.photograph(object, stream))
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
