//! Lines over the steps of a sweep, with the spread of the repeats.

use canvas::{
    Anchor, DrawError, Result, Titled,
    palette::{ACCENT, FAINT, INK, MUTED, SERIES},
    render_svg, rotated_text, text,
};
use plotters::{
    chart::ChartBuilder,
    element::{Circle, PathElement},
    style::{
        Color, FontTransform, IntoFont, RGBColor, ShapeStyle, TRANSPARENT,
        text_anchor::{HPos, VPos},
    },
};

use crate::{
    charts::axes::{SIZE, TEXT, end_of},
    numbers::tick,
};

/// The colours of lines, in their order.
pub(crate) const COLOURS: [RGBColor; 7] = [ACCENT, SERIES[3], SERIES[4], SERIES[2], SERIES[1], INK, SERIES[0]];

/// The median of some repeats, and the least and the most of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// The index of the step.
    pub(crate) step: usize,
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
    pub(crate) title: String,
}

/// Points of one colour, in the order of their steps.
pub(crate) struct Line {
    pub(crate) points: Vec<Point>,
}

/// Draws lines over evenly spaced steps that are named below the axis.
pub(crate) fn lines(label: &str, lines: &[Line], steps: &[String], x_label: &str, y_label: &str) -> Result<String> {
    render_svg(SIZE, label, |root| {
        let all = || lines.iter().flat_map(|line| &line.points);
        let height = end_of(all().map(|point| point.most));
        let x = -0.5..steps.len().max(1) as f64 - 0.5;
        let mut chart = ChartBuilder::on(root)
            .margin_top(10)
            .margin_right(14)
            .x_label_area_size(42)
            .y_label_area_size(70)
            .build_cartesian_2d(x, 0.0..height)
            .map_err(DrawError::of)?;
        let style = (canvas::FONT, TEXT).into_font().color(&MUTED);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .axis_style(FAINT)
            .x_labels(0)
            .y_labels(6)
            .y_label_formatter(&tick)
            .label_style(style)
            .draw()
            .map_err(DrawError::of)?;
        let (xs, ys) = chart.plotting_area().get_pixel_range();
        rotated_text(root, y_label, TEXT, (10, i32::midpoint(ys.start, ys.end)), FontTransform::Rotate270, &MUTED)?;
        let below = |x: i32, y: i32| Anchor { at: (x, y), horizontal: HPos::Center, vertical: VPos::Top };
        text(root, x_label, TEXT, below(i32::midpoint(xs.start, xs.end), ys.end + 24), &MUTED)?;
        let every = steps.len().div_ceil(8).max(1);
        for (index, step) in steps.iter().enumerate().step_by(every) {
            let (x, _) = chart.backend_coord(&(index as f64, 0.0));
            text(root, step, TEXT, below(x, ys.end + 8), &MUTED)?;
        }
        for (index, line) in lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            // Beside each other, so that spreads do not hide one another.
            let offset = (index as f64 - (lines.len() as f64 - 1.0) / 2.0) * (0.3 / lines.len() as f64);
            let at = |point: &Point, value: f64| (point.step as f64 + offset, value);
            let medians = line.points.iter().map(|point| at(point, point.median)).collect::<Vec<_>>();
            chart
                .draw_series([PathElement::new(medians, ShapeStyle::from(colour).stroke_width(2))])
                .map_err(DrawError::of)?;
            for point in line.points.iter().filter(|point| point.most > point.least) {
                let spread = vec![at(point, point.least), at(point, point.most)];
                chart.draw_series([PathElement::new(spread, colour.stroke_width(1))]).map_err(DrawError::of)?;
            }
            let dots = line.points.iter().map(|point| {
                Titled::new(Circle::new(at(point, point.median), 4, colour.filled()), point.title.clone())
            });
            chart.draw_series(dots).map_err(DrawError::of)?;
        }
        Ok(())
    })
}
