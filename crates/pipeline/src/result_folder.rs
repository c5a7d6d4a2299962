//! A folder of this machine that results are put into: they are written into a hidden folder in it, and moved to their
//! places once all of them are whole, so that older results stay until then.

use std::{
    fs::{File, TryLockError},
    io::{BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    error::{Error, Result},
    run_files::{RESULTS, RESULTS_JSON},
    storage::StorageError,
};

/// How the names of these hidden folders begin, and of no others.
const STAGING: &str = ".cosmic-results-";

/// A folder that is this process's to put results into.
pub struct ResultFolder {
    path: PathBuf,
    staging: TempDir,
    /// Holds the lock on the folder.
    _lock: File,
}

impl ResultFolder {
    /// Makes the folder where it is not there, and makes sure that results can be written into it.
    ///
    /// # Errors
    /// A folder that cannot be made or written to, and one that another process is putting results into.
    pub fn claim(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| StorageError::of_io("write into", path.display().to_string(), error);
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = File::open(path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => remove_stale(path).map_err(failed)?,
            Err(TryLockError::WouldBlock) => return Err(Error::FolderBusy { folder: path.display().to_string() }),
            // Some network file systems have no locks: there the user takes care.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error).into()),
        }
        let staging = tempfile::Builder::new().prefix(STAGING).tempdir_in(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), staging, _lock: lock })
    }

    /// The place of a result, by its name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Starts a result that is written piece by piece; whoever does so also syncs it.
    pub fn create(&self, name: &str) -> Result<File> {
        let created = File::create(self.staging.path().join(name));
        Ok(created.map_err(|error| self.failed(name, error))?)
    }

    /// Writes a whole result.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.create(name)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        Ok(written.map_err(|error| self.failed(name, error))?)
    }

    /// The SHA-256 of a result that was written, in hexadecimal.
    pub fn sha256(&self, name: &str) -> Result<String> {
        let hashed = sha256_of_file(&self.staging.path().join(name));
        Ok(hashed.map_err(|error| self.failed(name, error))?)
    }

    /// Moves all results to their places, Results.json last.
    pub fn publish(self) -> Result<Vec<PathBuf>> {
        // An old one would vouch for files that are about to change.
        match std::fs::remove_file(self.path(RESULTS_JSON)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.failed(RESULTS_JSON, error).into()),
            _ => {}
        }
        for name in RESULTS {
            let moved = std::fs::rename(self.staging.path().join(name), self.path(name));
            moved.map_err(|error| self.failed(name, error))?;
        }
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(|error| self.failed("", error))?;
        Ok(RESULTS.map(|name| self.path(name)).to_vec())
    }

    fn failed(&self, name: &str, error: std::io::Error) -> StorageError {
        StorageError::of_io("write", self.path(name).display().to_string(), error)
    }
}

/// The SHA-256 of a file, in hexadecimal, in memory for a piece of it.
pub fn sha256_of_file(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash) = (BufReader::new(File::open(path)?), Sha256::new());
    loop {
        let piece = file.fill_buf()?;
        if piece.is_empty() {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(piece);
        let length = piece.len();
        file.consume(length);
    }
}

/// Removes the hidden folders that killed processes have left. The lock says that no living one uses them.
fn remove_stale(path: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(STAGING) && entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_appear_all_at_once_and_only_one_process_puts_them_there() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        std::fs::write(out.join(RESULTS_JSON), "old").unwrap();
        let claimed = ResultFolder::claim(&out).unwrap();
        assert!(matches!(ResultFolder::claim(&out), Err(Error::FolderBusy { .. })));
        for name in RESULTS.iter().filter(|name| **name != RESULTS_JSON) {
            claimed.write(name, b"new").unwrap();
        }
        assert_eq!(std::fs::read(out.join(RESULTS_JSON)).unwrap(), b"old");
        assert!(!out.join(RESULTS[0]).exists());
        claimed.write(RESULTS_JSON, b"new").unwrap();
        claimed.publish().unwrap();
        for name in RESULTS {
            assert_eq!(std::fs::read(out.join(name)).unwrap(), b"new");
        }
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), RESULTS.len(), "nothing else stays");
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path().to_owned(), file.path().join("out")] {
            let error = ResultFolder::claim(&path).err().unwrap();
            assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
        }
    }
}
