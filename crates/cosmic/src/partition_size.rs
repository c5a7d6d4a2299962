//! Sizes on the command line: `25MB` is 25 × 10⁶ bytes, as in everything that is printed, and `25MiB` is 25 × 2²⁰
//! bytes, as in the published system's partitions.

use bytesize::ByteSize;

/// Reads a size of at least one byte.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    match text.parse::<ByteSize>() {
        Ok(ByteSize(bytes)) if bytes > 0 && bytes < 1 << 53 => Ok(bytes),
        _ => Err(format!("{text:?} is not a size such as 25MB (25 × 10⁶ bytes), 25MiB (25 × 2²⁰ bytes) or 500kB")),
    }
}

#[cfg(test)]
mod tests {
    use indicatif::DecimalBytes;

    use super::*;

    #[test]
    fn a_size_means_the_same_on_the_way_in_and_on_the_way_out() {
        for (typed, printed) in
            [("25MB", "25.00 MB"), ("1GB", "1.00 GB"), ("100kB", "100.00 kB"), ("25 mb", "25.00 MB")]
        {
            assert_eq!(DecimalBytes(parse(typed).unwrap()).to_string(), printed);
        }
        assert_eq!(parse("25MiB"), Ok(26_214_400));
        assert_eq!(parse("20520"), Ok(20_520));
        for wrong in ["", "MB", "25 parsec", "-1MB", "0", "1e99GB", "99999999GB"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
