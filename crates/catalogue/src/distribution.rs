//! How redshifts are distributed, in memory that does not grow with their number.

use crate::plausible::REDSHIFTS;

/// The width of a bin in redshift. A chart of a narrow sample, 0.5 wide, has a pixel for five of them.
const WIDTH: f64 = 1e-4;

/// Counts of redshifts in narrow bins over all that can be one.
#[derive(Debug, Default)]
pub(crate) struct Distribution {
    /// Nothing before the first redshift: 800 kB are much for a catalogue that compares all of its own.
    counts: Vec<u32>,
    n: u64,
}

impl Distribution {
    /// Takes in a redshift, which must be one that can be.
    pub(crate) fn add(&mut self, z: f32) {
        if self.counts.is_empty() {
            self.counts = vec![0; bin(*REDSHIFTS.end()) + 1];
        }
        let last = self.counts.len() - 1;
        let count = &mut self.counts[bin(z).min(last)];
        *count = count.saturating_add(1);
        self.n += 1;
    }

    /// Number of redshifts.
    pub(crate) fn n(&self) -> u64 {
        self.n
    }

    /// The middles of the bins that have redshifts, in order, with the number of these.
    pub(crate) fn counts(&self) -> impl DoubleEndedIterator<Item = (f64, u32)> + Clone {
        let start = f64::from(*REDSHIFTS.start());
        let middle = move |bin: usize| start + (bin as f64 + 0.5) * WIDTH;
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(bin, count)| (middle(bin), *count))
    }

    /// The q-quantile to within half a bin; `None` of no redshifts.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let position = (q * self.n.checked_sub(1)? as f64).round() as u64;
        let mut below = 0;
        self.counts()
            .find(|(_, count)| {
                below += u64::from(*count);
                below > position
            })
            .map(|(middle, _)| middle)
    }
}

fn bin(z: f32) -> usize {
    let (start, end) = REDSHIFTS.into_inner();
    (f64::from(z.clamp(start, end) - start) / WIDTH) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_redshifts_to_half_a_bin() {
        let mut distribution = Distribution::default();
        assert_eq!(distribution.quantile(0.5), None);
        for z in (0..=1000_u16).rev() {
            distribution.add(f32::from(z) / 1000.0);
        }
        for q in [0.0, 0.02, 0.5, 0.98, 1.0] {
            let found = distribution.quantile(q).unwrap();
            assert!((found - q).abs() < 0.75 * WIDTH, "{q}: {found}");
        }
        assert_eq!((distribution.n(), distribution.counts().map(|(_, count)| count).sum()), (1001, 1001));
    }

    #[test]
    fn the_outermost_redshifts_have_a_bin() {
        let mut distribution = Distribution::default();
        let (start, end) = REDSHIFTS.into_inner();
        for z in [start, end] {
            distribution.add(z);
        }
        assert_eq!(distribution.counts().count(), 2);
    }
}
