//! Images without noise: sums of elliptical Gaussians.
//!
//! A galaxy's profile is a sum of Gaussians, and so is the point spread function. What reaches the detector is
//! therefore a sum of Gaussians too, each with the sum of two variances (Hogg & Lang 2013, PASP 125, 719). An `exp` for
//! each pixel of each of some 190 Gaussians would take milliseconds a galaxy. On a grid, though, neighbours differ by a
//! factor that itself changes by a constant factor, so that two products a pixel are enough; products are rounded alike
//! on every machine, and their errors after 16 steps stay below 1e-12.

use crate::{
    conditions::Conditions,
    galaxy::{Component, Shape},
    stamp::{SIDE, Stamp},
    tables,
};

/// The middle of a row, which lies between two pixels.
const CENTRE: f64 = (SIDE as f64 - 1.0) / 2.0;
/// The pixel next to the middle from which products are taken to both sides.
const START: usize = SIDE / 2;
/// Pixels of a row that are computed at once, in registers.
const LANES: usize = 8;
/// Components with a smaller share of the light than this are left out.
const NEGLIGIBLE: f64 = 0.005;

/// The round Gaussians that a profile is the sum of: shares of its flux, and variances in half-light radii squared.
struct Profile(Vec<(f64, f64)>);

/// Renders galaxies, with the profiles that `data/make.py` has fitted.
pub(crate) struct Renderer {
    /// De Vaucouleurs.
    bulge: Profile,
    /// Exponential.
    disc: Profile,
}

impl Renderer {
    pub(crate) fn new() -> Self {
        let all = tables::parse::<3>(include_str!("../data/profiles.csv"));
        let profile = |n: f64| {
            let of_n = all.iter().filter(|row| row[0] == n);
            Profile(of_n.map(|[_, share, variance]| (*share, *variance)).collect())
        };
        Self { bulge: profile(4.0), disc: profile(1.0) }
    }

    /// The galaxy's image in each band, dimmed by Galactic dust and blurred: flux per pixel, in the unit of `fluxes`.
    pub(crate) fn stamps(&self, shape: &Shape, fluxes: &[[f64; 5]; 2], conditions: &Conditions) -> [Stamp; 5] {
        let extinction = conditions.extinction();
        let bulge_share = shape.bulge_fraction;
        std::array::from_fn(|band| {
            let transmission = libm::exp10(-0.4 * extinction[band]);
            let mut stamp = [[0.0; SIDE]; SIDE];
            let components = [
                (&self.bulge, &shape.bulge, fluxes[0][band], bulge_share),
                (&self.disc, &shape.disc, fluxes[1][band], 1.0 - bulge_share),
            ];
            for (profile, component, flux, share) in components {
                if share > NEGLIGIBLE {
                    let placed = Placed { shape, component, flux: flux * transmission };
                    placed.add_to(&mut stamp, profile, conditions.psf(band));
                }
            }
            stamp
        })
    }
}

/// A component of a galaxy with its flux, and the shape that places it in the stamp.
struct Placed<'a> {
    shape: &'a Shape,
    component: &'a Component,
    flux: f64,
}

impl Placed<'_> {
    /// Adds the profile to the stamp, blurred by the Gaussians of the point spread function.
    fn add_to(&self, stamp: &mut Stamp, profile: &Profile, psf: [(f64, f64); 2]) {
        let (sin, cos) = libm::sincos(self.shape.position_angle);
        let major = self.component.radius * self.component.radius;
        let minor = major * self.component.axis_ratio * self.component.axis_ratio;
        for (psf_share, blur) in psf {
            for (share, variance) in &profile.0 {
                let (along, across) = (variance * major + blur, variance * minor + blur);
                let peak = self.flux * psf_share * share / (std::f64::consts::TAU * (along * across).sqrt());
                let gaussian = Gaussian {
                    peak,
                    x: self.shape.offset[0],
                    y: self.shape.offset[1],
                    xx: cos * cos / along + sin * sin / across,
                    xy: cos * sin * (1.0 / along - 1.0 / across),
                    yy: sin * sin / along + cos * cos / across,
                };
                gaussian.add_to(stamp);
            }
        }
    }
}

/// peak · exp(−½ (xx·dx² + 2 xy·dx·dy + yy·dy²)), where (dx, dy) is a pixel's distance from the Gaussian's centre (x,
/// y), and that is counted from the stamp's middle.
#[derive(Debug, Clone, Copy)]
struct Gaussian {
    peak: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Gaussian {
    fn add_to(&self, stamp: &mut Stamp) {
        let dx = START as f64 - CENTRE - self.x;
        let dy = START as f64 - CENTRE - self.y;
        // Values along the start row, from its start pixel to both sides.
        let quadratic = self.xx * dx * dx + 2.0 * self.xy * dx * dy + self.yy * dy * dy;
        let start = self.peak * libm::exp(-0.5 * quadratic);
        let along = self.xx * dx + self.xy * dy;
        let change = libm::exp(-self.xx);
        let row = sequence(start, [-along, along].map(|slope| libm::exp(slope - 0.5 * self.xx)), change);
        // Factors from the start row to the next one up and down, which are geometric sequences along the row.
        let shear = libm::exp(-self.xy);
        let across = self.xy * dx + self.yy * dy;
        let [up, down] = [-across, across].map(|slope| libm::exp(slope - 0.5 * self.yy));
        let ups = sequence(up, [shear, 1.0 / shear], 1.0);
        let downs = sequence(down, [1.0 / shear, shear], 1.0);
        let change = libm::exp(-self.yy);
        for lanes in (0..SIDE).step_by(LANES) {
            let [first, ups, downs] = [&row, &ups, &downs].map(|values| lanes_at(values, lanes));
            let mut value = first;
            let mut factor = ups;
            for pixels in &mut stamp[START..] {
                for lane in 0..LANES {
                    pixels[lanes + lane] += value[lane];
                    value[lane] *= factor[lane];
                    factor[lane] *= change;
                }
            }
            let mut value = first;
            let mut factor = downs;
            for pixels in stamp[..START].iter_mut().rev() {
                for lane in 0..LANES {
                    value[lane] *= factor[lane];
                    factor[lane] *= change;
                    pixels[lanes + lane] += value[lane];
                }
            }
        }
    }
}

/// [`LANES`] values from index `at` on.
fn lanes_at(values: &[f64; SIDE], at: usize) -> [f64; LANES] {
    std::array::from_fn(|lane| values[at + lane])
}

/// Values along a row, from that of [`START`] on: the first step to the right multiplies by `right`, the first to the
/// left by `left`, and each further step by a factor that is `change` times the one before.
fn sequence(start: f64, [right, left]: [f64; 2], change: f64) -> [f64; SIDE] {
    let mut values = [start; SIDE];
    let (mut value, mut factor) = (start, right);
    for place in &mut values[START + 1..] {
        value *= factor;
        factor *= change;
        *place = value;
    }
    let (mut value, mut factor) = (start, left);
    for place in values[..START].iter_mut().rev() {
        value *= factor;
        factor *= change;
        *place = value;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(gaussian: &Gaussian, column: usize, row: usize) -> f64 {
        let (dx, dy) = (column as f64 - CENTRE - gaussian.x, row as f64 - CENTRE - gaussian.y);
        let quadratic = gaussian.xx * dx * dx + 2.0 * gaussian.xy * dx * dy + gaussian.yy * dy * dy;
        gaussian.peak * libm::exp(-0.5 * quadratic)
    }

    #[test]
    fn steps_along_the_grid_agree_with_exp_at_every_pixel() {
        for (along, across) in [(0.7, 0.7), (400.0, 0.7), (3.0, 1.1), (1e4, 90.0)] {
            for angle in [0.0, 0.4, 0.785, 1.57, 2.5] {
                for (x, y) in [(0.0, 0.0), (-0.5, 0.5), (0.31, -0.02)] {
                    let (sin, cos) = libm::sincos(angle);
                    let gaussian = Gaussian {
                        peak: 1.0,
                        x,
                        y,
                        xx: cos * cos / along + sin * sin / across,
                        xy: cos * sin * (1.0 / along - 1.0 / across),
                        yy: sin * sin / along + cos * cos / across,
                    };
                    let mut stamp = [[0.0; SIDE]; SIDE];
                    gaussian.add_to(&mut stamp);
                    for (row, pixels) in stamp.iter().enumerate() {
                        for (column, found) in pixels.iter().enumerate() {
                            let wanted = direct(&gaussian, column, row);
                            assert!((found - wanted).abs() < 1e-12, "{gaussian:?} {column} {row}: {found} {wanted}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn profiles_hold_their_flux_and_half_of_it_within_the_half_light_radius() {
        let Renderer { bulge, disc } = Renderer::new();
        for Profile(gaussians) in [bulge, disc] {
            let within = |radius: f64| {
                let of = |(share, variance): &(f64, f64)| share * (1.0 - libm::exp(-0.5 * radius * radius / variance));
                gaussians.iter().map(of).sum::<f64>()
            };
            assert!((within(1e3) - 1.0).abs() < 1e-6 && (within(1.0) - 0.5).abs() < 1e-3, "{}", within(1.0));
        }
    }
}
