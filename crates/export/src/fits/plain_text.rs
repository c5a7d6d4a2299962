//! Text of printable ASCII, which is all that FITS has.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Whether FITS has the text as it is: printable ASCII without a space at its end, which FITS would not keep.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !text.ends_with(' ')
}

/// The text with its other bytes, `%`, and spaces at its end as `%` and two hexadecimal digits.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim_end_matches(' ');
    let encoded = Cow::from(utf8_percent_encode(trimmed, ENCODED));
    match text.len() - trimmed.len() {
        0 => encoded,
        spaces => (encoded.into_owned() + &"%20".repeat(spaces)).into(),
    }
}

/// The text as it is where FITS has it, and encoded where not.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if is_plain(text) { text.into() } else { encode(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_has_not_is_encoded_so_that_it_can_be_had_back() {
        for (text, expected) in
            [("50 %.pt", "50 %25.pt"), ("Müller\n", "M%C3%BCller%0A"), (" a  ", " a%20%20"), ("", "")]
        {
            assert_eq!(encode(text), expected);
            assert_eq!(percent_encoding::percent_decode_str(expected).decode_utf8().unwrap(), text);
        }
        assert_eq!((plain("50 %.pt"), plain("é")), ("50 %.pt".into(), "%C3%A9".into()));
    }
}
