//! How sure a redshift is: intervals around a network's single number, by split conformal prediction.
//!
//! A network that gives one number is calibrated afterwards, on labelled galaxies that it was not trained with
//! (Papadopoulos et al. 2002; Lei et al. 2018, JASA 113, 1094). Of their errors δ = (z_spec − z_phot)/(1 + z_phot) a
//! [`Calibration`] keeps the quantiles at the [`LEVELS`], in cells of about equal numbers of galaxies: by z_phot first,
//! then by the r magnitude within each column of cells, because errors grow towards the faint end. A galaxy's quantiles
//! are then z_phot + (1 + z_phot)·Q(its cell). Nothing is assumed of the errors' distribution, only that the galaxies
//! to come are like those of the sample; where the network is biased, the quantiles are shifted by as much.
//!
//! **The correction for finite samples.** Let a cell have n errors, and let a further galaxy be like them. Its error is
//! equally likely to fall into each of the n + 1 gaps that the n leave, so it is below the k-th smallest of them with
//! probability k/(n + 1), and not with k/n. So that an interval covers at least what it claims, the upper end must be
//! the order statistic ⌈(n + 1)·level⌉, and the lower end ⌊(n + 1)·level⌋. Rounded up at both ends, the interval would
//! cover up to 1/(n + 1) less than it claims. At the median, where no side is the safe one, it is the mean of the two.
//!
//! - [`Calibration::fit`] makes the table, [`Calibration::quantiles`] applies it to a galaxy.
//! - [`Calibration::to_stored`] and [`Calibration::from_stored`] are its form in a model's file.
//! - [`IntervalSums`] is what the ranks of a run count of their labelled galaxies, [`IntervalMetrics`] what is made of
//!   the sum of these.

mod calibration;
mod columns;
mod fit;
mod levels;
mod metrics;
mod quantiles;
mod stored;
mod sums;

pub use calibration::{Calibrated, Calibration, MadeOf};
pub use columns::QuantileColumns;
pub use fit::{FitError, LabelledGalaxy, MIN_GALAXIES};
pub use levels::{LEVELS, LevelSet};
pub use metrics::IntervalMetrics;
pub use quantiles::Quantiles;
pub use stored::{StoredArray, StoredError};
pub use sums::IntervalSums;
