//! What another precision, engine, processor or model does to redshifts: galaxies that were predicted twice.
//!
//! A redshift's change is Δ = (z₂ − z₁)/(1 + z₁), of the first and the second predicted one. Galaxies with a redshift in one
//! of the two alone are counted and named, and are in no figure.

use serde::Serialize;

use crate::{
    flags::{Flag, has_redshift},
    metrics::{Metrics, quantile},
};

/// Galaxies that are named of those that moved most, and of those with a redshift in one alone.
const NAMED: usize = 50;

/// A galaxy that was predicted twice.
#[derive(Debug, Clone, Copy)]
pub struct TwicePredicted<'a> {
    /// Key or path of its file, in the first catalogue.
    pub source_file: &'a str,
    /// Its row in that file, from 0.
    pub row_index: u64,
    /// Its spectroscopic redshift, where one is known.
    pub z_spec: Option<f64>,
    /// Both predicted redshifts.
    pub z_phot: [Option<f32>; 2],
    /// The bits of [`Flag`] of both.
    pub flags: [u8; 2],
}

/// A galaxy that has two redshifts, which are not the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// Key or path of its file.
    pub source_file: String,
    /// Its row in that file, from 0.
    pub row_index: u64,
    /// Its spectroscopic redshift, where one is known.
    pub z_spec: Option<f64>,
    /// The first predicted redshift, z₁.
    pub first: f32,
    /// The second predicted redshift, z₂.
    pub second: f32,
    /// Δ
    pub change: f64,
}

/// A galaxy that has a redshift in one of the two alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InOneAlone {
    /// Key or path of its file.
    pub source_file: String,
    /// Its row in that file, from 0.
    pub row_index: u64,
    /// `first` or `second`.
    pub redshift_in: &'static str,
    /// By their names, the flags that say why the other has none.
    pub flags: Vec<&'static str>,
}

/// Galaxies that were predicted twice, collected. Memory grows by 8 bytes a galaxy, and by 16 more of one whose spectroscopic
/// redshift is known.
#[derive(Debug, Default)]
pub struct Changes {
    changes: Vec<f64>,
    same: u64,
    moved: Vec<Moved>,
    in_one_alone: [u64; 2],
    named_alone: Vec<InOneAlone>,
    in_neither: u64,
    z_spec: Vec<f64>,
    z_phot: [Vec<f32>; 2],
}

/// The figures of [`Changes`], as `cosmic compare --json` prints them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangeSummary {
    /// Galaxies that have both redshifts, which the figures are of.
    pub galaxies: u64,
    /// Galaxies whose redshifts are the same to the last bit.
    pub same: u64,
    /// The galaxy whose redshift changes most; null where none does.
    pub largest: Option<Moved>,
    /// Root of the mean of Δ².
    pub rms: Option<f64>,
    /// Of |Δ|.
    pub median: Option<f64>,
    /// The 99th percentile of |Δ|.
    pub p99: Option<f64>,
    /// The 99.9th percentile of |Δ|.
    #[serde(rename = "p99.9")]
    pub p99_9: Option<f64>,
    /// Fraction of the galaxies with |Δ| > 0.001.
    #[serde(rename = "beyond_0.001")]
    pub beyond_1e_3: Option<f64>,
    /// Fraction of the galaxies with |Δ| > 0.0001.
    #[serde(rename = "beyond_0.0001")]
    pub beyond_1e_4: Option<f64>,
    /// Galaxies that have the first redshift alone.
    pub in_first_alone: u64,
    /// Galaxies that have the second redshift alone.
    pub in_second_alone: u64,
    /// Galaxies that have neither.
    pub in_neither: u64,
    /// Some of the galaxies that have one redshift alone: the first that came.
    pub named_alone: Vec<InOneAlone>,
    /// How good both redshifts are, of the galaxies that have both and a spectroscopic one.
    pub metrics: BothMetrics,
}

/// The metrics of the same galaxies by their first and by their second redshift.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BothMetrics {
    /// By the first redshift.
    pub first: Metrics,
    /// By the second redshift.
    pub second: Metrics,
    /// The second figure over the first, under its name in [`Metrics`].
    pub ratios: Ratios,
}

/// Figures by the second redshift over those by the first; null where the first is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Ratios {
    /// Of σ_NMAD.
    #[serde(rename = "Precision")]
    pub precision: Option<f64>,
    /// Of the mean of dz.
    #[serde(rename = "Bias")]
    pub bias: Option<f64>,
    /// Of the fraction with |dz| > 0.05.
    #[serde(rename = "outliers_0.05")]
    pub outliers_005: Option<f64>,
}

impl Changes {
    /// Takes a galaxy.
    pub fn add(&mut self, galaxy: &TwicePredicted<'_>) {
        let TwicePredicted { source_file, row_index, z_spec, z_phot, flags } = *galaxy;
        match z_phot {
            [Some(first), Some(second)] => {
                let change = (f64::from(second) - f64::from(first)) / (1.0 + f64::from(first));
                self.changes.push(change);
                self.same += u64::from(first.to_bits() == second.to_bits());
                if let Some(z_spec) = z_spec {
                    self.z_spec.push(z_spec);
                    self.z_phot[0].push(first);
                    self.z_phot[1].push(second);
                }
                if change != 0.0 {
                    self.moved.push(Moved {
                        source_file: source_file.to_owned(),
                        row_index,
                        z_spec,
                        first,
                        second,
                        change,
                    });
                }
                if self.moved.len() >= 20 * NAMED {
                    self.moved = self.moved();
                }
            }
            [None, None] => self.in_neither += 1,
            [first, _] => {
                let (with, without, redshift_in) = if first.is_some() { (0, 1, "first") } else { (1, 0, "second") };
                self.in_one_alone[with] += 1;
                if self.named_alone.len() < NAMED {
                    let why =
                        Flag::ALL.into_iter().filter(|flag| !has_redshift(flag.bit()) && flag.is_in(flags[without]));
                    self.named_alone.push(InOneAlone {
                        source_file: source_file.to_owned(),
                        row_index,
                        redshift_in,
                        flags: why.map(Flag::name).collect(),
                    });
                }
            }
        }
    }

    /// Δ of all galaxies that have both redshifts, in the order in which they came.
    pub fn all(&self) -> &[f64] {
        &self.changes
    }

    /// Number of galaxies whose redshifts are the same to the last bit.
    pub fn same(&self) -> u64 {
        self.same
    }

    /// Number of galaxies that have a redshift in one of the two alone.
    pub fn in_one_alone(&self) -> u64 {
        self.in_one_alone.iter().sum()
    }

    /// The galaxies that moved most, the farthest first.
    pub fn moved(&self) -> Vec<Moved> {
        let mut moved = self.moved.clone();
        moved.sort_by(|a, b| b.change.abs().total_cmp(&a.change.abs()));
        moved.truncate(NAMED);
        moved
    }

    /// Number of galaxies with |Δ| above a limit. Those that have one redshift alone are not among them.
    pub fn beyond(&self, limit: f64) -> u64 {
        self.changes.iter().filter(|change| change.abs() > limit).count() as u64
    }

    /// All figures.
    pub fn summary(&self) -> ChangeSummary {
        let count = self.changes.len();
        let share = |part: f64| (count > 0).then(|| part / count as f64);
        let mut sizes: Vec<f64> = self.changes.iter().map(|change| change.abs()).collect();
        let [median, p99, p99_9] = [0.5, 0.99, 0.999].map(|q| quantile(&mut sizes, q));
        let [first, second] = [0, 1].map(|which: usize| Metrics::of(&self.z_spec, &self.z_phot[which]));
        let ratio = |figure: fn(&Metrics) -> Option<f64>| {
            let (first, second) = (figure(&first)?, figure(&second)?);
            (first != 0.0).then(|| second / first)
        };
        let ratios = Ratios {
            precision: ratio(|metrics| metrics.precision),
            bias: ratio(|metrics| metrics.bias),
            outliers_005: ratio(|metrics| metrics.outliers_005),
        };
        ChangeSummary {
            galaxies: count as u64,
            same: self.same,
            largest: self.moved().into_iter().next(),
            rms: share(self.changes.iter().map(|change| change * change).sum()).map(f64::sqrt),
            median,
            p99,
            p99_9,
            beyond_1e_3: share(self.beyond(1e-3) as f64),
            beyond_1e_4: share(self.beyond(1e-4) as f64),
            in_first_alone: self.in_one_alone[0],
            in_second_alone: self.in_one_alone[1],
            in_neither: self.in_neither,
            named_alone: self.named_alone.clone(),
            metrics: BothMetrics { first, second, ratios },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(galaxies: &[(Option<f32>, Option<f32>)]) -> Changes {
        let mut changes = Changes::default();
        for ((first, second), row_index) in galaxies.iter().zip(0..) {
            let flags = [first, second].map(|z| if z.is_some() { 8 } else { Flag::BadPrediction.bit() | 8 });
            let z_spec = (row_index % 2 == 0).then_some(0.25);
            let z_phot = [*first, *second];
            changes.add(&TwicePredicted { source_file: "1.pt", row_index, z_spec, z_phot, flags });
        }
        changes
    }

    #[test]
    fn figures_are_of_the_galaxies_that_have_both_redshifts() {
        let found = changes(&[
            (Some(0.0), Some(0.0)),
            (Some(1.0), Some(1.0005)),
            (Some(0.0), Some(-0.002)),
            (Some(0.5), None),
            (None, Some(0.5)),
            (None, None),
        ])
        .summary();
        assert_eq!((found.galaxies, found.same, found.in_neither), (3, 1, 1));
        let largest = found.largest.unwrap();
        assert_eq!((largest.row_index, largest.z_spec, largest.second), (2, Some(0.25), -0.002));
        let close = |found: Option<f64>, expected: f64| {
            assert!((found.unwrap() - expected).abs() < 1e-7, "{found:?} is not {expected}");
        };
        close(Some(largest.change), -0.002);
        close(found.median, 0.00025);
        close(found.p99, 0.00025 + 0.98 * (0.002 - 0.00025));
        close(found.rms, ((0.00025_f64.powi(2) + 0.002_f64.powi(2)) / 3.0).sqrt());
        assert_eq!((found.beyond_1e_3, found.beyond_1e_4), (Some(1.0 / 3.0), Some(2.0 / 3.0)));
        assert_eq!((found.in_first_alone, found.in_second_alone), (1, 1));
        let alone = |row_index, redshift_in| InOneAlone {
            source_file: "1.pt".into(),
            row_index,
            redshift_in,
            flags: vec!["bad_prediction"],
        };
        assert_eq!(found.named_alone, [alone(3, "first"), alone(4, "second")]);
        assert_eq!((found.metrics.first.n, found.metrics.second.n), (2, 2));
    }

    #[test]
    fn the_metrics_of_both_are_beside_each_other() {
        // dz is −0.2 and 0.04 by the first redshifts, and half of that by the second.
        let found = changes(&[(Some(0.0), Some(0.125)), (None, None), (Some(0.3), Some(0.275))]).summary();
        let BothMetrics { first, second, ratios } = found.metrics;
        assert!((first.bias.unwrap() + 0.08).abs() < 1e-6 && (second.bias.unwrap() + 0.04).abs() < 1e-6);
        assert!((ratios.bias.unwrap() - 0.5).abs() < 1e-5 && (ratios.precision.unwrap() - 0.5).abs() < 1e-5);
        assert_eq!((first.outliers_005, ratios.outliers_005), (Some(0.5), Some(1.0)));
    }

    #[test]
    fn no_galaxy_and_no_change_have_no_figures_that_are_not_numbers() {
        let none = changes(&[]).summary();
        assert_eq!((none.largest, none.rms, none.p99_9, none.beyond_1e_4), (None, None, None, None));
        assert_eq!(none.metrics.ratios, Ratios::default());
        let same = changes(&[(Some(0.5), Some(0.5)); 3]).summary();
        assert_eq!((same.same, same.largest, same.rms, same.p99), (3, None, Some(0.0), Some(0.0)));
        assert_eq!(changes(&[(Some(0.5), None)]).beyond(0.0), 0);
    }

    #[test]
    fn of_many_galaxies_those_that_moved_most_are_named() {
        let galaxies: Vec<_> = (0..3000_u16).map(|row| (Some(0.0), Some(f32::from(row % 1501) * 1e-6))).collect();
        let moved = changes(&galaxies).moved();
        assert_eq!((moved.len(), moved[0].row_index, moved[1].row_index), (50, 1500, 1499));
        // But for the first two, there are two galaxies of each change.
        assert!((moved[49].change - 1475e-6).abs() < 1e-9);
    }
}
