//! FITS's checksums: section 4.4.2.7 and appendix J of the standard.

/// The sum of bytes as 32-bit numbers, big-endian, in ones' complement.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checksum {
    sum: u64,
    /// How many bytes of a number were seen of those that came last.
    partial: u32,
}

impl Checksum {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(1 << 16) {
            for byte in part {
                self.sum += u64::from(*byte) << (24 - 8 * self.partial);
                self.partial = (self.partial + 1) % 4;
            }
            self.sum = u64::from(self.folded());
        }
    }

    /// Counts the zeros with which data are filled up.
    pub(crate) fn fill(&mut self) {
        self.partial = 0;
    }

    /// The sum: what is carried out of 32 bits is added at their end.
    pub(crate) fn folded(self) -> u32 {
        let mut sum = self.sum;
        while sum > u64::from(u32::MAX) {
            sum = (sum & u64::from(u32::MAX)) + (sum >> 32);
        }
        sum as u32
    }
}

/// The complement of a sum in sixteen letters and digits, which bring the sum of an HDU to −0 in the place of zeros.
/// Each byte is the sum of four characters; those that are no letter or digit are moved by one, in pairs that keep the
/// sum.
pub(crate) fn encode(sum: u32) -> String {
    let is_alphanumeric = |character: u8| character.is_ascii_alphanumeric();
    let mut encoded = [0; 16];
    for (index, byte) in (!sum).to_be_bytes().into_iter().enumerate() {
        let mut characters = [byte / 4 + b'0'; 4];
        characters[0] += byte % 4;
        while !characters.iter().all(|character| is_alphanumeric(*character)) {
            for pair in characters.chunks_exact_mut(2) {
                if !pair.iter().all(|character| is_alphanumeric(*character)) {
                    pair[0] += 1;
                    pair[1] -= 1;
                }
            }
        }
        for (place, character) in characters.into_iter().enumerate() {
            // One to the right, since the value of a card begins at its twelfth byte.
            encoded[(4 * place + index + 1) % 16] = character;
        }
    }
    encoded.into_iter().map(char::from).collect()
}
