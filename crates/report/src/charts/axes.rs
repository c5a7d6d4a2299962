//! What the charts of a page share: their size, axes and bars.
//!
//! Charts stand two in a row on a wide page and one on a phone, which are about equally wide: their texts are as large on
//! both.

use std::ops::Range;

use canvas::{
    Area, Backend, DrawError, FONT, Result, Titled,
    palette::{FAINT, MUTED},
    rotated_text,
};
use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::types::RangedCoordf64,
    element::Rectangle,
    prelude::Cartesian2d,
    style::{Color, FontTransform, IntoFont, RGBColor, TRANSPARENT},
};

use crate::numbers::tick;

/// Width and height of a chart, in pixels of a page that is not scaled.
pub(crate) const SIZE: (u32, u32) = (440, 300);

/// The size of texts in a chart.
pub(crate) const TEXT: i32 = 12;

pub(crate) type Chart<'a, 'b> = ChartContext<'a, Backend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws axes with their labels and a light grid.
pub(crate) fn axes<'a, 'b>(
    area: &'a Area<'b>,
    x: Range<f64>,
    y: Range<f64>,
    x_label: &str,
    y_label: &str,
) -> Result<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(10)
        .margin_right(14)
        .x_label_area_size(42)
        .y_label_area_size(70)
        .build_cartesian_2d(x, y)
        .map_err(DrawError::of)?;
    let style = (FONT, TEXT).into_font().color(&MUTED);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .x_desc(x_label)
        .label_style(style.clone())
        .axis_desc_style(style)
        .draw()
        .map_err(DrawError::of)?;
    let (_, inside) = chart.plotting_area().get_pixel_range();
    let (_, outside) = area.get_pixel_range();
    let middle = i32::midpoint(inside.start, inside.end) - outside.start;
    rotated_text(area, y_label, TEXT, (10, middle), FontTransform::Rotate270, &MUTED)?;
    Ok(chart)
}

/// A bar from 0 up: its extent along x, its height, its colour, and what it shows when it is pointed at.
pub(crate) struct Bar {
    pub(crate) x: Range<f64>,
    pub(crate) height: f64,
    pub(crate) title: String,
}

/// Draws bars of one colour.
pub(crate) fn bars(chart: &mut Chart<'_, '_>, colour: RGBColor, bars: impl IntoIterator<Item = Bar>) -> Result<()> {
    let marks = bars.into_iter().map(|Bar { x, height, title }| {
        Titled::new(Rectangle::new([(x.start, 0.0), (x.end, height)], colour.filled()), title)
    });
    chart.draw_series(marks).map_err(DrawError::of)?;
    Ok(())
}

/// The end of an axis that begins at 0, with a little room; 1 where there is nothing.
pub(crate) fn end_of(values: impl IntoIterator<Item = f64>) -> f64 {
    let highest = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
    if highest > 0.0 { highest * 1.06 } else { 1.0 }
}
