//! The header of a NumPy file (`.npy`), which says of which type and shape the array behind it is.
//!
//! The format is described at <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>: a magic number,
//! a version, a length, and a dictionary as Python prints it, filled up with spaces. Crates that read it (`npyz`,
//! `ndarray-npy`) bring a grammar for all of Python's literals; the three entries of this one need none.

use crate::printable::Printable;

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read, which is that of NumPy itself.
pub(crate) const MAX_HEADER: usize = 10_000;
/// The most bytes in front of the header: magic number, version and length.
pub(crate) const MAX_PREAMBLE: usize = 12;

/// What a header says of its array.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Type of the elements without the byte order, such as `f4`; `V` for all records.
    pub(crate) name: String,
    pub(crate) big_endian: bool,
    /// Whether the first dimension is the fastest.
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<i64>,
    /// Where the elements begin in the file.
    pub(crate) length: usize,
}

impl Header {
    /// Reads the header at the start of a file, of which `start` is all, or as much as a header may take.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub(crate) fn parse(start: &[u8]) -> Result<Self, String> {
        let cut = || "its header is cut short".to_owned();
        let Some([major, _minor, rest @ ..]) = start.strip_prefix(MAGIC) else {
            return Err("it does not start as a file of NumPy does".to_owned());
        };
        let (length, text) = match (major, rest) {
            (1, [a, b, text @ ..]) => (u32::from(u16::from_le_bytes([*a, *b])), text),
            (2 | 3, [a, b, c, d, text @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]), text),
            (1..=3, _) => return Err(cut()),
            _ => return Err(format!("it is of version {major} of NumPy's format, of which 1 to 3 are read")),
        };
        let length = length as usize;
        if length > MAX_HEADER {
            return Err(format!("its header has {length} bytes, at most {MAX_HEADER} are read"));
        }
        let text = text.get(..length).ok_or_else(cut)?;
        // All but the names of a record's fields is ASCII.
        let text = String::from_utf8_lossy(text);
        let refused = || format!("its header is \"{}\"", Printable(text.trim_end()));
        let preamble = MAGIC.len() + 2 + if *major == 1 { 2 } else { 4 };
        Literal { rest: &text }.header(preamble + length).ok_or_else(refused)
    }
}

/// What is left of a dictionary as Python prints it. Each method takes something off its start, or is `None`.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn header(mut self, length: usize) -> Option<Header> {
        let (mut descr, mut order, mut shape) = (None, None, None);
        self.token("{")?;
        while self.token("}").is_none() {
            let key = self.text()?;
            self.token(":")?;
            let twice = match key {
                "descr" => descr.replace(self.element_type()?).is_some(),
                "fortran_order" => order.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.integers()?).is_some(),
                _ => return None,
            };
            if twice || (self.token(",").is_none() && !self.rest.trim_start().starts_with('}')) {
                return None;
            }
        }
        let (name, big_endian) = descr?;
        let rest = self.rest.trim();
        rest.is_empty().then_some(Header { name, big_endian, fortran_order: order?, shape: shape?, length })
    }

    fn token(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.token("'")?;
        let (text, rest) = self.rest.split_once('\'')?;
        self.rest = rest;
        Some(text).filter(|text| !text.contains('\\'))
    }

    fn boolean(&mut self) -> Option<bool> {
        let is_true = self.token("True").is_some();
        (is_true || self.token("False").is_some()).then_some(is_true)
    }

    /// A tuple of numbers, which may end in the `L` of Python 2.
    fn integers(&mut self) -> Option<Vec<i64>> {
        self.token("(")?;
        let (inner, rest) = self.rest.split_once(')')?;
        self.rest = rest;
        let inner = inner.trim().trim_end_matches(',');
        let number = |text: &str| text.trim().trim_end_matches('L').parse().ok();
        if inner.is_empty() { Some(Vec::new()) } else { inner.split(',').map(number).collect() }
    }

    /// The type's name without its byte order, and whether that is big-endian.
    fn element_type(&mut self) -> Option<(String, bool)> {
        // Records: a list of names and types, or a tuple with a shape.
        if let Some(open) = self.rest.trim_start().chars().next().filter(|first| "[(".contains(*first)) {
            self.token(if open == '[' { "[" } else { "(" })?;
            let mut depth = 1_usize;
            while depth > 0 {
                let (at, bracket) = self.rest.char_indices().find(|(_, character)| "[]()'\"".contains(*character))?;
                self.rest = &self.rest[at + 1..];
                match bracket {
                    '[' | '(' => depth += 1,
                    ']' | ')' => depth -= 1,
                    quote => self.rest = self.rest.split_once(quote)?.1,
                }
            }
            return Some(("V".to_owned(), false));
        }
        let descr = self.text()?;
        let name = descr.strip_prefix(['<', '>', '|']).filter(|name| !name.is_empty())?;
        Some((name.to_owned(), descr.starts_with('>')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, text: &str) -> Vec<u8> {
        let length = (text.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length };
        [b"\x93NUMPY", &[version, 0][..], length, text.as_bytes()].concat()
    }

    fn parse(text: &str) -> Result<Header, String> {
        Header::parse(&file(1, text))
    }

    #[test]
    fn headers_of_all_versions_are_read() {
        let text = "{'descr': '>f4', 'fortran_order': True, 'shape': (3, 5), }    \n";
        for version in 1..=3 {
            let file = file(version, text);
            let header = Header::parse(&[&file[..], b"the elements"].concat()).unwrap();
            assert_eq!((header.name.as_str(), header.big_endian, header.fortran_order), ("f4", true, true));
            assert_eq!((header.shape, header.length), (vec![3, 5], file.len()), "{version}");
        }
        let shape = |shape: &str| parse(&format!("{{'shape': {shape}, 'fortran_order': False, 'descr': '|b1'}}"));
        for (text, expected) in
            [("()", vec![]), ("(7,)", vec![7]), ("(3L, 5L)", vec![3, 5]), ("( 1,2 , 3 )", vec![1, 2, 3])]
        {
            assert_eq!(shape(text).unwrap().shape, expected, "{text}");
        }
        for descr in ["[('ra', '<f8'), ('d[e]c', '<f8', (2,))]", "('<f4', (3,))", "[(\"it's\", '<i4')]"] {
            let header = parse(&format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (2,), }}")).unwrap();
            assert_eq!(header.name, "V", "{descr}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5)",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5)} x",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3 5)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '=f4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': [('a', '<f4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
            "__import__('os').system('true')",
        ] {
            assert!(parse(text).unwrap_err().contains("its header is"), "{text}");
        }
        let whole = file(2, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}");
        for end in 0..whole.len() {
            assert!(Header::parse(&whole[..end]).is_err(), "{end}");
        }
        assert!(Header::parse(&file(4, "{}")).unwrap_err().contains("version 4"));
        assert!(Header::parse(b"\x93NUMPY\x02\0\xff\xff\xff\xff{").unwrap_err().contains("at most 10000"));
    }
}
