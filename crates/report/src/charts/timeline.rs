//! What ranks did when, or what runs spent their time on: one row for each.

use canvas::{
    Anchor, DrawError, Result, Titled,
    palette::{FAINT, MUTED},
    render_svg, text,
};
use plotters::{
    element::{PathElement, Rectangle},
    style::{
        Color, RGBColor, ShapeStyle,
        text_anchor::{HPos, VPos},
    },
};

use crate::{
    charts::axes::{TEXT, end_of},
    numbers::{seconds, tick},
};

const WIDTH: u32 = 900;
const RIGHT: i32 = 14;
const TOP: i32 = 6;
const BELOW: i32 = 40;

/// A part of a row.
pub(crate) struct Segment {
    pub(crate) name: &'static str,
    pub(crate) colour: RGBColor,
    /// Seconds since the first row began.
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// A rank or run with its parts in order.
pub(crate) struct TimelineRow {
    pub(crate) label: String,
    pub(crate) segments: Vec<Segment>,
}

/// Draws rows from top to bottom.
pub(crate) fn timeline(rows: &[TimelineRow], label: &str) -> Result<String> {
    let row_height = match rows.len() {
        0..=12 => 20,
        13..=40 => 14,
        _ => 8,
    };
    let longest = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
    let left = 24 + (TEXT * 6 / 10) * (longest as i32).clamp(4, 48);
    let bottom = TOP + row_height * rows.len() as i32;
    let end = end_of(rows.iter().flat_map(|row| row.segments.iter().map(|segment| segment.to)));
    render_svg((WIDTH, (bottom + BELOW) as u32), label, |root| {
        let right = WIDTH as i32 - RIGHT;
        let x = |at: f64| left + ((at / end) * f64::from(right - left)).round() as i32;
        let step = tick_step(end);
        for at in (0..).map(|index| f64::from(index) * step).take_while(|at| *at <= end) {
            let line = PathElement::new(vec![(x(at), TOP), (x(at), bottom + 4)], ShapeStyle::from(FAINT));
            root.draw(&line).map_err(DrawError::of)?;
            let anchor = Anchor { at: (x(at), bottom + 8), horizontal: HPos::Center, vertical: VPos::Top };
            text(root, &tick(&at), TEXT, anchor, &MUTED)?;
        }
        let middle =
            Anchor { at: (i32::midpoint(left, right), bottom + 24), horizontal: HPos::Center, vertical: VPos::Top };
        text(root, "seconds", TEXT, middle, &MUTED)?;
        let labelled = if row_height >= 14 { 1 } else { 2 };
        for (index, row) in rows.iter().enumerate() {
            let top = TOP + row_height * index as i32;
            if index % labelled == 0 {
                let at = (left - 8, top + row_height / 2);
                let anchor = Anchor { at, horizontal: HPos::Right, vertical: VPos::Center };
                text(root, &row.label, TEXT.min(row_height * labelled as i32), anchor, &MUTED)?;
            }
            let gap = if row_height >= 14 { 2 } else { 1 };
            for segment in row.segments.iter().filter(|segment| segment.to > segment.from) {
                let (left, right) = (x(segment.from), x(segment.to).max(x(segment.from) + 1));
                let mark =
                    Rectangle::new([(left, top + gap), (right, top + row_height - gap)], segment.colour.filled());
                let title = format!("{}: {}, {}", row.label, segment.name, seconds(segment.to - segment.from));
                root.draw(&Titled::new(mark, title)).map_err(DrawError::of)?;
            }
        }
        Ok(())
    })
}

/// A round distance of ticks, of which there are about ten.
fn tick_step(end: f64) -> f64 {
    let power = 10_f64.powf((end / 10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| end / step <= 12.0).unwrap_or(end)
}
