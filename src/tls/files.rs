//! The files of the CA: their names, reading and writing.
//!
//! A file is written under a temporary name, synced and then renamed, so that neither a reader, nor another daemon that starts at the same
//! moment, nor a power failure leaves half of it. Reading does not follow links, does not block on a FIFO, and accepts only regular files.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use nix::{libc, unistd::geteuid};
use tempfile::NamedTempFile;

use super::CaError;

/// The key and its certificate; only the owner can read it.
pub(crate) const KEY_FILE: &str = "ca-key.pem";
/// A copy of the key file's certificate, for clients.
pub(crate) const CERTIFICATE_FILE: &str = "ca.pem";
/// The certificate before the last rotation.
pub(crate) const OLD_FILE: &str = "ca.old.pem";
/// The roots that gitferry trusts and the CA's certificate, for clients that take one file.
pub(crate) const BUNDLE_FILE: &str = "bundle.pem";
/// The number of random characters at the end of a temporary file's name.
const RANDOM: usize = 16;

/// Creates `directory` and missing parents; an existing one is not changed.
///
/// All users may read it: the clients of other users read the bundle there. The key file's own mode protects the key.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)?;
    // The umask may have removed bits that clients need to read the bundle, or kept bits that let others write.
    fs::set_permissions(directory, Permissions::from_mode(0o755))
}

/// Writes `bytes` to `path`, replacing its content.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let written = write_temporary(path, bytes, mode)?;
    written.persist(path).map_err(|error| error.error)?;
    sync_directory(path)
}

/// Like [`replace`], but only where the content of `path` differs from `bytes`.
pub(super) fn replace_if_changed(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match read_regular(path)? {
        Some(held) if held == bytes => Ok(()),
        // A symbolic link is replaced; the file that it points to does not change.
        _ => replace(path, bytes, mode),
    }
}

/// Creates `path` with `bytes`. Returns false where it exists already.
pub(super) fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    match write_temporary(path, bytes, mode)?.persist_noclobber(path) {
        Ok(_) => sync_directory(path).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// True for the name of a temporary file, as [`write_temporary`] creates it.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let random = name
        .strip_prefix('.')
        .and_then(|name| name.rsplit_once(".pem."));
    random.is_some_and(|(_, random)| {
        random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// One of gitferry's regular files and its metadata, without following a link; `None` where it does not exist.
///
/// Fails with the kind of file found instead; `mend` is the command that restores the right file.
fn open(path: &Path, mend: &str) -> Result<Option<(File, fs::Metadata)>, CaError> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(CaError::new(path, "it is a symbolic link").with_advice(mend));
        }
        Err(error) => return Err(CaError::new(path, error)),
    };
    let found = file.metadata().map_err(|error| CaError::new(path, error))?;
    if !found.is_file() {
        return Err(CaError::new(path, "it is not a regular file").with_advice(mend));
    }
    Ok(Some((file, found)))
}

/// Like [`open`], for a file that must belong to gitferry's own user; for root, it may also belong to the directory's owner.
pub(super) fn open_own(path: &Path, mend: &str) -> Result<Option<(File, fs::Metadata)>, CaError> {
    let Some((file, found)) = open(path, mend)? else {
        return Ok(None);
    };
    let user = geteuid().as_raw();
    let directory = path.parent().map(fs::metadata).and_then(Result::ok);
    let owner = directory.filter(|_| user == 0).map(|found| found.uid());
    if found.uid() != user && Some(found.uid()) != owner {
        let reason = format!(
            "it belongs to user {}, and gitferry runs as user {user}",
            found.uid()
        );
        let advice = format!(
            "run `chown {user} {}` if you put it there; if not, {mend}",
            path.display()
        );
        return Err(CaError::new(path, reason).with_advice(advice));
    }
    Ok(Some((file, found)))
}

/// The content of one of gitferry's files; `None` where it does not exist or is another kind of file.
pub(super) fn read_regular(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Ok(opened) = open(path, "") else {
        return Ok(None);
    };
    let Some((mut file, _)) = opened else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// A synced file with `bytes` in the directory of `path`. Dropping it removes it, unless it was renamed.
fn write_temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .rand_bytes(RANDOM)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(directory_of(path))?;
    // The umask may have removed bits that clients need to read the certificate.
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    give_to_owner_of_directory(path, file.as_file())?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// `sudo gitferry ca rotate` must not leave a key that the daemon's user cannot read.
fn give_to_owner_of_directory(path: &Path, file: &File) -> io::Result<()> {
    let owner = fs::metadata(directory_of(path))?;
    if file.metadata()?.uid() != owner.uid() {
        // Only root can change the owner; for other users the file stays their own.
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
    fn only_the_first_of_two_creates_a_file_and_both_learn_which() {
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
