//! A contact sheet: galaxies side by side in colour, to look at a data set.
//!
//! Colours are those of SDSS's own pictures: i, r and g as red, green and blue, stretched by asinh of their sum so that
//! faint wings show and bright centres keep their colour (Lupton et al. 2004, PASP 116, 133).

use canvas::{Anchor, DrawError, Result, render, text};
use plotters::{
    element::Rectangle,
    style::{BLACK, Color, RGBColor},
};

use crate::stamp::SIDE;

/// Bands of red, green and blue, and what their fluxes (nanomaggies per pixel) are multiplied by: a spiral becomes
/// white.
const CHANNELS: [(usize, f64); 3] = [(3, 1.0), (2, 1.4), (1, 2.5)];
/// The stretch is logarithmic above about one over this, in nanomaggies per pixel.
const SOFTENING: f64 = 10.0;
/// A pixel of this mean flux is as bright as can be, in nanomaggies.
const BRIGHTEST: f64 = 3.0;
/// Added to each channel, so that the sky's noise is seen on both sides of zero.
const SKY: f64 = 0.02;

const COLUMNS: usize = 10;
/// Pixels of the picture along a pixel of an image.
const ZOOM: usize = 4;
const IMAGE: usize = SIDE * ZOOM;
/// Pixels of the picture between two images.
const GAP: usize = 6;
const MARGIN: usize = 18;
const HEADING: usize = 62;
const BACKGROUND: RGBColor = RGBColor(12, 13, 16);
const BRIGHT: RGBColor = RGBColor(235, 235, 235);
const DIM: RGBColor = RGBColor(150, 150, 155);

/// Draws galaxies in rows of ten, as a PNG. Each is given by its image, `[5, 32, 32]` in nanomaggies per pixel, and its
/// redshift.
///
/// # Errors
/// [`DrawError`], which no data can cause.
pub fn draw(galaxies: &[(&[f32], f64)], title: &str, subtitle: &str) -> Result<Vec<u8>> {
    let length = |count: usize| count * (IMAGE + GAP) - GAP;
    let rows = galaxies.len().div_ceil(COLUMNS).max(1);
    let size = (2 * MARGIN + length(COLUMNS), MARGIN + HEADING + length(rows));
    render((size.0 as u32, size.1 as u32), &BACKGROUND, |root| {
        text(root, title, 24, Anchor::upper_left((MARGIN as i32, 12)), &BRIGHT)?;
        text(root, subtitle, 17, Anchor::upper_left((MARGIN as i32, 38)), &DIM)?;
        for (index, (images, redshift)) in galaxies.iter().enumerate() {
            let left = MARGIN + index % COLUMNS * (IMAGE + GAP);
            let top = HEADING + index / COLUMNS * (IMAGE + GAP);
            for row in 0..SIDE {
                for column in 0..SIDE {
                    let (x, y) = ((left + column * ZOOM) as i32, (top + row * ZOOM) as i32);
                    // The first row of an image is its lowest, as astronomers draw it.
                    let colour = colour(images, (SIDE - 1 - row) * SIDE + column);
                    let area = [(x, y), (x + ZOOM as i32, y + ZOOM as i32)];
                    root.draw(&Rectangle::new(area, colour.filled())).map_err(DrawError::of)?;
                }
            }
            let label = format!("z {redshift:.3}");
            let at = (left as i32 + 6, top as i32 + 5);
            text(root, &label, 16, Anchor::upper_left((at.0 + 1, at.1 + 1)), &BLACK)?;
            text(root, &label, 16, Anchor::upper_left(at), &BRIGHT)?;
        }
        Ok(())
    })
}

/// The colour of a pixel, by its index in a band.
pub(crate) fn colour(images: &[f32], pixel: usize) -> RGBColor {
    let channels = CHANNELS.map(|(band, scale)| f64::from(images[band * SIDE * SIDE + pixel]) * scale + SKY);
    let brightness = (channels.iter().sum::<f64>() / 3.0).max(1e-9);
    let stretched = (SOFTENING * brightness).asinh() / (SOFTENING * BRIGHTEST).asinh() / brightness;
    let channels = channels.map(|channel| (channel * stretched).max(0.0));
    // Where a channel would saturate, all are dimmed: the hue stays.
    let brightest = channels.iter().copied().fold(1.0, f64::max);
    let [red, green, blue] = channels.map(|channel| (255.0 * channel / brightest) as u8);
    RGBColor(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_galaxies_and_any_pixels_give_a_picture() {
        let odd: Vec<f32> = (0..5 * SIDE * SIDE).map(|at| [f32::NAN, 1e30, -1e30, 0.0][at % 4]).collect();
        for count in [0, 1, 10, 11] {
            let picture = draw(&vec![(odd.as_slice(), 0.1); count], "title", "subtitle").unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let height = reader.next_frame(&mut pixels).unwrap().height as usize;
            assert_eq!(height, MARGIN + HEADING + count.div_ceil(COLUMNS).max(1) * (IMAGE + GAP) - GAP);
        }
    }

    #[test]
    fn red_galaxies_are_red_and_saturated_ones_keep_their_hue() {
        let image = |g: f32, r: f32, i: f32| [[0.0; 1024], [g; 1024], [r; 1024], [i; 1024], [0.0; 1024]].concat();
        for flux in [0.05, 1.0, 100.0] {
            let RGBColor(red, green, blue) = colour(&image(0.2 * flux, 0.7 * flux, 1.5 * flux), 0);
            assert!(red > green && green > blue, "{red} {green} {blue}");
            let RGBColor(red, _, blue) = colour(&image(flux, flux, flux), 0);
            assert!(blue > red, "{red} {blue}");
        }
    }
}
