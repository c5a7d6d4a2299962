//! The levels at which quantiles are kept, and the names of their columns.

/// The number of levels.
pub(super) const COUNT: usize = 23;

/// The levels in units of 1/10,000. Whole numbers, because (n + 1)·level is rounded up or down, and 0.55 × 100 is a
/// little more than 55 in floating point.
pub(super) const TEN_THOUSANDTHS: [u64; COUNT] = [
    228, 500, 1000, 1500, 1587, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 5500, 6000, 6500, 7000, 7500, 8000, 8413,
    8500, 9000, 9500, 9772,
];

/// The levels of all quantiles, in increasing order: each twentieth, and those of one and two standard deviations of a
/// normal distribution on both sides.
pub const LEVELS: [f64; COUNT] = {
    let mut levels = [0.0; COUNT];
    let mut level = 0;
    while level < COUNT {
        levels[level] = TEN_THOUSANDTHS[level] as f64 / 10_000.0;
        level += 1;
    }
    levels
};

// The places, among the levels, of the median, and of one and two standard deviations below and above it.
pub(super) const LOW_95: usize = 0;
pub(super) const LOW_68: usize = 4;
pub(super) const MEDIAN: usize = 11;
pub(super) const HIGH_68: usize = 18;
pub(super) const HIGH_95: usize = 22;

/// Which of the levels a catalogue has columns of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LevelSet {
    /// The median, and one and two standard deviations on both sides: `q02`, `q16`, `q50`, `q84`, `q98`.
    #[default]
    Five,
    /// All [`LEVELS`], from which a distribution can be made.
    All,
}

impl LevelSet {
    /// Its levels, by their places among all of them.
    pub(super) fn places(self) -> &'static [usize] {
        const ALL: [usize; COUNT] = {
            let mut places = [0; COUNT];
            let mut place = 0;
            while place < COUNT {
                places[place] = place;
                place += 1;
            }
            places
        };
        match self {
            Self::Five => &[LOW_95, LOW_68, MEDIAN, HIGH_68, HIGH_95],
            Self::All => &ALL,
        }
    }

    /// The names of its columns, such as `z_phot_q16`, with the levels in hundredths, rounded.
    pub fn columns(self) -> impl Iterator<Item = String> {
        self.places().iter().map(|place| format!("z_phot_q{:02}", (TEN_THOUSANDTHS[*place] + 50) / 100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_increase_and_lie_about_the_median() {
        assert!(LEVELS.is_sorted_by(|a, b| a < b));
        for place in 0..COUNT {
            assert_eq!(TEN_THOUSANDTHS[place] + TEN_THOUSANDTHS[COUNT - 1 - place], 10_000);
        }
        let named = [LOW_95, LOW_68, MEDIAN, HIGH_68, HIGH_95].map(|place| LEVELS[place]);
        assert_eq!(named, [0.0228, 0.1587, 0.5, 0.8413, 0.9772]);
    }

    #[test]
    fn columns_are_named_by_hundredths() {
        let five: Vec<_> = LevelSet::Five.columns().collect();
        assert_eq!(five, ["z_phot_q02", "z_phot_q16", "z_phot_q50", "z_phot_q84", "z_phot_q98"]);
        let all: Vec<_> = LevelSet::All.columns().collect();
        assert_eq!(all.len(), COUNT);
        assert_eq!(all[..6], ["z_phot_q02", "z_phot_q05", "z_phot_q10", "z_phot_q15", "z_phot_q16", "z_phot_q20"]);
        assert!(all.is_sorted_by(|a, b| a < b), "each name is its own");
    }
}
