//! Distances in a flat ΛCDM universe with H₀ = 70 km/s/Mpc and Ω_m = 0.3.

use crate::tables::locate;

/// H₀ in km/s/Mpc.
const HUBBLE: f64 = 70.0;
/// Ω_m.
const MATTER: f64 = 0.3;
/// The speed of light in km/s.
const LIGHT: f64 = 299_792.458;
const ARCSEC_PER_RADIAN: f64 = 206_264.806;
/// Distances are tabulated at multiples of this redshift, up to 0.8.
const STEP: f64 = 0.0005;
const STEPS: usize = 1600;

pub(crate) struct Cosmology {
    /// Comoving distances in Mpc, at each step.
    comoving: Vec<f64>,
}

impl Cosmology {
    pub(crate) fn new() -> Self {
        let rate = |step: usize| LIGHT / HUBBLE / expansion(step as f64 * STEP);
        let mut comoving = vec![0.0];
        let mut distance = 0.0;
        for step in 0..STEPS {
            distance += 0.5 * (rate(step) + rate(step + 1)) * STEP;
            comoving.push(distance);
        }
        Self { comoving }
    }

    /// The comoving distance in Mpc.
    fn comoving(&self, z: f64) -> f64 {
        let (step, fraction) = locate(z / STEP, STEPS);
        self.comoving[step] * (1.0 - fraction) + self.comoving[step + 1] * fraction
    }

    /// m − M.
    pub(crate) fn distance_modulus(&self, z: f64) -> f64 {
        5.0 * libm::log10((self.comoving(z) * (1.0 + z)).max(1e-6)) + 25.0
    }

    /// How many kpc an arcsecond is across, at the galaxy.
    pub(crate) fn kpc_per_arcsec(&self, z: f64) -> f64 {
        self.comoving(z) / (1.0 + z) * 1e3 / ARCSEC_PER_RADIAN
    }

    /// Comoving volume per redshift, up to a constant.
    pub(crate) fn volume_element(&self, z: f64) -> f64 {
        let distance = self.comoving(z);
        distance * distance / expansion(z)
    }
}

/// H(z) / H₀.
fn expansion(z: f64) -> f64 {
    let scale = 1.0 + z;
    (MATTER * scale * scale * scale + 1.0 - MATTER).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_a_fine_integral() {
        let cosmology = Cosmology::new();
        // By Simpson's rule in 20,000 steps.
        for (z, modulus, scale) in
            [(0.1, 38.315_205, 1.844_295), (0.35, 41.343_998, 4.939_772), (0.6, 42.738_992, 6.685_491)]
        {
            assert!((cosmology.distance_modulus(z) - modulus).abs() < 1e-5, "{}", cosmology.distance_modulus(z));
            assert!((cosmology.kpc_per_arcsec(z) - scale).abs() < 1e-5, "{}", cosmology.kpc_per_arcsec(z));
        }
    }
}
