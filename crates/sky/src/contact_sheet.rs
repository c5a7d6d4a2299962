//! A contact sheet: galaxies side by side in colour, to look at a data set.
//!
//! Colours are those of SDSS's own pictures: i, r and g as red, green and blue, stretched by asinh of their sum so that
//! faint wings show and bright centres keep their colour (Lupton et al. 2004, PASP 116, 133).

use astromae::engine::SIDE;
use plotters::{
    element::Rectangle,
    style::{
        BLACK, Color, RGBColor,
        text_anchor::{HPos, VPos},
    },
};

use crate::plot::{PlotError, Result, render, text};

/// Bands of red, green and blue, and what their fluxes (nanomaggies per pixel) are multiplied by: a spiral becomes white.
const CHANNELS: [(usize, f64); 3] = [(3, 1.0), (2, 1.4), (1, 2.5)];
/// How early the stretch turns logarithmic.
const SOFTENING: f64 = 10.0;
/// Flux that becomes as bright as can be.
const BRIGHTEST: f64 = 3.0;
/// Level of the sky.
const SKY: f64 = 0.02;

/// Columns of a full sheet, pixels of the picture along a pixel of an image, and between images.
const COLUMNS: usize = 10;
const ZOOM: usize = 4;
const TILE: usize = SIDE * ZOOM;
const GAP: usize = 6;
const MARGIN: usize = 18;
const HEADING: usize = 62;
const PAPER: RGBColor = RGBColor(12, 13, 16);
const BRIGHT: RGBColor = RGBColor(235, 235, 235);
const DIM: RGBColor = RGBColor(150, 150, 155);

/// A galaxy on the sheet.
#[derive(Debug, Clone, Copy)]
pub struct Tile<'a> {
    /// `[5, 32, 32]`, nanomaggies per pixel.
    pub images: &'a [f32],
    /// Its redshift.
    pub redshift: f64,
}

/// Draws galaxies in rows of ten, and gives the PNG's bytes.
///
/// # Errors
/// [`PlotError`], which no data can cause.
pub fn draw(tiles: &[Tile<'_>], title: &str, subtitle: &str) -> Result<Vec<u8>> {
    let length = |count: usize| count * (TILE + GAP) - GAP;
    let rows = tiles.len().div_ceil(COLUMNS).max(1);
    let size = (2 * MARGIN + length(COLUMNS), MARGIN + HEADING + length(rows));
    render((size.0 as u32, size.1 as u32), &PAPER, |root| {
        text(root, title, 24, (MARGIN as i32, 12), HPos::Left, VPos::Top, &BRIGHT)?;
        text(root, subtitle, 17, (MARGIN as i32, 38), HPos::Left, VPos::Top, &DIM)?;
        for (index, tile) in tiles.iter().enumerate() {
            let left = MARGIN + index % COLUMNS * (TILE + GAP);
            let top = HEADING + index / COLUMNS * (TILE + GAP);
            for row in 0..SIDE {
                for column in 0..SIDE {
                    let (x, y) = ((left + column * ZOOM) as i32, (top + row * ZOOM) as i32);
                    // The first row of an image is its lowest, as astronomers draw it.
                    let colour = colour(tile.images, (SIDE - 1 - row) * SIDE + column);
                    let area = [(x, y), (x + ZOOM as i32, y + ZOOM as i32)];
                    root.draw(&Rectangle::new(area, colour.filled())).map_err(PlotError::of)?;
                }
            }
            let label = format!("z {:.3}", tile.redshift);
            let at = (left as i32 + 6, top as i32 + 5);
            text(root, &label, 16, (at.0 + 1, at.1 + 1), HPos::Left, VPos::Top, &BLACK)?;
            text(root, &label, 16, at, HPos::Left, VPos::Top, &BRIGHT)?;
        }
        Ok(())
    })
}

/// Colour of a pixel.
fn colour(images: &[f32], pixel: usize) -> RGBColor {
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
        let tile = Tile { images: &odd, redshift: 0.1 };
        for count in [0, 1, 10, 11] {
            let picture = draw(&vec![tile; count], "title", "subtitle").unwrap();
            let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let height = reader.next_frame(&mut pixels).unwrap().height as usize;
            assert_eq!(height, MARGIN + HEADING + count.div_ceil(COLUMNS).max(1) * (TILE + GAP) - GAP);
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
