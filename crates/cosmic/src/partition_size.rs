//! Sizes on the command line, as sweep files have them too.

use experiments::Size;

/// Reads a size of at least one byte: `25MB`, `25MiB`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    text.parse::<Size>().map(|size| size.bytes)
}
