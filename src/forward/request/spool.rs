//! What was taken of an upload, kept so that it can be sent again from its first byte.
//!
//! First in memory, then in a file of the state directory that has no name: it is gone with the upload, and with the daemon,
//! however it ends. Both budgets are those of all uploads together. Where they are used up, or the disk is full, an upload goes on
//! without its tape.

mod buffer;
mod file;

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

pub(crate) use buffer::ReplayBuffer;

/// How much all tapes together may keep, over reloads too.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    directory: Mutex<PathBuf>,
    memory: Account,
    spool: Account,
    /// How many uploads have a file.
    files: AtomicUsize,
}

/// About as many bytes wait for their file, over all uploads.
const GATHERED: usize = 2 << 20;
/// One write of fewer costs more than the bytes themselves: a write goes through two threads.
const SMALLEST_BATCH: usize = 32 << 10;
const LARGEST_BATCH: usize = 256 << 10;

/// Bytes that are kept, and how many may be.
#[derive(Debug, Default)]
struct Account {
    used: AtomicU64,
    limit: AtomicU64,
}

impl Account {
    /// Takes `size`, where there is room for so much.
    fn take(&self, size: u64) -> bool {
        let limit = self.limit.load(Ordering::Acquire);
        let more = |used: u64| used.checked_add(size).filter(|all| *all <= limit);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        self.used.fetch_update(set, fetch, more).is_ok()
    }

    fn give_back(&self, size: u64) {
        self.used.fetch_sub(size, Ordering::AcqRel);
    }
}

impl Budget {
    /// From now on so many bytes in memory, then so many in files of `directory`. What is kept already stays and counts.
    pub(crate) fn set(&self, directory: PathBuf, memory: u64, spool: u64) {
        *self.directory() = directory;
        self.memory.limit.store(memory, Ordering::Release);
        self.spool.limit.store(spool, Ordering::Release);
    }

    /// Bytes that are kept now, in memory and in files.
    pub(crate) fn used(&self) -> [u64; 2] {
        [&self.memory, &self.spool].map(|account| account.used.load(Ordering::Acquire))
    }

    /// How many bytes of one upload are gathered for one write: few where many uploads do so.
    fn batch(&self) -> usize {
        let files = self.files.load(Ordering::Relaxed).max(1);
        (GATHERED / files).clamp(SMALLEST_BATCH, LARGEST_BATCH)
    }

    /// A file without a name (`O_TMPFILE`), which only its holder can read.
    fn file(&self) -> io::Result<File> {
        let directory = self.directory().clone();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        tempfile::tempfile_in(&directory)
    }

    fn directory(&self) -> MutexGuard<'_, PathBuf> {
        self.directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what a daemon left below `state` that was killed while it made a file: where a file system has no `O_TMPFILE`, it has a
/// name for a moment.
pub(crate) fn sweep(state: &Path) {
    let entries = fs::read_dir(state.join(SPOOL_DIRECTORY))
        .into_iter()
        .flatten();
    for entry in entries.flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b".tmp")
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(file = %entry.path().display(), %error, "cannot remove the spool file");
        }
    }
}

/// Why an upload goes on without its tape.
#[derive(Debug)]
pub(crate) enum ReplayLoss {
    /// Both budgets are used up.
    Budget,
    /// The spool file cannot be written or read.
    Spool(io::Error),
}

impl fmt::Display for ReplayLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget => f.write_str("`replay.memory` and `replay.spool` are used up"),
            Self::Spool(error) => write!(f, "the spool file: {error}"),
        }
    }
}

/// Where the files are, in the state directory.
pub(crate) const SPOOL_DIRECTORY: &str = "spool";

#[cfg(test)]
mod tests;
