//! Redshifts and luminosities of a flux-limited sample: in each shell of redshift a Schechter function of luminosities,
//! cut off where galaxies appear fainter than the limit.

use crate::{cosmology::Cosmology, random::Stream};

/// The faintest apparent magnitude in r (Strauss et al. 2002, AJ 124, 1810).
const LIMIT: f64 = 17.77;
/// Blanton et al. 2003 (ApJ 592, 819): M* − 5 log h = −20.44 in the r band shifted to z = 0.1, with h = 0.7, and α.
const CHARACTERISTIC: f64 = -21.21;
const SLOPE: f64 = -1.05;
/// The grid of redshifts and absolute magnitudes: of each the first point, the last, and the number of points.
const REDSHIFTS: (f64, f64, usize) = (0.004, 0.33, 200);
const MAGNITUDES: (f64, f64, usize) = (-24.2, -17.5, 135);
const REDSHIFT_STEP: f64 = (REDSHIFTS.1 - REDSHIFTS.0) / (REDSHIFTS.2 - 1) as f64;
const MAGNITUDE_STEP: f64 = (MAGNITUDES.1 - MAGNITUDES.0) / (MAGNITUDES.2 - 1) as f64;

pub(crate) struct MainSample {
    /// Cumulative weights of the grid's cells, redshift by redshift.
    cumulative: Vec<f64>,
}

impl MainSample {
    pub(crate) fn new(cosmology: &Cosmology) -> Self {
        let mut total = 0.0;
        let mut cumulative = Vec::with_capacity(REDSHIFTS.2 * MAGNITUDES.2);
        for z_index in 0..REDSHIFTS.2 {
            let z = REDSHIFTS.0 + z_index as f64 * REDSHIFT_STEP;
            let modulus = cosmology.distance_modulus(z);
            for magnitude_index in 0..MAGNITUDES.2 {
                let magnitude = MAGNITUDES.0 + magnitude_index as f64 * MAGNITUDE_STEP;
                // The K-correction in r, about 1.0 z, and the evolution of luminosities, −1.0 z, cancel.
                if magnitude + modulus < LIMIT {
                    total += weight(cosmology, z, magnitude);
                }
                cumulative.push(total);
            }
        }
        Self { cumulative }
    }

    /// Draws a redshift and an absolute magnitude.
    pub(crate) fn draw(&self, stream: &mut Stream) -> (f64, f64) {
        let wanted = stream.uniform() * self.total();
        let cell = self.cumulative.partition_point(|sum| *sum <= wanted);
        let (z_index, magnitude_index) = (cell / MAGNITUDES.2, cell % MAGNITUDES.2);
        let within = |(first, _, _): (f64, f64, usize), step: f64, index: usize, uniform: f64| {
            first + (index as f64 + uniform - 0.5) * step
        };
        let z = within(REDSHIFTS, REDSHIFT_STEP, z_index, stream.uniform());
        (z, within(MAGNITUDES, MAGNITUDE_STEP, magnitude_index, stream.uniform()))
    }

    /// Galaxies per unit of redshift and of absolute magnitude, those beyond the limit too, in units of the number of
    /// galaxies within the limit.
    pub(crate) fn density(&self, cosmology: &Cosmology, z: f64, absolute_magnitude: f64) -> f64 {
        weight(cosmology, z, absolute_magnitude) / (self.total() * REDSHIFT_STEP * MAGNITUDE_STEP)
    }

    fn total(&self) -> f64 {
        self.cumulative[self.cumulative.len() - 1]
    }
}

/// Volume times the Schechter function, up to a constant.
fn weight(cosmology: &Cosmology, z: f64, absolute_magnitude: f64) -> f64 {
    let exponent = -0.4 * (absolute_magnitude - CHARACTERISTIC);
    let luminosity = libm::exp10(exponent);
    cosmology.volume_element(z) * libm::exp10(exponent * (SLOPE + 1.0)) * libm::exp(-luminosity)
}
