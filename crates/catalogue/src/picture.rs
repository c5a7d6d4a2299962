//! inference.png: predicted against spectroscopic redshift, with the metrics, and the residuals below.
//!
//! Points are coloured by how many lie around them and the densest are drawn last, so 500,000 galaxies are as clear as
//! 1,000. Axes follow the bulk of the data; what lies beyond them is drawn on the frame and counted in a note.

mod axes;
mod colours;
mod density;
mod numbers;
mod scale;

use std::ops::Range;

use canvas::{Anchor, Area, DrawError, Result, render, text};
use plotters::{
    element::Rectangle,
    series::LineSeries,
    style::{BLACK, Color, ShapeStyle, WHITE},
};

use crate::{
    metrics::{Metrics, quantile},
    picture::{
        axes::{Chart, dashed, frame, pixel_ranges},
        colours::{BLUE, GREY, LIGHT, RED},
        density::scatter,
        numbers::thousands,
    },
};

/// Width and height of both figures in pixels.
const SIZE: (u32, u32) = (1100, 1320);

/// Draws redshifts of at least one galaxy, and gives the PNG's bytes. The same data give the same bytes.
///
/// # Errors
/// [`DrawError`], which no data can cause.
pub(crate) fn draw(z_spec: &[f64], z_phot: &[f32], metrics: &Metrics, title: &str) -> Result<Vec<u8>> {
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
            .map_err(DrawError::of)?;
        metrics_box(root, &chart, metrics)?;
        scale::draw(root, &chart, densest)?;
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
        chart.draw_series(LineSeries::new(zero, ShapeStyle::from(RED).stroke_width(2))).map_err(DrawError::of)?;
        let median = running_median(residuals);
        let has_median = !median.is_empty();
        chart
            .draw_series(LineSeries::new(median.iter().copied(), ShapeStyle::from(WHITE).stroke_width(6)))
            .map_err(DrawError::of)?;
        chart.draw_series(LineSeries::new(median, ShapeStyle::from(BLACK).stroke_width(3))).map_err(DrawError::of)?;
        if has_median {
            let (x, y) = pixel_ranges(&chart);
            text(root, "black: running median", 19, Anchor::lower_right((x.end - 12, y.end - 12)), &BLACK)?;
        }
        Ok(())
    })
}

/// Draws the distribution of predictions that there is no truth for; there may be none.
///
/// # Errors
/// [`DrawError`], which no data can cause.
pub(crate) fn draw_distribution(z_phot: &[f32], title: &str) -> Result<Vec<u8>> {
    const BINS: usize = 60;
    render(SIZE, &WHITE, |root| {
        heading(
            root,
            title,
            &format!("{} galaxies, none to be compared with a spectroscopic redshift", thousands(z_phot.len() as u64)),
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
            Rectangle::new([(left, 0.0), (left + width, f64::from(*count))], BLUE.filled())
        });
        chart.draw_series(bars).map_err(DrawError::of)?;
        Ok(())
    })
}

fn heading(root: &Area<'_>, title: &str, subtitle: &str) -> Result<()> {
    let title: String =
        if title.chars().count() > 70 { title.chars().take(69).chain(['…']).collect() } else { title.to_owned() };
    text(root, &title, 27, Anchor::upper_left((110, 16)), &BLACK)?;
    text(root, subtitle, 20, Anchor::upper_left((110, 48)), &GREY)
}

/// A range that holds all but the outermost thousandth of both, with a little room.
fn redshift_range(pairs: &[(f64, f64)]) -> Range<f64> {
    let mut spec: Vec<f64> = pairs.iter().map(|(spec, _)| *spec).collect();
    let mut phot: Vec<f64> = pairs.iter().map(|(_, phot)| *phot).collect();
    let low = quantile(&mut spec, 0.0005).min(quantile(&mut phot, 0.0005));
    let high = quantile(&mut spec, 0.9995).max(quantile(&mut phot, 0.9995));
    let room = (0.05 * (high - low)).max(0.005);
    low - room..high + room
}

/// Half the height of the chart of residuals.
fn residual_reach(residuals: &[(f64, f64)]) -> f64 {
    let mut sizes: Vec<f64> = residuals.iter().map(|(_, dz)| dz.abs()).collect();
    (1.15 * quantile(&mut sizes, 0.995)).max(0.07)
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
    let (xs, ys) = pixel_ranges(chart);
    let (x, y) = (xs.start + 18, ys.start + 18);
    let height = 28 * lines.len() as i32 + 16;
    let area = [(x, y), (x + 262, y + height)];
    root.draw(&Rectangle::new(area, WHITE.mix(0.88).filled())).map_err(DrawError::of)?;
    root.draw(&Rectangle::new(area, ShapeStyle::from(LIGHT).stroke_width(1))).map_err(DrawError::of)?;
    for (index, (name, value)) in lines.iter().enumerate() {
        let y = y + 8 + 28 * index as i32;
        text(root, name, 21, Anchor::upper_left((x + 12, y)), &GREY)?;
        text(root, value, 21, Anchor::upper_right((x + 250, y)), &BLACK)?;
    }
    Ok(())
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
    let (xs, ys) = pixel_ranges(chart);
    let note = format!("{} beyond the frame, drawn on it", thousands(outside as u64));
    text(root, &note, 18, Anchor::lower_right((xs.end - 12, ys.end - 10)), &GREY)
}

/// Medians of (x, y) in bins of equal numbers along x; none where there are too few galaxies for them to mean something.
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
