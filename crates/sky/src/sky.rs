//! The sky of a seed: galaxies by their index.

use crate::{
    dataset::OwnColumns,
    galaxy::{Galaxy, Object},
    instrument::Instrument,
    photometry::{self, Photometry},
    population::Population,
    random::{Domain, Stream},
    render::Renderer,
    survey,
};

/// A sky, whose galaxies are made as they are asked for.
pub struct Sky {
    seed: u64,
    population: Population,
    instrument: Instrument,
    renderer: Renderer,
}

impl Sky {
    /// The sky of this seed. Different seeds have no galaxy in common.
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

    /// A galaxy that was observed to have this photometry. What the photometry leaves open is drawn, by seed and index,
    /// from those of the population that look like it; the image's flux in each band is that of the magnitude, reddened
    /// by drawn Galactic dust.
    pub fn observed(&self, index: u64, photometry: &Photometry) -> Galaxy {
        let mut stream = Stream::new(Domain::Observed, self.seed, index);
        let object = photometry::complete(&self.population, &mut stream, photometry);
        self.photograph(object, stream)
    }

    /// The columns that a survey's catalogue has beside the photometry: `object_id`, and `ra` and `dec` in degrees.
    pub fn survey(&self) -> OwnColumns<'_> {
        OwnColumns {
            columns: survey::columns(),
            lists: Vec::new(),
            values: Box::new(|indices| survey::values(self.seed, indices)),
        }
    }

    /// The object with this index, and its stream as far as the object has used it.
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
