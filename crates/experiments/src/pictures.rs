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
const TITLE: u32 = 98;
/// The most panels beside each other.
const COLUMNS: usize = 3;

/// A picture: panels under a title.
pub struct Figure {
    /// The name of its file, without the ending.
    pub name: &'static str,
    title: String,
    /// Lines under the title.
    notes: [String; 2],
    panels: Vec<Panel>,
    /// Panels beside each other.
    columns: usize,
}

enum Panel {
    Lines(Lines),
    Stacks(Stacks),
}

/// The pictures of a sweep. One whose figures nobody knows, such as the cost of runs on this machine, is not among them.
pub fn figures(sweep: &Sweep) -> Vec<Figure> {
    let cells: Vec<CellSummary> = sweep.summary().into_iter().filter(|cell| cell.done > 0).collect();
    let axes = varying(&cells);
    let place = match sweep.place.as_str() {
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
        let note = "medians of the repeats, and bars from the least to the most";
        figure(sweep, name, what, [&place, note], panels, axes.len())
    };
    let phases: Vec<Panel> = Stacks::of(&cells, &axes).into_iter().map(Panel::Stacks).collect();
    let columns = phases.len();
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
        figure(
            sweep,
            "phases",
            "wall time by phases",
            [&place, "sums over the ranks, medians of the repeats"],
            phases,
            columns,
        ),
    ];
    all.into_iter().flatten().collect()
}

fn figure(
    sweep: &Sweep,
    name: &'static str,
    what: &str,
    notes: [&str; 2],
    panels: Vec<Panel>,
    columns: usize,
) -> Option<Figure> {
    let title = format!("{}: {what}", sweep.name);
    let columns = columns.clamp(1, COLUMNS);
    (!panels.is_empty()).then_some(Figure { name, title, notes: notes.map(str::to_owned), panels, columns })
}

impl Figure {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (PANEL.0 * self.columns as u32, TITLE + PANEL.1 * self.rows() as u32)
    }

    fn rows(&self) -> usize {
        self.panels.len().div_ceil(self.columns)
    }

    /// Draws the picture on an area of this size.
    ///
    /// # Errors
    /// What plotters says.
    pub fn draw(&self, area: &Area<'_>) -> Result<()> {
        let (title, rest) = area.split_vertically(TITLE);
        text(&title, &self.title, 24, Anchor::upper_left((24, 16)), &BLACK)?;
        for (note, y) in self.notes.iter().zip([50, 72]) {
            text(&title, note, 15, Anchor::upper_left((24, y)), &GREY)?;
        }
        let places = rest.split_evenly((self.rows(), self.columns));
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
