//! The picture of choices: cost against wall time, with those marked that no other beats.

use std::ops::Range;

use anyhow::{Context, Result};
use canvas::{Anchor, Area, DrawError, FONT, render, text};
use plotters::{
    chart::ChartBuilder,
    element::{Circle, Cross},
    prelude::IntoLogRange,
    series::LineSeries,
    style::{BLACK, Color, IntoFont, RGBColor, ShapeStyle, WHITE},
};

use crate::plan::choices::Compared;

const SIZE: (u32, u32) = (1100, 800);
const GREY: RGBColor = RGBColor(120, 120, 120);
const LIGHT: RGBColor = RGBColor(225, 225, 225);
const BLUE: RGBColor = RGBColor(31, 98, 168);
const RED: RGBColor = RGBColor(190, 40, 40);

/// Draws all choices that are possible.
///
/// # Errors
/// Where there is none, or drawing fails.
pub(crate) fn draw(compared: &Compared, title: &str) -> Result<Vec<u8>> {
    let notable = compared.notable.as_ref().context("no choice is possible, so that there is nothing to draw")?;
    let point = |index: usize| (compared.choices[index].outcome.seconds, compared.choices[index].outcome.usd);
    let possible: Vec<usize> = (0..compared.choices.len()).filter(|index| compared.choices[*index].possible).collect();
    let (x, y) =
        (range(possible.iter().map(|index| point(*index).0)), range(possible.iter().map(|index| point(*index).1)));
    let picture = render(SIZE, &WHITE, |root: &Area<'_>| {
        text(root, title, 26, Anchor::upper_left((90, 14)), &BLACK)?;
        let subtitle =
            "each dot is a world size, memory size and number of ranks at once; the line has those that no other beats";
        text(root, subtitle, 17, Anchor::upper_left((90, 46)), &GREY)?;
        let area = root.margin(76, 10, 10, 40);
        let mut chart = ChartBuilder::on(&area)
            .x_label_area_size(56)
            .y_label_area_size(90)
            .build_cartesian_2d(x.clone().log_scale(), y.clone().log_scale())
            .map_err(DrawError::of)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(LIGHT)
            .axis_style(GREY)
            .x_desc("wall time of the run")
            .y_desc("cost in US dollars")
            .x_labels(6)
            .y_labels(8)
            .x_label_formatter(&|time| ticks(*time))
            .y_label_formatter(&|usd| dollars(*usd))
            .label_style((FONT, 17).into_font())
            .axis_desc_style((FONT, 20).into_font())
            .draw()
            .map_err(DrawError::of)?;
        let others = possible.iter().map(|index| Circle::new(point(*index), 3, GREY.mix(0.5).filled()));
        chart.draw_series(others).map_err(DrawError::of)?;
        let line = notable.pareto.iter().map(|index| point(*index));
        chart.draw_series(LineSeries::new(line, ShapeStyle::from(BLUE).stroke_width(2))).map_err(DrawError::of)?;
        let dots = notable.pareto.iter().map(|index| Circle::new(point(*index), 5, BLUE.filled()));
        chart.draw_series(dots).map_err(DrawError::of)?;
        let asked = possible.iter().filter(|index| compared.choices[**index].as_asked);
        let cross = asked.clone().map(|index| Cross::new(point(*index), 8, ShapeStyle::from(RED).stroke_width(3)));
        chart.draw_series(cross).map_err(DrawError::of)?;

        let mut labels: Vec<(usize, String)> = Vec::new();
        for index in [notable.cheapest, notable.knee, notable.fastest] {
            if labels.iter().all(|(labelled, _)| *labelled != index) {
                let choice = &compared.choices[index];
                let names = compared.names(index).join(", ");
                let setting = format!(
                    "{names}: {} ranks, {} MB, {} at once",
                    choice.world_size, choice.memory_mb, choice.max_concurrency
                );
                labels.push((index, setting));
            }
        }
        labels.extend(asked.map(|index| (*index, "as asked".to_owned())));
        let ((left, _), (width, _)) = (area.get_base_pixel(), area.dim_in_pixel());
        for (index, label) in labels {
            let (at_x, at_y) = chart.backend_coord(&point(index));
            // Labels on the right half end at their point.
            let anchor = if at_x - left > width as i32 / 2 {
                Anchor::lower_right((at_x - 9, at_y - 7))
            } else {
                Anchor::lower_left((at_x + 9, at_y - 7))
            };
            let colour = if label == "as asked" { RED } else { BLACK };
            text(root, &label, 18, anchor, &colour)?;
        }
        Ok(())
    });
    picture.context("failed to draw the picture")
}

/// A time on an axis: short, since the steps of a logarithmic axis are close together at their end.
fn ticks(time: f64) -> String {
    if time < 100.0 { format!("{time:.0} s") } else { format!("{:.0} min", time / 60.0) }
}

fn dollars(usd: f64) -> String {
    if usd < 0.01 { format!("${usd:.4}") } else { format!("${usd:.2}") }
}

/// The range of an axis, with room around the values.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min).max(1e-9);
    let most = values.fold(0.0, f64::max).max(least);
    least / 1.3..most * 1.5
}
