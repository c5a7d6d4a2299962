//! sweep.csv: a row for each repeat of each cell, with units in the names of the columns.

use crate::record::{Repeat, Status, Sweep};

impl Sweep {
    /// The whole file. What is not known is empty.
    ///
    /// # Errors
    /// None that is known: it is written into memory.
    pub fn csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let rows = self.cells.iter().flat_map(|runs| runs.repeats.iter().map(|repeat| (&runs.cell, repeat)));
        let mut header_written = false;
        for (cell, repeat) in rows {
            let mut row: Vec<(String, String)> = [
                ("cell", cell.folder()),
                ("partition", text(cell.partition.as_ref())),
                ("partition_bytes", text(cell.partition_bytes)),
                ("data", text(cell.data.as_ref())),
                ("data_bytes", text(cell.data_bytes)),
                ("file_limit", text(cell.file_limit)),
                ("batch_size", cell.batch_size.to_string()),
                ("world_size", text(cell.world_size)),
                ("configured_memory_mb", text(cell.memory_mb)),
                ("precision", cell.precision.to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
            row.extend(of_repeat(repeat));
            if !header_written {
                writer.write_record(row.iter().map(|(name, _)| name))?;
                header_written = true;
            }
            writer.write_record(row.iter().map(|(_, value)| value))?;
        }
        writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
    }
}

fn of_repeat(repeat: &Repeat) -> Vec<(String, String)> {
    let status = match repeat.status {
        Status::Done => "done",
        Status::Incomplete => "incomplete",
        Status::Failed => "failed",
    };
    let named = |(name, value): (&str, String)| (name.to_owned(), value);
    let mut row: Vec<(String, String)> = [
        ("repeat", repeat.repeat.to_string()),
        ("status", status.to_owned()),
        ("reason", text(repeat.reason.as_ref())),
        ("execution", text(repeat.execution.as_ref())),
        ("started_at_unix_seconds", format!("{:.3}", repeat.started_at)),
        ("wall_seconds", repeat.seconds.to_string()),
        ("map_wall_seconds", text(repeat.map_seconds)),
        ("ranks", repeat.ranks.len().to_string()),
        ("cold_ranks", repeat.cold_ranks().to_string()),
        ("galaxies", repeat.rows.to_string()),
        ("bytes", repeat.bytes.to_string()),
        ("galaxies_per_second", text(repeat.galaxies_per_second())),
        ("bits_per_second", text(repeat.bits_per_second())),
        ("peak_memory_mb", text(repeat.peak_memory_mb)),
        ("billed_ms", text(repeat.billed_ms)),
        ("cost_usd", text(repeat.cost_usd)),
        ("cost_of_invocations", text(repeat.cost_of.as_ref())),
    ]
    .map(named)
    .into();
    for (phase, spent) in repeat.phases.named() {
        row.push((format!("{phase}_wall_seconds"), spent.wall_seconds.to_string()));
        row.push((format!("{phase}_cpu_seconds"), spent.cpu_seconds.to_string()));
    }
    let metric = |of: fn(&catalogue::Metrics) -> Option<f64>| text(repeat.metrics.as_ref().and_then(of));
    row.extend(
        [
            ("mae", metric(|metrics| metrics.mae)),
            ("sigma_nmad", metric(|metrics| metrics.precision)),
            ("bias", metric(|metrics| metrics.bias)),
            ("redshifts_sha256", text(repeat.redshifts_sha256.as_ref())),
            ("catalogue_sha256", text(repeat.catalogue_sha256.as_ref())),
            ("made_by", text(repeat.made_by.as_ref())),
        ]
        .map(named),
    );
    row
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}
