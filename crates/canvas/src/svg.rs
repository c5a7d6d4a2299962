//! Drawing as the elements of an SVG.
//!
//! Plotters has an SVG backend of its own, which writes each colour as a number and no titles, into a text that is not
//! to be reached while a chart is drawn. A page with two colour schemes and values on hover needs both, so that they
//! would have to be put in by searching the text afterwards. These few elements are written as they are wanted instead.

use std::fmt::Write;

use plotters::style::{FontTransform, RGBColor};
use plotters_backend::{
    BackendColor, BackendCoord, BackendTextStyle,
    text_anchor::{HPos, VPos},
};

use crate::palette;

/// The elements of a drawing so far.
pub struct Svg<'a> {
    marks: &'a mut String,
    pub(crate) size: (u32, u32),
}

impl<'a> Svg<'a> {
    pub(crate) fn new(marks: &'a mut String, size: (u32, u32)) -> Self {
        Self { marks, size }
    }

    pub(crate) fn begin_title(&mut self, title: &str) {
        self.write(format_args!("<g><title>{}</title>", escaped(title)));
    }

    pub(crate) fn end_title(&mut self) {
        self.write(format_args!("</g>"));
    }

    /// A rectangle between two corners: its frame where a width of lines is given, else its inside.
    pub(crate) fn rectangle(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        colour: BackendColor,
        stroke: Option<u32>,
    ) {
        let (x, y) = (left.min(right), top.min(bottom));
        let (width, height) = (left.abs_diff(right), top.abs_diff(bottom));
        self.mark(colour, stroke, format_args!("rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\""));
    }

    /// A circle: its line where a width is given, else its inside.
    pub(crate) fn circle(&mut self, (x, y): BackendCoord, radius: u32, colour: BackendColor, stroke: Option<u32>) {
        self.mark(colour, stroke, format_args!("circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\""));
    }

    /// A line through points.
    pub(crate) fn line(
        &mut self,
        points: impl IntoIterator<Item = BackendCoord>,
        colour: BackendColor,
        stroke_width: u32,
    ) {
        let points = listed(points);
        self.mark(colour, Some(stroke_width), format_args!("polyline points=\"{points}\""));
    }

    /// The inside of a polygon.
    pub(crate) fn polygon(&mut self, corners: impl IntoIterator<Item = BackendCoord>, colour: BackendColor) {
        let points = listed(corners);
        self.mark(colour, None, format_args!("polygon points=\"{points}\""));
    }

    pub(crate) fn text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) {
        let anchor = style.anchor();
        // The distances from the baseline of a common sans-serif font: not all browsers know them by name.
        let shift = match anchor.v_pos {
            VPos::Top => ".76em",
            VPos::Center => ".35em",
            VPos::Bottom => "-.24em",
        };
        let horizontal = match anchor.h_pos {
            HPos::Left => "",
            HPos::Center => " text-anchor=\"middle\"",
            HPos::Right => " text-anchor=\"end\"",
        };
        let degrees = match style.transform() {
            FontTransform::None => None,
            FontTransform::Rotate90 => Some(90),
            FontTransform::Rotate180 => Some(180),
            FontTransform::Rotate270 => Some(270),
        };
        let turn = degrees.map_or(String::new(), |degrees| format!(" transform=\"rotate({degrees} {x} {y})\""));
        let size = style.size();
        self.write(format_args!("<text x=\"{x}\" y=\"{y}\" dy=\"{shift}\" font-size=\"{size}\"{horizontal}{turn}"));
        self.paint("fill", style.color());
        self.write(format_args!(">{}</text>", escaped(text)));
    }

    /// Writes an element with its colour: of its line where a width is given, else of its inside. What would not be
    /// seen is left out.
    fn mark(&mut self, colour: BackendColor, stroke: Option<u32>, element: std::fmt::Arguments<'_>) {
        if colour.alpha <= 0.0 {
            return;
        }
        self.write(format_args!("<{element}"));
        match stroke {
            Some(width) => {
                self.write(format_args!(" fill=\"none\" stroke-width=\"{width}\""));
                self.paint("stroke", colour);
            }
            None => self.paint("fill", colour),
        }
        self.write(format_args!("/>"));
    }

    /// Writes a colour: by its name where the palette has it, so that it is the scheme's.
    fn paint(&mut self, attribute: &str, BackendColor { alpha, rgb }: BackendColor) {
        let (red, green, blue) = rgb;
        match palette::name(RGBColor(red, green, blue)) {
            Some(name) => {
                let kind = if attribute == "stroke" { "line" } else { attribute };
                self.write(format_args!(" class=\"{kind}-{name}\""));
            }
            None => self.write(format_args!(" {attribute}=\"#{red:02x}{green:02x}{blue:02x}\"")),
        }
        if alpha < 1.0 {
            let rounded = format!("{alpha:.2}");
            self.write(format_args!(" opacity=\"{}\"", rounded.trim_start_matches('0').trim_end_matches('0')));
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.marks.write_fmt(text);
    }
}

fn listed(points: impl IntoIterator<Item = BackendCoord>) -> String {
    let mut listed = String::new();
    for (x, y) in points {
        let space = if listed.is_empty() { "" } else { " " };
        let _ = write!(listed, "{space}{x},{y}");
    }
    listed
}

/// A text as it stands in an element or attribute of HTML or SVG. Control characters, which neither may have, are
/// replaced.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() && control != '\n' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}
