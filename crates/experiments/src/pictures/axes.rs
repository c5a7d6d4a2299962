//! What the cells of a sweep differ in.

use crate::{cells::Cell, statistics::CellSummary};

/// A size that cells can differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    Partition,
    Data,
    Batch,
    World,
    Memory,
    Precision,
}

/// A cell's value on an axis: its place in the order, and its text.
pub(super) type Value = (u64, String);

impl Axis {
    const ALL: [Self; 6] = [Self::Partition, Self::Batch, Self::Data, Self::World, Self::Memory, Self::Precision];

    /// What is written under the axis.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Partition => "partition size",
            Self::Data => "data",
            Self::Batch => "batch size",
            Self::World => "ranks",
            Self::Memory => "configured memory, MB",
            Self::Precision => "precision",
        }
    }

    /// The value of a cell. What was not asked for comes last.
    pub(super) fn value(self, cell: &Cell) -> Value {
        let size = |bytes: Option<u64>, text: &Option<String>, none: &str| {
            (bytes.unwrap_or(u64::MAX), text.clone().unwrap_or_else(|| none.to_owned()))
        };
        let number = |number: Option<u64>, none: &str| {
            (number.unwrap_or(u64::MAX), number.map_or(none.to_owned(), |number| number.to_string()))
        };
        match self {
            Self::Partition => size(cell.partition_bytes, &cell.partition, "uncut"),
            Self::Data => size(cell.data_bytes, &cell.data, "all"),
            Self::Batch => number(Some(cell.batch_size), ""),
            Self::World => number(cell.world_size, "one per file"),
            Self::Memory => number(cell.memory_mb, "as deployed"),
            Self::Precision => (cell.named_precision().is_some().into(), cell.precision.to_string()),
        }
    }

    /// The value of a cell with what it is of.
    fn named(self, cell: &Cell) -> String {
        let (_, value) = self.value(cell);
        match self {
            Self::Batch => format!("batch {value}"),
            Self::World if cell.world_size.is_some() => format!("{value} ranks"),
            Self::Memory if cell.memory_mb.is_some() => format!("{value} MB"),
            Self::Data if cell.data.is_some() => format!("{value} of data"),
            Self::Data => "all the data".to_owned(),
            _ => value,
        }
    }
}

/// The axes that have several values; batch sizes where none has.
pub(super) fn varying(cells: &[CellSummary]) -> Vec<Axis> {
    let several = |axis: &Axis| cells.iter().any(|cell| axis.value(&cell.cell) != axis.value(&cells[0].cell));
    let axes: Vec<Axis> = Axis::ALL.into_iter().filter(several).collect();
    if axes.is_empty() { vec![Axis::Batch] } else { axes }
}

/// The values on an axis that any of the cells has, in their order.
pub(super) fn values<'a>(axis: Axis, cells: impl IntoIterator<Item = &'a CellSummary>) -> Vec<Value> {
    let mut values: Vec<Value> = cells.into_iter().map(|cell| axis.value(&cell.cell)).collect();
    values.sort();
    values.dedup();
    values
}

/// Cells that differ in nothing but their value on an axis, with the name of what they share; in the order of cells.
pub(super) fn groups<'a>(axis: Axis, axes: &[Axis], cells: &'a [CellSummary]) -> Vec<(String, Vec<&'a CellSummary>)> {
    let others: Vec<Axis> = axes.iter().copied().filter(|other| *other != axis).collect();
    let mut groups: Vec<(String, Vec<&CellSummary>)> = Vec::new();
    for cell in cells {
        let name = others.iter().map(|other| other.named(&cell.cell)).collect::<Vec<_>>().join(", ");
        match groups.iter_mut().find(|(found, _)| *found == name) {
            Some((_, group)) => group.push(cell),
            None => groups.push((name, vec![cell])),
        }
    }
    groups
}
