//! Writing a file of the user's: whole or not at all, through links, with the mode it had.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use crate::cli::Failure;

/// Puts `bytes` in place of the file at `path`; a new file gets `mode`.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    put(path, bytes, mode)
        .map_err(|error| Failure::during(format!("cannot write {}", path.display()), error))
}

/// Takes a file away; one that is not there is as good.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::during(
            format!("cannot remove {}", path.display()),
            error,
        )),
        _ => Ok(()),
    }
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A link to a file under version control ("dotfiles") stays one.
    let (path, mode) = match fs::canonicalize(path) {
        Ok(real) => {
            let mode = fs::metadata(&real)?.permissions().mode() & 0o7777;
            (real, mode)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), mode),
        Err(error) => return Err(error),
    };
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".gitferry-")
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    // The mask of the process may have taken from the mode.
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}
