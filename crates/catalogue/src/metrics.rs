//! How good redshifts are, by the definitions of the field.
//!
//! With dz = (z_phot − z_spec) / (1 + z_spec). The top-level figures are AstroMAE's (Fathkouhi & Fox 2024), as the
//! published Results.json has them; the LSST-DESC package RAIL uses other definitions under the same names, so those
//! stand in a group of their own. Medians and quantiles are exact, over the whole catalogue.

use serde::{Deserialize, Serialize};

/// Metrics of n ≥ 1 galaxies with both redshifts, by AstroMAE's definitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of galaxies.
    pub n: u64,
    /// Mean of |z_phot − z_spec|.
    #[serde(rename = "MAE")]
    pub mae: f64,
    /// Mean of (z_phot − z_spec)².
    #[serde(rename = "MSE")]
    pub mse: f64,
    /// Mean of dz.
    #[serde(rename = "Bias")]
    pub bias: f64,
    /// σ_NMAD: 1.48 × median of |dz − median of dz|.
    #[serde(rename = "Precision")]
    pub precision: f64,
    /// 1 − (sum of squared errors) / (sum of squares about the mean z_spec); null where all z_spec are the same.
    #[serde(rename = "R2")]
    pub r2: Option<f64>,
    /// Fraction with |dz| > 0.05.
    #[serde(rename = "outliers_0.05")]
    pub outliers_005: f64,
    /// Fraction with |dz| > 0.15.
    #[serde(rename = "outliers_0.15")]
    pub outliers_015: f64,
    /// The same galaxies by RAIL's definitions.
    pub rail: Rail,
}

/// Metrics as RAIL (LSST-DESC) defines them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rail {
    /// Median of dz.
    pub bias: f64,
    /// σ_IQR: interquartile range of dz / 1.349.
    pub sigma_iqr: f64,
    /// Fraction with |dz| > max(0.06, 3 σ_IQR).
    pub outliers: f64,
}

impl Metrics {
    /// Metrics of pairs of redshifts, all finite; `None` of no pairs at all.
    pub fn of(z_spec: &[f64], z_phot: &[f32]) -> Option<Self> {
        let pairs = || z_spec.iter().zip(z_phot).map(|(spec, phot)| (*spec, f64::from(*phot)));
        let n = z_spec.len().min(z_phot.len());
        if n == 0 {
            return None;
        }
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / n as f64;
        let mse = mean(&mut pairs().map(|(spec, phot)| (phot - spec).powi(2)));
        let mean_spec = mean(&mut pairs().map(|(spec, _)| spec));
        let variance = mean(&mut pairs().map(|(spec, _)| (spec - mean_spec).powi(2)));

        let mut dz: Vec<f64> = pairs().map(|(spec, phot)| (phot - spec) / (1.0 + spec)).collect();
        let bias = mean(&mut dz.iter().copied());
        let fraction = |dz: &[f64], limit: f64| dz.iter().filter(|dz| dz.abs() > limit).count() as f64 / n as f64;
        let (outliers_005, outliers_015) = (fraction(&dz, 0.05), fraction(&dz, 0.15));
        let [q25, median, q75] = [0.25, 0.5, 0.75].map(|q| quantile(&mut dz, q));
        let sigma_iqr = (q75 - q25) / 1.349;
        let rail = Rail { bias: median, sigma_iqr, outliers: fraction(&dz, (3.0 * sigma_iqr).max(0.06)) };
        let mut deviations: Vec<f64> = dz.iter().map(|dz| (dz - median).abs()).collect();
        Some(Self {
            n: n as u64,
            mae: mean(&mut pairs().map(|(spec, phot)| (phot - spec).abs())),
            mse,
            bias,
            precision: 1.48 * quantile(&mut deviations, 0.5),
            r2: (variance > 0.0).then(|| 1.0 - mse / variance),
            outliers_005,
            outliers_015,
            rail,
        })
    }
}

/// The q-quantile of at least one value, between neighbours by linear interpolation, as NumPy's default is. Reorders
/// the values.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> f64 {
    let position = q * (values.len() - 1) as f64;
    let below = position.floor() as usize;
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    match above.iter().copied().min_by(f64::total_cmp) {
        Some(high) => low + (position - below as f64) * (high - low),
        None => low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn four_galaxies_worked_out_by_hand() {
        // dz = 0.1, 0, −0.1, 0.2
        let metrics = Metrics::of(&[0.0, 1.0, 0.0, 0.25], &[0.1, 1.0, -0.1, 0.5]).unwrap();
        let exact = |value: f32, expected: f64| assert!((f64::from(value) - expected).abs() < 1e-6);
        exact(metrics.mae as f32, 0.1125);
        exact(metrics.mse as f32, (0.01 + 0.0 + 0.01 + 0.0625) / 4.0);
        exact(metrics.bias as f32, 0.05);
        // median dz = 0.05, deviations 0.05, 0.05, 0.15, 0.15
        exact(metrics.precision as f32, 1.48 * 0.1);
        exact(metrics.rail.bias as f32, 0.05);
        // quartiles −0.025 and 0.125
        exact(metrics.rail.sigma_iqr as f32, 0.15 / 1.349);
        close(metrics.outliers_005, 0.75);
        close(metrics.outliers_015, 0.25);
        close(metrics.rail.outliers, 0.0);
        // Sum of squares about the mean 0.3125: 0.671875
        exact(metrics.r2.unwrap() as f32, 1.0 - 0.0825 / 0.671875);
    }

    #[test]
    fn perfect_redshifts_have_no_error() {
        let metrics = Metrics::of(&[0.5, 0.25, 0.125], &[0.5, 0.25, 0.125]).unwrap();
        assert_eq!((metrics.mae, metrics.bias, metrics.precision, metrics.r2), (0.0, 0.0, 0.0, Some(1.0)));
    }

    #[test]
    fn what_cannot_be_computed_is_null_and_never_nan() {
        assert_eq!(Metrics::of(&[], &[]), None);
        let one = Metrics::of(&[0.5], &[0.25]).unwrap();
        assert_eq!((one.n, one.r2), (1, None));
        assert!(serde_json::to_string(&one).unwrap().contains("\"R2\":null"));
        assert_eq!(Metrics::of(&[0.5, 0.5], &[0.5, 0.25]).unwrap().r2, None);
    }
}
