//! Which galaxies there are: SDSS's flux-limited main sample, and luminous red galaxies beyond it.
//!
//! Constants are from the papers named beside them. Those without a source (shares of red galaxies and of bulges, scatter
//! of spectra, offsets of colours) were tuned until colours by redshift fell on those of real SDSS galaxies.

use crate::{
    cosmology::Cosmology,
    instrument::{Conditions, Instrument, PIXEL, magnitude, nanomaggies},
    main_sample::MainSample,
    random::Stream,
    spectra::{Magnitudes, Spectra, Spectrum},
};

/// Share of luminous red galaxies.
pub(crate) const LUMINOUS_RED: f64 = 0.15;
/// Mean and standard deviation of their redshifts, which end at 0.18 and 0.62.
pub(crate) const LRG_REDSHIFT: (f64, f64) = (0.35, 0.085);
/// Mean and standard deviation of their absolute magnitudes, none fainter than −21.9.
pub(crate) const LRG_MAGNITUDE: (f64, f64) = (-22.75, 0.35);
/// Galaxies were brighter by so many magnitudes for each unit of redshift.
pub(crate) const EVOLUTION: f64 = 1.0;
/// What ties the templates' colours to SDSS's, and for old stars how that changes with redshift.
const OFFSET: [f64; 5] = [0.15, 0.03, 0.0, 0.0, -0.02];
const PASSIVE_EVOLUTION: [f64; 5] = [-0.1, -0.25, 0.0, 0.0, 0.05];

/// The sample a galaxy was selected for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// Flux-limited: r below 17.77 (Strauss et al. 2002).
    Main,
    /// Luminous red galaxies, to a redshift of 0.62 (as Eisenstein et al. 2001).
    LuminousRed,
}

/// What a galaxy is.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Redshift, exact.
    pub redshift: f64,
    /// Catalogue magnitudes in u g r i z: Pogson's, AB, dereddened, with the errors of photometry.
    pub magnitudes: Magnitudes,
    /// Why it is in the sky.
    pub sample: Sample,
    /// On the red sequence.
    pub red: bool,
    /// An elliptical or lenticular galaxy.
    pub early: bool,
    /// In rest-frame r, today (its evolution since is taken out).
    pub absolute_magnitude: f64,
    /// Fluxes of bulge and disc in u g r i z, nanomaggies, as they are above dust and atmosphere.
    pub fluxes: [[f64; 5]; 2],
    /// What its image looks like.
    pub shape: Shape,
    /// What lies between it and the detector.
    pub conditions: Conditions,
}

/// A bulge and a disc about a common centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// The bulge's part of the rest-frame r light.
    pub bulge_fraction: f64,
    /// De Vaucouleurs profile.
    pub bulge: Component,
    /// Exponential profile.
    pub disc: Component,
    /// Of the major axes, radians from the rows of the image.
    pub position_angle: f64,
    /// Of the centre from the image's middle, in pixels.
    pub offset: [f64; 2],
}

/// An elliptical component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Component {
    /// Half-light radius along the major axis, in pixels.
    pub radius: f64,
    /// Minor over major axis.
    pub axis_ratio: f64,
}

/// What decides the distributions that everything else is drawn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) sample: Sample,
    pub(crate) red: bool,
    pub(crate) early: bool,
}

/// Light of a galaxy by component and band, and the axis ratios, which dust depends on.
pub(crate) struct Light {
    pub(crate) bulge_fraction: f64,
    /// Axis ratios of bulge and disc.
    axis_ratios: [f64; 2],
    /// What each component adds to absolute magnitude and distance modulus.
    colours: [Magnitudes; 2],
}

pub(crate) struct Population {
    pub(crate) main: MainSample,
    pub(crate) cosmology: Cosmology,
    pub(crate) spectra: Spectra,
}

impl Population {
    pub(crate) fn new() -> Self {
        let cosmology = Cosmology::new();
        Self { main: MainSample::new(&cosmology), cosmology, spectra: Spectra::new() }
    }

    /// Draws a galaxy.
    pub(crate) fn draw(&self, stream: &mut Stream, instrument: &Instrument) -> Object {
        let (sample, redshift, absolute_magnitude) = if stream.chance(LUMINOUS_RED) {
            let z = (LRG_REDSHIFT.0 + stream.gauss(LRG_REDSHIFT.1)).clamp(0.18, 0.62);
            (Sample::LuminousRed, z, (LRG_MAGNITUDE.0 + stream.gauss(LRG_MAGNITUDE.1)).min(-21.9))
        } else {
            let (z, absolute_magnitude) = self.main.draw(stream);
            (Sample::Main, z.max(0.003), absolute_magnitude)
        };
        let kind = Kind::draw(stream, sample, absolute_magnitude);
        let light = self.light(stream, kind, redshift, absolute_magnitude);
        let shape = self.shape(stream, kind, redshift, absolute_magnitude, &light);
        let conditions = Conditions::draw(stream);
        let fluxes = light.fluxes(self.apparent(redshift, absolute_magnitude));
        let total = std::array::from_fn(|band| fluxes[0][band] + fluxes[1][band]);
        let size = if light.bulge_fraction > 0.5 { shape.bulge.radius } else { shape.disc.radius };
        let magnitudes = instrument.measure(stream, &total, size, &conditions);
        let Kind { sample, red, early } = kind;
        Object { redshift, magnitudes, sample, red, early, absolute_magnitude, fluxes, shape, conditions }
    }

    /// Absolute magnitude as seen at a redshift, without the spectrum's part.
    pub(crate) fn apparent(&self, z: f64, absolute_magnitude: f64) -> f64 {
        absolute_magnitude + self.cosmology.distance_modulus(z) - EVOLUTION * z
    }

    /// Draws what the galaxy's stars and dust look like.
    pub(crate) fn light(&self, stream: &mut Stream, kind: Kind, z: f64, absolute_magnitude: f64) -> Light {
        let Kind { red, early, .. } = kind;
        // Bulge: old stars; the brighter, the redder.
        let bulge = Spectrum {
            template: stream.gauss(0.05).abs(),
            tilt: 0.05 - 0.05 * (absolute_magnitude + 21.5) + stream.gauss(0.08),
            dust: stream.gauss(0.04).abs(),
        };
        // Disc: seen at a random inclination, 0.2 thick; of a later type the fainter; more dust the more inclined (as
        // Tully et al. 1998).
        let cos_inclination = stream.uniform();
        let squared = cos_inclination * cos_inclination;
        let disc_axis_ratio = (squared + 0.04 * (1.0 - squared)).sqrt();
        let inclined_dust = if early { 0.0 } else { -0.35 * libm::log10(disc_axis_ratio) };
        let disc = Spectrum {
            template: (if red { 0.4 } else { 1.15 } + 0.16 * (absolute_magnitude + 21.0) + stream.gauss(0.35))
                .clamp(0.05, 3.0),
            tilt: stream.gauss(0.1),
            dust: stream.gauss(0.15).abs() + inclined_dust,
        };
        let bulge_fraction = match (early, red) {
            (true, _) => 0.85 + stream.gauss(0.1),
            (false, true) => 0.55 + stream.gauss(0.15),
            (false, false) => 0.18 + stream.gauss(0.12).abs(),
        };
        let bulge_axis_ratio = 0.55 + 0.45 * stream.uniform();
        let mut colours = [self.spectra.colours(bulge, z), self.spectra.colours(disc, z)];
        for band in 0..5 {
            colours[0][band] += OFFSET[band] + PASSIVE_EVOLUTION[band] * z;
            colours[1][band] += OFFSET[band];
        }
        Light {
            bulge_fraction: bulge_fraction.clamp(0.0, 1.0),
            axis_ratios: [
                if early { bulge_axis_ratio } else { bulge_axis_ratio.max(disc_axis_ratio) },
                disc_axis_ratio,
            ],
            colours,
        }
    }

    /// Draws what the galaxy's image looks like.
    pub(crate) fn shape(
        &self,
        stream: &mut Stream,
        kind: Kind,
        z: f64,
        absolute_magnitude: f64,
        light: &Light,
    ) -> Shape {
        let kpc = half_light_radius(absolute_magnitude, kind.early, stream.normal());
        let radius = kpc / self.cosmology.kpc_per_arcsec(z) / PIXEL;
        let bulge_radius = if kind.early { radius } else { 0.35 * radius };
        let [bulge_axis_ratio, disc_axis_ratio] = light.axis_ratios;
        Shape {
            bulge_fraction: light.bulge_fraction,
            bulge: Component { radius: bulge_radius.clamp(0.25, 20.0), axis_ratio: bulge_axis_ratio },
            disc: Component { radius: (1.1 * radius).clamp(0.5, 30.0), axis_ratio: disc_axis_ratio },
            position_angle: std::f64::consts::PI * stream.uniform(),
            offset: [stream.uniform() - 0.5, stream.uniform() - 0.5],
        }
    }
}

impl Kind {
    /// Draws the kind of a galaxy of the sample.
    pub(crate) fn draw(stream: &mut Stream, sample: Sample, absolute_magnitude: f64) -> Self {
        let luminous = sample == Sample::LuminousRed;
        let red = luminous | stream.chance((0.55 - 0.17 * (absolute_magnitude + 21.2)).clamp(0.15, 0.95));
        let early = luminous | (red & stream.chance(0.85));
        Self { sample, red, early }
    }
}

impl Light {
    /// Fluxes of bulge and disc in nanomaggies.
    pub(crate) fn fluxes(&self, apparent: f64) -> [[f64; 5]; 2] {
        let component = |share: f64, colours: &Magnitudes| colours.map(|colour| share * nanomaggies(apparent + colour));
        [component(self.bulge_fraction, &self.colours[0]), component(1.0 - self.bulge_fraction, &self.colours[1])]
    }

    /// Magnitudes of the whole.
    pub(crate) fn magnitudes(&self, apparent: f64) -> Magnitudes {
        let [bulge, disc] = self.fluxes(apparent);
        std::array::from_fn(|band| magnitude(bulge[band] + disc[band]))
    }
}

/// Half-light radius in kpc by absolute magnitude, and by a standard normal deviate for its log-normal scatter: Shen et
/// al. 2003 (MNRAS 343, 978), Sérsic half-light radii of table 1.
fn half_light_radius(absolute_magnitude: f64, early: bool, deviate: f64) -> f64 {
    let from_break = 1.0 + libm::exp10(-0.4 * (absolute_magnitude + 20.91));
    let scatter = 0.27 + 0.18 / (1.0 + libm::exp10(-0.8 * (absolute_magnitude + 20.91)));
    let log_radius = if early {
        -0.26 * absolute_magnitude - 5.06
    } else {
        -0.104 * absolute_magnitude + 0.25 * libm::log10(from_break) - 1.71
    };
    libm::exp10(log_radius) * libm::exp(scatter * deviate)
}
