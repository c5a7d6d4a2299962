//! The cells of a sweep: each combination of sizes that its grids name, once.

use pipeline::payload::Precision;
use serde::{Deserialize, Serialize};

use crate::sweep_file::{Grid, SweepFile};

/// What one run, and each repeat of it, is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Size of a partition as it was asked for, such as `25MiB`; `None` where the data are taken as they lie.
    pub partition: Option<String>,
    /// The same in bytes.
    pub partition_bytes: Option<u64>,
    /// How much of the data is taken, such as `1GiB`; `None` is all.
    pub data: Option<String>,
    /// The same in bytes.
    pub data_bytes: Option<u64>,
    /// The first so many partitions hold that much.
    pub file_limit: Option<u64>,
    /// Galaxies per prediction.
    pub batch_size: u64,
    /// Number of ranks; `None` is one per file.
    pub world_size: Option<u64>,
    /// What the inference function is configured with, in MB; `None` is what it is deployed with.
    pub memory_mb: Option<u64>,
    /// The numbers that the engine multiplies.
    #[serde(default)]
    pub precision: Precision,
}

/// A cell with how often it is run and which published folders its results belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedCell {
    pub cell: Cell,
    pub repeats: u64,
    /// Whether a grid of several batch sizes has it, whose folders the published system calls `Batches`.
    pub in_batches: bool,
    /// Whether a grid of one batch size has it.
    pub in_data_sizes: bool,
}

impl SweepFile {
    /// All cells, in the order of the grids, each once.
    pub fn cells(&self) -> Vec<PlannedCell> {
        let mut cells: Vec<PlannedCell> = Vec::new();
        for grid in &self.grids {
            let in_batches = grid.batch_sizes.len() > 1;
            for cell in grid.cells() {
                let at = cells.iter().position(|planned| planned.cell == cell).unwrap_or_else(|| {
                    cells.push(PlannedCell { cell, repeats: 0, in_batches: false, in_data_sizes: false });
                    cells.len() - 1
                });
                let planned = &mut cells[at];
                planned.repeats = planned.repeats.max(grid.repeats);
                planned.in_batches |= in_batches;
                planned.in_data_sizes |= !in_batches;
            }
        }
        cells
    }
}

impl Grid {
    fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        let partitions = self.partition_sizes.iter();
        partitions.flat_map(move |partition| {
            self.data_sizes.iter().flat_map(move |data| {
                self.world_sizes.iter().flat_map(move |&world_size| {
                    self.memory_sizes.iter().flat_map(move |&memory_mb| {
                        self.precisions.iter().flat_map(move |&precision| {
                            self.batch_sizes.iter().map(move |&batch_size| Cell {
                                partition: partition.as_ref().map(ToString::to_string),
                                partition_bytes: partition.as_ref().map(|size| size.bytes),
                                data: data.as_ref().map(ToString::to_string),
                                data_bytes: data.as_ref().map(|size| size.bytes),
                                file_limit: partition
                                    .as_ref()
                                    .zip(data.as_ref())
                                    .map(|(partition, data)| data.bytes.div_ceil(partition.bytes)),
                                batch_size,
                                world_size,
                                memory_mb,
                                precision,
                            })
                        })
                    })
                })
            })
        })
    }
}

impl Cell {
    /// The precision, of cells that are not in the default one, whose titles and folders are what they were before there
    /// was a choice.
    pub(crate) fn named_precision(&self) -> Option<&'static str> {
        (self.precision != Precision::default()).then(|| self.precision.name())
    }

    /// Whether some cells are not of the same precision as the others.
    pub fn differ_in_precision<'a>(cells: impl IntoIterator<Item = &'a Self>) -> bool {
        let mut precisions = cells.into_iter().map(|cell| cell.precision);
        precisions.next().is_some_and(|first| precisions.any(|other| other != first))
    }

    /// The cell for a person: `25MiB of 1GiB, batch 512, 8 ranks, 2048 MB, int8`.
    pub fn title(&self) -> String {
        let mut parts = Vec::new();
        match (&self.partition, &self.data) {
            (Some(partition), Some(data)) => parts.push(format!("{partition} of {data}")),
            (Some(partition), None) => parts.push(partition.clone()),
            (None, _) => {}
        }
        parts.push(format!("batch {}", self.batch_size));
        parts.extend(self.world_size.map(|ranks| format!("{ranks} ranks")));
        parts.extend(self.memory_mb.map(|mb| format!("{mb} MB")));
        parts.extend(self.named_precision().map(str::to_owned));
        parts.join(", ")
    }

    /// The cell as the name of a folder: `25MiB-1GiB-batch-512-world-8-memory-2048-int8`.
    pub fn folder(&self) -> String {
        let mut parts: Vec<String> = [&self.partition, &self.data].into_iter().flatten().cloned().collect();
        parts.push(format!("batch-{}", self.batch_size));
        parts.extend(self.world_size.map(|ranks| format!("world-{ranks}")));
        parts.extend(self.memory_mb.map(|mb| format!("memory-{mb}")));
        parts.extend(self.named_precision().map(str::to_owned));
        parts.join("-")
    }
}
