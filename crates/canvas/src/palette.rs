//! The colours of charts. A PNG has these, as they look on white; in an SVG each is a name, `fill-ink` or `line-ink`,
//! which the page's style sheet gives the colour of its scheme.

use plotters::style::RGBColor;

/// Text and what is drawn over data.
pub const INK: RGBColor = RGBColor(0, 0, 0);
/// What is drawn on, and the halo of a line.
pub const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Labels, axes and guides.
pub const MUTED: RGBColor = RGBColor(110, 110, 110);
/// Grids and frames.
pub const FAINT: RGBColor = RGBColor(225, 225, 225);
/// The data that a chart is about.
pub const ACCENT: RGBColor = RGBColor(31, 95, 153);
/// What the data are held against: the line where two redshifts are the same.
pub const REFERENCE: RGBColor = RGBColor(200, 30, 30);
/// Further kinds of data, such as the phases of a rank. They stay apart for readers who do not tell red from green.
pub const SERIES: [RGBColor; 5] = [
    RGBColor(150, 158, 168),
    RGBColor(86, 180, 190),
    RGBColor(126, 87, 160),
    RGBColor(222, 160, 50),
    RGBColor(70, 130, 90),
];

/// Densities below this fraction of the highest have one colour.
pub const DARKEST: f32 = 1.0 / 200.0;

/// The colour of a density, on a logarithmic scale up to the highest.
pub fn of_density(density: f32, densest: f32) -> RGBColor {
    let ratio = (density / densest.max(f32::MIN_POSITIVE)).clamp(DARKEST, 1.0);
    let position = 1.0 - ratio.ln() / DARKEST.ln();
    let (red, green, blue) = colorous::VIRIDIS.eval_continuous(f64::from(position)).as_tuple();
    RGBColor(red, green, blue)
}

/// The name of a colour of this palette, for a style sheet.
pub fn name(colour: RGBColor) -> Option<&'static str> {
    match colour {
        INK => Some("ink"),
        PAPER => Some("paper"),
        MUTED => Some("muted"),
        FAINT => Some("faint"),
        ACCENT => Some("accent"),
        REFERENCE => Some("reference"),
        _ => {
            const NAMES: [&str; SERIES.len()] = ["series-0", "series-1", "series-2", "series-3", "series-4"];
            SERIES.iter().position(|series| *series == colour).map(|index| NAMES[index])
        }
    }
}
