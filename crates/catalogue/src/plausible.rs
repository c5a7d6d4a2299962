//! Which numbers can be a redshift, a magnitude or a pixel at all.
//!
//! Catalogues write numbers such as −1, −9, −99, 99, −9999 or 1e20 where nothing was measured. Those are finite, so
//! that they pass for values: one of them spoils each mean, and the axes of a picture. Each range here holds all that
//! can be measured, with room, and none of the numbers that stand for "missing".

use std::ops::RangeInclusive;

/// Redshifts, spectroscopic and predicted. The lowest are those of galaxies that come towards us: −0.001 for Andromeda,
/// and little below that anywhere. The highest that a spectrum has shown so far is below 15.
pub const REDSHIFTS: RangeInclusive<f32> = -0.05..=20.0;

/// Magnitudes. Nothing in the night sky but the Moon is brighter than −5, and the deepest exposures end near 32. SDSS's
/// asinh magnitudes (Lupton, Gunn & Szalay 1999, AJ 118, 1406) exist for negative fluxes too, and stay below 45 there.
pub const MAGNITUDES: RangeInclusive<f32> = -5.0..=50.0;

/// Pixels. A sky-subtracted image scatters about 0, by less than 2 nanomaggies in SDSS's: the lower end leaves room for
/// units a thousand times smaller, and lies above the −9999 and −32768 of blank pixels. The upper end is, in
/// nanomaggies, a whole source of magnitude 0 in one pixel.
pub const PIXELS: RangeInclusive<f32> = -5_000.0..=1e9;

/// Whether a redshift can be one. It is rounded to f32 first, in which most are kept, so that the range's ends are in
/// it whatever type they come in.
pub fn is_redshift(z: f64) -> bool {
    REDSHIFTS.contains(&(z as f32))
}

/// Whether all values lie in the range; NaN lies in none. It has no early exit, so that the compiler uses vectors.
pub(crate) fn all_within(values: &[f32], range: &RangeInclusive<f32>) -> bool {
    values.iter().fold(true, |within, value| within & range.contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_stand_for_missing_are_in_no_range() {
        for missing in
            [-9.0, -99.0, -99.9, -999.0, -9999.0, 99.0, 99.99, 999.0, 9999.0, 1e20, 1e30, f64::MAX, -f64::MAX]
        {
            assert!(!is_redshift(missing), "redshift {missing}");
            assert!(!all_within(&[18.0, missing as f32], &MAGNITUDES), "magnitude {missing}");
        }
        assert!(!is_redshift(-1.0));
        for missing in [-9999.0, -32768.0, 1e20, -1e20, f32::MAX, f32::MIN] {
            assert!(!all_within(&[0.0, missing], &PIXELS), "pixel {missing}");
        }
        for missing in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!is_redshift(missing.into()));
            assert!(![REDSHIFTS, MAGNITUDES, PIXELS].iter().any(|range| all_within(&[missing], range)));
        }
    }

    #[test]
    fn what_is_measured_is_in_its_range() {
        for redshift in [-0.05, f64::from(-0.05_f32), -0.001, 0.0, 0.1, 7.54, 14.44, 20.0] {
            assert!(is_redshift(redshift), "{redshift}");
        }
        // Sirius, the Large Magellanic Cloud, SDSS's galaxies, the deepest exposures, and SDSS's asinh magnitude in u
        // of −10⁶ nanomaggies.
        let softening = 1.4e-10_f32;
        let asinh = -2.5 / 10_f32.ln() * ((-1e-3_f32 / (2.0 * softening)).asinh() + softening.ln());
        assert!(all_within(&[-1.46, 0.9, 13.0, 24.6, 32.0, asinh], &MAGNITUDES), "{asinh}");
        // The lowest and highest of simulated skies and of SDSS's images, and the counts of a saturated 16-bit
        // detector.
        assert!(all_within(&[-1.03, 0.0, 505.4, 65_535.0], &PIXELS));
    }
}
