//! What commands print, and their progress bars.

use std::{io::Write, time::Duration};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

pub(crate) use report::numbers::seconds;

/// Prints what came of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// Whether to print JSON instead of text.
    pub(crate) json: bool,
}

impl Printer {
    /// Prints the value as JSON, or the text made of it. A reader that has gone away (`cosmic … | head`) is no failure.
    pub(crate) fn print<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let printed = if self.json { serde_json::to_string_pretty(value)? } else { text(value) };
        match writeln!(std::io::stdout().lock(), "{}", printed.trim_end()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Prints one of many values as JSON in a line of its own, or the line made of it.
    pub(crate) fn print_line<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let printed = if self.json { serde_json::to_string(value)? } else { text(value) };
        Ok(writeln!(std::io::stdout().lock(), "{printed}")?)
    }
}

/// Makes a bar on standard error, which draws nothing where that is no terminal.
pub(crate) fn progress_bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    // Templates are constants, and each is seen to parse when its command runs. The default bar needs none.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Wider cells stand out of their column.
const WIDEST: usize = 1000;

/// A table with aligned columns: the first to the left, the others to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(|column| width(column).min(WIDEST)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (column, cell) in cells.enumerate() {
            let width = widths[column];
            text += &if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    };
    let mut text = line(&mut header.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// An amount of data for a person, in powers of ten: `26.21 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    report::numbers::bytes(bytes as f64)
}
