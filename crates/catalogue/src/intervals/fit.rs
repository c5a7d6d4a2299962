//! Making a calibration of labelled galaxies.
//!
//! How many cells there are was measured on two simulated samples of 20,000 galaxies, each tested on the other
//! (`scripts/calibration.sh` repeats it for the shape that is used). With one cell, the coverage of 68.27 % is right on
//! the whole and 9 points off in the worst of eight bins of r; ten cells in z_phot alone do not mend this. Ten columns
//! of four cells do, to 2 to 4 points, which is what samples of this size scatter by. Other shapes of 25 to 42 cells,
//! and interpolation between cells in r, in z_phot, or in both, are no better and no worse.

use super::{
    calibration::{Calibration, MadeOf, cell},
    levels::{COUNT, MEDIAN, TEN_THOUSANDTHS},
};
use crate::plausible::{MAGNITUDES, is_redshift};

/// The fewest galaxies that a calibration is made of. It must be more than 42, for an error to be at the lowest level.
pub const MIN_GALAXIES: usize = 100;

/// The number of galaxies that a cell should have. Coverage of 68.27 % in a cell of n scatters by 0.47/√n: 2.3 points.
const GALAXIES_PER_CELL: usize = 400;

/// The most columns of cells in z_phot, and cells in r of each column.
const MOST: (usize, usize) = (10, 4);

/// One galaxy of which both redshifts are known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledGalaxy {
    /// The predicted redshift.
    pub z_phot: f32,
    /// The spectroscopic redshift.
    pub z_spec: f64,
    /// The magnitude in r.
    pub r: f32,
}

impl LabelledGalaxy {
    fn is_plausible(&self) -> bool {
        is_redshift(self.z_phot.into()) && is_redshift(self.z_spec) && MAGNITUDES.contains(&self.r)
    }

    /// δ = (z_spec − z_phot)/(1 + z_phot).
    fn error(&self) -> f64 {
        let z_phot = f64::from(self.z_phot);
        (self.z_spec - z_phot) / (1.0 + z_phot)
    }
}

/// A sample of which no calibration can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{usable} galaxies have both redshifts and a magnitude in r, and a calibration takes at least {MIN_GALAXIES}")]
pub struct FitError {
    /// The galaxies that could be used.
    pub usable: usize,
}

impl Calibration {
    /// Makes a calibration of labelled galaxies, in any order. Those with a number that cannot be a redshift or
    /// magnitude are left out; [`MadeOf::galaxies`] is set to the number of the others.
    ///
    /// # Errors
    /// [`FitError`] for fewer than [`MIN_GALAXIES`].
    pub fn fit(galaxies: &[LabelledGalaxy], made_of: MadeOf) -> Result<Self, FitError> {
        let mut galaxies: Vec<_> = galaxies.iter().copied().filter(LabelledGalaxy::is_plausible).collect();
        if galaxies.len() < MIN_GALAXIES {
            return Err(FitError { usable: galaxies.len() });
        }
        galaxies.sort_by(|a, b| a.z_phot.total_cmp(&b.z_phot));
        let sorted: Vec<f32> = galaxies.iter().map(|galaxy| galaxy.z_phot).collect();
        let (columns, rows) = shape(galaxies.len());
        let z_edges = most_parts(columns, |parts| equal_parts(&sorted, parts));
        let columns = split(galaxies, &z_edges, |galaxy| galaxy.z_phot);
        let magnitudes: Vec<Vec<f32>> = columns
            .iter()
            .map(|column| {
                let mut magnitudes: Vec<f32> = column.iter().map(|galaxy| galaxy.r).collect();
                magnitudes.sort_by(f32::total_cmp);
                magnitudes
            })
            .collect();
        let r_edges =
            most_parts(rows, |parts| magnitudes.iter().map(|sorted| equal_parts(sorted, parts)).collect::<Option<_>>());
        let made_of = MadeOf { galaxies: sorted.len() as u64, ..made_of };
        let errors = columns
            .into_iter()
            .zip::<&Vec<Vec<f32>>>(&r_edges)
            .map(|(column, edges)| split(column, edges, |galaxy| galaxy.r).into_iter().map(quantiles).collect())
            .collect();
        Ok(Self { made_of, z_edges, r_edges, errors })
    }
}

/// How many columns of cells, and cells in each, a sample of n galaxies is divided into: about 5 to 2, and no more than
/// there are galaxies for.
fn shape(n: usize) -> (usize, usize) {
    let cells = (n / GALAXIES_PER_CELL).max(1);
    let rows = ((cells as f64 / 2.5).sqrt().round() as usize).clamp(1, MOST.1);
    ((cells / rows).min(MOST.0), rows)
}

/// What `cut` gives for the greatest number of parts, up to `most`, for which it gives something. One part is always
/// possible.
fn most_parts<T: Default>(most: usize, cut: impl Fn(usize) -> Option<T>) -> T {
    (1..=most).rev().find_map(cut).unwrap_or_default()
}

/// The edges of parts of about equal numbers, the outer ones included. Equal values are in one part, which moves an
/// edge; `None` where that leaves a part less than half of what it should have.
fn equal_parts(sorted: &[f32], parts: usize) -> Option<Vec<f32>> {
    let n = sorted.len();
    let mut cuts = vec![0];
    for part in 1..parts {
        let aim = part * n / parts;
        let first = sorted.partition_point(|value| *value < sorted[aim]);
        let next = sorted.partition_point(|value| *value <= sorted[aim]);
        cuts.push(if aim - first <= next - aim { first } else { next });
    }
    cuts.push(n);
    let is_fair = cuts.windows(2).all(|cut| cut[1].saturating_sub(cut[0]) >= n.div_ceil(2 * parts));
    let edges = cuts.iter().map(|cut| sorted[(*cut).min(n - 1)]);
    is_fair.then(|| edges.collect())
}

/// Divides galaxies by edges in one of their values.
fn split(
    galaxies: Vec<LabelledGalaxy>,
    edges: &[f32],
    value: impl Fn(&LabelledGalaxy) -> f32,
) -> Vec<Vec<LabelledGalaxy>> {
    let mut parts = vec![Vec::new(); edges.len() - 1];
    for galaxy in galaxies {
        parts[cell(edges, value(&galaxy))].push(galaxy);
    }
    parts
}

/// The quantiles of the errors of a cell's galaxies, with the correction for finite samples.
fn quantiles(galaxies: Vec<LabelledGalaxy>) -> [f32; COUNT] {
    let mut errors: Vec<f64> = galaxies.iter().map(LabelledGalaxy::error).collect();
    errors.sort_by(f64::total_cmp);
    let n = errors.len() as u64;
    let smallest = |k: u64| errors[k.clamp(1, n) as usize - 1];
    std::array::from_fn(|place| {
        let scaled = (n + 1) * TEN_THOUSANDTHS[place];
        let (down, up) = (smallest(scaled / 10_000), smallest(scaled.div_ceil(10_000)));
        (match place.cmp(&MEDIAN) {
            std::cmp::Ordering::Less => down,
            std::cmp::Ordering::Equal => (down + up) / 2.0,
            std::cmp::Ordering::Greater => up,
        }) as f32
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::intervals::{IntervalMetrics, IntervalSums, levels::LEVELS};

    fn made_of() -> MadeOf {
        MadeOf {
            sample: "sky".into(),
            galaxies: 0,
            note: None,
            model_sha256: "ab".into(),
            precision: "f32".into(),
            version: "1".into(),
        }
    }

    fn fitted(galaxies: &[LabelledGalaxy]) -> Calibration {
        Calibration::fit(galaxies, made_of()).unwrap()
    }

    /// Random numbers from 0 to 1 (SplitMix64: Steele, Lea & Flood 2014).
    fn random(seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        })
    }

    /// A sample whose errors grow with r and are biased at high redshift.
    fn sample(n: usize, seed: u64) -> Vec<LabelledGalaxy> {
        let mut random = random(seed);
        let mut next = || random.next().unwrap();
        (0..n)
            .map(|_| {
                let (z_phot, r) = ((0.125 + 0.5 * next()) as f32, (14.0 + 4.0 * next()) as f32);
                let scatter = 0.004 * (10.0 + f64::from(r - 14.0)) * (next() + next() + next() - 1.5);
                let z = f64::from(z_phot);
                LabelledGalaxy { z_phot, z_spec: z + (1.0 + z) * (scatter + 0.05 * z), r }
            })
            .collect()
    }

    #[test]
    fn quantiles_are_the_order_statistics_that_cover_what_they_claim() {
        // 399 errors: 0.001, 0.002 … 0.399. (n + 1)·level is 9.12, 20, …, 63.48, …, 200, …, 336.52, …, 390.88.
        let cell = (1..=399).rev().map(|k| LabelledGalaxy { z_phot: 0.0, z_spec: f64::from(k) / 1000.0, r: 17.0 });
        let found = quantiles(cell.collect());
        for (level, expected) in
            [(0.0228, 0.009), (0.05, 0.02), (0.1587, 0.063), (0.5, 0.2), (0.55, 0.22), (0.8413, 0.337), (0.9772, 0.391)]
        {
            let place = LEVELS.iter().position(|known| *known == level).unwrap();
            assert_eq!(found[place], expected, "{level}");
        }
        // Of an even number, the median lies between two errors: (n + 1)/2 is 200.5.
        let cell = (1..=400).map(|k| LabelledGalaxy { z_phot: 0.0, z_spec: f64::from(k) / 1000.0, r: 17.0 });
        assert_eq!(quantiles(cell.collect())[MEDIAN], 0.2005);
    }

    #[test]
    fn fewer_galaxies_make_fewer_cells() {
        for (n, expected) in [
            (100, (1, 1)),
            (799, (1, 1)),
            (800, (2, 1)),
            (2_400, (3, 2)),
            (5_000, (6, 2)),
            (16_000, (10, 4)),
            (20_000, (10, 4)),
            (10_000_000, (10, 4)),
        ] {
            assert_eq!(shape(n), expected, "{n}");
        }
        let calibration = fitted(&sample(16_000, 1));
        assert_eq!((calibration.shape(), calibration.made_of.galaxies), ((10, 4), 16_000));
    }

    #[test]
    fn too_few_galaxies_are_refused_and_implausible_ones_left_out() {
        let mut galaxies = sample(100, 1);
        assert_eq!(fitted(&galaxies).made_of.galaxies, 100);
        galaxies[3].z_spec = -9999.0;
        assert_eq!(Calibration::fit(&galaxies, made_of()), Err(FitError { usable: 99 }));
        galaxies[4].r = f32::NAN;
        galaxies[5].z_phot = f32::INFINITY;
        galaxies.extend(sample(100, 2));
        assert_eq!(fitted(&galaxies).made_of.galaxies, 197);
    }

    #[test]
    fn the_order_of_galaxies_does_not_matter() {
        let galaxies = sample(3_000, 5);
        let reversed: Vec<_> = galaxies.iter().rev().copied().collect();
        assert_eq!(fitted(&galaxies), fitted(&reversed));
    }

    #[test]
    fn equal_redshifts_and_magnitudes_stay_together() {
        // All are equal: one cell.
        let equal: Vec<_> =
            sample(4_000, 3).into_iter().map(|galaxy| LabelledGalaxy { z_phot: 0.1, r: 17.0, ..galaxy }).collect();
        assert_eq!(fitted(&equal).shape(), (1, 1));
        // Redshifts in three equal heaps cannot be cut into five columns.
        let heaps: Vec<_> = (0..)
            .zip(sample(4_000, 3))
            .map(|(row, galaxy)| LabelledGalaxy { z_phot: (row % 3) as f32, ..galaxy })
            .collect();
        let calibration = fitted(&heaps);
        assert_eq!((calibration.shape(), &*calibration.z_edges), ((3, 2), &[0.0, 1.0, 2.0, 2.0][..]));
        // Rounded to hundredths, they still make ten columns.
        let rounded: Vec<_> = sample(20_000, 3)
            .into_iter()
            .map(|galaxy| LabelledGalaxy { z_phot: (galaxy.z_phot * 100.0).round() / 100.0, ..galaxy })
            .collect();
        assert_eq!(fitted(&rounded).shape(), (10, 4));
    }

    #[test]
    fn intervals_hold_on_other_galaxies_in_each_part_of_the_sample() {
        let calibration = fitted(&sample(20_000, 1));
        let test = sample(20_000, 2);
        let mut all = IntervalSums::default();
        let mut by_r = vec![IntervalSums::default(); 8];
        let mut by_z = by_r.clone();
        for galaxy in &test {
            let quantiles = calibration.quantiles(galaxy.z_phot, galaxy.r).quantiles;
            let bins = (((galaxy.r - 14.0) * 2.0) as usize, ((galaxy.z_phot - 0.125) * 16.0) as usize);
            for sums in [&mut all, &mut by_r[bins.0], &mut by_z[bins.1]] {
                sums.add(&quantiles, galaxy.z_spec);
            }
        }
        let metrics = IntervalMetrics::of(&all);
        assert!((metrics.coverage_68.unwrap() - 0.6827).abs() < 0.01, "{metrics:?}");
        assert!((metrics.coverage_95.unwrap() - 0.9545).abs() < 0.01, "{metrics:?}");
        // Two samples of 20,000 of one distribution are further apart once in a hundred times: 1.63 √(2/20,000).
        assert!(metrics.ks.unwrap() < 0.0163, "{metrics:?}");
        for part in by_r.iter().chain(&by_z) {
            let metrics = IntervalMetrics::of(part);
            assert!((metrics.coverage_68.unwrap() - 0.6827).abs() < 0.04, "{metrics:?}");
            assert!((metrics.coverage_95.unwrap() - 0.9545).abs() < 0.03, "{metrics:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4))]

        /// Exchangeable data of any size: on the average over samples, the coverage is at least the nominal one.
        #[test]
        fn coverage_is_at_least_nominal(n in 100_usize..300, seed in 0_u64..1 << 40) {
            let (mut inside, mut asked) = ([0.0; 2], 0.0);
            for round in 0..100 {
                let galaxies = sample(n + 20, seed ^ (round << 50));
                let calibration = fitted(&galaxies[20..]);
                for galaxy in &galaxies[..20] {
                    let quantiles = calibration.quantiles(galaxy.z_phot, galaxy.r).quantiles;
                    inside[0] += f64::from(u8::from(quantiles.has_in_68(galaxy.z_spec)));
                    inside[1] += f64::from(u8::from(quantiles.has_in_95(galaxy.z_spec)));
                    asked += 1.0;
                }
            }
            // Four standard deviations of 2,000 galaxies, of which twenty share a sample.
            prop_assert!(inside[0] / asked > 0.6826 - 0.045, "{}", inside[0] / asked);
            prop_assert!(inside[1] / asked > 0.9544 - 0.02, "{}", inside[1] / asked);
        }

        #[test]
        fn any_galaxies_make_a_table_that_does_not_decrease(
            galaxies in prop::collection::vec(
                (prop_oneof![Just(0.1_f32), -0.1_f32..3.0, any::<f32>()], prop_oneof![0.0..3.0, any::<f64>()],
                 prop_oneof![Just(17.0_f32), 14.0_f32..20.0]),
                0..2000,
            ),
        ) {
            let galaxies: Vec<_> =
                galaxies.into_iter().map(|(z_phot, z_spec, r)| LabelledGalaxy { z_phot, z_spec, r }).collect();
            if let Ok(calibration) = Calibration::fit(&galaxies, made_of()) {
                let (arrays, description) = calibration.to_stored();
                prop_assert_eq!(Calibration::from_stored(&arrays, &description).unwrap(), calibration);
            }
        }
    }
}
