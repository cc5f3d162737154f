//! Writing a file of the user's: whole or not at all, through links, with the mode it had.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
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
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".gitferry-{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
