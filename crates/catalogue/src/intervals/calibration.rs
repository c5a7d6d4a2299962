//! The table of a calibrated model, and its application to a galaxy.

use crate::precision::f32_precision;

use super::{
    levels::{COUNT, HIGH_68, LOW_68},
    quantiles::Quantiles,
};

/// The errors of a model's redshifts by z_phot and r magnitude, as quantiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// What the table was made of.
    pub made_of: MadeOf,
    /// The edges of the columns of cells in z_phot, increasing. The first and last are those of the sample; one in
    /// between is the least z_phot of the column above it.
    pub(super) z_edges: Vec<f32>,
    /// For each column of cells, the edges of its cells in r, in the same way.
    pub(super) r_edges: Vec<Vec<f32>>,
    /// For each column and each of its cells, the quantiles of δ at all levels.
    pub(super) errors: Vec<Vec<[f32; COUNT]>>,
}

/// What a calibration was made of, for whoever reads a catalogue that it was used for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MadeOf {
    /// The name of the data set of labelled galaxies.
    pub sample: String,
    /// The number of its galaxies that were used: those with plausible redshifts of both kinds.
    pub galaxies: u64,
    /// What else is known of the sample, such as its seed or date.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// SHA-256, in hexadecimal, of the model's file that predicted the sample's redshifts: that without this table.
    pub model_sha256: String,
    /// The numbers that the engine multiplied, as in [`Provenance`](crate::Provenance). The table may be used with
    /// another precision, whose redshifts differ by far less than the errors that the table is of.
    #[serde(default = "f32_precision")]
    pub precision: String,
    /// The version of Cosmic that made it.
    pub version: String,
}

/// What a calibration says of one galaxy.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// The quantiles of the galaxy's redshift.
    pub quantiles: Quantiles,
    /// Whether the sample had such galaxies: z_phot is in the sample's range, and r in that of its column of cells.
    /// Elsewhere the quantiles are those of the nearest cell, and nothing promises that they hold.
    pub in_range: bool,
}

impl Calibration {
    /// The quantiles of a galaxy's redshift, of the predicted one and the magnitude in r.
    pub fn quantiles(&self, z_phot: f32, r: f32) -> Calibrated {
        let column = cell(&self.z_edges, z_phot);
        let r_edges = &self.r_edges[column];
        let errors = &self.errors[column][cell(r_edges, r)];
        let z = f64::from(z_phot);
        Calibrated {
            quantiles: Quantiles::new(errors.map(|error| (z + (1.0 + z) * f64::from(error)) as f32)),
            in_range: is_between(&self.z_edges, z_phot) && is_between(r_edges, r),
        }
    }

    /// The number of columns of cells, and of cells in each.
    pub fn shape(&self) -> (usize, usize) {
        (self.errors.len(), self.errors[0].len())
    }

    /// The least and greatest z_phot of the sample.
    pub fn z_range(&self) -> (f32, f32) {
        ends(&self.z_edges)
    }

    /// The least and greatest r magnitude of the sample.
    pub fn r_range(&self) -> (f32, f32) {
        let ends = self.r_edges.iter().map(|edges| ends(edges));
        ends.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), (from, to)| (low.min(from), high.max(to)))
    }

    /// Half the width, in δ, of the interval of 68.27 % in the median cell.
    pub fn median_half_width(&self) -> f64 {
        let cells = self.errors.iter().flatten();
        let mut widths: Vec<f64> =
            cells.map(|errors| (f64::from(errors[HIGH_68]) - f64::from(errors[LOW_68])) / 2.0).collect();
        crate::metrics::quantile(&mut widths, 0.5).unwrap_or_default()
    }
}

/// The cell in which a value is. Outside the first and last edge it is the nearest one.
pub(super) fn cell(edges: &[f32], value: f32) -> usize {
    edges[1..edges.len() - 1].partition_point(|edge| *edge <= value)
}

fn is_between(edges: &[f32], value: f32) -> bool {
    let (low, high) = ends(edges);
    (low..=high).contains(&value)
}

fn ends(edges: &[f32]) -> (f32, f32) {
    (edges[0], edges[edges.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns of two cells, which part at z_phot 0.5, and at r 17 and 19; errors are one number a cell.
    fn two_by_two() -> Calibration {
        Calibration {
            made_of: MadeOf {
                sample: "s".into(),
                galaxies: 1600,
                note: None,
                model_sha256: "ab".into(),
                precision: "f32".into(),
                version: "1".into(),
            },
            z_edges: vec![0.0, 0.5, 1.0],
            r_edges: vec![vec![14.0, 17.0, 18.0], vec![16.0, 19.0, 20.0]],
            errors: vec![vec![[0.0; COUNT], [0.25; COUNT]], vec![[-0.25; COUNT], [0.5; COUNT]]],
        }
    }

    #[test]
    fn a_galaxy_has_the_errors_of_its_cell_scaled_by_its_redshift() {
        let calibration = two_by_two();
        for (z_phot, r, expected, in_range) in [
            (0.25, 15.0, 0.25, true),
            (0.25, 17.0, 0.25 + 1.25 * 0.25, true),
            (0.25, 18.5, 0.25 + 1.25 * 0.25, false),
            (0.5, 18.5, 0.5 - 1.5 * 0.25, true),
            (0.5, 14.0, 0.5 - 1.5 * 0.25, false),
            (1.0, 20.0, 1.0 + 2.0 * 0.5, true),
            (3.0, 20.0, 3.0 + 4.0 * 0.5, false),
            (-0.04, 14.0, -0.04, false),
            (0.0, 14.0, 0.0, true),
        ] {
            let found = calibration.quantiles(z_phot, r);
            assert_eq!(found.quantiles.all(), &[expected; COUNT], "{z_phot} {r}");
            assert_eq!(found.in_range, in_range, "{z_phot} {r}");
        }
        assert!(!calibration.quantiles(f32::NAN, f32::NAN).in_range);
        assert_eq!(
            (calibration.shape(), calibration.z_range(), calibration.r_range()),
            ((2, 2), (0.0, 1.0), (14.0, 20.0))
        );
    }
}
