//! The galaxies that two catalogues have both.

use std::collections::{BTreeMap, HashMap, HashSet};

use catalogue::{CatalogueRows, value_text};

/// The galaxies that moved most of which each is named.
const NAMED: usize = 50;

/// What tells that two rows are of one galaxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MatchedBy {
    FileAndRow,
    /// A column of the data sets, in which no value is there twice.
    Column(String),
    /// No galaxy is in both, as far as can be told.
    Nothing,
}

/// A galaxy that is in both, and has a redshift in both.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moved {
    pub(crate) source_file: String,
    pub(crate) row_index: u64,
    pub(crate) z_spec: Option<f64>,
    pub(crate) first: f32,
    pub(crate) second: f32,
}

impl Moved {
    /// (z₂ − z₁)/(1 + z₁)
    pub(crate) fn change(&self) -> f64 {
        (f64::from(self.second) - f64::from(self.first)) / (1.0 + f64::from(self.first))
    }
}

/// Two catalogues, galaxy by galaxy.
pub struct Compared {
    pub(crate) matched_by: MatchedBy,
    /// Galaxies in both.
    pub(crate) matched: u64,
    pub(crate) only_first: u64,
    pub(crate) only_second: u64,
    /// Galaxies in both that have a redshift in one alone.
    pub(crate) in_one_alone: u64,
    /// Galaxies whose redshift is the same to the last bit.
    pub(crate) same: u64,
    /// (z₂ − z₁)/(1 + z₁) of all galaxies with a redshift in both.
    pub(crate) changes: Vec<f64>,
    /// Those that moved most, the farthest first.
    pub(crate) moved: Vec<Moved>,
}

/// A row of a catalogue: which of its groups of rows, and which in that.
type Place = (usize, usize);

impl Compared {
    /// Matches the rows of two catalogues: by file and row, or where no row has both in common, by a column that both
    /// brought along.
    pub fn of(first: &[CatalogueRows], second: &[CatalogueRows]) -> Self {
        let rows = |catalogue: &[CatalogueRows]| catalogue.iter().map(|rows| rows.len() as u64).sum::<u64>();
        let by_place = by_file_and_row(first, second);
        let (matched_by, places) = if by_place.is_empty() {
            match by_column(first, second) {
                Some((column, places)) => (MatchedBy::Column(column), places),
                None => (MatchedBy::Nothing, Vec::new()),
            }
        } else {
            (MatchedBy::FileAndRow, by_place)
        };
        let matched = places.len() as u64;
        let mut compared = Self {
            matched_by,
            matched,
            only_first: rows(first) - matched,
            only_second: rows(second) - matched,
            in_one_alone: 0,
            same: 0,
            changes: Vec::new(),
            moved: Vec::new(),
        };
        for ((group, row), (second_group, second_row)) in places {
            let (rows, second_rows) = (&first[group], &second[second_group]);
            match (rows.z_phot[row], second_rows.z_phot[second_row]) {
                (Some(first), Some(second)) => compared.add(Moved {
                    source_file: rows.source_file.clone(),
                    row_index: rows.first_row + row as u64,
                    z_spec: rows.z_spec[row],
                    first,
                    second,
                }),
                (None, None) => {}
                _ => compared.in_one_alone += 1,
            }
        }
        compared.keep_farthest();
        compared
    }

    /// Whether both have the same galaxies, and each has the same redshift in both, or in neither.
    pub(crate) fn is_same(&self) -> bool {
        self.matched > 0
            && self.only_first == 0
            && self.only_second == 0
            && self.in_one_alone == 0
            && self.same == self.changes.len() as u64
    }

    fn add(&mut self, moved: Moved) {
        self.same += u64::from(moved.first.to_bits() == moved.second.to_bits());
        let change = moved.change();
        self.changes.push(change);
        if change != 0.0 {
            self.moved.push(moved);
        }
        if self.moved.len() >= 20 * NAMED {
            self.keep_farthest();
        }
    }

    fn keep_farthest(&mut self) {
        self.moved.sort_by(|a, b| b.change().abs().total_cmp(&a.change().abs()));
        self.moved.truncate(NAMED);
    }
}

/// Rows that have file and row in common, in the order of the second catalogue.
fn by_file_and_row(first: &[CatalogueRows], second: &[CatalogueRows]) -> Vec<(Place, Place)> {
    let mut groups: HashMap<&str, BTreeMap<u64, usize>> = HashMap::new();
    for (index, rows) in first.iter().enumerate() {
        groups.entry(&rows.source_file).or_default().insert(rows.first_row, index);
    }
    let mut places = Vec::new();
    for (second_group, rows) in second.iter().enumerate() {
        let Some(groups) = groups.get(rows.source_file.as_str()) else { continue };
        for second_row in 0..rows.len() {
            let row = rows.first_row + second_row as u64;
            if let Some((first_row, group)) = groups.range(..=row).next_back() {
                let at = (row - first_row) as usize;
                if at < first[*group].len() {
                    places.push(((*group, at), (second_group, second_row)));
                }
            }
        }
    }
    places
}

/// Rows that have a value in common, by the first column of both that is called an identifier and in which each value is
/// there once.
fn by_column(first: &[CatalogueRows], second: &[CatalogueRows]) -> Option<(String, Vec<(Place, Place)>)> {
    let names = |catalogue: &[CatalogueRows]| -> HashSet<String> {
        catalogue.iter().flat_map(|rows| &rows.columns).map(|column| column.name.to_string()).collect()
    };
    let in_second = names(second);
    let mut shared: Vec<String> =
        names(first).into_iter().filter(|name| in_second.contains(name) && is_identifier(name)).collect();
    shared.sort_unstable();
    shared.into_iter().find_map(|name| {
        let (first, second) = (places_by_value(first, &name)?, places_by_value(second, &name)?);
        let mut places: Vec<_> =
            first.into_iter().filter_map(|(value, place)| Some((place, *second.get(&value)?))).collect();
        places.sort_unstable();
        (!places.is_empty()).then_some((name, places))
    })
}

/// Whether a column is called an identifier: `id` is a word of its name, as in `object_id`, `ID` and `objID`, or it has
/// one of the names that surveys write in one word. A column of unique values need not be one: two galaxies of equal
/// flux are not the same galaxy.
fn is_identifier(name: &str) -> bool {
    const IN_ONE_WORD: [&str; 4] = ["objid", "specobjid", "sourceid", "targetid"];
    let mut words = String::new();
    let mut after_lowercase = false;
    for character in name.chars() {
        if after_lowercase && character.is_uppercase() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
        after_lowercase = character.is_lowercase();
    }
    words.split(|character: char| !character.is_alphanumeric()).any(|word| word == "id" || IN_ONE_WORD.contains(&word))
}

/// Where each value of a column is; `None` where one is there twice, or not in each row.
fn places_by_value(catalogue: &[CatalogueRows], name: &str) -> Option<HashMap<String, Place>> {
    let mut places = HashMap::new();
    for (group, rows) in catalogue.iter().enumerate() {
        let column = rows.columns.iter().find(|column| &*column.name == name)?;
        for row in 0..rows.len() {
            let value = value_text(&*column.values, row).filter(|value| !value.is_empty())?;
            if places.insert(value, (group, row)).is_some() {
                return None;
            }
        }
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(file: &str, first_row: u64, z_phot: &[Option<f32>]) -> CatalogueRows {
        CatalogueRows {
            source_file: file.into(),
            first_row,
            columns: Vec::new(),
            z_spec: vec![Some(0.1); z_phot.len()],
            z_phot: z_phot.to_vec(),
            quantiles: None,
            flags: vec![0; z_phot.len()],
        }
    }

    #[test]
    fn rows_are_matched_by_file_and_row_however_they_are_cut() {
        let first = [rows("1.pt", 0, &[Some(0.1), Some(0.2)]), rows("1.pt", 2, &[Some(0.3)]), rows("2.pt", 0, &[None])];
        let second = [rows("2.pt", 0, &[Some(0.5)]), rows("1.pt", 1, &[Some(0.2), Some(0.4), Some(0.9)])];
        let compared = Compared::of(&first, &second);
        assert_eq!(compared.matched_by, MatchedBy::FileAndRow);
        assert_eq!((compared.matched, compared.only_first, compared.only_second), (3, 1, 1));
        assert_eq!((compared.in_one_alone, compared.same, compared.changes.len()), (1, 1, 2));
        assert_eq!((compared.moved.len(), compared.moved[0].row_index), (1, 2));
    }

    #[test]
    fn a_galaxy_without_a_redshift_in_both_is_no_difference() {
        let [same, other] = [None, Some(0.3)].map(|last| [rows("1.pt", 0, &[Some(0.1), last])]);
        assert!(Compared::of(&same, &same).is_same());
        assert!(!Compared::of(&same, &other).is_same(), "one has a redshift in one alone");
        assert!(!Compared::of(&same, &[rows("1.pt", 0, &[Some(0.1)])]).is_same(), "one is in the first alone");
    }

    #[test]
    fn nothing_in_common_is_no_match() {
        let compared = Compared::of(&[rows("1.pt", 0, &[Some(0.1)])], &[rows("2.pt", 0, &[Some(0.1)])]);
        assert_eq!((compared.matched_by, compared.matched), (MatchedBy::Nothing, 0));
        assert_eq!(Compared::of(&[], &[]).matched, 0);
    }

    #[test]
    fn an_identifier_is_told_by_a_word_of_its_name() {
        for name in ["id", "ID", "object_id", "id_gaia", "source.id", "objID", "specObjID", "sourceId", "TARGETID"] {
            assert!(is_identifier(name), "{name}");
        }
        for name in ["width", "grid", "validity", "fluid", "identified", "ra", "ids", ""] {
            assert!(!is_identifier(name), "{name}");
        }
    }

    #[test]
    fn rows_of_other_files_are_matched_by_an_identifier() {
        let with_ids = |file: &str, ids: Vec<i64>, z: &[Option<f32>]| CatalogueRows {
            columns: ["object_id", "ra"]
                .map(|name| catalogue::OwnColumn {
                    name: name.into(),
                    values: std::sync::Arc::new(arrow_array::Int64Array::from(ids.clone())),
                })
                .to_vec(),
            ..rows(file, 0, z)
        };
        let first = [with_ids("1.pt", vec![7, 8], &[Some(0.1), Some(0.2)])];
        let second = [with_ids("a.pt", vec![8, 9], &[Some(0.25), Some(0.9)])];
        let compared = Compared::of(&first, &second);
        assert_eq!(compared.matched_by, MatchedBy::Column("object_id".into()));
        assert_eq!((compared.matched, compared.moved[0].first), (1, 0.2));
        let fluxes = |file: &str| {
            let mut rows = with_ids(file, vec![7, 8], &[Some(0.1), Some(0.2)]);
            rows.columns.iter_mut().for_each(|column| column.name = "width".into());
            [rows]
        };
        assert_eq!(Compared::of(&fluxes("1.pt"), &fluxes("a.pt")).matched_by, MatchedBy::Nothing);
        let twice = [with_ids("a.pt", vec![8, 8], &[Some(0.25), Some(0.9)])];
        assert_eq!(Compared::of(&first, &twice).matched_by, MatchedBy::Nothing);
    }
}
