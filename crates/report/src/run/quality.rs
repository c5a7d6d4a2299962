//! Charts of how good the redshifts are.

use maud::{Markup, html};

use crate::{
    charts::{Histogram, coverage, histogram, pit, residual_bins, residuals, scatter},
    elements::chart,
    page::data_uri,
    run::input::Run,
};

/// Bins of the distributions.
const BINS: usize = 48;
/// The largest |δ| of the histogram; all beyond are in the outermost bins.
const FARTHEST: f64 = 0.2;

/// Nothing where there are no predictions. Without its picture, the page says where that lies.
pub(super) fn body(run: &Run<'_>, with_picture: bool) -> Option<Markup> {
    let comparison = run.comparison;
    comparison.predictions().next()?;
    let compared = comparison.compared() > 0;
    let range = comparison.redshift_range();
    let predicted = Histogram::of(comparison.predictions().map(f64::from), range.clone(), BINS);
    let spectroscopic = compared.then(|| Histogram::of(comparison.pairs().map(|(spec, _)| spec), range.clone(), BINS));
    let bins = residual_bins(comparison);
    let delta = || comparison.pairs().map(|(spec, phot)| (f64::from(phot) - spec) / (1.0 + spec));
    let reach = run.results.metrics.precision.map_or(FARTHEST, |sigma| (6.0 * sigma).clamp(0.005, FARTHEST));
    let intervals = run.results.intervals.as_ref().and_then(|intervals| intervals.pit.as_ref());
    Some(html! {
        @if !compared { p { "No galaxy has a spectroscopic redshift to be held against: there is only the distribution of the predictions." } }
        div.charts {
            @if compared {
                (chart("Predicted against spectroscopic redshift.",
                    "Colour is the number of galaxies, on a logarithmic scale. Grey: |δ| = 0.05.", scatter(comparison)))
                @if bins.len() > 1 {
                    (chart("Residuals along the redshift.",
                        "Black: median δ. Band: the middle 68 %.", residuals(&bins)))
                }
                (chart("Distribution of δ.", "What lies beyond the axis is in the outermost bars.",
                    histogram("distribution of the residuals", &Histogram::of(delta(), -reach..reach, BINS), None, "δ = Δz / (1 + z)", "galaxies")))
            }
            (chart("N(z).",
                if spectroscopic.is_some() { "Filled: predicted, of all galaxies. Line: spectroscopic, where known." } else { "Predicted redshifts of all galaxies." },
                histogram("distribution of the redshifts", &predicted, spectroscopic.as_ref(), "redshift", "galaxies")))
            @if let Some(fractions) = intervals {
                (chart("Coverage of the intervals.",
                    "On the red diagonal where the intervals hold.", coverage(fractions)))
                (chart("Probability integral transform.",
                    "As high as the red line where the intervals hold.", pit(fractions)))
            }
        }
        @match run.picture {
            Some(png) if with_picture => details {
                summary { "The picture inference.png" }
                img.plate src=(data_uri(png)) width="1100" height="1320" alt="predicted against spectroscopic redshift coloured by density, and the residuals with their running median";
            },
            Some(_) => p.note { "The picture inference.png is too large for this page, and lies beside the results." },
            None => {},
        }
    })
}
