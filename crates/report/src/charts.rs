//! The charts of the pages, as SVG.

mod axes;
mod histogram;
mod lines;
mod redshifts;
mod timeline;

pub(crate) use histogram::{Histogram, coverage, histogram, pit};
pub(crate) use lines::{COLOURS, Line, Point, lines};
pub(crate) use redshifts::{residual_bins, residuals, scatter};
pub(crate) use timeline::{Segment, TimelineRow, timeline};
