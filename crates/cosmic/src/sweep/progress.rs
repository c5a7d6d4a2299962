//! How far a sweep is: a bar on a terminal, a line for each run elsewhere.

use std::{collections::BTreeMap, io::IsTerminal};

use experiments::{Cell, Repeat, Status};
use indicatif::ProgressBar;

use crate::output::{bytes, progress_bar, seconds};

/// Shows the runs of a sweep.
pub(super) struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
    /// Seconds of the runs so far, by their cells.
    taken: BTreeMap<usize, Vec<f64>>,
}

impl Progress {
    pub(super) fn new(runs: u64, done: u64) -> Self {
        let bar = progress_bar("{bar:40} {pos}/{len} runs, {elapsed} {msg}");
        bar.set_length(runs);
        bar.set_position(done);
        Self { bar, is_terminal: std::io::stderr().is_terminal(), taken: BTreeMap::new() }
    }

    /// Takes the time of a run, for what the others will take.
    pub(super) fn learn(&mut self, cell: usize, seconds: f64) {
        self.taken.entry(cell).or_default().push(seconds);
    }

    /// What the runs of these cells will take, in seconds: each what its cell took so far, or else what all took.
    fn left(&self, cells: &[usize]) -> Option<f64> {
        let mean = |times: &[f64]| times.iter().sum::<f64>() / times.len() as f64;
        let all: Vec<f64> = self.taken.values().map(|times| mean(times)).collect();
        if all.is_empty() {
            return None;
        }
        let of = |cell: &usize| self.taken.get(cell).map_or_else(|| mean(&all), |times| mean(times));
        Some(cells.iter().map(of).sum())
    }

    pub(super) fn starts(&self, cell: &Cell, repeat: u64) {
        self.bar.set_message(format!("{}, repeat {repeat}", cell.title()));
    }

    /// Tells of a run that ended; `left` are the cells of the runs that are still to come.
    pub(super) fn ended(&mut self, at: usize, cell: &Cell, repeat: &Repeat, left: &[usize]) {
        if repeat.status != Status::Failed {
            self.learn(at, repeat.seconds);
        }
        self.bar.inc(1);
        let time_left = match self.left(left) {
            Some(time) if !left.is_empty() => format!("; about {} left", seconds(time)),
            _ => String::new(),
        };
        let number = self.bar.position();
        let of = self.bar.length().unwrap_or(0);
        self.say(&format!(
            "[{number}/{of}] {}, repeat {}: {}{time_left}",
            cell.title(),
            repeat.repeat,
            outcome(repeat)
        ));
    }

    fn say(&self, line: &str) {
        if self.is_terminal { self.bar.println(line) } else { eprintln!("{line}") }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// How a run ended, in a line.
fn outcome(repeat: &Repeat) -> String {
    let time = seconds(repeat.seconds);
    let reason = repeat.reason.as_deref().unwrap_or("no reason was given");
    match repeat.status {
        Status::Failed => format!("FAILED after {time}: {reason}"),
        Status::Incomplete => format!("INCOMPLETE after {time}: {reason}"),
        Status::Done => {
            let memory = repeat.peak_memory_mb.map_or(String::new(), |mb| format!(", {}", bytes((mb * 1e6) as u64)));
            format!("{time}, {:.0} galaxies a second{memory}", repeat.rows as f64 / repeat.seconds)
        }
    }
}
