//! The packed libtorch, and the folder it becomes.
//!
//! The archive's name holds the hash of its contents, so that a folder of that name never needs to be checked, and
//! two versions never meet. Launchers that start at once on one machine wait for the first of them and share its
//! work. The folder appears by a rename: whole, or not at all.

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

/// Large writes: the files are up to 440 MB.
const BUFFER: usize = 1 << 20;

/// The archive in the folder of the zip.
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

/// The folder of this user's unpacked versions. Its name is known to everybody, so on a machine with several users
/// it must be this user's own: libraries are code.
pub(crate) fn cache() -> PathBuf {
    env::temp_dir().join(format!("cosmic-{}", nix::unistd::geteuid()))
}

/// Where libtorch lies.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// The folder of the libraries.
    pub(crate) folder: PathBuf,
    /// Whether this call did the work.
    pub(crate) now: bool,
}

/// The libraries of `archive`, in a folder under `cache`.
///
/// # Errors
/// An archive that is corrupt or holds anything but plain files at its root; a temporary directory that is full or
/// another user's.
pub(crate) fn unpack(archive: &Path, cache: &Path) -> Result<Unpacked> {
    let name = archive
        .file_name()
        .and_then(|name| name.to_str()?.strip_suffix(SUFFIX))
        .with_context(|| format!("{} is not called {PREFIX}*{SUFFIX}", archive.display()))?;
    claim(cache)?;
    let folder = cache.join(name);
    if folder.is_dir() {
        return Ok(Unpacked { folder, now: false });
    }
    let lock_path = cache.join(format!("{name}.lock"));
    let locked = File::create(&lock_path).and_then(|lock| lock.lock().map(|()| lock));
    // Held to the end of this function.
    let _lock = locked.with_context(|| format!("failed to lock {}", lock_path.display()))?;
    if folder.is_dir() {
        return Ok(Unpacked { folder, now: false });
    }
    let work = tempfile::Builder::new()
        .prefix(&format!("{name}."))
        .tempdir_in(cache)
        .with_context(|| format!("failed to make a folder in {}", cache.display()))?;
    extract(archive, work.path())
        .with_context(|| format!("failed to unpack {} into {}", archive.display(), cache.display()))?;
    fs::rename(work.path(), &folder).with_context(|| format!("failed to make {}", folder.display()))?;
    // It is elsewhere now: nothing to delete.
    let _ = work.keep();
    Ok(Unpacked { folder, now: true })
}

/// Makes the cache, or checks that nobody else can write there.
fn claim(cache: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(cache) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("failed to make {}", cache.display()));
        }
        _ => {}
    }
    let metadata = fs::symlink_metadata(cache).with_context(|| format!("failed to look at {}", cache.display()))?;
    ensure!(
        metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & 0o022 == 0,
        "{} is no folder that only this user can write to: remove it, or set TMPDIR to another place",
        cache.display()
    );
    Ok(())
}

/// Unpacks plain files at the archive's root; everything else is refused.
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
        let to = folder.join(name);
        let copied = File::create_new(&to).and_then(|file| {
            let mut file = BufWriter::with_capacity(BUFFER, file);
            io::copy(&mut entry, &mut file)?;
            file.flush()
        });
        match copied {
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                return Err(error).context(
                    "the temporary directory is full: libtorch needs 450 MB there (on Lambda, raise the stack's InferenceTemporaryStorage)",
                );
            }
            copied => copied.with_context(|| format!("failed to unpack the entry {}", path.display()))?,
        }
    }
    // The end of the archive is not the end of the stream: the checksum comes after it.
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
        assert!(first.now);
        assert_eq!(first.folder, cache.join("libtorch-0123abcd"));
        assert_eq!(fs::read(first.folder.join("libtorch_cpu.so")).unwrap(), contents);
        assert_eq!(fs::read(first.folder.join("libgomp.so.1")).unwrap(), b"gomp");
        assert_eq!(names(&cache), ["libtorch-0123abcd", "libtorch-0123abcd.lock"]);

        let second = unpack(&archive, &cache).unwrap();
        assert!(!second.now);
        assert_eq!(second.folder, first.folder);
    }

    #[test]
    fn launchers_that_start_at_once_share_one_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let cache = temporary.path().join("cache");
        let archive = pack(temporary.path(), &[("libtorch_cpu.so", FILE, &noise(BUFFER))]);
        let worked: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| unpack(&archive, &cache).unwrap().now)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(worked.iter().filter(|now| **now).count(), 1, "{worked:?}");
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
