//! What a drawing is drawn on, without the drawing knowing which it is.

use plotters::backend::BitMapBackend;
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};

use crate::svg::Svg;

/// Pixels that become a PNG, or the text of an SVG.
pub enum Backend<'a> {
    /// Pixels.
    Bitmap(BitMapBackend<'a>),
    /// Elements of an SVG.
    Svg(Svg<'a>),
}

type Error<'a> = DrawingErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>;

impl Backend<'_> {
    /// What is drawn from here to [`end_title`](Self::end_title) shows this text.
    pub(crate) fn begin_title(&mut self, title: &str) {
        if let Self::Svg(svg) = self {
            svg.begin_title(title);
        }
    }

    pub(crate) fn end_title(&mut self) {
        if let Self::Svg(svg) = self {
            svg.end_title();
        }
    }
}

impl<'a> DrawingBackend for Backend<'a> {
    /// Only pixels can fail.
    type ErrorType = <BitMapBackend<'a> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        match self {
            Self::Bitmap(bitmap) => bitmap.get_size(),
            Self::Svg(svg) => svg.size,
        }
    }

    fn ensure_prepared(&mut self) -> Result<(), Error<'a>> {
        match self {
            Self::Bitmap(bitmap) => bitmap.ensure_prepared(),
            Self::Svg(_) => Ok(()),
        }
    }

    fn present(&mut self) -> Result<(), Error<'a>> {
        match self {
            Self::Bitmap(bitmap) => bitmap.present(),
            Self::Svg(_) => Ok(()),
        }
    }

    fn draw_pixel(&mut self, at: BackendCoord, colour: BackendColor) -> Result<(), Error<'a>> {
        match self {
            Self::Bitmap(bitmap) => bitmap.draw_pixel(at, colour),
            Self::Svg(svg) => {
                svg.rectangle(at, (at.0 + 1, at.1 + 1), colour, None);
                Ok(())
            }
        }
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Result<(), Error<'a>> {
        match self {
            Self::Bitmap(bitmap) => bitmap.draw_line(from, to, style),
            Self::Svg(svg) => {
                svg.line([from, to], style.color(), style.stroke_width());
                Ok(())
            }
        }
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        lower_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Result<(), Error<'a>> {
        match self {
            Self::Bitmap(bitmap) => bitmap.draw_rect(upper_left, lower_right, style, fill),
            Self::Svg(svg) => {
                svg.rectangle(upper_left, lower_right, style.color(), (!fill).then(|| style.stroke_width()));
                Ok(())
            }
        }
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Result<(), Error<'a>> {
        match self {
            Self::Bitmap(bitmap) => bitmap.draw_path(path, style),
            Self::Svg(svg) => {
                svg.line(path, style.color(), style.stroke_width());
                Ok(())
            }
        }
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        centre: BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Result<(), Error<'a>> {
        match self {
            Self::Bitmap(bitmap) => bitmap.draw_circle(centre, radius, style, fill),
            Self::Svg(svg) => {
                svg.circle(centre, radius, style.color(), (!fill).then(|| style.stroke_width()));
                Ok(())
            }
        }
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Result<(), Error<'a>> {
        match self {
            Self::Bitmap(bitmap) => bitmap.fill_polygon(corners, style),
            Self::Svg(svg) => {
                svg.polygon(corners, style.color());
                Ok(())
            }
        }
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Result<(), Error<'a>> {
        match self {
            Self::Bitmap(bitmap) => bitmap.draw_text(text, style, at),
            Self::Svg(svg) => {
                svg.text(text, style, at);
                Ok(())
            }
        }
    }
}
