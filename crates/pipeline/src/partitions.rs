//! The data files of a run: which they are, and opening them as what was planned.

use std::sync::Arc;

use galaxies::Dataset;

use crate::{
    error::{Error, Result},
    natural_order::natural_order,
    plan::PlannedFile,
    storage::{ObjectReader, ObjectStore, Unreadable, as_folder, printable},
};

/// Whether a run reads files of this name, hidden ones apart: those of `torch.save` and of `numpy.savez`.
pub fn is_partition(key: &str) -> bool {
    [".pt", ".pth", ".npz"].iter().any(|ending| has_ending(key, ending))
}

fn has_ending(key: &str, ending: &str) -> bool {
    let at = key.len().checked_sub(ending.len());
    at.and_then(|at| key.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
}

/// Whether a file, or a folder that it is in, is hidden: `._1.pt` of macOS, `.ipynb_checkpoints`, `.Trash-1000`. `name`
/// is what follows the folder that was asked for, which may itself be hidden.
fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.'))
}

/// How the hidden folders' names begin in which partitions are written, and old ones kept, until all are in place.
pub const WRITING: &str = ".cosmic-partitions-";

fn is_interrupted_write(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with(WRITING))
}

/// Whether what cannot be read may be, or hold, a partition. A folder's name may have any form, and so has that of a
/// link to one; other endings than a partition's are those of other files.
fn may_be_partition(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    is_partition(file) || !file.trim_start_matches('.').contains('.')
}

/// What a run finds under a prefix.
#[derive(Debug, Default)]
pub struct Partitions {
    /// The files that it reads, in natural order.
    pub files: Vec<PlannedFile>,
    /// What it should read and cannot, in natural order. S3 has none.
    pub unreadable: Vec<Unreadable>,
}

/// All that a run would read under a folder, which may be nothing; `folder` ends in a slash or is empty. What is left
/// out is said in warnings.
///
/// # Errors
/// Those of [`ObjectStore::list`].
pub async fn find_partitions(store: &dyn ObjectStore, folder: &str) -> Result<Partitions> {
    let listing = store.list(folder).await?;
    let within = |name: &str| name.strip_prefix(folder).unwrap_or(name).to_owned();
    let (mut hidden, mut others, mut interrupted) = (Vec::new(), Vec::new(), Vec::new());
    let mut files = Vec::new();
    for object in listing.objects {
        let name = within(&object.key);
        match () {
            // S3's own stand-ins for folders.
            () if object.key.ends_with('/') => {}
            () if is_interrupted_write(&name) => interrupted.push(object.key),
            () if is_hidden(&name) => hidden.push(object.key),
            () if is_partition(&object.key) => files.push(PlannedFile::listed(object)),
            () => others.push(object.key),
        }
    }
    let mut unreadable = Vec::new();
    if let Some(first) = interrupted.into_iter().min() {
        let reason = "`cosmic split` is still at work here, or was interrupted, so that partitions may be missing: look \
                      into this hidden folder, split again or take its files out, and delete it";
        unreadable.push(Unreadable { name: first, reason: reason.to_owned() });
    }
    for found in listing.unreadable {
        match () {
            () if is_hidden(&within(&found.name)) => hidden.push(found.name),
            () if may_be_partition(&found.name) => unreadable.push(found),
            () => others.push(found.name),
        }
    }
    for (left_out, what) in [(hidden, "it is hidden"), (others, "it is none of .pt, .pth and .npz")] {
        if let Some(first) = left_out.iter().min() {
            let (files, first) = (left_out.len(), store.location(first));
            tracing::warn!("left out under the prefix, since {what}: {first}, of {files} such files");
        }
    }
    files.sort_by(|a, b| natural_order(&a.object.key, &b.object.key));
    unreadable.sort_by(|a, b| natural_order(&a.name, &b.name));
    Ok(Partitions { files, unreadable })
}

/// The partitions under a folder, the first `limit` of them in natural order. What cannot be read counts.
///
/// # Errors
/// [`Error::EmptyPrefix`] where there is none, [`Error::BadPartition`] where none can be read.
pub async fn list_partitions(store: &Arc<dyn ObjectStore>, folder: &str, limit: Option<u64>) -> Result<Partitions> {
    let folder = as_folder(folder);
    let mut found = find_partitions(store.as_ref(), &folder).await?;
    let mut left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (mut files, mut unreadable) = (0, 0);
    while left > 0 {
        match (found.files.get(files), found.unreadable.get(unreadable)) {
            (None, None) => break,
            (Some(file), Some(other)) if natural_order(&file.object.key, &other.name).is_gt() => unreadable += 1,
            (None, Some(_)) => unreadable += 1,
            (Some(_), _) => files += 1,
        }
        left -= 1;
    }
    found.files.truncate(files);
    found.unreadable.truncate(unreadable);
    match found.unreadable.first() {
        _ if !found.files.is_empty() => Ok(found),
        None => Err(Error::EmptyPrefix { location: store.location(&folder) }),
        Some(Unreadable { name, reason }) => {
            let reason = format!("{} cannot be read: {}", store.location(name), printable(reason));
            Err(Error::BadPartition(reason.into()))
        }
    }
}

/// Opens a planned file, and checks that it has the planned number of rows. A file that is not what it should be is
/// read once more before that is believed of it, because what arrived may not be what is stored.
///
/// # Errors
/// [`Error::BadPartition`] where it has not, or is no data set; [`Error::Storage`] where it cannot be read.
pub async fn open(store: &Arc<dyn ObjectStore>, file: &PlannedFile) -> Result<Dataset<ObjectReader>> {
    match open_once(store, file).await {
        Err(Error::BadPartition(_)) => open_once(store, file).await,
        outcome => outcome,
    }
}

async fn open_once(store: &Arc<dyn ObjectStore>, file: &PlannedFile) -> Result<Dataset<ObjectReader>> {
    let dataset = Dataset::open(ObjectReader::new(Arc::clone(store), file.object.clone())).await?;
    match file.rows {
        Some(planned) if planned != dataset.rows() => {
            let location = store.location(&file.object.key);
            let found = dataset.rows();
            Err(Error::BadPartition(format!("{location}: {planned} rows were planned, {found} are there").into()))
        }
        _ => Ok(dataset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_by_their_ending_in_any_case() {
        for (key, partition) in [
            ("1.pt", true),
            ("a/B.PTH", true),
            ("x.Pt", true),
            ("x.Npz", true),
            ("x.npy", false),
            ("1.pt.bak", false),
            ("1.ptt", false),
            ("pt", false),
            ("é", false),
        ] {
            assert_eq!(is_partition(key), partition, "{key}");
        }
        assert!(is_hidden("a/.b/1.pt") && is_hidden("._1.pt") && !is_hidden("a.b/1.pt"));
        assert!(may_be_partition("a/batch7") && may_be_partition("9.PT") && !may_be_partition("notes.txt"));
    }
}
