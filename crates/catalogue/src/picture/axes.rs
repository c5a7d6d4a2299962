//! Axes, and lines across a chart.

use std::ops::Range;

use canvas::{
    Area, Backend, DrawError, FONT, Result,
    palette::{FAINT, INK, MUTED, PAPER},
    rotated_text,
};
use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::types::RangedCoordf64,
    prelude::Cartesian2d,
    series::LineSeries,
    style::{FontTransform, IntoFont},
};

pub(super) type Chart<'a, 'b> = ChartContext<'a, Backend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws axes with their labels and a light grid. `below` is the room for the labels under the x axis, in pixels.
pub(super) fn frame<'a, 'b>(
    area: &'a Area<'b>,
    x: Range<f64>,
    y: Range<f64>,
    below: u32,
    x_label: &str,
    y_label: &str,
) -> Result<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(12)
        .margin_right(120)
        .x_label_area_size(below)
        .y_label_area_size(100)
        .build_cartesian_2d(x, y)
        .map_err(DrawError::of)?;
    chart
        .configure_mesh()
        .light_line_style(PAPER)
        .bold_line_style(FAINT)
        .axis_style(MUTED)
        .x_labels(8)
        .y_labels(8)
        .x_desc(x_label)
        .label_style((FONT, 20).into_font())
        .axis_desc_style((FONT, 23).into_font())
        .draw()
        .map_err(DrawError::of)?;
    let (_, inside) = pixel_ranges(&chart);
    let (_, outside) = area.get_pixel_range();
    let middle = i32::midpoint(inside.start, inside.end) - outside.start;
    rotated_text(area, y_label, 23, (24, middle), FontTransform::Rotate270, &INK)?;
    Ok(chart)
}

/// The pixels of the chart's inside, along x and y.
pub(super) fn pixel_ranges(chart: &Chart<'_, '_>) -> (Range<i32>, Range<i32>) {
    let (x, y) = chart.plotting_area().get_pixel_range();
    (x, y)
}

/// Draws a dashed line across the chart. Plotters' own needs `hypotf` of glibc 2.35, and Lambda has 2.34.
pub(super) fn dashed(chart: &mut Chart<'_, '_>, [from, to]: [(f64, f64); 2]) -> Result<()> {
    const DASHES: u32 = 75;
    let at = |position: f64| (from.0 + position * (to.0 - from.0), from.1 + position * (to.1 - from.1));
    for dash in 0..DASHES {
        let [start, end] = [0.0, 0.55].map(|offset| at((f64::from(dash) + offset) / f64::from(DASHES)));
        chart.draw_series(LineSeries::new([start, end], MUTED)).map_err(DrawError::of)?;
    }
    Ok(())
}
