//! Numbers as a reader wants them, on a page and in a terminal.

pub(crate) use canvas::thousands;
use time::{OffsetDateTime, macros::format_description};

/// A number to some decimals, with a true minus sign.
pub(crate) fn decimals(number: f64, decimals: usize) -> String {
    format!("{number:.decimals$}").replace('-', "−")
}

/// A number with its sign.
pub(crate) fn signed(number: f64, decimals: usize) -> String {
    format!("{number:+.decimals$}").replace('-', "−")
}

/// A fraction in percent, to two decimals.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{} %", decimals(100.0 * fraction, 2))
}

/// A number to three or four digits that count, such as `1,234`, `12.3` or `0.00123`.
pub(crate) fn digits(number: f64) -> String {
    let size = number.abs();
    if size >= 1000.0 {
        let sign = if number < 0.0 { "−" } else { "" };
        return format!("{sign}{}", thousands(size.round() as u64));
    }
    let places = match size {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.1.. => 3,
        0.01.. => 4,
        0.0 => 0,
        _ => 5,
    };
    decimals(number, places)
}

/// A time span, such as `0.52 s`, `12.3 s` or `2 min 05 s`.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{} s", decimals(seconds, 2)),
        ..100.0 => format!("{} s", decimals(seconds, 1)),
        ..3600.0 => format!("{} min {:02} s", (seconds / 60.0) as u64, (seconds % 60.0) as u64),
        _ => format!("{} h {:02} min", (seconds / 3600.0) as u64, (seconds % 3600.0 / 60.0) as u64),
    }
}

/// An amount of data in powers of ten, such as `61.64 MB`.
pub fn bytes(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let power = (0..units.len() - 1).find(|power| bytes < 1000_f64.powi(*power as i32 + 1)).unwrap_or(units.len() - 1);
    let places = if power == 0 { 0 } else { 2 };
    format!("{} {}", decimals(bytes / 1000_f64.powi(power as i32), places), units[power])
}

/// US dollars, to as many digits as small sums need.
pub(crate) fn dollars(dollars: f64) -> String {
    match dollars.abs() {
        0.0 => "$0".to_owned(),
        1.0.. => format!("${dollars:.2}"),
        0.01.. => format!("${dollars:.4}"),
        _ => format!("${dollars:.6}"),
    }
}

/// A moment, given in seconds since 1970, as a date and time of day in UTC.
pub(crate) fn moment(since_1970: f64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(since_1970 as i64).ok()?;
    moment.format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC")).ok()
}

/// The label of a tick: no zeros that say nothing, and an exponent where the number is very small.
pub(crate) fn tick(value: &f64) -> String {
    match value.abs() {
        ..1e-12 => "0".to_owned(),
        1000.0.. => digits(*value),
        ..0.000_099 => format!("{value:.1e}").replace(".0e", "e").replace('-', "−"),
        _ => decimals(*value, 6).trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be_read() {
        assert_eq!([0, 999, 1000, 5_000_000].map(thousands), ["0", "999", "1,000", "5,000,000"]);
        assert_eq!(
            [0.0, -0.000_31, 0.98454, 12.34, 123_456.0].map(digits),
            ["0", "−0.00031", "0.985", "12.3", "123,456"]
        );
        assert_eq!([0.5, 12.34, 125.0, 3720.0].map(seconds), ["0.50 s", "12.3 s", "2 min 05 s", "1 h 02 min"]);
        assert_eq!([17.0, 61_644_000.0, 1e20].map(bytes), ["17 B", "61.64 MB", "100000.00 PB"]);
        assert_eq!([0.0, 0.000_825, 0.0475, 12.3].map(dollars), ["$0", "$0.000825", "$0.0475", "$12.30"]);
        assert_eq!(
            [0.0, -0.0, 0.1, -0.25, 20.0, 0.000_3, -3.5e-7, 12_000.0].map(|value| tick(&value)),
            ["0", "0", "0.1", "−0.25", "20", "0.0003", "−3.5e−7", "12,000"]
        );
        assert_eq!(moment(1_795_644_684.8).as_deref(), Some("2026-11-25 22:11:24 UTC"));
        assert_eq!(moment(f64::MAX), None);
    }
}
