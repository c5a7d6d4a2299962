//! What `cosmic compare` says, for a person and as JSON.

use catalogue::{BothMetrics, ChangeSummary, InOneAlone, Matched, MatchedBy, Metrics};
use pipeline::storage::printable;
use serde::Serialize;

use crate::output::table;

/// Galaxies with one redshift alone that the text names.
const SHOWN: usize = 5;

/// How one of the two redshifts was made.
#[derive(Serialize)]
pub(super) struct Side {
    /// The catalogue, or the data set.
    pub(super) of: String,
    pub(super) model: Option<String>,
    pub(super) model_sha256: Option<String>,
    pub(super) engine: Option<String>,
    pub(super) precision: String,
    /// The version of Cosmic.
    pub(super) version: Option<String>,
}

#[derive(Serialize)]
pub(super) struct CompareOutput {
    first: Side,
    second: Side,
    /// `file and row`, or the column whose values tell a galaxy.
    matched_by: String,
    /// Galaxies that are in one catalogue alone.
    only_in_first: u64,
    only_in_second: u64,
    #[serde(flatten)]
    changes: ChangeSummary,
    /// That of --limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
    /// Galaxies whose redshift changes by more.
    #[serde(skip_serializing_if = "Option::is_none")]
    beyond_limit: Option<u64>,
}

impl CompareOutput {
    pub(super) fn of([first, second]: [Side; 2], matched: &Matched, limit: Option<f64>) -> Self {
        Self {
            first,
            second,
            matched_by: match &matched.by {
                MatchedBy::Column(name) => name.clone(),
                MatchedBy::FileAndRow | MatchedBy::Nothing => "file and row".to_owned(),
            },
            only_in_first: matched.only_first,
            only_in_second: matched.only_second,
            changes: matched.changes.summary(),
            limit,
            beyond_limit: limit.map(|limit| matched.changes.beyond(limit)),
        }
    }

    /// Galaxies that have a redshift in one alone, or that the other does not have at all.
    fn in_one_alone(&self) -> u64 {
        let ChangeSummary { in_first_alone, in_second_alone, .. } = self.changes;
        in_first_alone + in_second_alone + self.only_in_first + self.only_in_second
    }

    /// Whether there were galaxies to compare, none moved by more than the limit, and none is in one alone; true where
    /// there is no limit.
    pub(super) fn is_within_limit(&self) -> bool {
        self.beyond_limit.is_none_or(|beyond| self.changes.galaxies > 0 && beyond + self.in_one_alone() == 0)
    }

    /// What the two do not have in common, by the names of the fields.
    fn differences(&self) -> Vec<&'static str> {
        let (first, second) = (&self.first, &self.second);
        // An engine says its precision too.
        let engine =
            |side: &Side| side.engine.as_ref().map(|engine| engine.replace(&format!("{}, ", side.precision), ""));
        let fields = [
            ("model", same(&first.model_sha256, &second.model_sha256)),
            ("engine", same(&engine(first), &engine(second))),
            ("precision", first.precision == second.precision),
            ("version", same(&first.version, &second.version)),
        ];
        fields.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}

/// Whether two values are the same, as far as both are known.
fn same(first: &Option<String>, second: &Option<String>) -> bool {
    first.as_ref().zip(second.as_ref()).is_none_or(|(first, second)| first == second)
}

pub(super) fn text(output: &CompareOutput) -> String {
    let changes = &output.changes;
    let mut text = format!("first   {}\nsecond  {}\n", side_text(&output.first), side_text(&output.second));
    let differences = output.differences();
    text += &match differences.is_empty() {
        true => "        no other model, engine, precision or version, as far as they say\n".to_owned(),
        false => format!("        another {}\n", differences.join(", ")),
    };
    text += &format!(
        "\n{} galaxies have a redshift in both, {} of them the same to the last bit",
        changes.galaxies, changes.same
    );
    if output.matched_by != "file and row" {
        text += &format!(" (matched by {})", printable(&output.matched_by));
    }
    text += "\n";
    for (count, which) in [(output.only_in_first, "first"), (output.only_in_second, "second")] {
        if count > 0 {
            text += &format!("{count} galaxies are in the {which} catalogue alone\n");
        }
    }
    text += &alone_text(changes);
    text += &format!("\n{}", changes_table(output));
    let BothMetrics { first, .. } = &changes.metrics;
    text += &match first.n {
        0 => "\nno galaxy of both has a spectroscopic redshift, so that nothing is said of how good they are\n"
            .to_owned(),
        n => format!("\nheld against {n} spectroscopic redshifts:\n\n{}", metrics_table(&changes.metrics)),
    };
    if let Some((limit, beyond)) = output.limit.zip(output.beyond_limit) {
        text += &match output.is_within_limit() {
            true => format!("\nno galaxy is beyond {limit}\n"),
            false => format!(
                "\nBEYOND {limit}: {beyond} galaxies of {} that both have a redshift of, and {} are in one alone\n",
                changes.galaxies,
                output.in_one_alone()
            ),
        };
    }
    text
}

fn side_text(side: &Side) -> String {
    let known = |text: &Option<String>| text.as_deref().map_or_else(|| "unknown".to_owned(), printable);
    let Side { of, model, engine, precision, .. } = side;
    format!("{}: {} in {}, {}", printable(of), known(model), printable(precision), known(engine))
}

/// How many galaxies have one redshift alone, and some of them by name.
fn alone_text(changes: &ChangeSummary) -> String {
    let mut text = String::new();
    for (count, which) in [(changes.in_first_alone, "first"), (changes.in_second_alone, "second")] {
        if count == 0 {
            continue;
        }
        text += &format!("{count} galaxies have a redshift in the {which} alone:\n");
        let named = changes.named_alone.iter().filter(|galaxy| galaxy.redshift_in == which).take(SHOWN);
        for InOneAlone { source_file, row_index, flags, .. } in named {
            text += &format!("  row {row_index} of {} ({})\n", printable(source_file), flags.join(", "));
        }
    }
    text
}

fn changes_table(output: &CompareOutput) -> String {
    let changes = &output.changes;
    let row = |name: String, value: String, more: String| vec![name, value, more];
    let number = |figure: Option<f64>| figure.map_or("n/a".to_owned(), |figure| format!("{figure:.2e}"));
    let share = |figure: Option<f64>| figure.map_or("n/a".to_owned(), |share| format!("{:.3} %", 100.0 * share));
    let mut rows = vec![match &changes.largest {
        Some(moved) => row(
            "largest".to_owned(),
            format!("{:.2e}", moved.change.abs()),
            format!(
                "{:.6} became {:.6} in row {} of {}",
                moved.first,
                moved.second,
                moved.row_index,
                printable(&moved.source_file)
            ),
        ),
        None => row("largest".to_owned(), "0".to_owned(), String::new()),
    }];
    for (name, figure) in
        [("rms", changes.rms), ("median", changes.median), ("99 %", changes.p99), ("99.9 %", changes.p99_9)]
    {
        rows.push(row(name.to_owned(), number(figure), String::new()));
    }
    for (limit, figure) in [("1e-3", changes.beyond_1e_3), ("1e-4", changes.beyond_1e_4)] {
        rows.push(row(format!("beyond {limit}"), share(figure), String::new()));
    }
    // The last column is text, which is read from the left.
    let width = rows.iter().map(|row| row[2].chars().count()).max().unwrap_or(0);
    for row in &mut rows {
        row[2] = format!("{:<width$}", row[2]);
    }
    table(&["|Δz|/(1 + z)", "", ""], &rows)
}

fn metrics_table(BothMetrics { first, second, ratios }: &BothMetrics) -> String {
    let row = |name: &str, figure: fn(&Metrics) -> Option<f64>, ratio: Option<f64>, shown: fn(f64) -> String| {
        let cell = |figure: Option<f64>| figure.map_or("n/a".to_owned(), shown);
        let ratio = ratio.map_or("n/a".to_owned(), |ratio| format!("{ratio:.4}"));
        vec![name.to_owned(), cell(figure(first)), cell(figure(second)), ratio]
    };
    let rows = [
        row("σ NMAD", |metrics| metrics.precision, ratios.precision, |figure| format!("{figure:.5}")),
        row("bias", |metrics| metrics.bias, ratios.bias, |figure| format!("{figure:+.6}")),
        row(
            "outliers |Δz| > 0.05",
            |metrics| metrics.outliers_005,
            ratios.outliers_005,
            |figure| format!("{:.3} %", 100.0 * figure),
        ),
    ];
    table(&["", "first", "second", "second / first"], &rows)
}
