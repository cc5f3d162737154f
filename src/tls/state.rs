//! Checks who may write to the state directory and its files: a user who can replace the CA's key can impersonate every site.
//!
//! [`check`] runs before anything in the directory is read, written or removed. Its error names the command that fixes the problem.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use nix::unistd::geteuid;

use super::{CaError, files};

/// A temporary file older than this belongs to a killed process: writing one takes milliseconds.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// The mode bit of a directory in which everybody may create files, and only a file's owner may remove it.
const STICKY: u32 = 0o1000;

/// Who may use a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateUsers {
    Owner,
    /// `sudo gitferry ca rotate` works on the owner's directory.
    OwnerOrRoot,
}

/// Creates the directory where it is missing. Fails where another user owns it or can write to it.
pub(crate) fn check(directory: &Path, users: StateUsers) -> Result<(), CaError> {
    let failed = |error: io::Error| CaError::new(directory, error);
    files::make_directory(directory).map_err(failed)?;
    check_owner(directory, users)?;
    let spool = directory.join("spool");
    match fs::symlink_metadata(&spool) {
        Ok(found) if found.is_dir() => check_owner(&spool, users)?,
        Ok(_) => {
            let advice = format!("run `rm {}`", spool.display());
            return Err(CaError::new(&spool, "it is not a directory").with_advice(advice));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(CaError::new(&spool, error)),
    }
    remove_leftovers(directory);
    Ok(())
}

fn check_owner(directory: &Path, users: StateUsers) -> Result<(), CaError> {
    let found = fs::metadata(directory).map_err(|error| CaError::new(directory, error))?;
    let (path, user) = (directory.display(), geteuid().as_raw());
    if !found.is_dir() {
        return Err(CaError::new(directory, "it is not a directory"));
    }
    // As `/tmp`: a `chown` or `chmod` would break other programs.
    if found.mode() & STICKY != 0 && found.mode() & 0o002 != 0 {
        let advice =
            format!("set `directory` of `[state]` to one of your own, such as {path}/gitferry");
        return Err(CaError::new(directory, "all users share it").with_advice(advice));
    }
    if found.uid() != user && !(users == StateUsers::OwnerOrRoot && user == 0) {
        let reason = format!(
            "it belongs to user {}, and gitferry runs as user {user}",
            found.uid()
        );
        let advice = format!(
            "run `chown -R {user} {path}` if nobody else wrote to it, or set another `directory` of `[state]`"
        );
        return Err(CaError::new(directory, reason).with_advice(advice));
    }
    let mode = found.mode() & 0o777;
    if mode & 0o022 != 0 {
        let reason = format!("other users can write to it (mode {mode:o})");
        let advice = format!(
            "run `chmod go-w {path}`, and then `gitferry ca rotate` if somebody else may have written to it"
        );
        return Err(CaError::new(directory, reason).with_advice(advice));
    }
    Ok(())
}

/// Removes temporary files of a process that was killed while it wrote one of gitferry's files.
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

#[cfg(test)]
mod tests;
