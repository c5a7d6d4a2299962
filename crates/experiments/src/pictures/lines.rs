//! A figure against one size: a line through the medians of the cells that differ in nothing else, and at each a bar from
//! the least to the most of the repeats.

use canvas::{Area, Result};

use crate::{
    pictures::{
        axes::{Axis, Value, groups, values},
        plot::{COLOURS, Plot},
    },
    statistics::{CellSummary, Spread},
};

/// The most lines of a panel; more cannot be told apart.
const MOST: usize = COLOURS.len();

/// A panel of lines.
pub(super) struct Lines {
    axis: Axis,
    unit: String,
    values: Vec<Value>,
    lines: Vec<(String, Vec<(usize, Spread)>)>,
    /// Lines that there is no room for.
    left_out: usize,
}

impl Lines {
    /// The lines of a measure against an axis; `None` where no cell has it.
    pub(super) fn of(
        cells: &[CellSummary],
        axis: Axis,
        axes: &[Axis],
        unit: &str,
        measure: impl Fn(&CellSummary) -> Option<Spread>,
    ) -> Option<Self> {
        let values = values(axis, cells.iter());
        let mut lines: Vec<_> = groups(axis, axes, cells)
            .into_iter()
            .map(|(name, cells)| {
                let place = |cell: &CellSummary| values.iter().position(|value| *value == axis.value(&cell.cell));
                let mut points: Vec<(usize, Spread)> =
                    cells.into_iter().filter_map(|cell| place(cell).zip(measure(cell))).collect();
                points.sort_by_key(|(place, _)| *place);
                (name, points)
            })
            .filter(|(_, points)| !points.is_empty())
            .collect();
        // Those with one point say nothing about the axis, where others say something.
        let longest = lines.iter().map(|(_, points)| points.len()).max()?;
        lines.retain(|(_, points)| points.len() > 1 || longest == 1);
        let left_out = lines.len().saturating_sub(MOST);
        lines.truncate(MOST);
        Some(Self { axis, unit: unit.to_owned(), values, lines, left_out })
    }

    pub(super) fn draw(&self, area: &Area<'_>) -> Result<()> {
        let highest =
            self.lines.iter().flat_map(|(_, points)| points).map(|(_, spread)| spread.max).fold(0.0, f64::max);
        let labels: Vec<String> = self.values.iter().map(|(_, text)| text.clone()).collect();
        let mut legend: Vec<_> = self.lines.iter().map(|(name, _)| name.clone()).zip(COLOURS).collect();
        legend.retain(|(name, _)| !name.is_empty());
        let title = match self.left_out {
            0 => self.axis.title().to_owned(),
            left_out => format!("{} ({left_out} more lines are in sweep.csv)", self.axis.title()),
        };
        let plot = Plot::frame(area, &labels, highest, [&title, &self.unit], &legend)?;
        let step = (plot.place_width() * 0.08).min(9.0);
        for (at, ((_, points), colour)) in self.lines.iter().zip(COLOURS).enumerate() {
            // Lines beside each other, so that none hides another's bars.
            let aside = ((at as f64 - (self.lines.len() - 1) as f64 / 2.0) * step).round() as i32;
            let x = |place: usize| plot.x(place) + aside;
            let medians: Vec<(i32, i32)> =
                points.iter().map(|(place, spread)| (x(*place), plot.y(spread.median))).collect();
            plot.line(&medians, colour, 2)?;
            for ((place, spread), median) in points.iter().zip(&medians) {
                let [low, high] = [spread.min, spread.max].map(|value| plot.y(value));
                let x = x(*place);
                plot.line(&[(x, low), (x, high)], colour, 1)?;
                for end in [low, high] {
                    plot.line(&[(x - 4, end), (x + 4, end)], colour, 1)?;
                }
                plot.fill([(median.0 - 4, median.1 - 4), (median.0 + 4, median.1 + 4)], colour)?;
            }
        }
        Ok(())
    }
}
