//! Sizes of partitions and data: `25MB` is 25 × 10⁶ bytes, as in everything that is printed, and `25MiB` is 25 × 2²⁰
//! bytes, as in the published system's partitions.

use std::{fmt, str::FromStr};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A size of at least one byte, with the text that it was given as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    pub bytes: u64,
    text: String,
}

impl Size {
    /// The name that the published folders have for it: they write MB and GB, and count in powers of two.
    pub fn published_name(&self) -> String {
        self.text.replace("iB", "B")
    }

    /// The size in MB as the published names count: of 2²⁰ bytes where it was given in such units, else of 10⁶.
    pub fn published_mb(&self) -> f64 {
        self.bytes as f64 / if self.is_binary() { f64::from(1 << 20) } else { 1e6 }
    }

    /// The same in GB, of 2³⁰ or 10⁹ bytes.
    pub fn published_gb(&self) -> f64 {
        self.bytes as f64 / if self.is_binary() { f64::from(1 << 30) } else { 1e9 }
    }

    fn is_binary(&self) -> bool {
        self.text.contains("iB")
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<ByteSize>() {
            Ok(ByteSize(bytes)) if bytes > 0 && bytes < 1 << 53 => {
                Ok(Self { bytes, text: text.split_whitespace().collect() })
            }
            _ => Err(format!("{text:?} is not a size such as 25MB (25 × 10⁶ bytes), 25MiB (25 × 2²⁰ bytes) or 500kB")),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_means_the_same_on_the_way_in_and_on_the_way_out() {
        for (typed, bytes) in [
            ("25MB", 25_000_000),
            ("25MiB", 26_214_400),
            ("1GB", 1_000_000_000),
            ("100kB", 100_000),
            ("25 mb", 25_000_000),
            ("20520", 20_520),
        ] {
            let size: Size = typed.parse().unwrap();
            assert_eq!(size.bytes, bytes, "{typed}");
            assert_eq!(size.to_string().parse(), Ok(size), "{typed}");
        }
        for wrong in ["", "MB", "25 parsec", "-1MB", "0", "1e99GB", "99999999GB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_published_folders_call_powers_of_two_mb() {
        let name = |text: &str| text.parse::<Size>().unwrap().published_name();
        assert_eq!((name("25MiB"), name("12.6GiB"), name("1GB")), ("25MB".into(), "12.6GB".into(), "1GB".into()));
        let size = |text: &str| text.parse::<Size>().unwrap();
        assert_eq!((size("25MiB").published_mb(), size("1GiB").published_gb()), (25.0, 1.0));
        assert_eq!((size("25MB").published_mb(), size("500kB").published_mb()), (25.0, 0.5));
    }
}
