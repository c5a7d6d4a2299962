//! Whether intervals hold: the metrics by which RAIL and the LSST-DESC judge photometric redshifts (Schmidt et al.
//! 2020, MNRAS 499, 1587).

use serde::{Deserialize, Serialize};

use super::{
    levels::{HIGH_95, LEVELS, LOW_95},
    sums::{BINS, IntervalSums},
};

/// The bins of [`IntervalMetrics::pit`].
const PIT_BINS: usize = 20;

/// How the quantiles compare with the spectroscopic redshifts of n galaxies that have both. All but n are `None` (null)
/// where n is 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct IntervalMetrics {
    /// Number of galaxies.
    pub n: u64,
    /// Fraction whose z_spec is from `q16` to `q84`: 0.6827 where the intervals hold.
    pub coverage_68: Option<f64>,
    /// Fraction whose z_spec is from `q02` to `q98`: 0.9545 where the intervals hold.
    pub coverage_95: Option<f64>,
    /// The histogram of the probability integral transform (Dawid 1984, JRSS A 147, 278), the forecast's cumulative
    /// function at z_spec, as fractions in 20 equal bins from 0 to 1. They are equal where the forecast is calibrated,
    /// but for the first and last, whose galaxies beyond the outer quantiles count as 0 and 1.
    pub pit: Option<Vec<f64>>,
    /// The Kolmogorov–Smirnov distance of PIT from uniformity: the greatest difference between the fraction below x and
    /// x, of the thousandths x from 0.0228 to 0.9772, beyond which no quantile is known.
    pub ks: Option<f64>,
    /// The mean of the continuous ranked probability score, a redshift ([`Quantiles::crps`](super::Quantiles::crps)).
    pub crps: Option<f64>,
}

impl IntervalMetrics {
    /// The metrics of sums for which [`IntervalSums::check`] holds.
    pub fn of(sums: &IntervalSums) -> Self {
        if sums.n == 0 {
            return Self::default();
        }
        let n = sums.n as f64;
        let below = sums.pit.iter().scan(0, |below, count| {
            *below += count;
            Some(*below as f64 / n)
        });
        let distances = (1..).zip(below).filter_map(|(edge, below)| {
            let edge = f64::from(edge) / BINS as f64;
            (LEVELS[LOW_95]..=LEVELS[HIGH_95]).contains(&edge).then(|| (below - edge).abs())
        });
        let bins = sums.pit.chunks(BINS / PIT_BINS).map(|bins| bins.iter().sum::<u64>() as f64 / n);
        Self {
            n: sums.n,
            coverage_68: Some(sums.inside_68 as f64 / n),
            coverage_95: Some(sums.inside_95 as f64 / n),
            pit: Some(bins.collect()),
            ks: Some(distances.fold(0.0, f64::max)),
            crps: Some(sums.crps / n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_galaxies_worked_out_by_hand() {
        let mut pit = vec![0; BINS];
        for bin in [100, 101, 500, 999] {
            pit[bin] = 1;
        }
        let sums = IntervalSums { n: 4, inside_68: 1, inside_95: 3, pit, crps: 0.5 };
        let metrics = IntervalMetrics::of(&sums);
        assert_eq!((metrics.n, metrics.coverage_68, metrics.coverage_95), (4, Some(0.25), Some(0.75)));
        assert_eq!(metrics.crps, Some(0.125));
        let mut expected = vec![0.0; 20];
        (expected[2], expected[10], expected[19]) = (0.5, 0.25, 0.25);
        assert_eq!(metrics.pit, Some(expected));
        // Half are below 0.102, three quarters below 0.501.
        assert!((metrics.ks.unwrap() - 0.398).abs() < 1e-12, "{metrics:?}");
    }

    #[test]
    fn a_uniform_pit_is_at_no_distance() {
        let sums = IntervalSums { n: 2000, pit: vec![2; BINS], ..Default::default() };
        assert!(IntervalMetrics::of(&sums).ks.unwrap() < 1e-12);
        assert!(IntervalMetrics::of(&sums).pit.unwrap().iter().all(|fraction| (fraction - 0.05).abs() < 1e-12));
    }

    #[test]
    fn no_galaxy_has_no_metrics() {
        let json = serde_json::to_string(&IntervalMetrics::of(&IntervalSums::default())).unwrap();
        let expected = r#"{"n":0,"coverage_68":null,"coverage_95":null,"pit":null,"ks":null,"crps":null}"#;
        assert_eq!(json, expected);
    }
}
