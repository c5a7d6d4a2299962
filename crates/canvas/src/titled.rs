//! Marks that show a text, such as their values, when they are pointed at in an SVG.

use plotters::{
    element::{CoordMapper, Drawable, PointCollection},
    prelude::DrawingBackend,
};
use plotters_backend::DrawingErrorKind;

use crate::backend::Backend;

/// An element of plotters with a title. A PNG has no titles, and shows the element alone.
pub struct Titled<E> {
    element: E,
    title: String,
}

impl<E> Titled<E> {
    /// An element that shows this text.
    pub fn new(element: E, title: impl Into<String>) -> Self {
        Self { element, title: title.into() }
    }
}

impl<'a, E, Coord, M> PointCollection<'a, Coord, M> for &'a Titled<E>
where
    &'a E: PointCollection<'a, Coord, M>,
{
    type Point = <&'a E as PointCollection<'a, Coord, M>>::Point;
    type IntoIter = <&'a E as PointCollection<'a, Coord, M>>::IntoIter;

    fn point_iter(self) -> Self::IntoIter {
        self.element.point_iter()
    }
}

impl<'b, E: Drawable<Backend<'b>, M>, M: CoordMapper> Drawable<Backend<'b>, M> for Titled<E> {
    fn draw<I: Iterator<Item = M::Output>>(
        &self,
        at: I,
        backend: &mut Backend<'b>,
        size: (u32, u32),
    ) -> Result<(), DrawingErrorKind<<Backend<'b> as DrawingBackend>::ErrorType>> {
        backend.begin_title(&self.title);
        let drawn = self.element.draw(at, backend, size);
        backend.end_title();
        drawn
    }
}
