//! The packed libtorch, and the folder that it is unpacked to.
//!
//! The archive's name holds the hash of its contents, so that a folder of that name needs no check of what is in it,
//! and two versions of libtorch never share one. The folder appears by a rename, complete or not at all. Launchers that
//! start at once on one machine, as on the local stack, wait for the first of them and share what it has unpacked.

use std::{
    env,
    fs::{self, DirBuilder, File},
    io::{self, BufWriter, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

/// Archives are called `libtorch-<hash>.tar.zst`.
const PREFIX: &str = "libtorch-";
const SUFFIX: &str = ".tar.zst";

/// The size of writes, which is large because the largest file has 440 MB.
const BUFFER: usize = 1 << 20;

/// Finds the one archive in the folder of the zip.
pub(crate) fn find_archive(folder: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            found.push(entry.path());
        }
    }
    match (found.pop(), found.len()) {
        (Some(archive), 0) => Ok(archive),
        (None, _) => {
            bail!("no {PREFIX}*{SUFFIX} in {}: package the function with scripts/package.sh", folder.display())
        }
        (Some(_), _) => bail!("more than one {PREFIX}*{SUFFIX} in {}: package the function anew", folder.display()),
    }
}

/// The folder under which this user's versions of libtorch are unpacked. Libraries are code, and anybody can guess this
/// name: [`unpack`] checks that the folder is this user's own.
pub(crate) fn cache() -> PathBuf {
    env::temp_dir().join(format!("cosmic-{}", nix::unistd::geteuid()))
}

#[derive(Debug)]
pub(crate) struct Unpacked {
    /// The folder of the libraries.
    pub(crate) folder: PathBuf,
    /// Whether this call has unpacked them; otherwise they were there.
    pub(crate) newly: bool,
}

/// Unpacks the libraries of `archive` into a folder under `cache`, unless they are there.
///
/// # Errors
/// An archive that is corrupt or holds anything but plain files at its root; a temporary directory that is full or
/// another user's.
pub(crate) fn unpack(archive: &Path, cache: &Path) -> Result<Unpacked> {
    let name = archive
        .file_name()
        .and_then(|name| name.to_str()?.strip_suffix(SUFFIX))
        .with_context(|| format!("{} is not called {PREFIX}*{SUFFIX}", archive.display()))?;
    ensure_private_folder(cache)?;
    let lock_path = cache.join(format!("{name}.lock"));
    // The lock is released where `_lock` goes out of scope, and by Linux if this process is killed before.
    let _lock = File::create(&lock_path)
        .and_then(|lock| lock.lock().map(|()| lock))
        .with_context(|| format!("failed to lock {}", lock_path.display()))?;
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(Unpacked { folder, newly: false });
    }
    // Under the lock nobody else uses this name. If the folder is there, the launcher that made it was killed.
    let partial = cache.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("failed to remove {}", partial.display()))?;
    }
    fs::create_dir(&partial).with_context(|| format!("failed to make {}", partial.display()))?;
    if let Err(error) = extract(archive, &partial) {
        // This frees the disk at once. Where it fails, the next launcher does it.
        let _ = fs::remove_dir_all(&partial);
        return Err(error.context(format!("failed to unpack {} into {}", archive.display(), cache.display())));
    }
    fs::rename(&partial, &folder).with_context(|| format!("failed to make {}", folder.display()))?;
    Ok(Unpacked { folder, newly: true })
}

/// Makes the folder if it is not there, and checks that only this user can write to it.
fn ensure_private_folder(folder: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("failed to make {}", folder.display()));
        }
        _ => {}
    }
    // `symlink_metadata` does not follow a link, which another user could have put here.
    let metadata = fs::symlink_metadata(folder).with_context(|| format!("failed to look at {}", folder.display()))?;
    ensure!(
        metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & 0o022 == 0,
        "{} is no folder that only this user can write to: remove it, or set TMPDIR to another place",
        folder.display()
    );
    Ok(())
}

/// Unpacks plain files at the archive's root, and refuses all other entries.
fn extract(archive: &Path, folder: &Path) -> Result<()> {
    let packed = File::open(archive)?;
    let mut files = tar::Archive::new(zstd::Decoder::new(packed)?);
    for entry in files.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut components = path.components();
        let (Some(Component::Normal(name)), None) = (components.next(), components.next()) else {
            bail!(
                "the entry {} is not a plain file name: this is not an archive of scripts/package.sh",
                path.display()
            );
        };
        ensure!(entry.header().entry_type().is_file(), "the entry {} is not a plain file", path.display());
        let copied = File::create_new(folder.join(name)).and_then(|file| {
            let mut file = BufWriter::with_capacity(BUFFER, file);
            io::copy(&mut entry, &mut file)?;
            file.flush()
        });
        match copied {
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                return Err(error).context(
                    "the temporary directory is full: libtorch needs 450 MB there \
                     (on Lambda, raise the stack's InferenceTemporaryStorage)",
                );
            }
            copied => copied.with_context(|| format!("failed to unpack the entry {}", path.display()))?,
        }
    }
    // zstd's checksum follows the end of the tar archive, and is only compared when the stream is read to its end.
    io::copy(&mut files.into_inner(), &mut io::sink())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// An archive of entries as (name, type, contents); names are not checked.
    fn pack(folder: &Path, entries: &[(&str, tar::EntryType, &[u8])]) -> PathBuf {
        let path = folder.join("libtorch-0123abcd.tar.zst");
        let mut packed = zstd::Encoder::new(File::create(&path).unwrap(), 1).unwrap();
        packed.include_checksum(true).unwrap();
        let mut archive = tar::Builder::new(packed);
        for (name, kind, contents) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(contents.len() as u64);
            header.set_cksum();
            archive.append(&header, *contents).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        path
    }

    /// Contents that do not compress, so that damage anywhere is damage to a file.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    #[test]
    fn libraries_are_unpacked_once_and_found_again() {
        let temporary = tempfile::tempdir().unwrap();
        let cache = temporary.path().join("cache");
        let contents = noise(3 * BUFFER + 17);
        let archive = pack(temporary.path(), &[("libtorch_cpu.so", FILE, &contents), ("libgomp.so.1", FILE, b"gomp")]);

        let first = unpack(&archive, &cache).unwrap();
        assert!(first.newly);
        assert_eq!(first.folder, cache.join("libtorch-0123abcd"));
        assert_eq!(fs::read(first.folder.join("libtorch_cpu.so")).unwrap(), contents);
        assert_eq!(fs::read(first.folder.join("libgomp.so.1")).unwrap(), b"gomp");
        assert_eq!(names(&cache), ["libtorch-0123abcd", "libtorch-0123abcd.lock"]);

        let second = unpack(&archive, &cache).unwrap();
        assert!(!second.newly);
        assert_eq!(second.folder, first.folder);
    }

    #[test]
    fn what_a_killed_launcher_left_is_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let cache = temporary.path().join("cache");
        let archive = pack(temporary.path(), &[("libtorch_cpu.so", FILE, b"torch")]);
        DirBuilder::new().mode(0o700).create(&cache).unwrap();
        fs::create_dir(cache.join("libtorch-0123abcd.partial")).unwrap();
        fs::write(cache.join("libtorch-0123abcd.partial/libtorch_cpu.so"), b"to").unwrap();
        let unpacked = unpack(&archive, &cache).unwrap();
        assert_eq!(fs::read(unpacked.folder.join("libtorch_cpu.so")).unwrap(), b"torch");
        assert_eq!(names(&cache), ["libtorch-0123abcd", "libtorch-0123abcd.lock"]);
    }

    #[test]
    fn launchers_that_start_at_once_share_one_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let cache = temporary.path().join("cache");
        let archive = pack(temporary.path(), &[("libtorch_cpu.so", FILE, &noise(BUFFER))]);
        let worked: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| unpack(&archive, &cache).unwrap().newly)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(worked.iter().filter(|newly| **newly).count(), 1, "{worked:?}");
        assert_eq!(names(&cache), ["libtorch-0123abcd", "libtorch-0123abcd.lock"]);
    }

    #[test]
    fn a_damaged_archive_is_named_and_leaves_nothing_that_could_be_taken_for_libtorch() {
        let temporary = tempfile::tempdir().unwrap();
        let cache = temporary.path().join("cache");
        let archive = pack(temporary.path(), &[("libtorch_cpu.so", FILE, &noise(BUFFER))]);
        let whole = fs::read(&archive).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() / 2], &whole[..whole.len() - 1], b"not zstd", b""] {
            fs::write(&archive, damaged).unwrap();
            let said = format!("{:#}", unpack(&archive, &cache).unwrap_err());
            assert!(said.contains("libtorch-0123abcd.tar.zst"), "{said}");
            assert_eq!(names(&cache), ["libtorch-0123abcd.lock"]);
        }
    }

    #[test]
    fn entries_that_could_land_elsewhere_are_refused() {
        for (name, kind) in [
            ("../libc.so", FILE),
            ("/tmp/libc.so", FILE),
            ("folder/libc.so", FILE),
            ("..", FILE),
            ("libc.so", tar::EntryType::Symlink),
            ("libc.so", tar::EntryType::Link),
            ("libc.so", tar::EntryType::Directory),
            ("libc.so", tar::EntryType::Char),
        ] {
            let temporary = tempfile::tempdir().unwrap();
            let cache = temporary.path().join("cache");
            let archive = pack(temporary.path(), &[(name, kind, b"")]);
            let said = format!("{:#}", unpack(&archive, &cache).unwrap_err());
            assert!(said.contains("is not a plain file"), "{name} {kind:?}: {said}");
            assert_eq!(names(&cache), ["libtorch-0123abcd.lock"]);
        }
    }

    #[test]
    fn a_cache_that_others_can_write_to_is_not_trusted() {
        let temporary = tempfile::tempdir().unwrap();
        let cache = temporary.path().join("cache");
        let archive = pack(temporary.path(), &[("libtorch_cpu.so", FILE, b"torch")]);
        fs::create_dir(&cache).unwrap();
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
        let said = format!("{:#}", unpack(&archive, &cache).unwrap_err());
        assert!(said.contains("only this user can write to"), "{said}");
    }

    #[test]
    fn a_zip_without_the_archive_says_how_to_make_one_with_it() {
        let temporary = tempfile::tempdir().unwrap();
        let said = find_archive(temporary.path()).unwrap_err().to_string();
        assert!(said.contains("libtorch-*.tar.zst") && said.contains("scripts/package.sh"), "{said}");
        let archive = pack(temporary.path(), &[]);
        assert_eq!(find_archive(temporary.path()).unwrap(), archive);
    }
}
