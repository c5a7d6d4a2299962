//! Sizes as the published system writes them: its "25MB" partitions hold 25 × 2²⁰ bytes of galaxies.

use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is not a size such as 25MB, 1GB or 500KB (powers of 1024)");
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor: f64 = match unit.trim().to_ascii_uppercase().as_str() {
            "" | "B" => 1.0,
            "K" | "KB" | "KIB" => 1024.0,
            "M" | "MB" | "MIB" => 1024.0 * 1024.0,
            "G" | "GB" | "GIB" => 1024.0 * 1024.0 * 1024.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = (number * factor).round();
        if bytes >= 1.0 && bytes < 2_f64.powi(53) { Ok(Self(bytes as u64)) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_as_the_published_partitions_do() {
        assert_eq!("25MB".parse(), Ok(Size(26_214_400)));
        assert_eq!("0.5 kb".parse(), Ok(Size(512)));
        assert_eq!("20520".parse(), Ok(Size(20_520)));
        for wrong in ["", "MB", "25 parsec", "-1MB", "0", "1e99GB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
