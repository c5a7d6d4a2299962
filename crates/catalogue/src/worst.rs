//! The galaxies whose predicted redshift is farthest from the spectroscopic one, found while rows pass: memory does not
//! grow with their number.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use arrow_array::{Array, cast::AsArray, downcast_primitive_array};
use arrow_schema::DataType;

use crate::{plausible::is_redshift, rows::CatalogueRows};

/// Galaxies that are kept.
const KEPT: usize = 24;
/// The data set's own columns that are kept of each galaxy, and the characters of a text in them.
const COLUMNS: usize = 6;
const CHARACTERS: usize = 80;

/// A galaxy with both redshifts.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstGalaxy {
    /// Key or path of the file that it is in.
    pub source_file: String,
    /// Its row in that file, from 0.
    pub row_index: u64,
    /// The spectroscopic redshift.
    pub z_spec: f64,
    /// The predicted redshift.
    pub z_phot: f32,
    /// Names and values of the first of the data set's own columns; vectors are left out.
    pub columns: Vec<(String, String)>,
}

impl WorstGalaxy {
    /// (z_phot − z_spec)/(1 + z_spec), by which galaxies are ranked.
    pub fn delta(&self) -> f64 {
        delta(self.z_spec, self.z_phot)
    }
}

fn delta(z_spec: f64, z_phot: f32) -> f64 {
    (f64::from(z_phot) - z_spec) / (1.0 + z_spec)
}

/// The order of the heap: by |δ|, and where that is the same, whoever came first is the worse, so that the same rows
/// give the same galaxies.
#[derive(Debug)]
struct Ranked {
    galaxy: WorstGalaxy,
    size: f64,
    arrival: u64,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.size.total_cmp(&other.size).then(other.arrival.cmp(&self.arrival))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

/// The worst galaxies so far.
#[derive(Debug, Default)]
pub(crate) struct WorstGalaxies {
    heap: BinaryHeap<Reverse<Ranked>>,
    arrived: u64,
}

impl WorstGalaxies {
    pub(crate) fn add(&mut self, rows: &CatalogueRows) {
        for (row, (z_spec, z_phot)) in rows.z_spec.iter().zip(&rows.z_phot).enumerate() {
            self.arrived += 1;
            let (Some(z_spec), Some(z_phot)) = (*z_spec, *z_phot) else { continue };
            if !is_redshift(z_spec) || !is_redshift(z_phot.into()) {
                continue;
            }
            let size = delta(z_spec, z_phot).abs();
            if self.heap.len() == KEPT && self.heap.peek().is_some_and(|Reverse(least)| size <= least.size) {
                continue;
            }
            let galaxy = WorstGalaxy {
                source_file: rows.source_file.clone(),
                row_index: rows.first_row + row as u64,
                z_spec,
                z_phot,
                columns: columns_of(rows, row),
            };
            self.heap.push(Reverse(Ranked { galaxy, size, arrival: self.arrived }));
            if self.heap.len() > KEPT {
                self.heap.pop();
            }
        }
    }

    /// The worst first.
    pub(crate) fn ranked(&self) -> Vec<WorstGalaxy> {
        let mut ranked: Vec<&Ranked> = self.heap.iter().map(|Reverse(ranked)| ranked).collect();
        ranked.sort_by(|a, b| b.cmp(a));
        ranked.into_iter().map(|ranked| ranked.galaxy.clone()).collect()
    }
}

fn columns_of(rows: &CatalogueRows, row: usize) -> Vec<(String, String)> {
    let cut = |text: &str| text.chars().take(CHARACTERS).collect::<String>();
    let shown =
        rows.columns.iter().filter_map(|column| Some((cut(&column.name), cut(&value_text(&*column.values, row)?))));
    shown.take(COLUMNS).collect()
}

/// A value of a data set's own column as text, empty where there is none; nothing of a vector.
pub fn value_text(values: &dyn Array, row: usize) -> Option<String> {
    if matches!(values.data_type(), DataType::FixedSizeList(..)) {
        return None;
    }
    if values.is_null(row) {
        return Some(String::new());
    }
    downcast_primitive_array!(
        values => Some(format!("{:?}", values.value(row))),
        DataType::Boolean => Some(values.as_boolean().value(row).to_string()),
        DataType::Utf8 => Some(values.as_string::<i32>().value(row).to_owned()),
        _ => None
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, StringArray};
    use arrow_schema::Field;

    use super::*;
    use crate::rows::OwnColumn;

    fn rows(first_row: u64, z_phot: &[f32]) -> CatalogueRows {
        CatalogueRows {
            source_file: "1.pt".into(),
            first_row,
            columns: Vec::new(),
            z_spec: vec![Some(0.0); z_phot.len()],
            z_phot: z_phot.iter().map(|z| Some(*z)).collect(),
            quantiles: None,
            flags: vec![0; z_phot.len()],
        }
    }

    #[test]
    fn the_worst_are_kept_whatever_the_order_and_the_first_of_equals() {
        let mut worst = WorstGalaxies::default();
        let z_phot: Vec<f32> = (0..1000_u16).map(|row| f32::from(row * 37 % 1000) / 1000.0).collect();
        for (chunk, z_phot) in (0..).zip(z_phot.chunks(7)) {
            worst.add(&rows(7 * chunk, z_phot));
        }
        let found = worst.ranked();
        assert_eq!(found.len(), KEPT);
        let expected: Vec<f32> = (0..KEPT as u16).map(|rank| f32::from(999 - rank) / 1000.0).collect();
        assert_eq!(found.iter().map(|galaxy| galaxy.z_phot).collect::<Vec<_>>(), expected);
        assert_eq!(z_phot[found[0].row_index as usize], found[0].z_phot);

        let mut equal = WorstGalaxies::default();
        equal.add(&rows(0, &[0.5; 100]));
        assert_eq!(
            equal.ranked().iter().map(|galaxy| galaxy.row_index).collect::<Vec<_>>(),
            (0..24).collect::<Vec<_>>()
        );
    }

    #[test]
    fn galaxies_without_two_redshifts_are_not_among_them() {
        let mut worst = WorstGalaxies::default();
        worst.add(&CatalogueRows {
            z_spec: vec![None, Some(-99.0), Some(0.1), Some(0.1)],
            z_phot: vec![Some(0.9), Some(0.9), None, Some(0.2)],
            ..rows(0, &[0.0; 4])
        });
        assert_eq!(worst.ranked().iter().map(|galaxy| galaxy.row_index).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_galaxy_keeps_its_own_columns_but_vectors() {
        let vectors = FixedSizeListArray::new(
            Arc::new(Field::new_list_field(DataType::Float32, true)),
            2,
            Arc::new(Float32Array::from(vec![1.0, 2.0])),
            None,
        );
        let columns: [(&str, ArrayRef); 4] = [
            ("id", Arc::new(Int64Array::from(vec![7]))),
            ("size", Arc::new(vectors)),
            ("ra", Arc::new(Float32Array::from(vec![0.1]))),
            ("name", Arc::new(StringArray::from(vec![None::<&str>]))),
        ];
        let columns = columns.map(|(name, values)| OwnColumn { name: name.into(), values }).to_vec();
        let mut worst = WorstGalaxies::default();
        worst.add(&CatalogueRows { columns, ..rows(0, &[0.5]) });
        let expected = [("id", "7"), ("ra", "0.1"), ("name", "")];
        assert_eq!(worst.ranked()[0].columns, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
