//! Files that are written whole or not at all: beside their place, and moved there at the end. A full disk or a Ctrl-C
//! leaves what was there before.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use pipeline::storage::printable;
use tempfile::TempDir;

/// How folders begin in which something is being written. They are hidden, so that no run reads what is in them.
const PREFIX: &str = ".cosmic-";

/// A file that is being written.
pub(crate) struct WholeFile {
    /// Where it will be.
    place: PathBuf,
    /// It has its own name in here, which is written into data sets.
    folder: TempDir,
    path: PathBuf,
}

impl WholeFile {
    /// Starts a file. Its folder must be there and take it, and what is at its place must be a file or nothing.
    pub(crate) fn create(place: &Path) -> Result<Self> {
        let shown = show(place);
        if let Ok(there) = fs::metadata(place)
            && !there.is_file()
        {
            bail!("{shown} is no file that could be replaced: it is a folder, a pipe or a device");
        }
        // What a link leads to is replaced, not the link.
        let place = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
        let Some(name) = place.file_name() else { bail!("{shown} is not the name of a file") };
        let folder = hidden_folder(place.parent().unwrap_or(Path::new("")), PREFIX)?;
        let path = folder.path().join(name);
        Ok(Self { path, folder, place })
    }

    /// Starts a model's file, whose name must say what is in it: a checkpoint that it was made of is not replaced.
    pub(crate) fn create_model(place: &Path) -> Result<Self> {
        match place.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors")) {
            true => Self::create(place),
            false => bail!("{} would be a safetensors file: give it a name that ends in .safetensors", show(place)),
        }
    }

    /// Where to write it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves what was written to its place, once it is on the disk.
    pub(crate) fn finish(self) -> Result<()> {
        sync(&self.path)?;
        fs::rename(&self.path, &self.place).with_context(|| format!("failed to write {}", show(&self.place)))?;
        self.folder.close().with_context(|| format!("failed to clean up beside {}", show(&self.place)))
    }
}

/// Makes a hidden folder inside another one, to write in. It is deleted with what is in it when it is dropped.
pub(crate) fn hidden_folder(folder: &Path, prefix: &str) -> Result<TempDir> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(folder)
        .with_context(|| format!("failed to write into {}", show(folder)))
}

/// Waits until a file is on the disk, which is when the last errors of writing it come.
pub(crate) fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).with_context(|| format!("failed to write {}", show(path)))
}

pub(crate) fn show(path: &Path) -> String {
    printable(&path.display().to_string())
}
