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
    /// Of the Pareto set the one with the smallest product of cost and time: from there, any of the two can be bettered by
    /// some percent only if the other worsens by more.
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
    let product = |index: usize| outcomes[index].usd * outcomes[index].seconds;
    let knee = pareto.iter().copied().min_by(|a, b| product(*a).total_cmp(&product(*b)))?;
    Some(Notable { cheapest: *pareto.first()?, fastest: *pareto.last()?, knee, pareto })
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
