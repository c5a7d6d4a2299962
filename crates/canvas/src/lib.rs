//! What the project's pictures share: a background, one font, text, and encoding as PNG.
//!
//! Pictures are drawn by plotters without any of the system's fonts, so that they look the same on every machine and in
//! a Lambda function, which has none.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::OnceLock,
};

use plotters::{
    backend::BitMapBackend,
    coord::Shift,
    element::Text,
    prelude::{DrawingArea, IntoDrawingArea},
    style::{
        FontStyle, FontTransform, IntoFont, RGBColor, TextStyle, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// The family under which the font is registered.
pub const FONT: &str = "sans-serif";
/// A subset of DejaVu Sans: see `assets/make_font.py` and the notice beside it.
const FONT_BYTES: &[u8] = include_bytes!("../assets/dejavu-sans.ttf");

/// Drawing failed. What a picture shows is whole without it: whoever draws decides whether to go on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct DrawError(String);

impl DrawError {
    /// Takes over what plotters or the encoder says; their errors borrow from the picture.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// The outcome of drawing something.
pub type Result<T> = std::result::Result<T, DrawError>;

/// A part of a picture that is drawn on, in pixels from its upper left corner.
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Draws on a background of this size in pixels and of this colour, and encodes the picture as PNG. The same drawing
/// gives the same bytes.
///
/// # Errors
/// What `drawing` says; and where it panics, as plotters does where coordinates overflow. The picture is dropped then,
/// so that nothing half drawn is seen.
pub fn render(
    size: (u32, u32),
    background: &RGBColor,
    drawing: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<Vec<u8>> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    if !REGISTERED.get_or_init(|| register_font(FONT, FontStyle::Normal, FONT_BYTES).is_ok()) {
        return Err(DrawError("the font cannot be read".into()));
    }
    let mut pixels = vec![255; size.0 as usize * size.1 as usize * 3];
    catch_unwind(AssertUnwindSafe(|| {
        let root = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
        root.fill(background).map_err(DrawError::of)?;
        drawing(&root)?;
        root.present().map_err(DrawError::of)
    }))
    .unwrap_or_else(|_| Err(DrawError("the drawing library panicked".into())))?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(DrawError::of)?;
    writer.write_image_data(&pixels).map_err(DrawError::of)?;
    writer.finish().map_err(DrawError::of)?;
    Ok(bytes)
}

/// Where a text stands: which of its corners or sides is at a point of the area.
#[derive(Clone, Copy)]
pub struct Anchor {
    /// The point in pixels.
    pub at: (i32, i32),
    /// Which end, or the middle, of the text is at the point.
    pub horizontal: HPos,
    /// Whether its top, its middle or its bottom is.
    pub vertical: VPos,
}

impl Anchor {
    /// An anchor for the upper left corner of a text.
    pub fn upper_left(at: (i32, i32)) -> Self {
        Self { at, horizontal: HPos::Left, vertical: VPos::Top }
    }

    /// An anchor for the upper right corner of a text.
    pub fn upper_right(at: (i32, i32)) -> Self {
        Self { at, horizontal: HPos::Right, vertical: VPos::Top }
    }

    /// An anchor for the lower right corner of a text.
    pub fn lower_right(at: (i32, i32)) -> Self {
        Self { at, horizontal: HPos::Right, vertical: VPos::Bottom }
    }

    /// An anchor for the lower left corner of a text.
    pub fn lower_left(at: (i32, i32)) -> Self {
        Self { at, horizontal: HPos::Left, vertical: VPos::Bottom }
    }

    /// An anchor for the middle of the left side of a text.
    pub fn left(at: (i32, i32)) -> Self {
        Self { at, horizontal: HPos::Left, vertical: VPos::Center }
    }
}

/// Writes a text of `size` pixels.
pub fn text(area: &Area<'_>, text: &str, size: i32, anchor: Anchor, colour: &RGBColor) -> Result<()> {
    let position = Pos::new(anchor.horizontal, anchor.vertical);
    let style = TextStyle::from((FONT, size).into_font()).color(colour).pos(position);
    area.draw(&Text::new(text.to_owned(), anchor.at, style)).map_err(DrawError::of)
}

/// Writes a text along a vertical axis, about its middle.
pub fn rotated_text(
    area: &Area<'_>,
    text: &str,
    size: i32,
    middle: (i32, i32),
    turn: FontTransform,
    colour: &RGBColor,
) -> Result<()> {
    let style = TextStyle::from((FONT, size).into_font().transform(turn))
        .color(colour)
        .pos(Pos::new(HPos::Center, VPos::Center));
    area.draw(&Text::new(text.to_owned(), middle, style)).map_err(DrawError::of)
}

#[cfg(test)]
mod tests {
    use plotters::style::WHITE;

    use super::*;

    #[test]
    fn a_drawing_that_panics_is_an_error() {
        let size = (20, 10);
        assert!(render(size, &WHITE, |area| text(area, "z", 9, Anchor::left((2, 5)), &GREY)).is_ok());
        let error = render(size, &WHITE, |_| panic!("attempt to add with overflow")).unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
    }

    const GREY: RGBColor = RGBColor(110, 110, 110);
}
