//! Choosing among ways to run the same work: which are cheaper or faster than all others, and which three have names.

use serde::Serialize;

/// What a way to run costs and takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Outcome {
    pub usd: f64,
    pub seconds: f64,
}

/// The ways of note among those that were compared, by their places in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notable {
    /// Those that no other beats in cost and time both, from the cheapest to the fastest.
    pub pareto: Vec<usize>,
    pub cheapest: usize,
    pub fastest: usize,
    /// Of the Pareto set the one that is furthest below the straight line from the cheapest to the fastest, where cost and
    /// time are logarithms between those of the two: from there on, each percent of time costs more, or each percent of
    /// cost takes more time, than before (Satopää et al. 2011, doi:10.1109/ICDCSW.2011.20).
    pub knee: usize,
}

/// Finds the ways of note; `None` where there is nothing to choose from.
pub fn notable(outcomes: &[Outcome]) -> Option<Notable> {
    let mut by_cost: Vec<usize> = (0..outcomes.len()).collect();
    let key = |index: &usize| (outcomes[*index].usd, outcomes[*index].seconds);
    by_cost.sort_by(|a, b| key(a).0.total_cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1)));
    let mut pareto: Vec<usize> = Vec::new();
    for index in by_cost {
        if pareto.last().is_none_or(|last| outcomes[index].seconds < outcomes[*last].seconds) {
            pareto.push(index);
        }
    }
    let (cheapest, fastest) = (*pareto.first()?, *pareto.last()?);
    // 0 at one end and 1 at the other.
    let between = |value: f64, from: f64, to: f64| {
        let span = (to / from).ln();
        if span.abs() > 0.0 && span.is_finite() { (value / from).ln() / span } else { 0.0 }
    };
    let above_line = |index: usize| {
        let (ends, at) = ((outcomes[cheapest], outcomes[fastest]), outcomes[index]);
        between(at.usd, ends.0.usd, ends.1.usd) + between(at.seconds, ends.1.seconds, ends.0.seconds)
    };
    let knee = pareto.iter().copied().min_by(|a, b| above_line(*a).total_cmp(&above_line(*b)))?;
    Some(Notable { cheapest, fastest, knee, pareto })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pareto_set_has_all_that_no_other_beats() {
        let outcomes = [(5.0, 10.0), (1.0, 100.0), (2.0, 20.0), (2.0, 30.0), (9.0, 9.0), (6.0, 10.0), (3.0, 25.0)]
            .map(|(usd, seconds)| Outcome { usd, seconds });
        let found = notable(&outcomes).unwrap();
        assert_eq!(found.pareto, [1, 2, 0, 4]);
        assert_eq!((found.cheapest, found.fastest, found.knee), (1, 4, 2));
        assert_eq!(notable(&[]), None);
    }
}
