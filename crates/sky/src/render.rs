//! Images without noise: sums of elliptical Gaussians.
//!
//! A galaxy's profile is a sum of Gaussians, and so is the point spread function: what reaches the detector is one as
//! well, whose variances are sums (Hogg & Lang 2013). An `exp` for each pixel of each of some 190 Gaussians would take
//! milliseconds a galaxy. On a grid, though, neighbours differ by a factor that itself changes by a constant factor,
//! so two products a pixel do; products are rounded alike on every machine, and their errors after 16 steps stay below
//! 1e-12.

use crate::{
    instrument::{Conditions, WING_SHARE, WING_WIDTH},
    population::{Component, Shape},
    tables::rows,
};

/// Pixels along a side.
pub(crate) const SIDE: usize = torch_file::SIDE as usize;
/// Pixels of a band.
pub(crate) const PIXELS: usize = SIDE * SIDE;
/// The middle, where the grid lies between pixels.
const CENTRE: f64 = (SIDE as f64 - 1.0) / 2.0;
/// The pixel that sums start at, next to the middle.
const START: usize = SIDE / 2;
/// Pixels of a row that are computed at once, in registers.
const LANES: usize = 8;
/// Components with a smaller share of the light than this are left out.
const NEGLIGIBLE: f64 = 0.005;

/// An image in one band: rows of pixels.
pub(crate) type Stamp = [[f64; SIDE]; SIDE];

/// Round Gaussians that a profile is the sum of: shares of its flux, and variances in half-light radii squared.
struct Profile(Vec<(f64, f64)>);

/// Profiles as sums of Gaussians; `data/make.py` fits them.
pub(crate) struct Renderer {
    /// De Vaucouleurs.
    bulge: Profile,
    /// Exponential.
    disc: Profile,
}

impl Renderer {
    pub(crate) fn new() -> Self {
        let all = rows::<3>(include_str!("../data/profiles.csv"));
        let profile = |n: f64| {
            let of_n = all.iter().filter(|row| row[0] == n);
            Profile(of_n.map(|[_, share, variance]| (*share, *variance)).collect())
        };
        Self { bulge: profile(4.0), disc: profile(1.0) }
    }

    /// Images in each band, in the units of the fluxes per pixel, as the atmosphere blurs and Galactic dust dims them.
    pub(crate) fn stamps(&self, shape: &Shape, fluxes: &[[f64; 5]; 2], sky: &Conditions) -> [Stamp; 5] {
        let extinction = sky.extinction();
        let bulge_share = shape.bulge_fraction;
        std::array::from_fn(|band| {
            let transmission = libm::exp10(-0.4 * extinction[band]);
            let mut stamp = [[0.0; SIDE]; SIDE];
            let parts = [
                (&self.bulge, &shape.bulge, fluxes[0][band], bulge_share),
                (&self.disc, &shape.disc, fluxes[1][band], 1.0 - bulge_share),
            ];
            for (profile, component, flux, share) in parts {
                if share > NEGLIGIBLE {
                    let placed = Placed { shape, component, flux: flux * transmission };
                    placed.add_to(&mut stamp, profile, sky.psf_sigma(band));
                }
            }
            stamp
        })
    }
}

/// A component in a stamp.
struct Placed<'a> {
    shape: &'a Shape,
    component: &'a Component,
    flux: f64,
}

impl Placed<'_> {
    /// Adds the profile, blurred by both Gaussians of the point spread function.
    fn add_to(&self, stamp: &mut Stamp, profile: &Profile, psf_sigma: f64) {
        let (sin, cos) = libm::sincos(self.shape.position_angle);
        let major = self.component.radius * self.component.radius;
        let minor = major * self.component.axis_ratio * self.component.axis_ratio;
        for (psf_share, width) in [(1.0 - WING_SHARE, 1.0), (WING_SHARE, WING_WIDTH)] {
            let blur = psf_sigma * psf_sigma * width * width;
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

/// peak · exp(−½ (xx·dx² + 2 xy·dx·dy + yy·dy²)) of the distance from (x, y), which counts from the stamp's middle.
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
        // Along the start row, from its start pixel both ways.
        let quadratic = self.xx * dx * dx + 2.0 * self.xy * dx * dy + self.yy * dy * dy;
        let start = self.peak * libm::exp(-0.5 * quadratic);
        let along = self.xx * dx + self.xy * dy;
        let change = libm::exp(-self.xx);
        let row = sequence(start, [-along, along].map(|slope| libm::exp(slope - 0.5 * self.xx)), change);
        // Factors from the start row to the next one up and down: geometric along the row.
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

fn lanes_at(values: &[f64; SIDE], at: usize) -> [f64; LANES] {
    std::array::from_fn(|lane| values[at + lane])
}

/// The values to both sides of [`START`]: neighbours differ by the factor (to the right, to the left), which changes from
/// step to step.
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
