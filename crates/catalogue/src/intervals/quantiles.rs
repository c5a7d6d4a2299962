//! The quantiles of one galaxy's redshift, and how they compare with the spectroscopic one.

use super::levels::{COUNT, HIGH_68, HIGH_95, LEVELS, LOW_68, LOW_95};

/// The quantiles of one galaxy's redshift at all [`LEVELS`], none of them less than the one before.
///
/// As a forecast they stand for the distribution whose cumulative function is linear between them. What lies outside
/// the first and last, 2.28 % on each side, is at these two.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiles([f32; COUNT]);

impl Quantiles {
    /// Takes quantiles that are finite and do not decrease.
    pub(super) fn new(quantiles: [f32; COUNT]) -> Self {
        Self(quantiles)
    }

    /// The quantiles at all levels.
    pub fn all(&self) -> &[f32] {
        &self.0
    }

    /// Whether the interval of 68.27 % has the redshift, ends included.
    pub fn has_in_68(&self, z: f64) -> bool {
        self.has_between(LOW_68, HIGH_68, z)
    }

    /// Whether the interval of 95.45 % has the redshift, ends included.
    pub fn has_in_95(&self, z: f64) -> bool {
        self.has_between(LOW_95, HIGH_95, z)
    }

    fn has_between(&self, low: usize, high: usize, z: f64) -> bool {
        (f64::from(self.0[low])..=f64::from(self.0[high])).contains(&z)
    }

    /// The probability integral transform of a redshift: the forecast's cumulative function at it. It is 0 below the
    /// first quantile, 1 above the last, and in the middle of the levels where several quantiles are equal to it.
    pub fn pit(&self, z: f64) -> f64 {
        let below = self.0.partition_point(|quantile| f64::from(*quantile) < z);
        let not_above = self.0.partition_point(|quantile| f64::from(*quantile) <= z);
        match (below, not_above) {
            (COUNT, _) => 1.0,
            (below, not_above) if below < not_above => (LEVELS[below] + LEVELS[not_above - 1]) / 2.0,
            (0, _) => 0.0,
            (above, _) => {
                let (from, to) = (f64::from(self.0[above - 1]), f64::from(self.0[above]));
                LEVELS[above - 1] + (LEVELS[above] - LEVELS[above - 1]) * (z - from) / (to - from)
            }
        }
    }

    /// The continuous ranked probability score of a redshift (Gneiting & Raftery 2007, JASA 102, 359): the integral
    /// over x of (F(x) − [x ≥ z])², where F is the forecast's cumulative function. It has the unit of the redshift, and
    /// is the absolute error of a forecast that is one number.
    ///
    /// It is the same as twice the mean, over all levels from 0 to 1, of the pinball loss of the quantile at the level
    /// (Laio & Tamea 2007, HESS 11, 1267). A plain mean over our levels would be another number, since they are not
    /// equally far apart and leave out the ends; F is linear between the quantiles, so that the integral has a closed
    /// form.
    pub fn crps(&self, z: f64) -> f64 {
        // The integral of the square of a function that goes from `a` to `b` in a straight line.
        let square = |width: f64, a: f64, b: f64| width * (a * a + a * b + b * b) / 3.0;
        let (first, last) = (f64::from(self.0[0]), f64::from(self.0[COUNT - 1]));
        let outside = (first - z).max(0.0) + (z - last).max(0.0);
        let segments = self.0.windows(2).zip(LEVELS.windows(2)).map(|(ends, levels)| {
            let (from, to) = (f64::from(ends[0]), f64::from(ends[1]));
            let (low, high) = (levels[0], levels[1]);
            if z >= to {
                square(to - from, low, high)
            } else if z <= from {
                square(to - from, 1.0 - low, 1.0 - high)
            } else {
                let there = low + (high - low) * (z - from) / (to - from);
                square(z - from, low, there) + square(to - z, 1.0 - there, 1.0 - high)
            }
        });
        outside + segments.sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The forecast that is uniform from 0 to 1, as far as the levels go.
    fn uniform() -> Quantiles {
        Quantiles::new(LEVELS.map(|level| level as f32))
    }

    #[test]
    fn a_uniform_forecast_worked_out_by_hand() {
        let uniform = uniform();
        for z in [0.03, 0.1, 0.159, 0.5, 0.77, 0.97] {
            assert!((uniform.pit(z) - z).abs() < 1e-6, "{z}: {}", uniform.pit(z));
        }
        assert_eq!((uniform.pit(-1.0), uniform.pit(0.02), uniform.pit(0.98), uniform.pit(5.0)), (0.0, 0.0, 1.0, 1.0));
        assert_eq!([0.15, 0.16, 0.84, 0.85].map(|z| uniform.has_in_68(z)), [false, true, true, false]);
        assert_eq!([0.02, 0.03, 0.97, 0.98].map(|z| uniform.has_in_95(z)), [false, true, true, false]);
        // The integral of x² from 0.0228 to 0.5, twice.
        let middle = 2.0 * (0.5_f64.powi(3) - 0.0228_f64.powi(3)) / 3.0;
        assert!((uniform.crps(0.5) - middle).abs() < 1e-7, "{} is not {middle}", uniform.crps(0.5));
        // The integral of (1 − x)² from 0.0228 to 0.9772, and the distance of 1 to the first quantile.
        let outside = 1.0 + 0.0228 + (0.9772_f64.powi(3) - 0.0228_f64.powi(3)) / 3.0;
        assert!((uniform.crps(-1.0) - outside).abs() < 1e-6, "{} is not {outside}", uniform.crps(-1.0));
    }

    #[test]
    fn the_score_of_one_number_is_its_absolute_error() {
        let number = Quantiles::new([0.25; COUNT]);
        for (z, score) in [(0.25, 0.0), (0.75, 0.5), (-0.25, 0.5)] {
            assert_eq!(number.crps(z), score);
        }
        assert_eq!((number.pit(0.25), number.pit(0.2), number.pit(0.3)), (0.5, 0.0, 1.0));
    }

    #[test]
    fn a_redshift_at_several_equal_quantiles_is_in_their_middle() {
        let mut quantiles = LEVELS.map(|level| level as f32);
        quantiles[10..13].fill(0.5);
        assert_eq!(Quantiles::new(quantiles).pit(0.5), 0.5);
        assert_eq!(uniform().pit(f64::from(0.25_f32)), 0.25);
    }

    /// 0.5642 σ is the score of a normal forecast over redshifts that are drawn from it (1/√π).
    #[test]
    fn the_score_of_normal_forecasts_is_that_of_the_textbook() {
        // Quantiles of the standard normal distribution at the levels, from tables.
        let half =
            [-1.9991, -1.6449, -1.2816, -1.0364, -0.9998, -0.8416, -0.6745, -0.5244, -0.3853, -0.2533, -0.1257, 0.0];
        let mut normal = [0.0; COUNT];
        for (place, value) in half.into_iter().enumerate() {
            normal[place] = value;
            normal[COUNT - 1 - place] = -value;
        }
        let normal = Quantiles::new(normal);
        let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let mean: f64 =
            (-6000..=6000).map(|x| f64::from(x) / 1000.0).map(|x| density(x) * normal.crps(x) / 1000.0).sum();
        assert!((mean - 0.5642).abs() < 0.02 * 0.5642, "{mean}");
    }

    proptest! {
        #[test]
        fn the_score_is_twice_the_mean_pinball_loss(steps in prop::array::uniform23(0.0_f32..0.1), z in -0.5..3.0) {
            let mut quantiles = steps;
            for place in 1..COUNT {
                quantiles[place] += quantiles[place - 1];
            }
            let forecast = Quantiles::new(quantiles);
            let quantile = |level: f64| {
                let above = LEVELS.partition_point(|known| *known <= level);
                if above == 0 || above == COUNT {
                    return f64::from(quantiles[above.min(COUNT - 1)]);
                }
                let part = (level - LEVELS[above - 1]) / (LEVELS[above] - LEVELS[above - 1]);
                f64::from(quantiles[above - 1]) * (1.0 - part) + f64::from(quantiles[above]) * part
            };
            let steps = 20_000;
            let pinball = (0..steps).map(|step| (f64::from(step) + 0.5) / f64::from(steps)).map(|level| {
                let off = z - quantile(level);
                if off >= 0.0 { level * off } else { (level - 1.0) * off }
            });
            let integrated = 2.0 * pinball.sum::<f64>() / f64::from(steps);
            prop_assert!((forecast.crps(z) - integrated).abs() <= 1e-3 * integrated + 1e-6, "{integrated} {}", forecast.crps(z));
        }

        #[test]
        fn pit_lies_in_the_unit_interval_and_does_not_decrease(
            steps in prop::array::uniform23(prop_oneof![Just(0.0_f32), 0.0_f32..0.1]), a in -0.5..2.0, b in -0.5..2.0,
        ) {
            let mut quantiles = steps;
            for place in 1..COUNT {
                quantiles[place] += quantiles[place - 1];
            }
            let forecast = Quantiles::new(quantiles);
            let (low, high) = (forecast.pit(f64::min(a, b)), forecast.pit(f64::max(a, b)));
            prop_assert!(0.0 <= low && low <= high && high <= 1.0, "{low} {high}");
        }
    }
}
