//! Files that are there whole or not at all: the CA's and the bundle. Called by `ca` and `trust`.
//!
//! A file is written under another name, synced, and then renamed or linked to its own: a reader, another daemon that
//! starts at the same moment, or a power cut never meets half of it.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Makes `directory` and what is missing above it; one that is there stays as it is.
///
/// Everybody may look in: the clients of other users read the bundle there. The key's own mode guards it.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)?;
    // The umask may have taken away what clients need to read the bundle, or left what lets others write.
    fs::set_permissions(directory, Permissions::from_mode(0o755))
}

/// Puts `bytes` in the place of whatever `path` held.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = Temporary::write(path, bytes, mode)?;
    fs::rename(&temporary.0, path)?;
    sync_directory(path)
}

/// Like [`replace`], but only where `path` does not hold `bytes` yet.
pub(super) fn replace_if_changed(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match super::state::read_regular(path)? {
        Some(held) if held == bytes => Ok(()),
        // A link is replaced, and what it points at stays as it is.
        _ => replace(path, bytes, mode),
    }
}

/// Makes `path` with `bytes` unless it exists; false where somebody was faster.
///
/// `link` fails where the name is taken, `rename` would not: of two that make the file at once, one wins and both know.
pub(super) fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    let temporary = Temporary::write(path, bytes, mode)?;
    match fs::hard_link(&temporary.0, path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        // FAT and Android know no hard links. There, a reader may meet half a file for a moment.
        Err(_) => match write_new(path, bytes, mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            result => result?,
        },
    }
    sync_directory(path).map(|()| true)
}

/// True for the name of a file that was to become another one; see [`Temporary`].
pub(super) fn is_temporary(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let random = name
        .strip_prefix('.')
        .and_then(|name| name.rsplit_once(".pem."));
    random.is_some_and(|(_, random)| {
        random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// A file beside the one it is to become; removed when dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = Self(path.with_file_name(format!(".{name}.{:016x}", fastrand::u64(..))));
        write_new(&temporary.0, bytes, mode)?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = fs::remove_file(&self.0);
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    // The umask may have taken bits away that clients need to read the certificate.
    file.set_permissions(Permissions::from_mode(mode))?;
    give_to_owner_of_directory(path, &file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// `sudo gitferry ca rotate` must not leave a key that the daemon's own user cannot read.
fn give_to_owner_of_directory(path: &Path, file: &File) -> io::Result<()> {
    let owner = fs::metadata(directory_of(path))?;
    if file.metadata()?.uid() != owner.uid() {
        // Only root can; anybody else keeps the file as theirs.
        let _ = std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()));
    }
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_create_a_file_one_wins_and_both_know() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        assert!(create(&path, b"first", 0o600).unwrap());
        assert!(!create(&path, b"second", 0o600).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(&directory).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_file_is_replaced_only_where_it_would_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle");
        replace_if_changed(&path, b"a", 0o644).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        replace_if_changed(&path, b"a", 0o644).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        replace_if_changed(&path, b"b", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"b");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    }
}
