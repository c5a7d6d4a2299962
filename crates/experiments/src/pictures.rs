//! The pictures of a sweep: time, throughput, memory and cost against each size that it varies, with the spread of the
//! repeats, and where the time went.
//!
//! Everything is drawn in pixels of an area, so that the same code draws on any backend of `canvas`.

mod axes;
mod lines;
mod plot;
mod stacks;

use canvas::{Anchor, Area, Result, render, text};
use plotters::style::{BLACK, WHITE};

use crate::{
    pictures::{axes::varying, lines::Lines, plot::GREY, stacks::Stacks},
    record::Sweep,
    statistics::{CellSummary, Spread},
};

/// Width and height of a panel in pixels.
const PANEL: (u32, u32) = (660, 440);
/// Height of the title in pixels.
const TITLE: u32 = 76;
/// The most panels beside each other.
const COLUMNS: usize = 3;

/// A picture: panels under a title.
pub struct Figure {
    /// The name of its file, without the ending.
    pub name: &'static str,
    title: String,
    subtitle: String,
    panels: Vec<Panel>,
}

enum Panel {
    Lines(Lines),
    Stacks(Stacks),
}

/// The pictures of a sweep. One whose figures nobody knows, such as the cost of runs on this machine, is not among them.
pub fn figures(sweep: &Sweep) -> Vec<Figure> {
    let cells: Vec<CellSummary> = sweep.summary().into_iter().filter(|cell| cell.done > 0).collect();
    let axes = varying(&cells);
    let subtitle = match sweep.place.as_str() {
        "AWS" => format!("AWS, {}", sweep.region.as_deref().unwrap_or("region unknown")),
        place => format!("{place}: {}, {} cores, {}", sweep.machine.cpu, sweep.machine.cores, sweep.machine.os),
    };
    type Measure = fn(&CellSummary) -> Option<Spread>;
    let scaled = |spread: Option<Spread>, by: f64| {
        spread.map(|Spread { median, min, max }| Spread { median: median * by, min: min * by, max: max * by })
    };
    let lines = |name, what: &str, measures: &[(&str, f64, Measure)]| {
        let mut panels = Vec::new();
        for (unit, by, measure) in measures {
            for axis in &axes {
                let lines = Lines::of(&cells, *axis, &axes, unit, |cell| scaled(measure(cell), *by));
                panels.extend(lines.map(Panel::Lines));
            }
        }
        figure(sweep, &subtitle, name, what, panels)
    };
    let phases = Stacks::of(&cells, &axes).into_iter().map(Panel::Stacks).collect();
    let all = [
        lines("time", "wall time of a run", &[("seconds", 1.0, |cell| cell.wall_seconds)]),
        lines(
            "throughput",
            "throughput",
            &[
                ("galaxies per second", 1.0, |cell| cell.galaxies_per_second),
                ("Mbit per second", 1e-6, |cell| cell.bits_per_second),
            ],
        ),
        lines("memory", "peak memory of a rank", &[("MB", 1.0, |cell| cell.peak_memory_mb)]),
        lines("cost", "cost of a run", &[("US dollars", 1.0, |cell| cell.cost_usd)]),
        figure(sweep, &subtitle, "phases", "wall time of all ranks together, by phases", phases),
    ];
    all.into_iter().flatten().collect()
}

fn figure(sweep: &Sweep, subtitle: &str, name: &'static str, what: &str, panels: Vec<Panel>) -> Option<Figure> {
    let title = format!("{}: {what}", sweep.name);
    let subtitle = format!("{subtitle}; medians, with bars from the least to the most of the repeats");
    (!panels.is_empty()).then_some(Figure { name, title, subtitle, panels })
}

impl Figure {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        let columns = self.panels.len().min(COLUMNS);
        let rows = self.panels.len().div_ceil(COLUMNS);
        (PANEL.0 * columns as u32, TITLE + PANEL.1 * rows as u32)
    }

    /// Draws the picture on an area of this size.
    ///
    /// # Errors
    /// What plotters says.
    pub fn draw(&self, area: &Area<'_>) -> Result<()> {
        let (title, rest) = area.split_vertically(TITLE);
        text(&title, &self.title, 24, Anchor::upper_left((24, 16)), &BLACK)?;
        text(&title, &self.subtitle, 15, Anchor::upper_left((24, 50)), &GREY)?;
        let columns = self.panels.len().min(COLUMNS);
        let places = rest.split_evenly((self.panels.len().div_ceil(COLUMNS), columns));
        for (panel, place) in self.panels.iter().zip(&places) {
            match panel {
                Panel::Lines(lines) => lines.draw(place)?,
                Panel::Stacks(stacks) => stacks.draw(place)?,
            }
        }
        Ok(())
    }

    /// The picture as a PNG file.
    ///
    /// # Errors
    /// What plotters or the encoder says.
    pub fn png(&self) -> Result<Vec<u8>> {
        render(self.size(), &WHITE, |area| self.draw(area))
    }
}
