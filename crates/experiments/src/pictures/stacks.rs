//! Where the time went: for each batch size a bar of the phases on each other.

use canvas::{Area, Result};
use pipeline::phases::Phases;
use plotters::style::RGBColor;

use crate::{
    pictures::{
        axes::{Axis, Value, groups, values},
        plot::{COLOURS, Plot},
    },
    statistics::CellSummary,
};

/// The most panels of a picture.
const MOST: usize = 6;

/// A panel of bars.
pub(super) struct Stacks {
    /// What the cells share.
    name: String,
    values: Vec<Value>,
    /// Seconds of each part of [`parts`].
    bars: Vec<(usize, Vec<f64>)>,
}

/// The parts of a bar from below: what does not overlap, so that together they are the whole.
fn parts(phases: &Phases) -> [(&'static str, f64); 6] {
    let Phases { start, model, waiting, inference, warm_up, post_processing } = phases;
    [
        ("inference", (inference.wall_seconds - warm_up.wall_seconds).max(0.0)),
        ("warm-up", warm_up.wall_seconds),
        ("waiting for data", waiting.wall_seconds),
        ("loading the model", model.wall_seconds),
        ("start", start.wall_seconds),
        ("post-processing", post_processing.wall_seconds),
    ]
}

impl Stacks {
    /// A panel for each of the groups of cells that have the most batch sizes.
    pub(super) fn of(cells: &[CellSummary], axes: &[Axis]) -> Vec<Self> {
        let groups = groups(Axis::Batch, axes, cells);
        let most = groups.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
        let longest = groups.into_iter().filter(|(_, cells)| cells.len() == most).take(MOST);
        longest
            .map(|(name, cells)| {
                let values = values(Axis::Batch, cells.iter().copied());
                let bar = |cell: &&CellSummary| {
                    let place = values.iter().position(|value| *value == Axis::Batch.value(&cell.cell))?;
                    Some((place, parts(&cell.phases).map(|(_, seconds)| seconds).to_vec()))
                };
                let bars = cells.iter().filter_map(bar).collect();
                Self { name, values, bars }
            })
            .collect()
    }

    pub(super) fn draw(&self, area: &Area<'_>) -> Result<()> {
        let highest = self.bars.iter().map(|(_, parts)| parts.iter().sum()).fold(0.0, f64::max);
        let labels: Vec<String> = self.values.iter().map(|(_, text)| text.clone()).collect();
        let legend: Vec<(String, RGBColor)> =
            parts(&Phases::default()).map(|(name, _)| name.to_owned()).into_iter().zip(COLOURS).collect();
        let title = match self.name.as_str() {
            "" => "batch size".to_owned(),
            name => format!("batch size ({name})"),
        };
        let plot = Plot::frame(area, &labels, highest, [&title, "seconds"], &legend)?;
        let half = (plot.place_width() * 0.3).min(40.0) as i32;
        for (place, parts) in &self.bars {
            let (x, mut below) = (plot.x(*place), 0.0);
            for (seconds, colour) in parts.iter().zip(COLOURS) {
                let [low, high] = [below, below + seconds].map(|value| plot.y(value));
                if low > high {
                    plot.fill([(x - half, high), (x + half, low)], colour)?;
                }
                below += seconds;
            }
        }
        Ok(())
    }
}
