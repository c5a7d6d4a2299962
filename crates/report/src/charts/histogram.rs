//! Histograms.

use std::ops::Range;

use canvas::{
    DrawError, Result,
    palette::{ACCENT, INK, REFERENCE},
    render_svg,
};
use plotters::{
    element::PathElement,
    style::{Color, ShapeStyle},
};

use crate::{
    charts::axes::{Bar, SIZE, axes, bars, end_of},
    numbers::{digits, thousands},
};

/// Counts of values in equal bins. A value beyond the range is in the outermost bin.
pub(crate) struct Histogram {
    pub(crate) range: Range<f64>,
    pub(crate) counts: Vec<u64>,
}

impl Histogram {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>, range: Range<f64>, bins: usize) -> Self {
        let mut counts = vec![0; bins];
        let width = range.end - range.start;
        for value in values {
            let bin = (value - range.start) / width * bins as f64;
            if bin.is_finite() {
                counts[(bin.max(0.0) as usize).min(bins - 1)] += 1;
            }
        }
        Self { range, counts }
    }

    /// A range that starts at 0 and holds all values, or the values' own where they are far from 0.
    pub(crate) fn over(values: &[f64], bins: usize) -> Self {
        let (low, high) = values
            .iter()
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
        let range = match (low, high) {
            (low, high) if low > high => 0.0..1.0,
            (low, high) if high - low > 1e-9 * high.abs() => low..high,
            (low, high) => low - 0.05 * low.abs().max(1e-9)..high + 0.05 * high.abs().max(1e-9),
        };
        Self::of(values.iter().copied(), range, bins)
    }

    fn width(&self) -> f64 {
        (self.range.end - self.range.start) / self.counts.len() as f64
    }

    fn bars<'a>(&'a self, unit: &'a str) -> impl Iterator<Item = Bar> + 'a {
        let width = self.width();
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(bin, count)| {
            let start = self.range.start + bin as f64 * width;
            let title = format!("{} to {}: {} {unit}", digits(start), digits(start + width), thousands(*count));
            Bar { x: start..start + width, height: *count as f64, title }
        })
    }

    /// The corners of its outline.
    fn outline(&self) -> Vec<(f64, f64)> {
        let width = self.width();
        let mut corners = vec![(self.range.start, 0.0)];
        for (bin, count) in self.counts.iter().enumerate() {
            let start = self.range.start + bin as f64 * width;
            corners.extend([(start, *count as f64), (start + width, *count as f64)]);
        }
        corners.push((self.range.end, 0.0));
        corners
    }
}

/// Draws bars, and over them the outline of another histogram with the same bins, if any.
pub(crate) fn histogram(
    label: &str,
    histogram: &Histogram,
    outline: Option<&Histogram>,
    x_label: &str,
    unit: &str,
) -> Result<String> {
    render_svg(SIZE, label, |root| {
        let counts = histogram.counts.iter().chain(outline.into_iter().flat_map(|outline| &outline.counts));
        let height = end_of(counts.map(|count| *count as f64));
        let mut chart = axes(root, histogram.range.clone(), 0.0..height, x_label, unit)?;
        bars(&mut chart, ACCENT, histogram.bars(unit))?;
        if let Some(outline) = outline {
            let line = PathElement::new(outline.outline(), ShapeStyle::from(INK).stroke_width(2));
            chart.draw_series([line]).map_err(DrawError::of)?;
        }
        Ok(())
    })
}

/// Draws fractions in equal bins from 0 to 1, and the line that they are on where all are equal.
pub(crate) fn pit(fractions: &[f64]) -> Result<String> {
    let label = "histogram of the probability integral transform; bars are equal where the intervals hold";
    render_svg(SIZE, label, |root| {
        let even = 1.0 / fractions.len().max(1) as f64;
        let height = end_of(fractions.iter().copied().chain([1.5 * even]));
        let mut chart = axes(root, 0.0..1.0, 0.0..height, "probability integral transform", "fraction of galaxies")?;
        bars(
            &mut chart,
            ACCENT,
            fractions.iter().enumerate().map(|(bin, fraction)| {
                let start = bin as f64 * even;
                let title = format!("{start:.2} to {:.2}: {fraction:.4}, {even:.4} expected", start + even);
                Bar { x: start..start + even, height: *fraction, title }
            }),
        )?;
        let line = PathElement::new(vec![(0.0, even), (1.0, even)], ShapeStyle::from(REFERENCE).stroke_width(2));
        chart.draw_series([line]).map_err(DrawError::of)?;
        Ok(())
    })
}

/// Draws how many galaxies are below each forecast quantile: on the diagonal where the intervals hold.
pub(crate) fn coverage(fractions: &[f64]) -> Result<String> {
    let label = "fraction of galaxies below each forecast quantile; on the diagonal where the intervals hold";
    render_svg(SIZE, label, |root| {
        let mut chart = axes(root, 0.0..1.0, 0.0..1.0, "forecast probability", "fraction of galaxies below")?;
        let diagonal = PathElement::new(vec![(0.0, 0.0), (1.0, 1.0)], ShapeStyle::from(REFERENCE).stroke_width(2));
        chart.draw_series([diagonal]).map_err(DrawError::of)?;
        let mut below = 0.0;
        let mut points = vec![(0.0, 0.0)];
        for (bin, fraction) in (1..).zip(fractions) {
            below += fraction;
            points.push((f64::from(bin) / fractions.len() as f64, below));
        }
        let line = PathElement::new(points.clone(), ShapeStyle::from(ACCENT).stroke_width(2));
        chart.draw_series([line]).map_err(DrawError::of)?;
        let dots = points.into_iter().skip(1).map(|(forecast, found)| {
            let dot = plotters::element::Circle::new((forecast, found), 3, ACCENT.filled());
            canvas::Titled::new(dot, format!("below the quantile at {forecast:.2}: {found:.4} of the galaxies"))
        });
        chart.draw_series(dots).map_err(DrawError::of)?;
        Ok(())
    })
}
