//! The galaxies that two catalogues have both.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    changes::{Changes, TwicePredicted},
    rows::CatalogueRows,
    worst::value_text,
};

/// What tells that two rows are of one galaxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchedBy {
    /// The file and the row in it.
    FileAndRow,
    /// A column of the data sets, in which no value is there twice.
    Column(String),
    /// No galaxy is in both, as far as can be told.
    Nothing,
}

/// Two catalogues, galaxy by galaxy.
#[derive(Debug)]
pub struct Matched {
    /// What tells their galaxies.
    pub by: MatchedBy,
    /// Galaxies in both.
    pub galaxies: u64,
    /// Galaxies in the first alone.
    pub only_first: u64,
    /// Galaxies in the second alone.
    pub only_second: u64,
    /// Those in both with their two redshifts.
    pub changes: Changes,
}

/// A row of a catalogue: which of its groups of rows, and which in that.
type Place = (usize, usize);

impl Matched {
    /// Matches the rows of two catalogues: by file and row, or by an identifier that both brought along, where that finds
    /// more galaxies, or where identifiers or spectroscopic redshifts say that files of the same names have others.
    pub fn of(first: &[CatalogueRows], second: &[CatalogueRows]) -> Self {
        let rows = |catalogue: &[CatalogueRows]| catalogue.iter().map(|rows| rows.len() as u64).sum::<u64>();
        let mut by_place = by_file_and_row(first, second);
        let shared = shared_identifiers(first, second);
        if are_others(first, second, &by_place, &shared) {
            by_place.clear();
        }
        let all = rows(first).min(rows(second));
        let by_column = if (by_place.len() as u64) < all { by_column(first, second, shared) } else { None };
        let (by, places) = match by_column.filter(|(_, places)| places.len() > by_place.len()) {
            Some((column, places)) => (MatchedBy::Column(column), places),
            None if by_place.is_empty() => (MatchedBy::Nothing, Vec::new()),
            None => (MatchedBy::FileAndRow, by_place),
        };
        let galaxies = places.len() as u64;
        let mut changes = Changes::default();
        for ((group, row), (second_group, second_row)) in places {
            let (rows, second_rows) = (&first[group], &second[second_group]);
            changes.add(&TwicePredicted {
                source_file: &rows.source_file,
                row_index: rows.first_row + row as u64,
                z_spec: rows.z_spec[row],
                z_phot: [rows.z_phot[row], second_rows.z_phot[second_row]],
                flags: [rows.flags[row], second_rows.flags[second_row]],
            });
        }
        Self { by, galaxies, only_first: rows(first) - galaxies, only_second: rows(second) - galaxies, changes }
    }

    /// Whether both have the same galaxies, and each has the same redshift in both, or in neither.
    pub fn is_same(&self) -> bool {
        self.galaxies > 0
            && self.only_first == 0
            && self.only_second == 0
            && self.changes.in_one_alone() == 0
            && self.changes.same() == self.changes.all().len() as u64
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

/// Whether rows of equal place are of other galaxies: an identifier differs in one of them, or the spectroscopic redshift
/// in most. Single ones may have been measured anew.
fn are_others(
    first: &[CatalogueRows],
    second: &[CatalogueRows],
    places: &[(Place, Place)],
    identifiers: &[String],
) -> bool {
    let differs = |name: &String| {
        let value = |catalogue: &[CatalogueRows], (group, row): Place| {
            let column = catalogue[group].columns.iter().find(|column| *column.name == **name)?;
            value_text(&*column.values, row)
        };
        places.iter().any(|(place, second_place)| value(first, *place) != value(second, *second_place))
    };
    let spectroscopic = |((group, row), (second_group, second_row)): &(Place, Place)| {
        first[*group].z_spec[*row].zip(second[*second_group].z_spec[*second_row])
    };
    let (mut known, mut other) = (0_usize, 0_usize);
    for (one, two) in places.iter().filter_map(spectroscopic) {
        known += 1;
        other += usize::from(one != two);
    }
    2 * other > known || identifiers.iter().any(differs)
}

/// The columns of both catalogues that are called identifiers, in the order of their names.
fn shared_identifiers(first: &[CatalogueRows], second: &[CatalogueRows]) -> Vec<String> {
    let names = |catalogue: &[CatalogueRows]| -> HashSet<String> {
        catalogue.iter().flat_map(|rows| &rows.columns).map(|column| column.name.to_string()).collect()
    };
    let in_second = names(second);
    let mut shared: Vec<String> =
        names(first).into_iter().filter(|name| in_second.contains(name) && is_identifier(name)).collect();
    shared.sort_unstable();
    shared
}

/// Rows that have a value in common, by the first of these columns in which each value is there once.
fn by_column(
    first: &[CatalogueRows],
    second: &[CatalogueRows],
    identifiers: Vec<String>,
) -> Option<(String, Vec<(Place, Place)>)> {
    identifiers.into_iter().find_map(|name| {
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
        let matched = Matched::of(&first, &second);
        assert_eq!(matched.by, MatchedBy::FileAndRow);
        assert_eq!((matched.galaxies, matched.only_first, matched.only_second), (3, 1, 1));
        let changes = matched.changes;
        assert_eq!((changes.in_one_alone(), changes.same(), changes.all().len()), (1, 1, 2));
        assert_eq!((changes.moved().len(), changes.moved()[0].row_index), (1, 2));
    }

    #[test]
    fn a_galaxy_without_a_redshift_in_both_is_no_difference() {
        let [same, other] = [None, Some(0.3)].map(|last| [rows("1.pt", 0, &[Some(0.1), last])]);
        assert!(Matched::of(&same, &same).is_same());
        assert!(!Matched::of(&same, &other).is_same(), "one has a redshift in one alone");
        assert!(!Matched::of(&same, &[rows("1.pt", 0, &[Some(0.1)])]).is_same(), "one is in the first alone");
    }

    #[test]
    fn nothing_in_common_is_no_match() {
        let matched = Matched::of(&[rows("1.pt", 0, &[Some(0.1)])], &[rows("2.pt", 0, &[Some(0.1)])]);
        assert_eq!((matched.by, matched.galaxies), (MatchedBy::Nothing, 0));
        assert_eq!(Matched::of(&[], &[]).galaxies, 0);
    }

    #[test]
    fn files_of_equal_names_and_other_galaxies_have_none_in_common() {
        let of = |z_spec: [f64; 3]| {
            [CatalogueRows { z_spec: z_spec.map(Some).to_vec(), ..rows("1.pt", 0, &[Some(0.1), Some(0.2), Some(0.3)]) }]
        };
        assert_eq!(Matched::of(&of([0.1, 0.2, 0.3]), &of([0.4, 0.5, 0.3])).by, MatchedBy::Nothing);
        assert_eq!(Matched::of(&of([0.1, 0.2, 0.3]), &of([0.4, 0.2, 0.3])).galaxies, 3, "one was measured anew");
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
                .map(|name| crate::OwnColumn {
                    name: name.into(),
                    values: std::sync::Arc::new(arrow_array::Int64Array::from(ids.clone())),
                })
                .to_vec(),
            ..rows(file, 0, z)
        };
        let first = [with_ids("1.pt", vec![7, 8], &[Some(0.1), Some(0.2)])];
        let second = [with_ids("a.pt", vec![8, 9], &[Some(0.25), Some(0.9)])];
        let matched = Matched::of(&first, &second);
        assert_eq!(matched.by, MatchedBy::Column("object_id".into()));
        assert_eq!((matched.galaxies, matched.changes.moved()[0].first), (1, 0.2));
        let fluxes = |file: &str| {
            let mut rows = with_ids(file, vec![7, 8], &[Some(0.1), Some(0.2)]);
            rows.columns.iter_mut().for_each(|column| column.name = "width".into());
            [rows]
        };
        assert_eq!(Matched::of(&fluxes("1.pt"), &fluxes("a.pt")).by, MatchedBy::Nothing);
        // Files of the same names, the other way round.
        let swapped = [with_ids("1.pt", vec![8, 7], &[Some(0.2), Some(0.1)])];
        let matched = Matched::of(&first, &swapped);
        assert_eq!((&matched.by, matched.is_same()), (&MatchedBy::Column("object_id".into()), true));
        // A part of the rows has its place in both.
        let more = [with_ids("1.pt", vec![7], &[Some(0.1)]), with_ids("2.pt", vec![8], &[Some(0.2)])];
        assert_eq!(Matched::of(&first, &more).galaxies, 2);
        let twice = [with_ids("a.pt", vec![8, 8], &[Some(0.25), Some(0.9)])];
        assert_eq!(Matched::of(&first, &twice).by, MatchedBy::Nothing);
    }
}
