//! The picture of choices: cost against wall time, with those marked that no other beats.
//!
//! Both axes are logarithmic. They are drawn here, because plotters labels only powers of ten of such an axis, or too many
//! values: what is drawn with it are logarithms.

use std::ops::Range;

use anyhow::{Context, Result};
use canvas::{Anchor, Area, DrawError, render, rotated_text, text};
use plotters::{
    chart::ChartBuilder,
    element::{Circle, Cross},
    series::LineSeries,
    style::{
        BLACK, Color, FontTransform, RGBColor, ShapeStyle, WHITE,
        text_anchor::{HPos, VPos},
    },
};

use crate::plan::choices::Compared;

const SIZE: (u32, u32) = (1100, 800);
const GREY: RGBColor = RGBColor(120, 120, 120);
const LIGHT: RGBColor = RGBColor(225, 225, 225);
const BLUE: RGBColor = RGBColor(31, 98, 168);
const RED: RGBColor = RGBColor(190, 40, 40);

/// Where the axis of time may have a label, in seconds.
const TIMES: [f64; 20] = [
    1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
    18_000.0, 36_000.0, 86_400.0,
];
/// Where the axis of cost may have a label, in each decade.
const STEPS: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0];

/// Draws all choices that are possible.
///
/// # Errors
/// Where there is none, or drawing fails.
pub(crate) fn draw(compared: &Compared, title: &str) -> Result<Vec<u8>> {
    let notable = compared.notable.as_ref().context("no choice is possible, so that there is nothing to draw")?;
    let point = |index: usize| {
        let outcome = compared.choices[index].outcome;
        (outcome.seconds.max(1e-3).log10(), outcome.usd.max(1e-9).log10())
    };
    let possible: Vec<usize> = (0..compared.choices.len()).filter(|index| compared.choices[*index].possible).collect();
    let x = range(possible.iter().map(|index| point(*index).0));
    let y = range(possible.iter().map(|index| point(*index).1));
    let picture = render(SIZE, &WHITE, |root: &Area<'_>| {
        text(root, title, 26, Anchor::upper_left((90, 14)), &BLACK)?;
        let subtitle =
            "each dot is a world size, memory size and number of ranks at once; the line has those that no other beats";
        text(root, subtitle, 17, Anchor::upper_left((90, 46)), &GREY)?;
        let area = root.margin(84, 76, 100, 40);
        let mut chart = ChartBuilder::on(&area).build_cartesian_2d(x.clone(), y.clone()).map_err(DrawError::of)?;
        for time in TIMES.iter().map(|time| time.log10()).filter(|time| x.contains(time)) {
            chart.draw_series(LineSeries::new([(time, y.start), (time, y.end)], LIGHT)).map_err(DrawError::of)?;
            let (at, bottom) = chart.backend_coord(&(time, y.start));
            let anchor = Anchor { at: (at, bottom + 8), horizontal: HPos::Center, vertical: VPos::Top };
            text(root, &time_label(time), 17, anchor, &BLACK)?;
        }
        for usd in dollars(&y) {
            chart.draw_series(LineSeries::new([(x.start, usd), (x.end, usd)], LIGHT)).map_err(DrawError::of)?;
            let (left, at) = chart.backend_coord(&(x.start, usd));
            let anchor = Anchor { at: (left - 8, at), horizontal: HPos::Right, vertical: VPos::Center };
            text(root, &dollar_label(usd), 17, anchor, &BLACK)?;
        }
        let (width, height) = (SIZE.0 as i32, SIZE.1 as i32);
        let below = Anchor { at: (width / 2, height - 16), horizontal: HPos::Center, vertical: VPos::Bottom };
        text(root, "wall time of the run", 20, below, &BLACK)?;
        rotated_text(root, "cost in US dollars", 20, (22, height / 2), FontTransform::Rotate270, &BLACK)?;

        let others = possible.iter().map(|index| Circle::new(point(*index), 3, GREY.mix(0.5).filled()));
        chart.draw_series(others).map_err(DrawError::of)?;
        let line = notable.pareto.iter().map(|index| point(*index));
        chart.draw_series(LineSeries::new(line, ShapeStyle::from(BLUE).stroke_width(2))).map_err(DrawError::of)?;
        let dots = notable.pareto.iter().map(|index| Circle::new(point(*index), 5, BLUE.filled()));
        chart.draw_series(dots).map_err(DrawError::of)?;
        let asked: Vec<usize> = possible.iter().copied().filter(|index| compared.choices[*index].as_asked).collect();
        let cross = asked.iter().map(|index| Cross::new(point(*index), 8, ShapeStyle::from(RED).stroke_width(3)));
        chart.draw_series(cross).map_err(DrawError::of)?;

        let mut labelled: Vec<usize> = Vec::new();
        for index in [notable.cheapest, notable.knee, notable.fastest] {
            if !labelled.contains(&index) {
                labelled.push(index);
                let choice = &compared.choices[index];
                let label = format!(
                    "{}: {} ranks, {} MB, {} at once",
                    compared.names(index).join(", "),
                    choice.world_size,
                    choice.memory_mb,
                    choice.max_concurrency
                );
                text(root, &label, 18, beside(chart.backend_coord(&point(index)), width), &BLACK)?;
            }
        }
        for index in asked {
            let (at_x, at_y) = chart.backend_coord(&point(index));
            text(root, "as asked", 18, Anchor::left((at_x + 14, at_y)), &RED)?;
        }
        Ok(())
    });
    picture.context("failed to draw the picture")
}

/// Where the label of a point stands: above those on the left, whose line falls to the right, and below the others.
fn beside((x, y): (i32, i32), width: i32) -> Anchor {
    match x > width / 2 {
        true => Anchor { at: (x - 9, y + 7), horizontal: HPos::Right, vertical: VPos::Top },
        false => Anchor::lower_left((x + 9, y - 7)),
    }
}

fn time_label(logarithm: f64) -> String {
    let seconds = 10_f64.powf(logarithm).round();
    match seconds {
        ..60.0 => format!("{seconds} s"),
        ..3600.0 => format!("{} min", seconds / 60.0),
        _ => format!("{} h", seconds / 3600.0),
    }
}

/// Logarithms of round amounts within a range.
fn dollars(range: &Range<f64>) -> Vec<f64> {
    let decades = range.start.floor() as i32..=range.end.ceil() as i32;
    let all = decades.flat_map(|decade| STEPS.map(|step| (step * 10_f64.powi(decade)).log10()));
    all.filter(|usd| range.contains(usd)).collect()
}

fn dollar_label(logarithm: f64) -> String {
    let usd = 10_f64.powf(logarithm);
    let digits = (1.0 - logarithm).ceil().clamp(0.0, 9.0) as usize;
    format!("${usd:.digits$}")
}

/// The range of an axis, with room around the values.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let most = values.fold(f64::NEG_INFINITY, f64::max);
    let room = (0.08 * (most - least)).max(0.05);
    least - room..most + room
}
