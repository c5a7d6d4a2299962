//! The colours of inference.png.

use plotters::style::RGBColor;

/// Labels, axes and guides.
pub(super) const GREY: RGBColor = RGBColor(110, 110, 110);
/// The grid, and the frame of the metrics.
pub(super) const LIGHT: RGBColor = RGBColor(225, 225, 225);
/// Where predicted and spectroscopic redshift are the same.
pub(super) const RED: RGBColor = RGBColor(200, 30, 30);
/// The bars of a distribution.
pub(super) const BLUE: RGBColor = RGBColor(59, 82, 139);

/// Densities below this fraction of the highest have one colour.
pub(super) const DARKEST: f32 = 1.0 / 200.0;

/// The colour of a density, on a logarithmic scale up to the highest.
pub(super) fn of_density(density: f32, densest: f32) -> RGBColor {
    let ratio = (density / densest.max(f32::MIN_POSITIVE)).clamp(DARKEST, 1.0);
    let position = 1.0 - ratio.ln() / DARKEST.ln();
    let (r, g, b) = colorous::VIRIDIS.eval_continuous(f64::from(position)).as_tuple();
    RGBColor(r, g, b)
}
