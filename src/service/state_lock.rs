//! An advisory lock on the state directory: its owner alone reads and writes the history.
//!
//! The kernel releases the lock when the process ends, also after a crash. The CA and the bundle need no lock: each is written under a
//! temporary name and renamed, and the first CA stays.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::Path,
};

/// Its name in the state directory; contains the process id of the owner.
const LOCK_FILE: &str = "daemon.lock";

/// Held until dropped; without a file where the directory cannot be locked.
#[derive(Debug)]
pub(super) struct StateLock {
    _file: Option<File>,
}

/// The result of an attempt to lock.
#[derive(Debug)]
pub(super) enum LockAttempt {
    /// This process owns the directory.
    Taken(StateLock),
    /// Another daemon owns it: its process id, where the file has one.
    Busy(Option<u32>),
    /// The file system has no locks (some NFS), or the directory is read-only: nobody can own it, and this process proceeds as the owner.
    Unsupported(StateLock, io::Error),
}

impl StateLock {
    /// Tries to lock `directory`; does not wait.
    pub(super) fn attempt(directory: &Path) -> LockAttempt {
        let path = directory.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(&path);
        let locked = opened.map_err(TryLockError::Error).and_then(|file| {
            file.try_lock()?;
            Ok(file)
        });
        match locked {
            Ok(file) => {
                // For the log of another daemon; the lock does not depend on it.
                let _ = file.set_len(0).and_then(|()| {
                    let mut writer = &file;
                    writeln!(writer, "{}", std::process::id())
                });
                LockAttempt::Taken(Self { _file: Some(file) })
            }
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(&path).ok();
                LockAttempt::Busy(owner.and_then(|text| text.trim().parse().ok()))
            }
            Err(TryLockError::Error(error)) => {
                LockAttempt::Unsupported(Self { _file: None }, error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_until_the_lock_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let LockAttempt::Taken(first) = StateLock::attempt(directory.path()) else {
            panic!("a free directory cannot be locked");
        };
        let second = StateLock::attempt(directory.path());
        let own = std::process::id();
        assert!(
            matches!(second, LockAttempt::Busy(Some(id)) if id == own),
            "{second:?}"
        );
        drop(first);
        let third = StateLock::attempt(directory.path());
        assert!(matches!(third, LockAttempt::Taken(_)), "{third:?}");
    }

    #[test]
    fn a_directory_that_cannot_be_locked_is_used_without_a_lock() {
        let directory = tempfile::tempdir().unwrap();
        // As root a mode would not keep the file from being opened.
        fs::create_dir(directory.path().join(LOCK_FILE)).unwrap();
        let attempt = StateLock::attempt(directory.path());
        assert!(
            matches!(attempt, LockAttempt::Unsupported(..)),
            "{attempt:?}"
        );
    }
}
