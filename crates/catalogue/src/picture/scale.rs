//! The scale that explains the colours of the points.

use canvas::{
    Anchor, Area, DrawError, Result,
    palette::{DARKEST, INK, MUTED, of_density},
    rotated_text, text, thousands,
};
use plotters::{
    element::Rectangle,
    style::{Color, FontTransform},
};

use crate::picture::axes::{Chart, pixel_ranges};

/// Draws the scale of the colours beside a chart, in galaxies per 0.01 × 0.01 in redshift.
pub(super) fn draw(root: &Area<'_>, chart: &Chart<'_, '_>, densest: f32) -> Result<()> {
    let (xs, ys) = pixel_ranges(chart);
    let (left, right) = (xs.end + 18, xs.end + 40);
    let (top, bottom) = (ys.start, ys.end);
    for y in top..bottom {
        let position = (bottom - y) as f32 / (bottom - top) as f32;
        let density = densest * DARKEST.powf(1.0 - position);
        let line = [(left, y), (right, y + 1)];
        root.draw(&Rectangle::new(line, of_density(density, densest).filled())).map_err(DrawError::of)?;
    }
    let (x0, y0) = chart.backend_coord(&(0.0, 0.0));
    let (x1, y1) = chart.backend_coord(&(1.0, 1.0));
    let pixels_per_cell = f64::from((x1 - x0).abs()) * f64::from((y1 - y0).abs()) * 1e-4;
    let highest = f64::from(densest) * pixels_per_cell;
    let lowest = highest * f64::from(DARKEST);
    if lowest <= 0.0 {
        return Ok(());
    }
    for exponent in lowest.log10().ceil() as i32..=highest.log10().floor() as i32 {
        let value = 10_f64.powi(exponent);
        let position = (value / lowest).ln() / (highest / lowest).ln();
        let y = bottom - (position * f64::from(bottom - top)) as i32;
        root.draw(&Rectangle::new([(right, y), (right + 6, y + 1)], INK.filled())).map_err(DrawError::of)?;
        let label = if exponent < 0 { format!("{value}") } else { thousands(value as u64) };
        text(root, &label, 18, Anchor::left((right + 10, y)), &INK)?;
    }
    let middle = i32::midpoint(top, bottom);
    rotated_text(root, "galaxies in 0.01 × 0.01", 18, (xs.end + 108, middle), FontTransform::Rotate90, &MUTED)
}
