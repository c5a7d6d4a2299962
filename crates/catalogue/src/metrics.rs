//! How good redshifts are, by the definitions of the field.
//!
//! With dz = (z_phot − z_spec) / (1 + z_spec). The top-level figures are AstroMAE's (Fathkouhi & Fox 2024), as the
//! published Results.json has them; the LSST-DESC package RAIL uses other definitions under the same names, so those
//! stand in a group of their own. Medians and quantiles are exact, over the whole catalogue.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// Metrics of n galaxies with both redshifts, by AstroMAE's definitions. Each is finite, or `None` (null) where it
/// cannot be computed: all where n is 0, and one alone where its own formula has no finite value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of galaxies.
    pub n: u64,
    /// Mean of |z_phot − z_spec|.
    #[serde(rename = "MAE")]
    pub mae: Option<f64>,
    /// Mean of (z_phot − z_spec)².
    #[serde(rename = "MSE")]
    pub mse: Option<f64>,
    /// Mean of dz.
    #[serde(rename = "Bias")]
    pub bias: Option<f64>,
    /// σ_NMAD: 1.48 × median of |dz − median of dz|.
    #[serde(rename = "Precision")]
    pub precision: Option<f64>,
    /// 1 − (sum of squared errors) / (sum of squares about the mean z_spec); null where all z_spec are the same.
    #[serde(rename = "R2")]
    pub r2: Option<f64>,
    /// Fraction with |dz| > 0.05.
    #[serde(rename = "outliers_0.05")]
    pub outliers_005: Option<f64>,
    /// Fraction with |dz| > 0.15.
    #[serde(rename = "outliers_0.15")]
    pub outliers_015: Option<f64>,
    /// The same galaxies by RAIL's definitions.
    pub rail: Rail,
}

/// Metrics as RAIL (LSST-DESC) defines them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rail {
    /// Median of dz.
    pub bias: Option<f64>,
    /// σ_IQR: interquartile range of dz / 1.349.
    pub sigma_iqr: Option<f64>,
    /// Fraction with |dz| > max(0.06, 3 σ_IQR).
    pub outliers: Option<f64>,
}

impl Metrics {
    /// Why a metric that is shown to people is missing, for those who see `n/a`; `None` where none is.
    pub fn reason_of_missing(&self) -> Option<&'static str> {
        let Self { n, mae, bias, precision, r2, outliers_005, .. } = self;
        if *n == 0 {
            Some("no galaxy has both a spectroscopic and a predicted redshift")
        } else if [mae, bias, precision, outliers_005].iter().any(|metric| metric.is_none()) {
            Some("the figure is not finite")
        } else if r2.is_none() {
            Some("R² needs spectroscopic redshifts that differ")
        } else {
            None
        }
    }

    /// Metrics of pairs of redshifts.
    pub fn of(z_spec: &[f64], z_phot: &[f32]) -> Self {
        let pairs = || z_spec.iter().zip(z_phot).map(|(spec, phot)| (*spec, f64::from(*phot)));
        let n = z_spec.len().min(z_phot.len());
        let mean = |values: &mut dyn Iterator<Item = f64>| finite(values.sum::<f64>() / n as f64);
        let mse = mean(&mut pairs().map(|(spec, phot)| (phot - spec).powi(2)));
        let mean_spec = mean(&mut pairs().map(|(spec, _)| spec));
        let variance = mean_spec
            .filter(|_| !are_equal(pairs().map(|(spec, _)| spec)))
            .and_then(|mean_spec| mean(&mut pairs().map(|(spec, _)| (spec - mean_spec).powi(2))));

        let mut metrics = Self {
            n: n as u64,
            mae: mean(&mut pairs().map(|(spec, phot)| (phot - spec).abs())),
            mse,
            r2: mse.zip(variance).and_then(|(mse, variance)| finite(1.0 - mse / variance)),
            ..Self::default()
        };
        let mut dz: Vec<f64> = pairs().map(|(spec, phot)| (phot - spec) / (1.0 + spec)).collect();
        if !dz.iter().all(|dz| dz.is_finite()) {
            return metrics;
        }
        let fraction = |dz: &[f64], limit: f64| mean(&mut dz.iter().map(|dz| f64::from(u8::from(dz.abs() > limit))));
        metrics.bias = mean(&mut dz.iter().copied());
        metrics.outliers_005 = fraction(&dz, 0.05);
        metrics.outliers_015 = fraction(&dz, 0.15);
        let [q25, median, q75] = [0.25, 0.5, 0.75].map(|q| quantile(&mut dz, q));
        let sigma_iqr = q25.zip(q75).and_then(|(q25, q75)| finite((q75 - q25) / 1.349));
        metrics.rail = Rail {
            bias: median,
            sigma_iqr,
            outliers: sigma_iqr.and_then(|sigma_iqr| fraction(&dz, (3.0 * sigma_iqr).max(0.06))),
        };
        metrics.precision = median.and_then(|median| {
            // In place: of five million galaxies it is 40 MB.
            let mut deviations = dz;
            deviations.iter_mut().for_each(|dz| *dz = (*dz - median).abs());
            quantile(&mut deviations, 0.5).and_then(|deviation| finite(1.48 * deviation))
        });
        metrics
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Whether values are the same up to the rounding of f32, in which most redshifts are kept. Spectra do not tell closer
/// ones apart, and what is computed of their spread is rounding: of three times 0.1, a variance of 2·10⁻³⁴.
fn are_equal(values: impl Iterator<Item = f64>) -> bool {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    high - low <= f64::from(f32::EPSILON) * low.abs().max(high.abs())
}

/// The q-quantile, between neighbours by linear interpolation, as NumPy's default is; `None` of no values, and where it
/// is not finite. Reorders the values.
pub fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    interpolated(values, q, f64::total_cmp)
}

/// The same of f32, for what is drawn.
pub fn quantile_f32(values: &mut [f32], q: f64) -> Option<f64> {
    interpolated(values, q, f32::total_cmp)
}

fn interpolated<T: Copy + Into<f64>>(values: &mut [T], q: f64, order: fn(&T, &T) -> Ordering) -> Option<f64> {
    let position = q * values.len().checked_sub(1)? as f64;
    let below = position.floor() as usize;
    let (_, low, above) = values.select_nth_unstable_by(below, order);
    let low: f64 = (*low).into();
    finite(match above.iter().copied().min_by(order) {
        Some(high) => low + (position - below as f64) * (high.into() - low),
        None => low,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: Option<f64>, expected: f64) {
        assert!((found.unwrap() - expected).abs() < 1e-7, "{found:?} is not {expected}");
    }

    /// All figures but n.
    fn figures(metrics: &Metrics) -> [Option<f64>; 10] {
        let Metrics { n: _, mae, mse, bias, precision, r2, outliers_005, outliers_015, rail } = *metrics;
        [mae, mse, bias, precision, r2, outliers_005, outliers_015, rail.bias, rail.sigma_iqr, rail.outliers]
    }

    #[test]
    fn four_galaxies_worked_out_by_hand() {
        // dz = 0.1, 0, −0.1, 0.2
        let metrics = Metrics::of(&[0.0, 1.0, 0.0, 0.25], &[0.1, 1.0, -0.1, 0.5]);
        close(metrics.mae, 0.1125);
        close(metrics.mse, (0.01 + 0.0 + 0.01 + 0.0625) / 4.0);
        close(metrics.bias, 0.05);
        // median dz = 0.05, deviations 0.05, 0.05, 0.15, 0.15
        close(metrics.precision, 1.48 * 0.1);
        close(metrics.rail.bias, 0.05);
        // quartiles −0.025 and 0.125
        close(metrics.rail.sigma_iqr, 0.15 / 1.349);
        assert_eq!((metrics.outliers_005, metrics.outliers_015), (Some(0.75), Some(0.25)));
        assert_eq!(metrics.rail.outliers, Some(0.0));
        // Sum of squares about the mean 0.3125: 0.671875
        close(metrics.r2, 1.0 - 0.0825 / 0.671875);
    }

    #[test]
    fn perfect_redshifts_have_no_error() {
        let metrics = Metrics::of(&[0.5, 0.25, 0.125], &[0.5, 0.25, 0.125]);
        assert_eq!(figures(&metrics).map(Option::unwrap), [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn no_galaxy_has_no_metrics() {
        let none = Metrics::of(&[], &[]);
        assert_eq!(none, Metrics::default());
        assert!(serde_json::to_string(&none).unwrap().starts_with(r#"{"n":0,"MAE":null,"MSE":null"#));
    }

    #[test]
    fn equal_redshifts_have_all_metrics_but_r2() {
        let far_apart = [0.2_f32, 0.4, 0.1, 0.3];
        let almost = [0.3, 0.1 + 0.2, f64::from(0.3_f32)];
        for z_spec in [&[0.5][..], &[0.5, 0.5], &[0.1, 0.1, 0.1], &[0.0, 0.0], &almost] {
            let metrics = Metrics::of(z_spec, &far_apart[..z_spec.len()]);
            assert_eq!(metrics.r2, None, "{z_spec:?}");
            assert_eq!(figures(&metrics).iter().flatten().count(), 9, "{z_spec:?}");
        }
        assert_eq!(Metrics::of(&vec![0.1; 100_000], &vec![0.2; 100_000]).r2, None);
        assert!(Metrics::of(&[0.1, 0.10001], &[0.1, 0.1]).r2.is_some());
    }

    #[test]
    fn a_metric_without_a_value_costs_no_other_its_own() {
        // dz is infinite for z_spec = −1, and the square of 10³⁰⁰ is beyond f64.
        let metrics = Metrics::of(&[-1.0, 0.5], &[0.5, 0.5]);
        assert_eq!((metrics.mae, metrics.bias, metrics.precision), (Some(0.75), None, None));
        let metrics = Metrics::of(&[1e300, 0.5], &[0.5, 0.5]);
        assert_eq!((metrics.mae, metrics.mse, metrics.r2), (Some(5e299), None, None));
        assert_eq!(metrics.outliers_005, Some(0.5));
    }

    proptest! {
        #[test]
        fn no_bit_pattern_gives_a_metric_that_is_not_finite(
            pairs in proptest::collection::vec((any::<u64>(), any::<u32>()), 0..20),
        ) {
            let (z_spec, z_phot): (Vec<f64>, Vec<f32>) =
                pairs.into_iter().map(|(spec, phot)| (f64::from_bits(spec), f32::from_bits(phot))).unzip();
            let metrics = Metrics::of(&z_spec, &z_phot);
            prop_assert!(figures(&metrics).iter().flatten().all(|figure| figure.is_finite()), "{metrics:?}");
            let json = serde_json::to_string(&metrics).unwrap();
            let back: Metrics = serde_json::from_str(&json).unwrap();
            prop_assert_eq!((back.n, figures(&back).map(|f| f.is_some())), (metrics.n, figures(&metrics).map(|f| f.is_some())));
        }
    }
}
