//! Points whose colour says how many lie around them.

use std::ops::Range;

use canvas::{Area, DrawError, Result, palette::of_density};
use plotters::{
    element::{Circle, Pixel},
    style::Color,
};

use crate::picture::axes::{Chart, pixel_ranges};

/// Draws points coloured by density, the densest last, and returns the highest density in galaxies per pixel.
pub(super) fn scatter(root: &Area<'_>, chart: &Chart<'_, '_>, points: impl Iterator<Item = (f64, f64)>) -> Result<f32> {
    let (xs, ys) = pixel_ranges(chart);
    let (width, height) = (xs.len(), ys.len());
    let clamped = |at: i32, range: &Range<i32>| at.clamp(range.start, range.end - 1);
    let mut counts = vec![0.0_f32; width * height];
    let mut points_drawn = 0_u64;
    for point in points {
        points_drawn += 1;
        let (x, y) = chart.backend_coord(&point);
        let (x, y) = (clamped(x, &xs) - xs.start, clamped(y, &ys) - ys.start);
        counts[y as usize * width + x as usize] += 1.0;
    }
    let (radius, blur) = match points_drawn {
        0..3_000 => (3, 9),
        3_000..30_000 => (2, 5),
        30_000..150_000 => (1, 3),
        _ => (0, 2),
    };
    let density = blurred(&counts, width, height, blur);
    let mut occupied: Vec<usize> = (0..counts.len()).filter(|cell| counts[*cell] > 0.0).collect();
    occupied.sort_by(|a, b| density[*a].total_cmp(&density[*b]).then(a.cmp(b)));
    let densest = occupied.last().map_or(0.0, |cell| density[*cell]);
    for cell in occupied {
        let at = (xs.start + (cell % width) as i32, ys.start + (cell / width) as i32);
        let colour = of_density(density[cell], densest);
        if radius == 0 {
            root.draw(&Pixel::new(at, colour)).map_err(DrawError::of)?;
        } else {
            root.draw(&Circle::new(at, radius, colour.filled())).map_err(DrawError::of)?;
        }
    }
    Ok(densest)
}

/// Blurs a map by three boxes along each axis, which together come near to a Gaussian.
fn blurred(values: &[f32], width: usize, height: usize, radius: usize) -> Vec<f32> {
    let mut values = values.to_vec();
    for _ in 0..3 {
        for row in values.chunks_exact_mut(width) {
            box_blur(row, radius);
        }
        let mut column = vec![0.0; height];
        for x in 0..width {
            for (y, value) in column.iter_mut().enumerate() {
                *value = values[y * width + x];
            }
            box_blur(&mut column, radius);
            for (y, value) in column.iter().enumerate() {
                values[y * width + x] = *value;
            }
        }
    }
    values
}

fn box_blur(line: &mut [f32], radius: usize) {
    let prefix: Vec<f64> = std::iter::once(0.0)
        .chain(line.iter().scan(0.0, |sum, value| {
            *sum += f64::from(*value);
            Some(*sum)
        }))
        .collect();
    let length = line.len();
    for (at, value) in line.iter_mut().enumerate() {
        let (from, to) = (at.saturating_sub(radius), (at + radius + 1).min(length));
        *value = ((prefix[to] - prefix[from]) / (2 * radius + 1) as f64) as f32;
    }
}
