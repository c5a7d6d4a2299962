//! A galaxy in its five bands and in colour, side by side: to see what a network saw.

use canvas::{DrawError, Result, render};
use plotters::style::{RGBColor, WHITE};

use crate::{contact_sheet::colour, stamp::SIDE};

const BANDS: usize = 5;
/// Pixels between two images.
const GAP: usize = 2;
/// The faintest and brightest of a band's pixels that are told apart, as fractions of all its pixels.
const DARKEST: f64 = 0.05;
const BRIGHTEST: f64 = 0.995;

/// Draws a galaxy, `[5, 32, 32]` in any unit, as a PNG with a pixel for each pixel: the bands u, g, r, i and z in grey,
/// each stretched by itself, and g, r and i in the colours of the contact sheet, which are those of nanomaggies.
///
/// # Errors
/// [`DrawError`] where there are not five bands.
pub fn draw(images: &[f32]) -> Result<Vec<u8>> {
    if images.len() != BANDS * SIDE * SIDE {
        return Err(DrawError::of(format!("a galaxy has {} values", images.len())));
    }
    let width = (BANDS + 1) * (SIDE + GAP) - GAP;
    render((width as u32, SIDE as u32), &WHITE, |root| {
        for panel in 0..=BANDS {
            let stretch = images.chunks(SIDE * SIDE).nth(panel).map(Stretch::of);
            for row in 0..SIDE {
                for column in 0..SIDE {
                    // The first row of an image is its lowest, as astronomers draw it.
                    let pixel = (SIDE - 1 - row) * SIDE + column;
                    let colour = match &stretch {
                        Some(stretch) => stretch.grey(images[panel * SIDE * SIDE + pixel]),
                        None => colour(images, pixel),
                    };
                    let at = ((panel * (SIDE + GAP) + column) as i32, row as i32);
                    root.draw_pixel(at, &colour).map_err(DrawError::of)?;
                }
            }
        }
        Ok(())
    })
}

/// How the pixels of a band become grey: by asinh, as in the contact sheet.
struct Stretch {
    sky: f64,
    reach: f64,
}

impl Stretch {
    const SOFTENING: f64 = 8.0;

    fn of(band: &[f32]) -> Self {
        let mut values: Vec<f64> =
            band.iter().map(|value| f64::from(*value)).filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let at = |fraction: f64| values.get((fraction * values.len() as f64) as usize).copied().unwrap_or(0.0);
        let (sky, brightest) = (at(DARKEST), at(BRIGHTEST));
        Self { sky, reach: (brightest - sky).max(f64::MIN_POSITIVE) }
    }

    fn grey(&self, value: f32) -> RGBColor {
        let position = ((f64::from(value) - self.sky) / self.reach).clamp(0.0, 1.0);
        let grey = (255.0 * (Self::SOFTENING * position).asinh() / Self::SOFTENING.asinh()) as u8;
        RGBColor(grey, grey, grey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_pixels_give_a_picture_and_too_few_give_none() {
        let odd: Vec<f32> =
            (0..BANDS * SIDE * SIDE).map(|at| [f32::NAN, 1e30, f32::NEG_INFINITY, 0.0][at % 4]).collect();
        for images in [odd, vec![0.0; BANDS * SIDE * SIDE], vec![f32::NAN; BANDS * SIDE * SIDE]] {
            assert!(draw(&images).unwrap().starts_with(b"\x89PNG"));
        }
        assert!(draw(&[0.0; 10]).is_err());
    }

    #[test]
    fn a_band_is_stretched_from_its_sky_to_its_brightest() {
        let mut band = vec![0.0_f32; SIDE * SIDE];
        for (index, value) in band.iter_mut().take(20).enumerate() {
            *value = index as f32;
        }
        let stretch = Stretch::of(&band);
        let [dark, middle, bright] = [-5.0, 2.0, 30.0].map(|value| stretch.grey(value).0);
        assert!(dark == 0 && bright == 255 && middle > 60 && middle < 255, "{dark} {middle} {bright}");
    }
}
