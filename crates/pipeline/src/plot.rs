//! inference.png: predicted against spectroscopic redshift, with the metrics, and the residuals below.
//!
//! Points are coloured by how many lie around them and the densest are drawn last, so 500,000 galaxies are as clear as
//! 1,000. Axes follow the bulk of the data; what lies beyond them is drawn on the frame and counted in a note.

use std::{ops::Range, sync::OnceLock};

use plotters::{
    backend::BitMapBackend,
    chart::{ChartBuilder, ChartContext},
    coord::{Shift, types::RangedCoordf64},
    element::{Circle, Pixel, Rectangle, Text},
    prelude::{Cartesian2d, DrawingArea, IntoDrawingArea},
    series::LineSeries,
    style::{
        BLACK, Color, FontStyle, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::metrics::{Metrics, quantile};

const SIZE: (u32, u32) = (1100, 1320);
const FONT: &str = "sans-serif";
const FONT_BYTES: &[u8] = include_bytes!("../assets/dejavu-sans.ttf");
const GREY: RGBColor = RGBColor(110, 110, 110);
const LIGHT: RGBColor = RGBColor(225, 225, 225);
const RED: RGBColor = RGBColor(200, 30, 30);

/// Drawing failed; nothing in the data can cause it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct PlotError(String);

impl PlotError {
    pub(crate) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

pub(crate) type Result<T> = std::result::Result<T, PlotError>;
pub(crate) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws redshifts of at least one galaxy, and gives the PNG's bytes. The same data give the same bytes.
///
/// # Errors
/// [`PlotError`], which no data can cause.
pub fn draw(z_spec: &[f64], z_phot: &[f32], metrics: &Metrics, title: &str) -> Result<Vec<u8>> {
    render(SIZE, &WHITE, |root| {
        let pairs: Vec<(f64, f64)> = z_spec.iter().zip(z_phot).map(|(spec, phot)| (*spec, f64::from(*phot))).collect();
        let range = redshift_range(&pairs);
        heading(root, title, &format!("{} galaxies with spectroscopic redshift", thousands(metrics.n)))?;
        let (upper, lower) = root.margin(70, 10, 0, 0).split_vertically(860);

        let mut chart = frame(&upper, range.clone(), range.clone(), 30, "", "predicted redshift")?;
        let line = |slope: f64, offset: f64| {
            let ends = [range.start, range.end];
            ends.map(move |z| (z, z * slope + offset))
        };
        let densest = scatter(root, &chart, &pairs)?;
        for sign in [-1.0, 1.0] {
            // z_phot = z_spec ± 0.05 (1 + z_spec)
            dashed(&mut chart, line(1.0 + sign * 0.05, sign * 0.05))?;
        }
        chart
            .draw_series(LineSeries::new(line(1.0, 0.0), ShapeStyle::from(RED).stroke_width(2)))
            .map_err(PlotError::of)?;
        metrics_box(root, &chart, metrics)?;
        colour_bar(root, &chart, densest)?;
        note_outside(root, &chart, &pairs, &range, &range)?;

        let residuals: Vec<(f64, f64)> =
            pairs.iter().map(|(spec, phot)| (*spec, (phot - spec) / (1.0 + spec))).collect();
        let reach = residual_reach(&residuals);
        let mut chart = frame(&lower, range.clone(), -reach..reach, 62, "spectroscopic redshift", "Δz / (1 + z)")?;
        scatter(root, &chart, &residuals)?;
        for level in [-0.05, 0.05] {
            dashed(&mut chart, [(range.start, level), (range.end, level)])?;
        }
        let zero = [(range.start, 0.0), (range.end, 0.0)];
        chart.draw_series(LineSeries::new(zero, ShapeStyle::from(RED).stroke_width(2))).map_err(PlotError::of)?;
        let median = running_median(residuals);
        let has_median = !median.is_empty();
        chart
            .draw_series(LineSeries::new(median.iter().copied(), ShapeStyle::from(WHITE).stroke_width(6)))
            .map_err(PlotError::of)?;
        chart.draw_series(LineSeries::new(median, ShapeStyle::from(BLACK).stroke_width(3))).map_err(PlotError::of)?;
        if has_median {
            let (x, y) = corner(&chart);
            text(root, "black: running median", 19, (x.end - 12, y.end - 12), HPos::Right, VPos::Bottom, &BLACK)?;
        }
        Ok(())
    })
}

/// Draws the distribution of predictions that there is no truth for; there may be none.
///
/// # Errors
/// [`PlotError`], which no data can cause.
pub fn draw_distribution(z_phot: &[f32], title: &str) -> Result<Vec<u8>> {
    const BINS: usize = 60;
    render(SIZE, &WHITE, |root| {
        heading(
            root,
            title,
            &format!("{} galaxies, none with spectroscopic redshift", thousands(z_phot.len() as u64)),
        )?;
        let pairs: Vec<(f64, f64)> = z_phot.iter().map(|z| (f64::from(*z), f64::from(*z))).collect();
        let range = if pairs.is_empty() { 0.0..1.0 } else { redshift_range(&pairs) };
        let mut counts = [0_u32; BINS];
        for (z, _) in &pairs {
            let bin = (z - range.start) / (range.end - range.start) * BINS as f64;
            counts[(bin.max(0.0) as usize).min(BINS - 1)] += 1;
        }
        let highest = f64::from(counts.iter().copied().max().unwrap_or(0)).max(1.0);
        let area = root.margin(70, 10, 0, 0);
        let mut chart = frame(&area, range.clone(), 0.0..highest * 1.05, 62, "predicted redshift", "galaxies")?;
        let width = (range.end - range.start) / BINS as f64;
        let bars = counts.iter().enumerate().map(|(bin, count)| {
            let left = range.start + bin as f64 * width;
            Rectangle::new([(left, 0.0), (left + width, f64::from(*count))], RGBColor(59, 82, 139).filled())
        });
        chart.draw_series(bars).map_err(PlotError::of)?;
        Ok(())
    })
}

/// Draws on paper of this size and colour, and encodes.
pub(crate) fn render(
    size: (u32, u32),
    paper: &RGBColor,
    drawing: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<Vec<u8>> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    if !REGISTERED.get_or_init(|| register_font(FONT, FontStyle::Normal, FONT_BYTES).is_ok()) {
        return Err(PlotError("the font cannot be read".into()));
    }
    let mut pixels = vec![255; size.0 as usize * size.1 as usize * 3];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        root.fill(paper).map_err(PlotError::of)?;
        drawing(&root)?;
        root.present().map_err(PlotError::of)?;
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(PlotError::of)?;
    writer.write_image_data(&pixels).map_err(PlotError::of)?;
    writer.finish().map_err(PlotError::of)?;
    Ok(bytes)
}

fn heading(root: &Area<'_>, title: &str, subtitle: &str) -> Result<()> {
    let title: String =
        if title.chars().count() > 70 { title.chars().take(69).chain(['…']).collect() } else { title.to_owned() };
    text(root, &title, 27, (110, 16), HPos::Left, VPos::Top, &BLACK)?;
    text(root, subtitle, 20, (110, 48), HPos::Left, VPos::Top, &GREY)
}

/// Axes with their labels and a light grid.
fn frame<'a, 'b>(
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
        .map_err(PlotError::of)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(LIGHT)
        .axis_style(GREY)
        .x_labels(8)
        .y_labels(8)
        .x_desc(x_label)
        .label_style((FONT, 20).into_font())
        .axis_desc_style((FONT, 23).into_font())
        .draw()
        .map_err(PlotError::of)?;
    let (_, inside) = corner(&chart);
    let (_, outside) = area.get_pixel_range();
    let middle = i32::midpoint(inside.start, inside.end) - outside.start;
    rotated(area, y_label, 23, (24, middle), FontTransform::Rotate270, &BLACK)?;
    Ok(chart)
}

/// The chart's inside in pixels.
fn corner(chart: &Chart<'_, '_>) -> (Range<i32>, Range<i32>) {
    let (x, y) = chart.plotting_area().get_pixel_range();
    (x, y)
}

pub(crate) fn text(
    root: &Area<'_>,
    what: &str,
    size: i32,
    at: (i32, i32),
    horizontal: HPos,
    vertical: VPos,
    colour: &RGBColor,
) -> Result<()> {
    let style = TextStyle::from((FONT, size).into_font()).color(colour).pos(Pos::new(horizontal, vertical));
    root.draw(&Text::new(what.to_owned(), at, style)).map_err(PlotError::of)
}

/// Text along a vertical axis, about its middle.
fn rotated(
    area: &Area<'_>,
    what: &str,
    size: i32,
    middle: (i32, i32),
    turn: FontTransform,
    colour: &RGBColor,
) -> Result<()> {
    let style = TextStyle::from((FONT, size).into_font().transform(turn))
        .color(colour)
        .pos(Pos::new(HPos::Center, VPos::Center));
    area.draw(&Text::new(what.to_owned(), middle, style)).map_err(PlotError::of)
}

/// The bulk of both, with a little room.
fn redshift_range(pairs: &[(f64, f64)]) -> Range<f64> {
    let mut spec: Vec<f64> = pairs.iter().map(|(spec, _)| *spec).collect();
    let mut phot: Vec<f64> = pairs.iter().map(|(_, phot)| *phot).collect();
    let low = quantile(&mut spec, 0.0005).min(quantile(&mut phot, 0.0005));
    let high = quantile(&mut spec, 0.9995).max(quantile(&mut phot, 0.9995));
    let room = (0.05 * (high - low)).max(0.005);
    low - room..high + room
}

fn residual_reach(residuals: &[(f64, f64)]) -> f64 {
    let mut sizes: Vec<f64> = residuals.iter().map(|(_, dz)| dz.abs()).collect();
    (1.15 * quantile(&mut sizes, 0.995)).max(0.07)
}

/// A dashed line across the chart. (plotters' own wants `hypotf` of glibc 2.35, and Lambda has 2.34.)
fn dashed(chart: &mut Chart<'_, '_>, [from, to]: [(f64, f64); 2]) -> Result<()> {
    const DASHES: u32 = 75;
    let at = |position: f64| (from.0 + position * (to.0 - from.0), from.1 + position * (to.1 - from.1));
    for dash in 0..DASHES {
        let [start, end] = [0.0, 0.55].map(|offset| at((f64::from(dash) + offset) / f64::from(DASHES)));
        chart.draw_series(LineSeries::new([start, end], GREY)).map_err(PlotError::of)?;
    }
    Ok(())
}

/// Draws points coloured by density, and returns the highest density in galaxies per pixel.
fn scatter(root: &Area<'_>, chart: &Chart<'_, '_>, points: &[(f64, f64)]) -> Result<f32> {
    let (xs, ys) = corner(chart);
    let (width, height) = (xs.len(), ys.len());
    let clamped = |at: i32, range: &Range<i32>| at.clamp(range.start, range.end - 1);
    let mut counts = vec![0.0_f32; width * height];
    for point in points {
        let (x, y) = chart.backend_coord(point);
        let (x, y) = (clamped(x, &xs) - xs.start, clamped(y, &ys) - ys.start);
        counts[y as usize * width + x as usize] += 1.0;
    }
    let (radius, blur) = match points.len() {
        0..3_000 => (3, 9),
        3_000..30_000 => (2, 5),
        30_000..150_000 => (1, 3),
        _ => (0, 2),
    };
    let density = blurred(&counts, width, height, blur);
    let mut occupied: Vec<usize> = (0..counts.len()).filter(|cell| counts[*cell] > 0.0).collect();
    occupied.sort_by(|a, b| density[*a].total_cmp(&density[*b]).then(a.cmp(b)));
    let densest = occupied.last().map_or(0.0, |cell| density[*cell]);
    for cell in occupied {
        let at = (xs.start + (cell % width) as i32, ys.start + (cell / width) as i32);
        let colour = colour(density[cell], densest);
        if radius == 0 {
            root.draw(&Pixel::new(at, colour)).map_err(PlotError::of)?;
        } else {
            root.draw(&Circle::new(at, radius, colour.filled())).map_err(PlotError::of)?;
        }
    }
    Ok(densest)
}

/// Densities below this part of the highest share its colour.
const DARKEST: f32 = 1.0 / 200.0;

/// Colour on a logarithmic scale.
fn colour(density: f32, densest: f32) -> RGBColor {
    let ratio = (density / densest.max(f32::MIN_POSITIVE)).clamp(DARKEST, 1.0);
    let position = 1.0 - ratio.ln() / DARKEST.ln();
    let (r, g, b) = colorous::VIRIDIS.eval_continuous(f64::from(position)).as_tuple();
    RGBColor(r, g, b)
}

/// Three box blurs along each axis: near enough to a Gaussian.
fn blurred(values: &[f32], width: usize, height: usize, radius: usize) -> Vec<f32> {
    let mut values = values.to_vec();
    for _ in 0..3 {
        for row in values.chunks_exact_mut(width) {
            box_blur(row, radius);
        }
        let mut column = vec![0.0; height];
        for x in 0..width {
            for (y, value) in column.iter_mut().enumerate() {
                *value = values[y * width + x];
            }
            box_blur(&mut column, radius);
            for (y, value) in column.iter().enumerate() {
                values[y * width + x] = *value;
            }
        }
    }
    values
}

fn box_blur(line: &mut [f32], radius: usize) {
    let prefix: Vec<f64> = std::iter::once(0.0)
        .chain(line.iter().scan(0.0, |sum, value| {
            *sum += f64::from(*value);
            Some(*sum)
        }))
        .collect();
    let length = line.len();
    for (at, value) in line.iter_mut().enumerate() {
        let (from, to) = (at.saturating_sub(radius), (at + radius + 1).min(length));
        *value = ((prefix[to] - prefix[from]) / (2 * radius + 1) as f64) as f32;
    }
}

fn metrics_box(root: &Area<'_>, chart: &Chart<'_, '_>, metrics: &Metrics) -> Result<()> {
    let lines = [
        ("R²", metrics.r2.map_or("–".into(), |r2| format!("{r2:.4}"))),
        ("MAE", format!("{:.4}", metrics.mae)),
        ("bias", format!("{:+.4}", metrics.bias).replace('-', "−")),
        ("σ NMAD", format!("{:.4}", metrics.precision)),
        ("|Δz| > 0.05", format!("{:.2} %", 100.0 * metrics.outliers_005)),
        ("|Δz| > 0.15", format!("{:.2} %", 100.0 * metrics.outliers_015)),
    ];
    let (xs, ys) = corner(chart);
    let (x, y) = (xs.start + 18, ys.start + 18);
    let height = 28 * lines.len() as i32 + 16;
    let area = [(x, y), (x + 262, y + height)];
    root.draw(&Rectangle::new(area, WHITE.mix(0.88).filled())).map_err(PlotError::of)?;
    root.draw(&Rectangle::new(area, ShapeStyle::from(LIGHT).stroke_width(1))).map_err(PlotError::of)?;
    for (index, (name, value)) in lines.iter().enumerate() {
        let y = y + 8 + 28 * index as i32;
        text(root, name, 21, (x + 12, y), HPos::Left, VPos::Top, &GREY)?;
        text(root, value, 21, (x + 250, y), HPos::Right, VPos::Top, &BLACK)?;
    }
    Ok(())
}

/// The scale of the colours: galaxies in a square of 0.01 × 0.01.
fn colour_bar(root: &Area<'_>, chart: &Chart<'_, '_>, densest: f32) -> Result<()> {
    let (xs, ys) = corner(chart);
    let (left, right) = (xs.end + 18, xs.end + 40);
    let (top, bottom) = (ys.start, ys.end);
    for y in top..bottom {
        let position = (bottom - y) as f32 / (bottom - top) as f32;
        let density = densest * DARKEST.powf(1.0 - position);
        let line = [(left, y), (right, y + 1)];
        root.draw(&Rectangle::new(line, colour(density, densest).filled())).map_err(PlotError::of)?;
    }
    // Pixels of a square of 0.01 × 0.01.
    let (x0, y0) = chart.backend_coord(&(0.0, 0.0));
    let (x1, y1) = chart.backend_coord(&(1.0, 1.0));
    let per_square = f64::from((x1 - x0).abs()) * f64::from((y1 - y0).abs()) * 1e-4;
    let highest = f64::from(densest) * per_square;
    let lowest = highest * f64::from(DARKEST);
    if lowest <= 0.0 {
        return Ok(());
    }
    for exponent in lowest.log10().ceil() as i32..=highest.log10().floor() as i32 {
        let value = 10_f64.powi(exponent);
        let position = (value / lowest).ln() / (highest / lowest).ln();
        let y = bottom - (position * f64::from(bottom - top)) as i32;
        root.draw(&Rectangle::new([(right, y), (right + 6, y + 1)], BLACK.filled())).map_err(PlotError::of)?;
        let label = if exponent < 0 { format!("{value}") } else { thousands(value as u64) };
        text(root, &label, 18, (right + 10, y), HPos::Left, VPos::Center, &BLACK)?;
    }
    let middle = i32::midpoint(top, bottom);
    rotated(root, "galaxies in 0.01 × 0.01", 18, (xs.end + 108, middle), FontTransform::Rotate90, &GREY)
}

fn note_outside(
    root: &Area<'_>,
    chart: &Chart<'_, '_>,
    pairs: &[(f64, f64)],
    x: &Range<f64>,
    y: &Range<f64>,
) -> Result<()> {
    let outside = pairs.iter().filter(|(spec, phot)| !x.contains(spec) || !y.contains(phot)).count();
    if outside == 0 {
        return Ok(());
    }
    let (xs, ys) = corner(chart);
    let note = format!("{} beyond the frame, drawn on it", thousands(outside as u64));
    text(root, &note, 18, (xs.end - 12, ys.end - 10), HPos::Right, VPos::Bottom, &GREY)
}

/// Medians of bins of equal numbers, where there are enough galaxies for them to mean something.
fn running_median(mut residuals: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    const LEAST_PER_BIN: usize = 25;
    let bins = (residuals.len() / LEAST_PER_BIN).min(40);
    if bins < 2 {
        return Vec::new();
    }
    residuals.sort_by(|a, b| a.0.total_cmp(&b.0));
    residuals
        .chunks(residuals.len().div_ceil(bins))
        .map(|bin| {
            let [mut z, mut dz] = [|pair: &(f64, f64)| pair.0, |pair: &(f64, f64)| pair.1]
                .map(|side| bin.iter().map(side).collect::<Vec<f64>>());
            (quantile(&mut z, 0.5), quantile(&mut dz, 0.5))
        })
        .collect()
}

/// 1,253
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width, info.height, pixels)
    }

    fn picture(z_spec: &[f64], z_phot: &[f32]) -> Vec<u8> {
        draw(z_spec, z_phot, &Metrics::of(z_spec, z_phot).unwrap(), "a test").unwrap()
    }

    #[test]
    fn any_data_give_a_picture_of_the_same_size() {
        let many: Vec<f64> = (0..5000).map(|index| f64::from(index) / 9000.0).collect();
        let off: Vec<f32> = many.iter().map(|z| (z * 1.1 + 0.01 * (z * 900.0).sin()) as f32).collect();
        for (spec, phot) in [
            (&[0.1][..], &[0.2_f32][..]),
            (&[0.0, 0.0], &[0.0, 0.0]),
            (&[0.1, 0.2, -0.3], &[9.0, -4.0, 1e9]),
            (&many, &off),
        ] {
            let (width, height, pixels) = decode(&picture(spec, phot));
            assert_eq!((width, height), SIZE);
            assert!(pixels.chunks_exact(3).any(|pixel| pixel == [200, 30, 30]), "the 1:1 line is drawn");
        }
        assert_eq!(decode(&draw_distribution(&off, "t").unwrap()).0, SIZE.0);
        assert_eq!(decode(&draw_distribution(&[], "t").unwrap()).0, SIZE.0);
    }

    #[test]
    fn the_same_data_give_the_same_bytes() {
        assert!(picture(&[0.1, 0.2], &[0.1, 0.3]) == picture(&[0.1, 0.2], &[0.1, 0.3]));
    }

    #[test]
    fn the_running_median_follows_a_step() {
        let steps = (0..1000).map(|index| (f64::from(index), if index < 500 { 0.0 } else { 1.0 })).collect();
        let median = running_median(steps);
        assert_eq!(median.len(), 40);
        assert_eq!((median[0].1, median[39].1), (0.0, 1.0));
    }
}
