//! What one rank counts of its labelled galaxies. Those who put a catalogue together have no model and no magnitudes:
//! they add up what the ranks have counted.

use super::quantiles::Quantiles;

/// The bins of the histogram of PIT that is kept. [`IntervalMetrics`](super::IntervalMetrics) has fewer; the distance
/// to uniformity is computed of these.
pub(super) const BINS: usize = 1000;

/// Sums over galaxies with quantiles and a spectroscopic redshift. Those of two sets of galaxies add up to those of
/// both.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct IntervalSums {
    /// Number of galaxies.
    pub n: u64,
    /// How many are in the interval of 68.27 %.
    pub inside_68: u64,
    /// How many are in the interval of 95.45 %.
    pub inside_95: u64,
    /// How many have their PIT in each of 1,000 equal bins from 0 to 1; empty where there is no galaxy.
    pub pit: Vec<u64>,
    /// The sum of the CRPS.
    pub crps: f64,
}

impl IntervalSums {
    /// Counts one galaxy, whose z_spec is finite.
    pub fn add(&mut self, quantiles: &Quantiles, z_spec: f64) {
        self.pit.resize(BINS, 0);
        self.n += 1;
        self.inside_68 += u64::from(quantiles.has_in_68(z_spec));
        self.inside_95 += u64::from(quantiles.has_in_95(z_spec));
        self.pit[((quantiles.pit(z_spec) * BINS as f64) as usize).min(BINS - 1)] += 1;
        self.crps += quantiles.crps(z_spec);
    }

    /// Adds the sums of other galaxies.
    pub fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.inside_68 = self.inside_68.saturating_add(other.inside_68);
        self.inside_95 = self.inside_95.saturating_add(other.inside_95);
        self.pit.resize(self.pit.len().max(other.pit.len()), 0);
        for (count, more) in self.pit.iter_mut().zip(&other.pit) {
            *count = count.saturating_add(*more);
        }
        self.crps += other.crps;
    }

    /// Checks sums that come from elsewhere.
    ///
    /// # Errors
    /// Says what cannot be.
    pub fn check(&self) -> Result<(), String> {
        let bins = if self.n == 0 { 0 } else { BINS };
        if self.pit.len() != bins {
            return Err(format!("the PIT of {} galaxies has {} bins instead of {bins}", self.n, self.pit.len()));
        }
        let counted = self.pit.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        if counted != Some(self.n) {
            return Err(format!("the PIT's bins do not add up to {} galaxies", self.n));
        }
        if self.inside_68 > self.inside_95 || self.inside_95 > self.n {
            let Self { n, inside_68, inside_95, .. } = self;
            return Err(format!("of {n} galaxies, {inside_68} and {inside_95} are said to be in their intervals"));
        }
        if !self.crps.is_finite() || self.crps < 0.0 {
            return Err(format!("the sum of CRPS is {}", self.crps));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::intervals::levels::LEVELS;

    fn sums(redshifts: &[f64]) -> IntervalSums {
        let uniform = Quantiles::new(LEVELS.map(|level| level as f32));
        let mut sums = IntervalSums::default();
        for z in redshifts {
            sums.add(&uniform, *z);
        }
        sums
    }

    #[test]
    fn galaxies_are_counted_where_they_are() {
        let found = sums(&[0.0, 0.0305, 0.5005, 0.9005, 1.0]);
        assert_eq!((found.n, found.inside_68, found.inside_95), (5, 1, 3));
        let filled: Vec<_> = (0..BINS).filter(|bin| found.pit[*bin] > 0).collect();
        assert_eq!(filled, [0, 30, 500, 900, 999]);
        assert_eq!(serde_json::from_str::<IntervalSums>(&serde_json::to_string(&found).unwrap()).unwrap(), found);
    }

    #[test]
    fn sums_that_cannot_be_are_refused() {
        let good = sums(&[0.1, 0.5]);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(IntervalSums::default().check(), Ok(()));
        type Change = fn(&mut IntervalSums);
        let changes: [(Change, &str); 7] = [
            (|sums| sums.n = 3, "do not add up to 3"),
            (|sums| sums.pit.clear(), "0 bins instead of 1000"),
            (|sums| sums.n = 0, "1000 bins instead of 0"),
            (|sums| sums.pit[0] = u64::MAX, "do not add up"),
            (|sums| sums.inside_68 = 3, "3 and 2 are said"),
            (|sums| sums.inside_95 = 3, "1 and 3 are said"),
            (|sums| sums.crps = f64::NAN, "CRPS is NaN"),
        ];
        for (change, expected) in changes {
            let mut bad = good.clone();
            change(&mut bad);
            let said = bad.check().unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }

    proptest! {
        #[test]
        fn merging_is_adding_at_once(redshifts in prop::collection::vec(-0.5..1.5, 0..40), cut in 0_usize..40) {
            let (first, second) = redshifts.split_at(cut.min(redshifts.len()));
            let (mut merged, at_once) = (sums(first), sums(&redshifts));
            merged.merge(&sums(second));
            prop_assert!((merged.crps - at_once.crps).abs() < 1e-9);
            merged.crps = at_once.crps;
            prop_assert_eq!(merged.check(), Ok(()));
            prop_assert_eq!(merged, at_once);
        }
    }
}
