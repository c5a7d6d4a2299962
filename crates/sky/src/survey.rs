//! Where galaxies of a simulated sky stand, and what they are called, as a survey's catalogue would say it.

use galaxies::{Column, ColumnType, ColumnValues, DType};

use crate::random::{Domain, Stream};

/// The patch of the sky that galaxies lie in, in degrees of right ascension and declination (J2000): a hundred square
/// degrees near the north galactic pole, where SDSS looked first.
const RIGHT_ASCENSION: [f64; 2] = [180.0, 190.0];
const DECLINATION: [f64; 2] = [25.0, 35.0];

/// The bits of an identifier that are the galaxy's index; those above are the seed's.
const INDEX_BITS: u32 = 41;

/// A galaxy's identifier, which no other galaxy has, nor one of a seed that differs in its lowest 22 bits.
pub(crate) fn object_id(seed: u64, index: u64) -> i64 {
    let seed = seed & ((1 << (63 - INDEX_BITS)) - 1);
    ((seed << INDEX_BITS) | (index & ((1 << INDEX_BITS) - 1))) as i64
}

/// Right ascension and declination, in degrees: uniform over the patch's area.
pub(crate) fn position(seed: u64, index: u64) -> [f64; 2] {
    let mut stream = Stream::new(Domain::Position, seed, index);
    let mut between = |low: f64, high: f64| low + (high - low) * stream.uniform();
    let right_ascension = between(RIGHT_ASCENSION[0], RIGHT_ASCENSION[1]);
    let [low, high] = DECLINATION.map(|declination| libm::sin(declination.to_radians()));
    [right_ascension, libm::asin(between(low, high)).to_degrees()]
}

/// The columns that [`values`] are of.
pub(crate) fn columns() -> Vec<Column> {
    let column = |name: &str, dtype| Column { name: name.to_owned(), kind: ColumnType::Number(dtype), is_list: false };
    vec![column("object_id", DType::I64), column("ra", DType::F64), column("dec", DType::F64)]
}

/// Identifiers and positions of the galaxies with these indices.
pub(crate) fn values(seed: u64, indices: std::ops::Range<u64>) -> Vec<ColumnValues> {
    let (mut ids, mut ra, mut dec) = (Vec::new(), Vec::new(), Vec::new());
    for index in indices {
        ids.extend(object_id(seed, index).to_le_bytes());
        let position = position(seed, index).map(f64::to_le_bytes);
        ra.extend(position[0]);
        dec.extend(position[1]);
    }
    [ids, ra, dec].map(ColumnValues::Bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn galaxies_have_identifiers_of_their_own_and_fill_the_patch_evenly() {
        assert_eq!((object_id(1, 5), object_id(u64::MAX, 0) > 0), ((1 << 41) + 5, true));
        let positions: Vec<_> = (0..20_000).map(|index| position(7, index)).collect();
        assert_eq!(position(7, 11), positions[11]);
        assert_ne!(position(8, 11), positions[11]);
        // The northern half of the patch has less area: (sin 35° − sin 30°) / (sin 35° − sin 25°) = 0.4874.
        let north = positions.iter().filter(|[_, dec]| *dec > 30.0).count() as f64 / 20_000.0;
        let east = positions.iter().filter(|[ra, _]| *ra > 185.0).count() as f64 / 20_000.0;
        assert!((north - 0.4874).abs() < 0.011 && (east - 0.5).abs() < 0.011, "{north} {east}");
        assert!(positions.iter().all(|[ra, dec]| (180.0..190.0).contains(ra) && (25.0..35.0).contains(dec)));
    }
}
