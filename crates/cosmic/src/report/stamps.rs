//! The pictures of galaxies, read from the data set of a run.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result, bail};
use catalogue::WorstGalaxy;
use galaxies::Galaxies;
use pipeline::{
    partitions::{Partitions, open},
    plan::PlannedFile,
    storage::{ObjectStore, explain, printable},
};
use report::{PICTURED, Stamps};

use crate::{global::Global, location::Location, report::gathered::Gathered};

/// The pictures of the galaxies that are farthest off, as far as their data can be read: none is no failure.
pub(crate) async fn find(run: &Gathered, data: Option<&str>, global: &Global) -> Stamps {
    let worst: Vec<WorstGalaxy> = run.comparison.worst().into_iter().take(PICTURED).collect();
    let place = match (data, &run.results.payload) {
        (Some(data), _) => data.to_owned(),
        (None, Some(payload)) => format!("s3://{}/{}", payload.data_bucket, payload.data_prefix),
        (None, None) => return Stamps::new(),
    };
    if worst.is_empty() {
        return Stamps::new();
    }
    match draw(&worst, &place, global).await {
        Ok(stamps) => stamps,
        Err(error) => {
            eprintln!(
                "warning: the report has no pictures of galaxies (--data names the data set): {}",
                explain(error.as_ref())
            );
            Stamps::new()
        }
    }
}

async fn draw(worst: &[WorstGalaxy], place: &str, global: &Global) -> Result<Stamps> {
    let location = Location::parse(place, global).await?;
    let Partitions { files, .. } = location.partitions(None).await?;
    let mut by_file: BTreeMap<&str, Vec<&WorstGalaxy>> = BTreeMap::new();
    for galaxy in worst {
        by_file.entry(&galaxy.source_file).or_default().push(galaxy);
    }
    let mut stamps = Stamps::new();
    for (source, galaxies) in by_file {
        match file_of(source, &files) {
            Some(file) => draw_of(&location.store, file, &galaxies, &mut stamps).await?,
            None => bail!("{} is not among the files of {}", printable(source), location.name()),
        }
    }
    Ok(stamps)
}

async fn draw_of(
    store: &Arc<dyn ObjectStore>,
    file: &PlannedFile,
    galaxies: &[&WorstGalaxy],
    stamps: &mut Stamps,
) -> Result<()> {
    let dataset = open(store, file).await?;
    for galaxy in galaxies {
        let row = galaxy.row_index;
        if row >= dataset.rows() {
            bail!("{} has no row {row}: it is not the file that the run read", store.location(&file.object.key));
        }
        let Galaxies { images, redshifts, .. } = dataset.read(row..row + 1).await?;
        let redshift = redshifts.as_ref().and_then(|redshifts| redshifts.first());
        if redshift.is_none_or(|redshift| *redshift != galaxy.z_spec) {
            bail!(
                "row {row} of {} has another redshift than in the catalogue: it is not the file that the run read",
                store.location(&file.object.key)
            );
        }
        let picture = sky::strip::draw(&images).context("failed to draw a galaxy")?;
        stamps.insert((galaxy.source_file.clone(), row), picture);
    }
    Ok(())
}

/// The file that a catalogue knows by the key `source`: the one of that key, or the only one that has the most of the
/// last parts of it, where the data lie in another place by now.
fn file_of<'a>(source: &str, files: &'a [PlannedFile]) -> Option<&'a PlannedFile> {
    let alike = |file: &PlannedFile| {
        let (key, source) = (file.object.key.rsplit('/'), source.rsplit('/'));
        key.zip(source).take_while(|(key, source)| key == source).count()
    };
    if let Some(file) = files.iter().find(|file| file.object.key == source) {
        return Some(file);
    }
    let most = files.iter().map(alike).max().filter(|most| *most > 0)?;
    let mut nearest = files.iter().filter(|file| alike(file) == most);
    nearest.next().filter(|_| nearest.next().is_none())
}

#[cfg(test)]
mod tests {
    use pipeline::storage::ObjectInfo;

    use super::*;

    #[test]
    fn a_file_is_found_where_its_data_lie_now() {
        let file = |key: &str| PlannedFile::listed(ObjectInfo { key: key.to_owned(), size: 1, etag: String::new() });
        let files = [file("1.pt"), file("10.pt"), file("north/2.pt"), file("south/2.pt")];
        let found = |source: &str| file_of(source, &files).map(|file| file.object.key.as_str());
        assert_eq!(found("sky/25MB/1.pt"), Some("1.pt"));
        assert_eq!(found("sky/north/2.pt"), Some("north/2.pt"));
        assert_eq!(found("2.pt"), None, "there are two");
        assert_eq!(found("3.pt"), None);
    }
}
