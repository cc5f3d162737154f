//! Files that a command reads and writes: each is written whole or not at all, and each error names the file.

use std::{
    fs::{self, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::Failure;

/// The content of a file; `None` where it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::cannot("read", path)(error)),
    }
}

/// Writes a file of gitferry's own, always with this mode, and creates the directories above it.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(Failure::cannot("create", directory))?;
    }
    let written = temporary(path, bytes, mode)
        .and_then(|file| file.persist(path).map_err(|error| error.error));
    written.map(drop).map_err(Failure::cannot("write", path))
}

/// Replaces the content of a user's file: a link stays a link, and a file keeps its mode; a new one gets `mode`.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    StagedFile::new(path, bytes, mode)?.persist()
}

/// The new content of a user's file, not in its place yet.
pub(super) struct StagedFile {
    /// The file that it replaces, without links.
    pub(super) target: PathBuf,
    file: NamedTempFile,
}

impl StagedFile {
    /// Writes `bytes` beside the file at `path`.
    pub(super) fn new(path: &Path, bytes: &[u8], mode: u32) -> Result<Self, Failure> {
        let stage = || {
            // A link to a file under version control ("dotfiles") stays one.
            let (target, mode) = match fs::canonicalize(path) {
                Ok(real) => {
                    let mode = fs::metadata(&real)?.permissions().mode() & 0o7777;
                    (real, mode)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), mode),
                Err(error) => return Err(error),
            };
            let file = temporary(&target, bytes, mode)?;
            Ok(Self { target, file })
        };
        stage().map_err(Failure::cannot("write", path))
    }

    /// Where the new content is until then.
    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Puts it in its place.
    pub(super) fn persist(self) -> Result<(), Failure> {
        let persisted = self.file.persist(&self.target);
        let persisted = persisted.map(drop).map_err(|error| error.error);
        persisted.map_err(Failure::cannot("write", &self.target))
    }
}

/// A synced file beside `path`; it is removed where it is not persisted.
fn temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    let mode = Permissions::from_mode(mode);
    let mut file = tempfile::Builder::new()
        .prefix(".gitferry-")
        .permissions(mode.clone())
        .tempfile_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    // The umask may have removed bits.
    file.as_file().set_permissions(mode)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Removes a file, where it exists.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::cannot("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes the directory of `path`, unless something is in it.
pub(super) fn remove_empty_directory_of(path: &Path) {
    if let Some(directory) = path.parent() {
        let _ = fs::remove_dir(directory);
    }
}
