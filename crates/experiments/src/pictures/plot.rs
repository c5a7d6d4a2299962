//! A plot in pixels: a frame with a vertical axis from zero, places along the horizontal one, and a legend.

use canvas::{Anchor, Area, DrawError, Result, rotated_text, text};
use plotters::{
    element::{PathElement, Rectangle},
    style::{
        BLACK, Color, FontTransform, RGBColor,
        text_anchor::{HPos, VPos},
    },
};

/// Labels and axes.
pub(super) const GREY: RGBColor = RGBColor(110, 110, 110);
const LIGHT: RGBColor = RGBColor(225, 225, 225);

/// Colours that people with colour blindness tell apart (Okabe & Ito 2008), but for their yellow, which is too light for
/// lines.
pub(super) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// The frame's distances from the panel's sides, in pixels.
const LEFT: i32 = 92;
const RIGHT: i32 = 18;
const TOP: i32 = 46;
const BELOW: i32 = 58;
/// Height of a line of the legend.
const LEGEND_LINE: i32 = 20;

/// Where a plot is in its panel.
pub(super) struct Plot<'a, 'b> {
    area: &'a Area<'b>,
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    places: usize,
    /// What the upper edge stands for.
    highest: f64,
}

impl<'a, 'b> Plot<'a, 'b> {
    /// Draws frame and axes. `highest` is the largest value that is to be shown, and `legend` is drawn above the frame.
    pub(super) fn frame(
        area: &'a Area<'b>,
        labels: &[String],
        highest: f64,
        titles: [&str; 2],
        legend: &[(String, RGBColor)],
    ) -> Result<Self> {
        let (width, height) = area.dim_in_pixel();
        let legend_height = draw_legend(area, legend, width as i32)?;
        let step = tick_step(highest);
        let steps = (highest / step).ceil().max(1.0);
        let plot = Self {
            area,
            left: LEFT,
            right: width as i32 - RIGHT,
            top: TOP.min(14 + legend_height) + (legend_height - TOP + 14).max(0),
            bottom: height as i32 - BELOW,
            places: labels.len().max(1),
            highest: steps * step,
        };
        for tick in 0..=steps as u32 {
            let value = f64::from(tick) * step;
            let y = plot.y(value);
            line(area, &[(plot.left, y), (plot.right, y)], LIGHT, 1)?;
            let anchor = Anchor { at: (plot.left - 8, y), horizontal: HPos::Right, vertical: VPos::Center };
            text(area, &number(value, step), 15, anchor, &GREY)?;
        }
        line(area, &[(plot.left, plot.top), (plot.left, plot.bottom), (plot.right, plot.bottom)], GREY, 1)?;
        for (place, label) in labels.iter().enumerate() {
            let anchor = Anchor { at: (plot.x(place), plot.bottom + 8), horizontal: HPos::Center, vertical: VPos::Top };
            text(area, label, 15, anchor, &GREY)?;
        }
        let [below, beside] = titles;
        let middle = (plot.left + plot.right) / 2;
        let anchor = Anchor { at: (middle, height as i32 - 8), horizontal: HPos::Center, vertical: VPos::Bottom };
        text(area, below, 17, anchor, &BLACK)?;
        rotated_text(area, beside, 17, (18, (plot.top + plot.bottom) / 2), FontTransform::Rotate270, &BLACK)?;
        Ok(plot)
    }

    /// The middle of a place along the horizontal axis, in pixels.
    pub(super) fn x(&self, place: usize) -> i32 {
        self.left + ((place as f64 + 0.5) * self.place_width()) as i32
    }

    /// The width of a place in pixels.
    pub(super) fn place_width(&self) -> f64 {
        f64::from(self.right - self.left) / self.places as f64
    }

    /// The height of a value in pixels.
    pub(super) fn y(&self, value: f64) -> i32 {
        let share = (value / self.highest).clamp(0.0, 1.0);
        self.bottom - (share * f64::from(self.bottom - self.top)).round() as i32
    }
}

/// Draws the names of colours in as many lines as they need. Gives the height in pixels.
fn draw_legend(area: &Area<'_>, legend: &[(String, RGBColor)], width: i32) -> Result<i32> {
    // DejaVu Sans at 14 pixels: about eight for a character.
    let needed = |name: &str| 34 + 8 * name.chars().count() as i32;
    let (mut x, mut y) = (LEFT, 10);
    for (name, colour) in legend {
        if x > LEFT && x + needed(name) > width - RIGHT {
            (x, y) = (LEFT, y + LEGEND_LINE);
        }
        let square = Rectangle::new([(x, y + 3), (x + 12, y + 13)], colour.filled());
        area.draw(&square).map_err(DrawError::of)?;
        text(area, name, 14, Anchor::upper_left((x + 18, y)), &GREY)?;
        x += needed(name);
    }
    Ok(if legend.is_empty() { 0 } else { y + LEGEND_LINE })
}

pub(super) fn line(area: &Area<'_>, points: &[(i32, i32)], colour: RGBColor, width: u32) -> Result<()> {
    area.draw(&PathElement::new(points.to_vec(), colour.stroke_width(width))).map_err(DrawError::of)
}

impl Plot<'_, '_> {
    pub(super) fn line(&self, points: &[(i32, i32)], colour: RGBColor, width: u32) -> Result<()> {
        line(self.area, points, colour, width)
    }

    pub(super) fn fill(&self, corners: [(i32, i32); 2], colour: RGBColor) -> Result<()> {
        self.area.draw(&Rectangle::new(corners, colour.filled())).map_err(DrawError::of)
    }
}

/// The distance between ticks, 1, 2 or 5 times a power of ten, of which five to ten reach the highest value.
fn tick_step(highest: f64) -> f64 {
    if !highest.is_finite() || highest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf((highest / 5.0).log10().floor());
    let factor = [5.0, 2.0, 1.0].into_iter().find(|factor| factor * power <= highest / 5.0).unwrap_or(1.0);
    factor * power
}

/// A tick's number, with the decimals that the step needs.
fn number(value: f64, step: f64) -> String {
    if value != 0.0 && !(1e-6..1e9).contains(&step) {
        return format!("{value:.1e}");
    }
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        for (highest, step) in
            [(10.0, 2.0), (7.3, 1.0), (0.0004, 0.00005), (1250.0, 200.0), (0.0, 1.0), (f64::NAN, 1.0)]
        {
            assert!((tick_step(highest) - step).abs() <= 1e-9 * step, "{highest}: {}", tick_step(highest));
        }
        assert_eq!((number(0.15, 0.05), number(400.0, 200.0)), ("0.15".into(), "400".into()));
        assert_eq!((number(0.0, 1e-9), number(2e-9, 1e-9)), ("0.000000000".into(), "2.0e-9".into()));
    }

    proptest! {
        #[test]
        fn there_are_some_ticks_and_not_too_many(highest in 1e-12..1e15_f64) {
            let ticks = highest / tick_step(highest);
            prop_assert!((4.999..12.6).contains(&ticks), "{} ticks", ticks);
        }
    }
}
