//! Two catalogues that are there, and what their metadata say of how they were made.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use catalogue::{CatalogueRows, Matched, read_metadata};

use crate::{compare::output::Side, global::Global, location::Location};

/// Reads and matches two catalogues.
///
/// # Errors
/// One that cannot be read, and two that have no galaxy in common.
pub(super) async fn read(places: [&str; 2], global: &Global) -> Result<([Side; 2], Matched)> {
    let (first, first_rows) = read_one(places[0], global).await?;
    let (second, second_rows) = read_one(places[1], global).await?;
    let matched = Matched::of(&first_rows, &second_rows);
    if matched.galaxies == 0 {
        bail!(
            "{} and {} have no galaxy in common, neither by file and row nor by a column of identifiers",
            first.of,
            second.of
        );
    }
    Ok(([first, second], matched))
}

async fn read_one(place: &str, global: &Global) -> Result<(Side, Vec<CatalogueRows>)> {
    let location = Location::parse_catalogue(place, global).await?;
    let bytes = location.reader().await?.read_all().await?;
    let name = location.name();
    let rows = catalogue::read(bytes.clone()).and_then(Iterator::collect);
    let rows = rows.with_context(|| format!("{name} cannot be read as a catalogue"))?;
    let side = side(name.clone(), &bytes).with_context(|| format!("{name} cannot be read as a catalogue"))?;
    Ok((side, rows))
}

/// What the metadata say. Those of a version without precisions are of f32.
fn side(of: String, bytes: &Bytes) -> Result<Side> {
    let noted = |key: &str| read_metadata(bytes, key);
    Ok(Side {
        of,
        model: noted("cosmic.model")?,
        model_sha256: noted("cosmic.model_sha256")?,
        engine: noted("cosmic.engine")?,
        precision: noted("cosmic.precision")?.unwrap_or_else(|| "f32".to_owned()),
        version: noted("cosmic.version")?,
    })
}
