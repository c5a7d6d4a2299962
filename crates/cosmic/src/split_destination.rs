//! Where `cosmic split` puts its partitions, and what it replaces there.
//!
//! Old partitions beside new ones would be one data set to every later run. So the folder must hold nothing that a run
//! would read, or that is replaced, all of it, by the rule of a run. In a folder of this machine the new partitions are
//! written under a hidden name and moved into place when all are whole and the old ones out of the way: at no moment
//! are both there. S3 moves nothing: there the new ones are uploaded first, and what is left of the old ones is deleted
//! at the end.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use pipeline::{
    partitions::{WRITING, find_partitions},
    storage::{StorageError, as_folder},
};
use tempfile::TempDir;

use crate::{
    location::Location,
    whole_file::{hidden_folder, show, sync},
};

/// The keys of the partitions that a run would read in a folder, and that are to be replaced.
///
/// # Errors
/// Where there are any and `overwrite` is not set, and where they cannot or must not all be replaced: the data set that
/// is cut is one of them, they lie all over a bucket or a home folder, or one cannot be read.
pub(crate) async fn find_old(out: &Location, source: Option<&Location>, overwrite: bool) -> Result<Vec<String>> {
    if let Some(root) = &out.root {
        match fs::metadata(root) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => bail!("{} is there and is no folder: choose another one for the partitions", show(root)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("failed to look at {}", show(root))),
        }
    }
    let folder = as_folder(&out.key);
    let found = find_partitions(out.store.as_ref(), &folder).await?;
    let keys: Vec<String> = found.files.into_iter().map(|file| file.object.key).collect();
    let location = |key: &str| out.store.location(key);
    if !overwrite {
        let first = keys.first().or(found.unreadable.first().map(|unreadable| &unreadable.name));
        return match first {
            Some(first) => bail!(
                "{} is there already, and a run would read it beside the new partitions: choose another folder, or \
                 --overwrite to replace the .pt, .pth and .npz files in this one ({} in all)",
                location(first),
                keys.len() + found.unreadable.len()
            ),
            None => Ok(keys),
        };
    }
    if let Some(unreadable) = found.unreadable.first() {
        bail!("{} cannot be replaced ({}): remove it first", location(&unreadable.name), unreadable.reason);
    }
    if let Some(source) = source.filter(|source| keys.iter().any(|key| is_source(out, key, source))) {
        bail!("{} lies in the folder for its partitions, where --overwrite would delete it", source.name());
    }
    if !keys.is_empty() && is_root(out) {
        bail!(
            "--overwrite would delete {} partitions in all folders of {}: name a folder of their own",
            keys.len(),
            out.name()
        );
    }
    if let Some(root) = &out.root {
        for key in &keys {
            check_without_links(root, key)?;
        }
    }
    Ok(keys)
}

/// Whether a partition is the data set that is being cut.
fn is_source(out: &Location, key: &str, source: &Location) -> bool {
    match (&out.root, source.path()) {
        (Some(root), Some(path)) => match (fs::canonicalize(root.join(key)), fs::canonicalize(path)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        },
        (None, None) => out.store.location(key) == source.name(),
        _ => false,
    }
}

/// Whether a place holds so much else that its partitions are not one data set: a bucket, or a root or home folder.
fn is_root(out: &Location) -> bool {
    let Some(root) = &out.root else { return out.key.is_empty() };
    let Ok(root) = fs::canonicalize(root) else { return false };
    let home = std::env::home_dir().and_then(|home| fs::canonicalize(home).ok());
    root.parent().is_none() || Some(root) == home
}

/// Refuses to replace what lies behind a link to another folder.
fn check_without_links(root: &Path, key: &str) -> Result<()> {
    let path = root.join(key);
    let look = |path: &Path| fs::canonicalize(path).with_context(|| format!("failed to look at {}", show(path)));
    let within = Path::new(key).parent().unwrap_or(Path::new(""));
    if look(root)?.join(within) != look(path.parent().unwrap_or(root))? {
        bail!(
            "{} lies behind a link to another folder, where --overwrite deletes nothing: remove the link",
            show(&path)
        );
    }
    Ok(())
}

/// A folder that partitions are being written to.
pub(crate) struct Destination<'a> {
    out: &'a Location,
    /// Keys of what is replaced.
    old: Vec<String>,
    /// Names of the new partitions that are whole: in `staging`, or in S3.
    new: Vec<String>,
    staging: TempDir,
    /// Whether the folder of this machine was made for them.
    made: bool,
}

impl<'a> Destination<'a> {
    /// Makes sure that partitions can be written there.
    pub(crate) fn open(out: &'a Location, old: Vec<String>) -> Result<Self> {
        let (staging, made) = match &out.root {
            Some(root) => {
                let made = !root.exists();
                fs::create_dir_all(root).with_context(|| format!("failed to make the folder {}", show(root)))?;
                (hidden_folder(root, WRITING)?, made)
            }
            None => (tempfile::tempdir().context("failed to make a temporary folder")?, false),
        };
        Ok(Self { out, old, new: Vec::new(), staging, made })
    }

    /// Where to write a partition.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.staging.path().join(name)
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", as_folder(&self.out.key))
    }

    /// Takes a partition that is written.
    pub(crate) async fn add(&mut self, name: &str) -> Result<()> {
        let path = self.path(name);
        match self.out.root {
            Some(_) => sync(&path)?,
            None => {
                self.out.store.put_file(&self.key(name), &path).await?;
                fs::remove_file(&path).with_context(|| format!("failed to remove {}", show(&path)))?;
            }
        }
        self.new.push(name.to_owned());
        Ok(())
    }

    /// Puts the new partitions in the place of the old ones where all are written, and else leaves as much as possible
    /// as it was; the error says what is there.
    pub(crate) async fn finish(self, written: Result<()>, partitions: u64) -> Result<()> {
        match (&self.out.root, written) {
            (Some(root), Ok(())) => self.move_into(root),
            (Some(root), Err(error)) => {
                let made = self.made.then(|| root.clone());
                drop(self);
                if let Some(root) = made {
                    // It was made for the partitions, and stays if something else came into it.
                    let _ = fs::remove_dir(root);
                }
                Err(error)
            }
            (None, Ok(())) => self.delete_other_old().await,
            (None, Err(error)) => Err(self.abandon_upload(error, partitions).await),
        }
    }

    /// Moves the old partitions away and the new ones in, or all back where that fails half-way.
    fn move_into(self, root: &Path) -> Result<()> {
        let away =
            tempfile::Builder::new().prefix(&format!("{WRITING}replaced-")).disable_cleanup(true).tempdir_in(root);
        let away = away.with_context(|| format!("failed to write into {}", show(root)))?.keep();
        let out_of_the_way = self.old.iter().enumerate().map(|(at, key)| (root.join(key), away.join(at.to_string())));
        let in_place = self.new.iter().map(|name| (self.staging.path().join(name), root.join(name)));
        let moves: Vec<(PathBuf, PathBuf)> = out_of_the_way.chain(in_place).collect();
        for (done, (from, to)) in moves.iter().enumerate() {
            let Err(error) = move_to_free_place(from, to) else { continue };
            let failed = anyhow!(error).context(format!("failed to move {} to {}", show(from), show(to)));
            for (from, to) in moves[..done].iter().rev() {
                fs::rename(to, from).with_context(|| {
                    format!("{failed:#}; the old partitions are in {} and could not be moved back", show(&away))
                })?;
            }
            let _ = fs::remove_dir(&away);
            return Err(failed.context("nothing was replaced"));
        }
        fs::remove_dir_all(&away).with_context(|| {
            format!(
                "the new partitions are in place, and the old ones could not be deleted: they are in {}",
                show(&away)
            )
        })
    }

    async fn delete_other_old(self) -> Result<()> {
        let new: HashSet<String> = self.new.iter().map(|name| self.key(name)).collect();
        let old: Vec<String> = self.old.iter().filter(|key| !new.contains(*key)).cloned().collect();
        self.out.store.delete(&old).await.with_context(|| {
            format!(
                "the {} new partitions are all under {}, but of the old ones up to {} still are: a run would read both",
                new.len(),
                self.out.name(),
                old.len()
            )
        })
    }

    /// Says what a failed upload leaves, and removes it where nothing was there before.
    async fn abandon_upload(self, error: anyhow::Error, partitions: u64) -> anyhow::Error {
        let uploaded: Vec<String> = self.new.iter().map(|name| self.key(name)).collect();
        let (count, place) = (uploaded.len(), self.out.name());
        if self.old.is_empty() {
            return match self.out.store.delete(&uploaded).await {
                Ok(()) => error.context(format!("no partition is left under {place}")),
                Err(StorageError::NotFound { .. }) => error,
                Err(_) => error.context(format!(
                    "{count} of {partitions} partitions are under {place} and could not be deleted: a run would take them \
                     for all"
                )),
            };
        }
        if uploaded.is_empty() {
            return error.context(format!("the old partitions under {place} are as they were"));
        }
        error.context(format!(
            "{count} of {partitions} new partitions are under {place} beside old ones: run the same command again before \
             a run reads both"
        ))
    }
}

/// Moves a file to where nothing is.
fn move_to_free_place(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(_) => Err(std::io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}
