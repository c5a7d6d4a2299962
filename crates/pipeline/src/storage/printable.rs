//! Names of files and keys as they may be printed.

use std::fmt::Write;

/// A name in which nothing can break a line, move the cursor or turn the direction of the text: such characters stand
/// as `\u{1b}`.
pub fn printable(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                text.extend(character.escape_unicode());
            }
            character if character.is_control() => text.extend(character.escape_default()),
            character => text.push(character),
        }
    }
    text
}

/// A name that need not be UTF-8. Bytes that are not stand as `\xe9`.
pub(crate) fn printable_bytes(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text += &printable(chunk.valid());
        for byte in chunk.invalid() {
            // Writing into a string does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_to_be_printed_is_escaped_and_the_rest_stays() {
        assert_eq!(printable("sky/α 1.pt"), "sky/α 1.pt");
        assert_eq!(printable("a\u{1b}[2J\n\u{202e}b"), "a\\u{1b}[2J\\n\\u{202e}b");
        assert_eq!(printable_bytes(b"caf\xe9.pt"), "caf\\xe9.pt");
    }
}
