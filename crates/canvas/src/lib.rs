//! What the project's pictures share: a background, one font, text, and the two forms that a drawing can take, a PNG or
//! an SVG.
//!
//! Pictures are drawn by plotters without any of the system's fonts, so that they look the same on every machine and in
//! a Lambda function, which has none. A drawing does not know its form: [`Area`] draws on either through [`Backend`].
//! A PNG has the colours that it was drawn with. An SVG is part of a page, which has a light and a dark scheme and a
//! font of its own: the colours of [`palette`] become names there, and marks that are [`Titled`] show their values when
//! they are pointed at.

mod backend;
mod numbers;
pub mod palette;
mod svg;
mod titled;

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

use crate::svg::Svg;
pub use crate::{backend::Backend, svg::escaped, titled::Titled};
pub use numbers::thousands;

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
pub type Area<'a> = DrawingArea<Backend<'a>, Shift>;

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
    let mut pixels = vec![255; size.0 as usize * size.1 as usize * 3];
    on_backend(Backend::Bitmap(BitMapBackend::with_buffer(&mut pixels, size)), |root| {
        root.fill(background).map_err(DrawError::of)?;
        drawing(root)
    })?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(DrawError::of)?;
    writer.write_image_data(&pixels).map_err(DrawError::of)?;
    writer.finish().map_err(DrawError::of)?;
    Ok(bytes)
}

/// Draws on a transparent background of this size, and gives an SVG element to stand in a page. It scales with the page,
/// `label` is what a screen reader says of it, and the same drawing gives the same text.
///
/// # Errors
/// Those of [`render`].
pub fn render_svg(size: (u32, u32), label: &str, drawing: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut marks = String::new();
    on_backend(Backend::Svg(Svg::new(&mut marks, size)), drawing)?;
    let (width, height) = size;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{marks}</svg>",
        escaped(label)
    ))
}

/// Draws, and makes an error of a panic.
fn on_backend(backend: Backend<'_>, drawing: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<()> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    if !REGISTERED.get_or_init(|| register_font(FONT, FontStyle::Normal, FONT_BYTES).is_ok()) {
        return Err(DrawError("the font cannot be read".into()));
    }
    catch_unwind(AssertUnwindSafe(|| {
        let root = backend.into_drawing_area();
        drawing(&root)?;
        root.present().map_err(DrawError::of)
    }))
    .unwrap_or_else(|_| Err(DrawError("the drawing library panicked".into())))
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
    use plotters::{element::Circle, style::Color};

    use super::*;
    use crate::palette::{ACCENT, INK, MUTED, PAPER};

    #[test]
    fn a_drawing_that_panics_is_an_error() {
        let size = (20, 10);
        assert!(render(size, &PAPER, |area| text(area, "z", 9, Anchor::left((2, 5)), &MUTED)).is_ok());
        let errors = [
            render(size, &PAPER, |_| panic!("attempt to add with overflow")).unwrap_err(),
            render_svg(size, "a test", |_| panic!("attempt to add with overflow")).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("panicked"), "{error}");
        }
    }

    /// A text and a mark of which one shows its value.
    fn drawing(area: &Area<'_>) -> Result<()> {
        text(area, "<z> & \"z\"", 9, Anchor::left((2, 5)), &INK)?;
        rotated_text(area, "up", 9, (4, 4), FontTransform::Rotate270, &MUTED)?;
        let mark = Titled::new(Circle::new((3, 4), 2, ACCENT.mix(0.5).filled()), "z < 0.1 </title>");
        area.draw(&mark).map_err(DrawError::of)?;
        area.draw(&Circle::new((9, 9), 1, RGBColor(1, 2, 3).filled())).map_err(DrawError::of)
    }

    #[test]
    fn the_same_drawing_is_a_png_and_an_svg() {
        assert!(render((20, 10), &PAPER, drawing).unwrap().starts_with(b"\x89PNG"));
        let svg = render_svg((20, 10), "what \"it\" shows", drawing).unwrap();
        let expected = concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10" role="img" "#,
            r#"aria-label="what &quot;it&quot; shows">"#,
            r#"<text x="2" y="5" dy=".35em" font-size="9" class="fill-ink">&lt;z&gt; &amp; &quot;z&quot;</text>"#,
            r#"<text x="4" y="4" dy=".35em" font-size="9" text-anchor="middle" transform="rotate(270 4 4)" "#,
            r#"class="fill-muted">up</text>"#,
            r#"<g><title>z &lt; 0.1 &lt;/title&gt;</title>"#,
            r#"<circle cx="3" cy="4" r="2" class="fill-accent" opacity=".5"/></g>"#,
            r##"<circle cx="9" cy="9" r="1" fill="#010203"/></svg>"##,
        );
        assert_eq!(svg, expected);
    }
}
