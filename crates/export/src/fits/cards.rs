//! The header of an HDU: cards of 80 characters in blocks of 2,880 bytes.

use std::fmt::Display;

use crate::fits::{
    checksum::{Checksum, encode},
    plain_text::plain,
};

/// Headers and data are filled up to multiples of this.
pub(crate) const BLOCK: usize = 2880;
const CARD: usize = 80;
/// What a checksum is computed with in its own place.
const NO_CHECKSUM: &str = "0000000000000000";

/// A header that is being put together.
#[derive(Debug, Default, Clone)]
pub(crate) struct Header {
    /// Whole cards, one after the other.
    cards: String,
}

impl Header {
    pub(crate) fn logical(&mut self, keyword: &str, value: bool, comment: &str) {
        self.fixed(keyword, if value { "T" } else { "F" }, comment);
    }

    pub(crate) fn integer(&mut self, keyword: &str, value: impl Display, comment: &str) {
        self.fixed(keyword, value, comment);
    }

    /// Adds a text, on several cards where it is too long for one. Keywords of more than eight characters are written
    /// by ESO's HIERARCH convention, which they begin with.
    pub(crate) fn text(&mut self, keyword: &str, value: &str, comment: &str) {
        let mut start = if keyword.len() > 8 { format!("{keyword} = ") } else { format!("{keyword:<8}= ") };
        // A quote is doubled, and its two halves stay on one card.
        let mut rest = plain(value).replace('\'', "''");
        loop {
            let room = CARD - start.len() - 2;
            if rest.len() <= room {
                self.card(&with_comment(&format!("{start}'{rest:<8}'"), comment));
                return;
            }
            let mut end = room - 1;
            if rest[..end].bytes().rev().take_while(|byte| *byte == b'\'').count() % 2 == 1 {
                end -= 1;
            }
            let next = rest.split_off(end);
            self.card(&format!("{start}'{rest}&'"));
            (rest, start) = (next, "CONTINUE  ".to_owned());
        }
    }

    /// Adds a comment, on several cards where it is too long for one.
    pub(crate) fn comment(&mut self, text: &str) {
        let mut line = String::new();
        for word in plain(text).split(' ') {
            if !line.is_empty() && line.len() + 1 + word.len() > 70 {
                self.card(&format!("COMMENT {line}"));
                line = " ".to_owned();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.card(&format!("COMMENT {line}"));
    }

    /// The whole header, with the checksums of the data and of the HDU.
    pub(crate) fn with_checksums(mut self, data: Checksum) -> Vec<u8> {
        let mut header = self.clone();
        let finish = |header: &mut Self, checksum: &str| {
            header.text("CHECKSUM", checksum, "of this HDU");
            header.text("DATASUM", &data.folded().to_string(), "of the data");
            header.bytes()
        };
        let mut sum = data;
        // The order of whole numbers does not matter to a sum.
        sum.fill();
        sum.add(&finish(&mut header, NO_CHECKSUM));
        finish(&mut self, &encode(sum.folded()))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}{:<CARD$}", self.cards, "END").into_bytes();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), b' ');
        bytes
    }

    fn fixed(&mut self, keyword: &str, value: impl Display, comment: &str) {
        self.card(&with_comment(&format!("{keyword:<8}= {value:>20}"), comment));
    }

    /// Adds a card, filled up with spaces; what is too long of it is cut off, which only comments are.
    fn card(&mut self, text: &str) {
        self.cards.push_str(&format!("{text:<CARD$.CARD$}"));
    }
}

/// A card's text with a comment, where there is one and room for it.
fn with_comment(text: &str, comment: &str) -> String {
    let with = format!("{text:<30} / {comment}");
    if comment.is_empty() || with.len() > CARD { text.to_owned() } else { with }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(header: &Header) -> Vec<&str> {
        (0..header.cards.len() / CARD).map(|card| header.cards[card * CARD..(card + 1) * CARD].trim_end()).collect()
    }

    #[test]
    fn cards_have_the_fixed_form() {
        let mut header = Header::default();
        header.logical("SIMPLE", true, "standard");
        header.integer("NAXIS1", 12, "");
        header.text("XTENSION", "A", "text");
        header.text("HIERARCH COSMIC MODEL", "it's", "");
        assert_eq!(
            cards(&header),
            [
                "SIMPLE  =                    T / standard",
                "NAXIS1  =                   12",
                "XTENSION= 'A       '           / text",
                "HIERARCH COSMIC MODEL = 'it''s   '",
            ]
        );
    }

    #[test]
    fn long_texts_go_on_and_quotes_are_not_cut_in_two() {
        for quotes_at in 60..70 {
            let text = format!("{}'' and {}", "x".repeat(quotes_at), "y".repeat(100));
            let mut header = Header::default();
            header.text("TCOMM1", &text, "");
            let part = |card: &str| card[11..].strip_suffix('\'').unwrap().trim_end_matches('&').to_owned();
            let joined: String = cards(&header).into_iter().map(part).collect();
            assert_eq!(joined.replace("''", "'"), text, "{:?}", cards(&header));
            assert!(cards(&header)[1..].iter().all(|card| card.starts_with("CONTINUE  '")));
        }
    }

    #[test]
    fn comments_are_broken_between_words() {
        let mut header = Header::default();
        header.comment(&["word"; 30].join(" "));
        assert!(cards(&header).iter().all(|card| card.starts_with("COMMENT ") && card.ends_with("word")));
    }

    #[test]
    fn an_hdu_sums_up_to_minus_zero() {
        let data: Vec<u8> = (0..2 * BLOCK).map(|byte| (byte * 7 % 251) as u8).collect();
        for length in [0, BLOCK, 2 * BLOCK] {
            let (mut sum, mut whole) = (Checksum::default(), Checksum::default());
            sum.add(&data[..length]);
            let mut header = Header::default();
            header.integer("NAXIS2", length, "");
            whole.add(&header.with_checksums(sum));
            whole.add(&data[..length]);
            assert_eq!(whole.folded(), u32::MAX);
        }
    }
}
