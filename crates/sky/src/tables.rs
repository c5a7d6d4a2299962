//! The tables in `data/`, which are part of the program, and interpolation in tables.

/// The rows of a table that `data/make.py` wrote, which begins with comments (`#`) and a header.
#[expect(clippy::expect_used, reason = "the tables are part of the program, and any test reads them")]
pub(crate) fn parse<const COLUMNS: usize>(table: &str) -> Vec<[f64; COLUMNS]> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .map(|line| {
            let numbers: Vec<f64> = line.split(',').map(|cell| cell.parse().expect("a number")).collect();
            numbers.try_into().expect("a row has a cell for each column")
        })
        .collect()
}

/// The interval, among `steps` of length 1 from 0, that a position is in, and how far along that interval it is;
/// positions beyond either end are moved to it.
pub(crate) fn locate(position: f64, steps: usize) -> (usize, f64) {
    let position = position.clamp(0.0, steps as f64);
    let step = (position as usize).min(steps - 1);
    (step, position - step as f64)
}
