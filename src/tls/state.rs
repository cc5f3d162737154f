//! Who may write the state directory, and what its files are: whoever can replace the CA's key can be every site.
//!
//! [`check`] runs before anything in the directory is read, written or removed. [`open`] never follows a link, never waits for the
//! other end of a FIFO and reads regular files only. Both refuse with the command that mends it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use rustix::process::geteuid;

use super::{ca::CaError, files};

/// A temporary file that is older belongs to a process that was killed: writing one takes milliseconds.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// Fails where somebody else owns the directory or can write to it. One that is not there yet is made.
///
/// `sudo gitferry ca rotate` may work for the owner: `as_root` says that root may.
pub(crate) fn check(directory: &Path, as_root: bool) -> Result<(), CaError> {
    let failed = |error: io::Error| CaError::new(directory, error);
    files::make_directory(directory).map_err(failed)?;
    own(directory, as_root)?;
    let spool = directory.join("spool");
    match fs::symlink_metadata(&spool) {
        Ok(found) if found.is_dir() => own(&spool, as_root)?,
        Ok(_) => {
            let reason = format!("it is not a directory: `rm {}`", spool.display());
            return Err(CaError::new(&spool, reason));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(CaError::new(&spool, error)),
    }
    remove_leftovers(directory);
    Ok(())
}

fn own(directory: &Path, as_root: bool) -> Result<(), CaError> {
    let found = fs::metadata(directory).map_err(|error| CaError::new(directory, error))?;
    let (path, user) = (directory.display(), geteuid().as_raw());
    if !found.is_dir() {
        return Err(CaError::new(directory, "it is not a directory"));
    }
    if found.uid() != user && !(as_root && user == 0) {
        let reason = format!(
            "it belongs to user {}, and gitferry runs as user {user}: `chown -R {user} {path}` if nobody else wrote to it, \
             or another `directory` in `[state]`",
            found.uid()
        );
        return Err(CaError::new(directory, reason));
    }
    let mode = found.mode() & 0o777;
    if mode & 0o022 != 0 {
        let reason = format!(
            "others can write to it (mode {mode:o}): `chmod go-w {path}`, then `gitferry ca rotate` if somebody may have"
        );
        return Err(CaError::new(directory, reason));
    }
    Ok(())
}

/// Temporary files of a process that was killed while it wrote a file of ours.
fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let old = |entry: &fs::DirEntry| {
            let modified = entry.metadata().and_then(|found| found.modified()).ok()?;
            SystemTime::now().duration_since(modified).ok()
        };
        if files::is_temporary(&entry.file_name())
            && old(&entry).is_some_and(|age| age > LEFT_BEHIND)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(file = %entry.path().display(), %error, "temporary file not removed");
        }
    }
}

/// A regular file of ours and its metadata, the last component not followed; `None` where there is none.
///
/// Fails with what it is in place of that; `mend` is the command that puts a file of ours in its place.
pub(super) fn open(path: &Path, mend: &str) -> Result<Option<(File, fs::Metadata)>, CaError> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(CaError::new(path, format!("it is a symbolic link: {mend}")));
        }
        Err(error) => return Err(CaError::new(path, error)),
    };
    let found = file.metadata().map_err(|error| CaError::new(path, error))?;
    if !found.is_file() {
        return Err(CaError::new(
            path,
            format!("it is not a regular file: {mend}"),
        ));
    }
    Ok(Some((file, found)))
}

/// The same, of a file that must belong to the user that gitferry runs as, or for root to the directory's owner.
pub(super) fn open_own(path: &Path, mend: &str) -> Result<Option<(File, fs::Metadata)>, CaError> {
    let Some((file, found)) = open(path, mend)? else {
        return Ok(None);
    };
    let user = geteuid().as_raw();
    let directory = path.parent().map(fs::metadata).and_then(Result::ok);
    let owner = directory.filter(|_| user == 0).map(|found| found.uid());
    if found.uid() != user && Some(found.uid()) != owner {
        let reason = format!(
            "it belongs to user {}, and gitferry runs as user {user}: `chown {user} {}` if you put it there; else {mend}",
            found.uid(),
            path.display()
        );
        return Err(CaError::new(path, reason));
    }
    Ok(Some((file, found)))
}

/// What a file of ours holds; `None` where there is none, or something else.
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

#[cfg(test)]
mod tests;
