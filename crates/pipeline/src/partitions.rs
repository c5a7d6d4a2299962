//! The data files of a run: which they are, and opening them as what was planned.

use std::sync::Arc;

use galaxies::Dataset;

use crate::{
    error::{Error, Result},
    plan::{PlannedFile, sort},
    storage::{ObjectReader, ObjectStore, as_folder},
};

/// Whether a run reads the file of this key.
pub fn is_partition(key: &str) -> bool {
    key.ends_with(".pt") || key.ends_with(".pth")
}

/// The partitions under a folder, in natural order, the first `limit` of them.
///
/// # Errors
/// [`Error::EmptyPrefix`] where there is none.
pub async fn list_partitions(
    store: &Arc<dyn ObjectStore>,
    folder: &str,
    limit: Option<u64>,
) -> Result<Vec<PlannedFile>> {
    let folder = as_folder(folder);
    let listed = store.list(&folder).await?;
    let (partitions, others): (Vec<_>, Vec<_>) =
        listed.into_iter().filter(|object| !object.key.ends_with('/')).partition(|object| is_partition(&object.key));
    if let Some(first) = others.first() {
        tracing::warn!(
            objects = others.len(),
            first = first.key,
            "objects that are neither .pt nor .pth lie under the prefix and are left out"
        );
    }
    if partitions.is_empty() {
        return Err(Error::EmptyPrefix { location: store.location(&folder) });
    }
    let mut files: Vec<_> = partitions.into_iter().map(PlannedFile::listed).collect();
    sort(&mut files);
    files.truncate(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
    Ok(files)
}

/// Opens a planned file, and checks that it has the planned number of rows. A file that is not what it should be is read
/// once more before that is believed of it, because what arrived may not be what is stored.
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
