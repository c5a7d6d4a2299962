//! NumPy's arrays of text.
//!
//! Each text takes the same number of bytes, filled up with zeros: as characters of UTF-32 (`<U12`), or as bytes
//! (`|S8`), which may be of any encoding.

use std::borrow::Cow;

use bytes::Bytes;

/// How the texts of an array are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf32 { big_endian: bool },
    Bytes,
}

/// The element type of an array of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextType {
    encoding: Encoding,
    /// Bytes of an element.
    pub(crate) size: usize,
}

impl TextType {
    /// Finds the type by its name in NumPy, such as `U12`; `None` for all but text.
    pub(crate) fn of_numpy(name: &[u8], big_endian: bool) -> Option<Self> {
        let (kind, digits) = name.split_first()?;
        let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let (encoding, character) = match kind {
            b'U' => (Encoding::Utf32 { big_endian }, 4),
            b'S' => (Encoding::Bytes, 1),
            _ => return None,
        };
        Some(Self { encoding, size: length.checked_mul(character)? })
    }

    /// The text that the bytes of an element are, without the zeros behind it.
    pub(crate) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        let Encoding::Utf32 { big_endian } = self.encoding else {
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            return decoded(&bytes[..end]);
        };
        let code = |bytes: &[u8; 4]| if big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
        let codes = bytes.as_chunks().0;
        let end = codes.iter().rposition(|bytes| code(bytes) != 0).map_or(0, |last| last + 1);
        let character = |bytes| char::from_u32(code(bytes)).unwrap_or(char::REPLACEMENT_CHARACTER);
        codes[..end].iter().map(character).collect::<String>().into()
    }
}

/// An array of one dimension.
#[derive(Debug)]
pub(crate) struct TextArray {
    element: TextType,
    bytes: Bytes,
}

impl TextArray {
    /// An array of this shape, where it has one text a row: `[n]` or `[n, 1]`. Texts of no bytes are none of an
    /// array's, which could have any number of them.
    ///
    /// # Errors
    /// A sentence, where shape and bytes contradict each other.
    pub(crate) fn new(element: TextType, shape: &[i64], bytes: Bytes) -> Result<Option<Self>, String> {
        let Some(count) = shape.first().filter(|_| shape[1..].iter().all(|size| *size == 1)) else {
            return Ok(None);
        };
        let size = element.size;
        if size == 0 {
            return Ok(None);
        }
        match usize::try_from(*count).ok().and_then(|count| count.checked_mul(size)) {
            Some(whole) if whole == bytes.len() => Ok(Some(Self { element, bytes })),
            _ => Err(format!("a NumPy array of {count} texts of {size} bytes in {} bytes", bytes.len())),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.element.size
    }

    /// The bytes of all texts together.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The text at an index that is below [`len`](Self::len).
    pub(crate) fn get(&self, index: usize) -> Cow<'_, str> {
        let size = self.element.size;
        self.element.decode(&self.bytes[index * size..(index + 1) * size])
    }
}

/// The text that bytes are in UTF-8, or in Latin-1 where they are not that: names that old catalogues hold.
pub(crate) fn decoded(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(name: &str, big_endian: bool, bytes: &[u8]) -> Vec<String> {
        let element = TextType::of_numpy(name.as_bytes(), big_endian).unwrap();
        let count = (bytes.len() / element.size) as i64;
        let array = TextArray::new(element, &[count], Bytes::copy_from_slice(bytes)).unwrap().unwrap();
        (0..array.len()).map(|index| array.get(index).into_owned()).collect()
    }

    #[test]
    fn texts_end_before_the_zeros_behind_them() {
        assert_eq!(texts("S3", false, b"a\0\0bcd\0\0\0a\0b"), ["a", "bcd", "", "a\0b"]);
        assert_eq!(texts("S2", false, b"\xc3\xa9\xe9\0"), ["é", "é"], "UTF-8 and Latin-1");
        assert_eq!(texts("U2", false, b"\x94\x03\0\0\0\0\0\0a\0\0\0\0\xd8\0\0"), ["Δ", "a\u{fffd}"]);
        assert_eq!(texts("U1", true, b"\0\0\x03\x94"), ["Δ"]);
    }

    #[test]
    fn other_types_and_shapes_are_none() {
        for name in ["U", "S-1", "V4", "M8", "f4", "", "U99999999999999999999", "U4611686018427387905"] {
            assert_eq!(TextType::of_numpy(name.as_bytes(), false), None, "{name}");
        }
        let element = TextType::of_numpy(b"S2", false).unwrap();
        let none = TextType::of_numpy(b"U0", false).unwrap();
        assert!(TextArray::new(none, &[i64::MAX], Bytes::new()).unwrap().is_none());
        let array = |shape: &[i64]| TextArray::new(element, shape, Bytes::from_static(b"abcd"));
        assert!(
            array(&[2, 1]).unwrap().is_some() && array(&[]).unwrap().is_none() && array(&[1, 2]).unwrap().is_none()
        );
        for count in [1, 3, -1, i64::MAX] {
            assert!(array(&[count]).unwrap_err().contains("in 4 bytes"), "{count}");
        }
    }
}
