//! inference.png: predicted against spectroscopic redshift, with the metrics, and the residuals below.
//!
//! Points are coloured by how many lie around them and the densest are drawn last, so 500,000 galaxies are as clear as
//! 1,000. Axes follow the bulk of the data, within the redshifts that can be; what lies beyond them is drawn on the
//! frame and counted in a note. Every point is clamped to its axes before plotters sees it: plotters counts pixels in
//! i32 and looks for ticks up to an axis's end, so that a point at 10¹⁰ overflows and an infinite axis never ends.

mod axes;
mod density;
mod scale;

use std::ops::Range;

use canvas::{
    Anchor, Area, DrawError, Result,
    palette::{FAINT, INK, MUTED, PAPER, REFERENCE},
    render, text, thousands,
};
use plotters::{
    element::Rectangle,
    series::LineSeries,
    style::{Color, RGBColor, ShapeStyle},
};

use crate::{
    distribution::Distribution,
    metrics::{Metrics, quantile_f32},
    picture::{
        axes::{Chart, dashed, frame, pixel_ranges},
        density::scatter,
    },
    plausible::REDSHIFTS,
};

/// Width and height of both figures in pixels.
const SIZE: (u32, u32) = (1100, 1320);

/// The bars of a distribution.
const BLUE: RGBColor = RGBColor(59, 82, 139);

/// Redshift pairs or residuals, in the units of the axes.
type Point = (f64, f64);

/// Draws redshifts, and gives the PNG's bytes. The same data give the same bytes, and any data give a picture.
///
/// # Errors
/// [`DrawError`], where plotters or the encoder fails.
pub(crate) fn draw(z_spec: &[f64], z_phot: &[f32], metrics: &Metrics, title: &str) -> Result<Vec<u8>> {
    render(SIZE, &PAPER, |root| {
        // Nothing is collected that is as long as the catalogue and can be counted in passing.
        let pairs = z_spec.iter().zip(z_phot).map(|(spec, phot)| (*spec, f64::from(*phot)));
        let range = redshift_range(z_spec.iter().copied().zip(z_phot.iter().copied()));
        heading(root, title, &format!("{} galaxies with spectroscopic redshift", thousands(metrics.n)))?;
        let (upper, lower) = root.margin(70, 10, 0, 0).split_vertically(860);

        let mut chart = frame(&upper, range.clone(), range.clone(), 30, "", "predicted redshift")?;
        let line = |slope: f64, offset: f64| {
            let ends = [range.start, range.end];
            ends.map(move |z| (z, z * slope + offset))
        };
        let densest = scatter(root, &chart, clamped(pairs.clone(), &range, &range))?;
        for sign in [-1.0, 1.0] {
            // z_phot = z_spec ± 0.05 (1 + z_spec)
            dashed(&mut chart, line(1.0 + sign * 0.05, sign * 0.05))?;
        }
        chart
            .draw_series(LineSeries::new(line(1.0, 0.0), ShapeStyle::from(REFERENCE).stroke_width(2)))
            .map_err(DrawError::of)?;
        metrics_box(root, &chart, metrics)?;
        scale::draw(root, &chart, densest)?;
        note_outside(root, &chart, pairs.clone(), &range, &range)?;

        let residuals = pairs.map(|(spec, phot)| (spec, (phot - spec) / (1.0 + spec)));
        let reach = residual_reach(residuals.clone());
        let heights = -reach..reach;
        let mut chart = frame(&lower, range.clone(), heights.clone(), 62, "spectroscopic redshift", "Δz / (1 + z)")?;
        let drawn = clamped(residuals.clone(), &range, &heights);
        scatter(root, &chart, drawn.clone())?;
        for level in [-0.05, 0.05] {
            dashed(&mut chart, [(range.start, level), (range.end, level)])?;
        }
        let zero = [(range.start, 0.0), (range.end, 0.0)];
        chart.draw_series(LineSeries::new(zero, ShapeStyle::from(REFERENCE).stroke_width(2))).map_err(DrawError::of)?;
        let median = running_median(drawn.map(|(x, y)| (x as f32, y as f32)).collect());
        let has_median = !median.is_empty();
        chart
            .draw_series(LineSeries::new(median.iter().copied(), ShapeStyle::from(PAPER).stroke_width(6)))
            .map_err(DrawError::of)?;
        chart.draw_series(LineSeries::new(median, ShapeStyle::from(INK).stroke_width(3))).map_err(DrawError::of)?;
        if has_median {
            let (x, y) = pixel_ranges(&chart);
            text(root, "black: running median", 19, Anchor::lower_left((x.start + 12, y.end - 12)), &INK)?;
        }
        note_outside(root, &chart, residuals, &range, &heights)
    })
}

/// Draws why there is no picture.
///
/// # Errors
/// [`DrawError`], where not even that can be drawn.
pub(crate) fn draw_apology(reason: &DrawError) -> Result<Vec<u8>> {
    render(SIZE, &PAPER, |root| {
        let at = Anchor::upper_left((30, 30));
        text(root, &format!("The picture could not be drawn: {reason}."), 18, at, &INK)
    })
}

/// Draws the distribution of predictions that there is no truth for; there may be none.
///
/// # Errors
/// Those of [`draw`].
pub(crate) fn draw_distribution(z_phot: &Distribution, title: &str) -> Result<Vec<u8>> {
    const BINS: usize = 60;
    render(SIZE, &PAPER, |root| {
        heading(
            root,
            title,
            &format!("{} galaxies, none to be compared with a spectroscopic redshift", thousands(z_phot.n())),
        )?;
        let range = range_of_distribution(z_phot);
        let mut counts = [0_u32; BINS];
        for (z, count) in z_phot.counts() {
            let bin = (z.clamp(range.start, range.end) - range.start) / (range.end - range.start) * BINS as f64;
            counts[(bin as usize).min(BINS - 1)] += count;
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
        let on_axis = |z: f64| (range.start..=range.end).contains(&z);
        let outside = z_phot.counts().filter(|(z, _)| !on_axis(*z)).map(|(_, count)| u64::from(count)).sum();
        write_outside(root, &chart, outside)
    })
}

fn heading(root: &Area<'_>, title: &str, subtitle: &str) -> Result<()> {
    let title: String =
        if title.chars().count() > 70 { title.chars().take(69).chain(['…']).collect() } else { title.to_owned() };
    text(root, &title, 27, Anchor::upper_left((110, 16)), &INK)?;
    text(root, subtitle, 20, Anchor::upper_left((110, 48)), &MUTED)
}

/// The redshifts that both axes show: all but the outermost thousandth of either, with a little room, as far as that
/// lies near the bulk of the data; and no more than can be. With no data it is 0 to 1.
pub(crate) fn redshift_range(pairs: impl Iterator<Item = (f64, f32)> + Clone) -> Range<f64> {
    let spec = bulk_of(pairs.clone().map(|(spec, _)| spec as f32));
    let phot = bulk_of(pairs.map(|(_, phot)| phot));
    with_room(match (spec, phot) {
        (Some(spec), Some(phot)) => Some(spec.start.min(phot.start)..spec.end.max(phot.end)),
        (one, other) => one.or(other),
    })
}

/// The same of redshifts of one kind.
pub(crate) fn range_of_distribution(redshifts: &Distribution) -> Range<f64> {
    with_room(bulk(|q| redshifts.quantile(q)))
}

fn with_room(bulk: Option<Range<f64>>) -> Range<f64> {
    let Some(Range { start, end }) = bulk else { return 0.0..1.0 };
    let room = (0.05 * (end - start)).max(0.005);
    start - room..end + room
}

/// Where the bulk of redshifts lies. What is drawn of it has pixels, and f32 half the memory.
fn bulk_of(redshifts: impl Iterator<Item = f32>) -> Option<Range<f64>> {
    let (lowest, highest) = REDSHIFTS.into_inner();
    let mut values: Vec<f32> = redshifts.filter(|z| !z.is_nan()).map(|z| z.clamp(lowest, highest)).collect();
    bulk(|q| quantile_f32(&mut values, q))
}

/// From the outermost 0.05 % of values to the other, but no further beyond the middle 96 % than those are wide: a
/// single value of a hundred is in the outermost 0.05 % of none.
fn bulk(quantile: impl FnMut(f64) -> Option<f64>) -> Option<Range<f64>> {
    let [low, start, end, high] = [0.0005, 0.02, 0.98, 0.9995].map(quantile);
    let (start, end) = (start?, end?);
    let width = end - start;
    Some(low?.max(start - width)..high?.min(end + width))
}

/// Half the height of the chart of residuals.
fn residual_reach(residuals: impl Iterator<Item = Point>) -> f64 {
    // As many z as fit between −0.05 and 20 give no residual above 22.
    const HIGHEST: f64 = 25.0;
    let mut sizes: Vec<f32> = residuals.map(|(_, dz)| dz.abs().min(HIGHEST) as f32).collect();
    (1.15 * quantile_f32(&mut sizes, 0.995).unwrap_or(0.0)).max(0.07)
}

/// The points on the axes, moved there where they lie beyond. A point that is not a number has no place.
fn clamped(
    points: impl Iterator<Item = Point> + Clone,
    x: &Range<f64>,
    y: &Range<f64>,
) -> impl Iterator<Item = Point> + Clone {
    let (x, y) = (x.clone(), y.clone());
    let numbers = points.filter(|(at_x, at_y)| !at_x.is_nan() && !at_y.is_nan());
    numbers.map(move |(at_x, at_y)| (at_x.clamp(x.start, x.end), at_y.clamp(y.start, y.end)))
}

fn metrics_box(root: &Area<'_>, chart: &Chart<'_, '_>, metrics: &Metrics) -> Result<()> {
    let show = |figure: Option<f64>, shown: fn(f64) -> String| {
        figure.map_or("n/a".to_owned(), |figure| shown(figure).replace('-', "−"))
    };
    let lines = [
        ("R²", show(metrics.r2, |figure| format!("{figure:.4}"))),
        ("MAE", show(metrics.mae, |figure| format!("{figure:.4}"))),
        ("bias", show(metrics.bias, |figure| format!("{figure:+.4}"))),
        ("σ NMAD", show(metrics.precision, |figure| format!("{figure:.4}"))),
        ("|Δz| > 0.05", show(metrics.outliers_005, |figure| format!("{:.2} %", 100.0 * figure))),
        ("|Δz| > 0.15", show(metrics.outliers_015, |figure| format!("{:.2} %", 100.0 * figure))),
    ];
    let (xs, ys) = pixel_ranges(chart);
    let (x, y) = (xs.start + 18, ys.start + 18);
    let height = 28 * lines.len() as i32 + 16;
    let area = [(x, y), (x + 262, y + height)];
    root.draw(&Rectangle::new(area, PAPER.mix(0.88).filled())).map_err(DrawError::of)?;
    root.draw(&Rectangle::new(area, ShapeStyle::from(FAINT).stroke_width(1))).map_err(DrawError::of)?;
    for (index, (name, value)) in lines.iter().enumerate() {
        let y = y + 8 + 28 * index as i32;
        text(root, name, 21, Anchor::upper_left((x + 12, y)), &MUTED)?;
        text(root, value, 21, Anchor::upper_right((x + 250, y)), &INK)?;
    }
    Ok(())
}

/// Says how many points lie beyond the axes, if any.
fn note_outside(
    root: &Area<'_>,
    chart: &Chart<'_, '_>,
    points: impl Iterator<Item = Point>,
    x: &Range<f64>,
    y: &Range<f64>,
) -> Result<()> {
    let on = |axis: &Range<f64>, value: f64| (axis.start..=axis.end).contains(&value);
    let outside = points.filter(|(at_x, at_y)| !on(x, *at_x) || !on(y, *at_y)).count();
    write_outside(root, chart, outside as u64)
}

fn write_outside(root: &Area<'_>, chart: &Chart<'_, '_>, outside: u64) -> Result<()> {
    if outside == 0 {
        return Ok(());
    }
    let (xs, ys) = pixel_ranges(chart);
    let note = format!("{} outside, drawn on the frame", thousands(outside));
    text(root, &note, 18, Anchor::lower_right((xs.end - 12, ys.end - 10)), &MUTED)
}

/// Medians of (x, y) in bins of equal numbers along x; none where there are too few galaxies for them to mean
/// something.
fn running_median(mut residuals: Vec<(f32, f32)>) -> Vec<Point> {
    const LEAST_PER_BIN: usize = 25;
    let bins = (residuals.len() / LEAST_PER_BIN).min(40);
    if bins < 2 {
        return Vec::new();
    }
    residuals.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    residuals
        .chunks(residuals.len().div_ceil(bins))
        .filter_map(|bin| {
            let [mut z, mut dz] = [|pair: &(f32, f32)| pair.0, |pair: &(f32, f32)| pair.1]
                .map(|side| bin.iter().map(side).collect::<Vec<_>>());
            quantile_f32(&mut z, 0.5).zip(quantile_f32(&mut dz, 0.5))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width, info.height, pixels)
    }

    fn picture(z_spec: &[f64], z_phot: &[f32]) -> Vec<u8> {
        draw(z_spec, z_phot, &Metrics::of(z_spec, z_phot), "a test").unwrap()
    }

    fn distribution(z_phot: &[f32]) -> Distribution {
        let mut distribution = Distribution::default();
        z_phot.iter().for_each(|z| distribution.add(*z));
        distribution
    }

    fn assert_is_drawn(bytes: &[u8]) {
        let (width, height, pixels) = decode(bytes);
        assert_eq!((width, height), SIZE);
        assert!(pixels.chunks_exact(3).any(|pixel| pixel == [200, 30, 30]), "the 1:1 line is drawn");
    }

    #[test]
    fn any_data_give_a_picture_of_the_same_size() {
        let many: Vec<f64> = (0..5000).map(|index| f64::from(index) / 9000.0).collect();
        let off: Vec<f32> = many.iter().map(|z| (z * 1.1 + 0.01 * (z * 900.0).sin()) as f32).collect();
        let mut with_outlier = many.clone();
        with_outlier[17] = 1e10;
        for (spec, phot) in [
            (&[][..], &[][..]),
            (&[0.1], &[0.2_f32]),
            (&[0.0, 0.0], &[0.0, 0.0]),
            (&[0.1, 0.2, -0.3], &[9.0, -4.0, 1e9]),
            (&[-1.0, f64::NAN, f64::INFINITY, f64::MIN], &[f32::MAX, f32::MIN, f32::NAN, f32::NEG_INFINITY]),
            (&[f64::NAN], &[f32::NAN]),
            (&[f64::MAX; 100], &[f32::MIN; 100]),
            (&many, &off),
            (&with_outlier, &off),
        ] {
            assert_is_drawn(&picture(spec, phot));
            assert_eq!(decode(&draw_distribution(&distribution(phot), "t").unwrap()).0, SIZE.0);
        }
    }

    #[test]
    fn axes_follow_the_bulk_and_stay_within_redshifts() {
        let pairs = |z: &[f64]| -> Vec<(f64, f32)> { z.iter().map(|z| (*z, *z as f32)).collect() };
        let mut fifty: Vec<f64> = (0..50).map(|index| f64::from(index) / 100.0).collect();
        let range = redshift_range(pairs(&fifty).into_iter());
        assert!(range.start < 0.0 && range.end > 0.49, "{range:?}");
        fifty[7] = 19.0;
        let range = redshift_range(pairs(&fifty).into_iter());
        assert!((0.49..2.0).contains(&range.end), "one outlier of fifty is outside: {range:?}");
        let range = redshift_range(pairs(&[-1e30, 0.1, 1e30]).into_iter());
        assert!(range.start > -2.0 && range.end < 22.0, "{range:?}");
        assert_eq!(redshift_range(std::iter::empty()), 0.0..1.0);
    }

    /// Redshifts, and among them numbers of any size and none.
    fn anything() -> impl Strategy<Value = (f64, f32)> {
        let spec = prop_oneof![6 => -0.05..2.0, 1 => any::<u64>().prop_map(f64::from_bits), 1 => Just(-9999.0)];
        let phot = prop_oneof![6 => -0.05_f32..2.0, 1 => any::<u32>().prop_map(f32::from_bits), 1 => Just(f32::MAX)];
        (spec, phot)
    }

    proptest! {
        // A debug build takes a second for a picture.
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn any_bit_pattern_is_drawn(pairs in proptest::collection::vec(anything(), 0..100)) {
            let (z_spec, z_phot): (Vec<f64>, Vec<f32>) = pairs.into_iter().unzip();
            assert_is_drawn(&picture(&z_spec, &z_phot));
            draw_distribution(&distribution(&z_phot), "t").unwrap();
        }
    }

    #[test]
    fn the_same_data_give_the_same_bytes() {
        assert!(picture(&[0.1, 0.2], &[0.1, 0.3]) == picture(&[0.1, 0.2], &[0.1, 0.3]));
    }

    #[test]
    fn the_running_median_follows_a_step() {
        let steps = (0..1000_u16).map(|index| (f32::from(index), if index < 500 { 0.0 } else { 1.0 })).collect();
        let median = running_median(steps);
        assert_eq!(median.len(), 40);
        assert_eq!((median[0].1, median[39].1), (0.0, 1.0));
    }
}
