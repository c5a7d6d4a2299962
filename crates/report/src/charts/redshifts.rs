//! Predicted against spectroscopic redshift, and the residuals along it.

use std::ops::Range;

use canvas::{
    DrawError, Result, Titled,
    palette::{ACCENT, INK, MUTED, REFERENCE, of_density},
    render_svg,
};
use catalogue::{Comparison, quantile_f32};
use plotters::{
    element::{Circle, PathElement, Polygon, Rectangle},
    style::{Color, ShapeStyle},
};

use crate::{
    charts::axes::{SIZE, axes},
    numbers::{signed, thousands},
};

/// Up to so many galaxies are drawn each by itself; more are counted in cells.
const MOST_POINTS: usize = 1200;
/// Width and height of both charts, which stand beside each other.
const TALL: (u32, u32) = (SIZE.0, 400);
/// Pixels along the side of a cell.
const CELL: i32 = 5;
/// The most bins of the residuals along the redshift, and the fewest galaxies in one.
const BINS: usize = 24;
const FEWEST: usize = 20;

/// Draws predicted against spectroscopic redshift.
pub(crate) fn scatter(comparison: &Comparison) -> Result<String> {
    let range = comparison.redshift_range();
    let on_axis = |z: f64| z.clamp(range.start, range.end);
    let label = format!("predicted against spectroscopic redshift of {} galaxies", thousands(comparison.compared()));
    render_svg(TALL, &label, |root| {
        let mut chart = axes(root, range.clone(), range.clone(), "spectroscopic redshift", "predicted redshift")?;
        let pairs = comparison.pairs();
        if pairs.len() <= MOST_POINTS {
            let points = pairs.map(|(spec, phot)| {
                let point = (on_axis(spec), on_axis(phot.into()));
                Titled::new(
                    Circle::new(point, 2, ACCENT.mix(0.6).filled()),
                    format!("z_spec {spec:.4}, z_phot {phot:.4}"),
                )
            });
            chart.draw_series(points).map_err(DrawError::of)?;
        } else {
            let (xs, ys) = chart.plotting_area().get_pixel_range();
            let (columns, rows) = (xs.len() / CELL as usize + 1, ys.len() / CELL as usize + 1);
            let mut counts = vec![0_u32; columns * rows];
            for (spec, phot) in pairs {
                let (x, y) = chart.backend_coord(&(on_axis(spec), on_axis(phot.into())));
                let cell = |at: i32, range: &Range<i32>| (at.clamp(range.start, range.end - 1) - range.start) / CELL;
                counts[cell(y, &ys) as usize * columns + cell(x, &xs) as usize] += 1;
            }
            let densest = counts.iter().copied().max().unwrap_or(0);
            for (cell, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                let left = xs.start + (cell % columns) as i32 * CELL;
                let top = ys.start + (cell / columns) as i32 * CELL;
                let lower_right = ((left + CELL).min(xs.end), (top + CELL).min(ys.end));
                let colour = of_density(count as f32, densest as f32);
                let mark = Rectangle::new([(left, top), lower_right], colour.filled());
                root.draw(&Titled::new(mark, thousands(count.into()))).map_err(DrawError::of)?;
            }
        }
        let ends = [range.start, range.end];
        for slope in [0.95, 1.05] {
            // z_phot = z_spec ± 0.05 (1 + z_spec), as far as it is on the axes.
            let offset: f64 = slope - 1.0;
            let line = (0..=60).map(|step| range.start + (range.end - range.start) * f64::from(step) / 60.0);
            let line = line.map(|z| (z, z * slope + offset)).filter(|(_, z)| (range.start..=range.end).contains(z));
            chart
                .draw_series([PathElement::new(line.collect::<Vec<_>>(), ShapeStyle::from(MUTED).stroke_width(1))])
                .map_err(DrawError::of)?;
        }
        let same = PathElement::new(ends.map(|z| (z, z)).to_vec(), ShapeStyle::from(REFERENCE).stroke_width(2));
        chart.draw_series([same]).map_err(DrawError::of)?;
        Ok(())
    })
}

/// Residuals of the galaxies in a bin of spectroscopic redshift.
pub(crate) struct Bin {
    pub(crate) z: f64,
    pub(crate) count: usize,
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// Quantiles of δ in equal bins of the spectroscopic redshift; bins with too few galaxies are left out.
pub(crate) fn residual_bins(comparison: &Comparison) -> Vec<Bin> {
    let range = comparison.redshift_range();
    let width = (range.end - range.start) / BINS as f64;
    let mut bins = vec![Vec::new(); BINS];
    for (spec, phot) in comparison.pairs() {
        let at = (spec - range.start) / width;
        if (0.0..BINS as f64).contains(&at) {
            bins[at as usize].push(((f64::from(phot) - spec) / (1.0 + spec)) as f32);
        }
    }
    let quantiles = |(bin, mut residuals): (usize, Vec<f32>)| {
        let [low, median, high] = [0.16, 0.5, 0.84].map(|q| quantile_f32(&mut residuals, q));
        let (count, z) = (residuals.len(), range.start + (bin as f64 + 0.5) * width);
        (count >= FEWEST).then_some(Bin { z, count, low: low?, median: median?, high: high? })
    };
    bins.into_iter().enumerate().filter_map(quantiles).collect()
}

/// Draws the median residual along the spectroscopic redshift, in the band that has the middle 68 %.
pub(crate) fn residuals(bins: &[Bin]) -> Result<String> {
    render_svg(TALL, "median residual along the spectroscopic redshift, with the middle 68 %", |root| {
        let (first, last) = (bins.first().map_or(0.0, |bin| bin.z), bins.last().map_or(1.0, |bin| bin.z));
        let reach = bins.iter().flat_map(|bin| [bin.low.abs(), bin.high.abs()]).fold(0.02, f64::max) * 1.15;
        let room = ((last - first) * 0.03).max(0.005);
        let x = first - room..last + room;
        let mut chart = axes(root, x.clone(), -reach..reach, "spectroscopic redshift", "Δz / (1 + z)")?;
        let upper = bins.iter().map(|bin| (bin.z, bin.high));
        let band = upper.chain(bins.iter().rev().map(|bin| (bin.z, bin.low)));
        chart.draw_series([Polygon::new(band.collect::<Vec<_>>(), ACCENT.mix(0.25))]).map_err(DrawError::of)?;
        let zero = PathElement::new(vec![(x.start, 0.0), (x.end, 0.0)], ShapeStyle::from(REFERENCE).stroke_width(1));
        chart.draw_series([zero]).map_err(DrawError::of)?;
        let median = bins.iter().map(|bin| (bin.z, bin.median)).collect::<Vec<_>>();
        chart.draw_series([PathElement::new(median, ShapeStyle::from(INK).stroke_width(2))]).map_err(DrawError::of)?;
        let dots = bins.iter().map(|bin| {
            let title = format!(
                "z {:.3}: median {}, 68 % from {} to {}, {} galaxies",
                bin.z,
                signed(bin.median, 4),
                signed(bin.low, 4),
                signed(bin.high, 4),
                thousands(bin.count as u64)
            );
            Titled::new(Circle::new((bin.z, bin.median), 3, INK.filled()), title)
        });
        chart.draw_series(dots).map_err(DrawError::of)?;
        Ok(())
    })
}
