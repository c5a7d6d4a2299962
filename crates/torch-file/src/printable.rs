//! Texts of a file, in messages.

use std::fmt;

/// The longest text that a message repeats.
const MAX_CHARACTERS: usize = 120;

/// A text of a file as it can be printed: what is no ordinary character (control characters, which move a terminal's
/// cursor or colour what follows, and marks that turn the direction of writing) is escaped, and a long text is cut.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MAX_CHARACTERS) {
            Some((end, _)) => write!(f, "{}…", escaped(&self.0[..end])),
            None => f.write_str(&escaped(self.0)),
        }
    }
}

/// The whole of a text, escaped as [`Printable`] does it.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => escaped.push(character),
            _ => escaped.extend(character.escape_debug()),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(Printable("blocks.0.é \"x\"").to_string(), "blocks.0.é \"x\"");
        assert_eq!(Printable("\u{1b}[2J\r\n\u{202e}").to_string(), "\\u{1b}[2J\\r\\n\\u{202e}");
        assert_eq!(Printable(&"a".repeat(500)).to_string().chars().count(), MAX_CHARACTERS + 1);
    }
}
