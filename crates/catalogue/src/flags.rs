//! Why a row has no redshift, or what to know of the one it has: the bits of the column `flags`.

use serde::{Deserialize, Serialize};

use crate::plausible::{MAGNITUDES, PIXELS, all_within, is_redshift};

/// What there is to know of a row. Its number is its bit in the column `flags`; a row may have several.
///
/// All but [`Flag::OutsideCalibration`] are reasons why a galaxy has no predicted redshift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Flag {
    /// A pixel is not finite or outside [`PIXELS`], so no prediction was made.
    BadImage = 1,
    /// A magnitude is not finite or outside [`MAGNITUDES`], so no prediction was made.
    BadMagnitude = 2,
    /// The input is fine, and the network's answer is not finite or cannot be a redshift.
    BadPrediction = 4,
    /// The galaxy has a redshift, but the sample that the model was calibrated on had no galaxies like it.
    OutsideCalibration = 8,
}

impl Flag {
    /// All flags, by their bits.
    pub const ALL: [Self; 4] = [Self::BadImage, Self::BadMagnitude, Self::BadPrediction, Self::OutsideCalibration];

    /// The flag's bit in the column `flags`.
    pub const fn bit(self) -> u8 {
        self as u8
    }

    /// The name in Results.json and in a catalogue's metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadImage => "bad_image",
            Self::BadMagnitude => "bad_magnitude",
            Self::BadPrediction => "bad_prediction",
            Self::OutsideCalibration => "outside_calibration",
        }
    }

    /// What the flag says, for a catalogue's metadata.
    pub fn meaning(self) -> String {
        let (what, range) = match self {
            Self::BadImage => ("a pixel", PIXELS),
            Self::BadMagnitude => ("a magnitude", MAGNITUDES),
            Self::BadPrediction => ("the predicted redshift", crate::plausible::REDSHIFTS),
            Self::OutsideCalibration => {
                return "the predicted redshift, or the magnitude in r, is outside the range of the galaxies that the \
                        model was calibrated on"
                    .to_owned();
            }
        };
        format!("{what} is NaN, infinite, or outside {} to {}", range.start(), range.end())
    }

    /// Whether the flag is among a row's `flags`.
    pub const fn is_in(self, flags: u8) -> bool {
        flags & self.bit() != 0
    }
}

/// Whether a row with these flags has a predicted redshift.
pub const fn has_redshift(flags: u8) -> bool {
    flags & !Flag::OutsideCalibration.bit() == 0
}

/// The flags of a galaxy's input, before anything is predicted of it.
pub fn of_input(image: &[f32], magnitudes: &[f32]) -> u8 {
    let bit = |fine: bool, flag: Flag| if fine { 0 } else { flag.bit() };
    bit(all_within(image, &PIXELS), Flag::BadImage) | bit(all_within(magnitudes, &MAGNITUDES), Flag::BadMagnitude)
}

/// The flags of a galaxy once it was predicted: those of its input, or, where there are none, of the prediction.
pub fn of_prediction(input_flags: u8, z_phot: f32) -> u8 {
    if input_flags == 0 && !is_redshift(z_phot.into()) { Flag::BadPrediction.bit() } else { input_flags }
}

/// How many rows have each flag. A row with two of them counts for both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagCounts {
    /// Rows with [`Flag::BadImage`].
    pub bad_image: u64,
    /// Rows with [`Flag::BadMagnitude`].
    pub bad_magnitude: u64,
    /// Rows with [`Flag::BadPrediction`].
    pub bad_prediction: u64,
    /// Rows with [`Flag::OutsideCalibration`], which have a redshift.
    #[serde(default)]
    pub outside_calibration: u64,
}

impl FlagCounts {
    /// Counts some rows' flags.
    pub fn add(&mut self, flags: &[u8]) {
        let count = |flag: Flag| flags.iter().filter(|flags| flag.is_in(**flags)).count() as u64;
        self.bad_image += count(Flag::BadImage);
        self.bad_magnitude += count(Flag::BadMagnitude);
        self.bad_prediction += count(Flag::BadPrediction);
        self.outside_calibration += count(Flag::OutsideCalibration);
    }

    /// The number of rows that have the flag.
    pub fn of(&self, flag: Flag) -> u64 {
        match flag {
            Flag::BadImage => self.bad_image,
            Flag::BadMagnitude => self.bad_magnitude,
            Flag::BadPrediction => self.bad_prediction,
            Flag::OutsideCalibration => self.outside_calibration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_that_cannot_be_flags_the_galaxy() {
        let (image, magnitudes) = ([0.0, -3.5, 500.0], [18.0, -1.4, 32.0]);
        assert_eq!(of_input(&image, &magnitudes), 0);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e20, -9999.0] {
            assert_eq!(of_input(&[0.0, bad, 0.0], &magnitudes), Flag::BadImage.bit());
            assert_eq!(of_input(&image, &[18.0, bad]), Flag::BadMagnitude.bit());
            assert_eq!(of_input(&[bad], &[bad]), 3);
            assert_eq!(of_prediction(0, bad), Flag::BadPrediction.bit());
            assert_eq!(of_prediction(2, bad), 2);
        }
        assert_eq!(of_input(&image, &[18.0, 99.0]), Flag::BadMagnitude.bit());
        assert_eq!((of_prediction(0, 0.3), of_prediction(1, 0.3)), (0, 1));
    }

    #[test]
    fn one_flag_alone_does_not_say_that_there_is_no_redshift() {
        let without: Vec<u8> = (0..16).filter(|flags| !has_redshift(*flags)).collect();
        assert_eq!(without, [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15]);
        assert!(!has_redshift(16), "nor does a flag that is not known say that there is one");
    }

    #[test]
    fn each_flag_has_a_bit_and_is_counted_under_its_name() {
        let mut counts = FlagCounts::default();
        counts.add(&[0, 1, 2, 3, 4, 4, 4, 8]);
        assert_eq!(Flag::ALL.map(|flag| (flag.bit(), counts.of(flag))), [(1, 2), (2, 2), (4, 3), (8, 1)]);
        let json = serde_json::to_value(counts).unwrap();
        for flag in Flag::ALL {
            assert_eq!(json[flag.name()], counts.of(flag), "{}", flag.name());
        }
    }
}
