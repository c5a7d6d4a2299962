//! Which galaxies there are: SDSS's flux-limited main sample, and luminous red galaxies beyond it.
//!
//! Constants are from the papers named beside them. Those without a source (shares of red galaxies and of bulges,
//! scatter of spectra, offsets of colours) were tuned until colours by redshift fell on those of real SDSS galaxies.

use crate::{
    conditions::Conditions,
    cosmology::Cosmology,
    galaxy::{Component, Object, Sample, Shape},
    instrument::Instrument,
    luminous_red,
    magnitudes::{Magnitudes, magnitude, nanomaggies},
    main_sample::MainSample,
    random::Stream,
    spectra::{Spectra, Spectrum},
    stamp::PIXEL_SCALE,
};

/// The smallest redshift of the population.
pub(crate) const NEAREST: f64 = 0.003;
/// The share of luminous red galaxies.
const LUMINOUS_RED: f64 = 0.15;
/// Galaxies were brighter by so many magnitudes for each unit of redshift.
const EVOLUTION: f64 = 1.0;
/// Added to the templates' magnitudes in each band, so that their colours are SDSS's.
const OFFSET: [f64; 5] = [0.15, 0.03, 0.0, 0.0, -0.02];
/// Added to the magnitudes of bulges, whose stars are old, for each unit of redshift.
const PASSIVE_EVOLUTION: [f64; 5] = [-0.1, -0.25, 0.0, 0.0, 0.05];

/// The classes of a galaxy, which select the distributions that everything else is drawn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) sample: Sample,
    pub(crate) red: bool,
    pub(crate) early: bool,
}

/// A galaxy's light by component and band. The axis ratios are here because the disc's inclination decides both its
/// axis ratio and its dust.
pub(crate) struct Light {
    pub(crate) bulge_fraction: f64,
    /// Axis ratios of bulge and disc.
    axis_ratios: [f64; 2],
    /// For bulge and disc, what [`Spectra::colours`] gives, corrected by [`OFFSET`] and [`PASSIVE_EVOLUTION`].
    colours: [Magnitudes; 2],
}

pub(crate) struct Population {
    main: MainSample,
    cosmology: Cosmology,
    spectra: Spectra,
}

impl Population {
    pub(crate) fn new() -> Self {
        let cosmology = Cosmology::new();
        Self { main: MainSample::new(&cosmology), cosmology, spectra: Spectra::new() }
    }

    /// Draws a galaxy, and has it measured by the instrument for its catalogue magnitudes.
    pub(crate) fn draw(&self, stream: &mut Stream, instrument: &Instrument) -> Object {
        let (sample, redshift, absolute_magnitude) = if stream.chance(LUMINOUS_RED) {
            let (z, absolute_magnitude) = luminous_red::draw(stream);
            (Sample::LuminousRed, z, absolute_magnitude)
        } else {
            let (z, absolute_magnitude) = self.main.draw(stream);
            (Sample::Main, z.max(NEAREST), absolute_magnitude)
        };
        let kind = Kind::draw(stream, sample, absolute_magnitude);
        let light = self.draw_light(stream, kind, redshift, absolute_magnitude);
        let shape = self.draw_shape(stream, kind, redshift, absolute_magnitude, &light);
        let conditions = Conditions::draw(stream);
        let fluxes = light.fluxes(self.apparent(redshift, absolute_magnitude));
        let total = std::array::from_fn(|band| fluxes[0][band] + fluxes[1][band]);
        let radius = if light.bulge_fraction > 0.5 { shape.bulge.radius } else { shape.disc.radius };
        let magnitudes = instrument.measure(stream, &total, radius, &conditions);
        let Kind { sample, red, early } = kind;
        Object { redshift, magnitudes, sample, red, early, absolute_magnitude, fluxes, shape, conditions }
    }

    /// The probability that a galaxy of this redshift and absolute magnitude, and of unknown colours, is a luminous red
    /// one.
    pub(crate) fn luminous_red_probability(&self, z: f64, absolute_magnitude: f64) -> f64 {
        let luminous =
            LUMINOUS_RED * luminous_red::redshift_density(z) * luminous_red::magnitude_density(absolute_magnitude);
        let main = (1.0 - LUMINOUS_RED) * self.main.density(&self.cosmology, z, absolute_magnitude);
        if luminous + main > 0.0 { luminous / (luminous + main) } else { 0.0 }
    }

    /// The apparent magnitude that this absolute magnitude has at a redshift, before the colours of [`Light`] are
    /// added.
    pub(crate) fn apparent(&self, z: f64, absolute_magnitude: f64) -> f64 {
        absolute_magnitude + self.cosmology.distance_modulus(z) - EVOLUTION * z
    }

    /// What an old galaxy's apparent magnitudes are beyond [`Self::apparent`], at a redshift: those of the reddest
    /// template as it is.
    pub(crate) fn old_colours(&self, z: f64) -> Magnitudes {
        self.spectra.colours(Spectrum { template: 0.0, tilt: 0.0, dust: 0.0 }, z)
    }

    /// Draws the spectra of the galaxy's bulge and disc, their shares, and their axis ratios.
    pub(crate) fn draw_light(&self, stream: &mut Stream, kind: Kind, z: f64, absolute_magnitude: f64) -> Light {
        let Kind { red, early, .. } = kind;
        // The bulge has old stars, which are redder in brighter galaxies.
        let bulge = Spectrum {
            template: stream.normal(0.05).abs(),
            tilt: 0.05 - 0.05 * (absolute_magnitude + 21.5) + stream.normal(0.08),
            dust: stream.normal(0.04).abs(),
        };
        // The disc is seen at a random inclination and is 0.2 of its diameter thick. Its type is later in fainter
        // galaxies, and its dust dims more where it is more inclined (as Tully et al. 1998, AJ 115, 2264).
        let cos_inclination = stream.uniform();
        let squared = cos_inclination * cos_inclination;
        let disc_axis_ratio = (squared + 0.04 * (1.0 - squared)).sqrt();
        let inclined_dust = if early { 0.0 } else { -0.35 * libm::log10(disc_axis_ratio) };
        let disc = Spectrum {
            template: (if red { 0.4 } else { 1.15 } + 0.16 * (absolute_magnitude + 21.0) + stream.normal(0.35))
                .clamp(0.05, 3.0),
            tilt: stream.normal(0.1),
            dust: stream.normal(0.15).abs() + inclined_dust,
        };
        let bulge_fraction = match (early, red) {
            (true, _) => 0.85 + stream.normal(0.1),
            (false, true) => 0.55 + stream.normal(0.15),
            (false, false) => 0.18 + stream.normal(0.12).abs(),
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

    /// Draws the galaxy's size, orientation and place in the stamp.
    pub(crate) fn draw_shape(
        &self,
        stream: &mut Stream,
        kind: Kind,
        z: f64,
        absolute_magnitude: f64,
        light: &Light,
    ) -> Shape {
        let kpc = half_light_radius(absolute_magnitude, kind.early, stream.standard_normal());
        let radius = kpc / self.cosmology.kpc_per_arcsec(z) / PIXEL_SCALE;
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
    pub(crate) fn draw(stream: &mut Stream, sample: Sample, absolute_magnitude: f64) -> Self {
        let luminous = sample == Sample::LuminousRed;
        let red = luminous | stream.chance((0.55 - 0.17 * (absolute_magnitude + 21.2)).clamp(0.15, 0.95));
        let early = luminous | (red & stream.chance(0.85));
        Self { sample, red, early }
    }
}

impl Light {
    /// Fluxes of bulge and disc in nanomaggies, of a galaxy with this [`Population::apparent`] magnitude.
    pub(crate) fn fluxes(&self, apparent: f64) -> [[f64; 5]; 2] {
        let component = |share: f64, colours: &Magnitudes| colours.map(|colour| share * nanomaggies(apparent + colour));
        [component(self.bulge_fraction, &self.colours[0]), component(1.0 - self.bulge_fraction, &self.colours[1])]
    }

    /// Magnitudes of bulge and disc together.
    pub(crate) fn magnitudes(&self, apparent: f64) -> Magnitudes {
        let [bulge, disc] = self.fluxes(apparent);
        std::array::from_fn(|band| magnitude(bulge[band] + disc[band]))
    }
}

/// The half-light radius in kpc, from the Sérsic half-light radii in table 1 of Shen et al. 2003 (MNRAS 343, 978).
/// `deviate` is a standard normal deviate, for the log-normal scatter.
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
