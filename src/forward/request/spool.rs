//! Records the received part of an upload, so that it can be sent again from its first byte.
//!
//! The record is first in memory, then in an unnamed file of the state directory: the file disappears with the upload, and with the daemon,
//! however it ends. All uploads share both budgets. Where they are used up, or the disk is full, an upload continues without its record.

mod buffer;
mod file;

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::sync::Mutex;

pub(crate) use buffer::ReplayBuffer;

/// The budget of all records together; it survives reloads.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    directory: Mutex<PathBuf>,
    memory: ByteQuota,
    spool: ByteQuota,
    /// The number of uploads with a file.
    files: AtomicUsize,
}

/// Over all uploads, about this many bytes wait to be written to files.
const MAX_QUEUED: usize = 2 << 20;
/// The smallest batch per write: a write involves two threads, which costs more than copying fewer bytes.
const MIN_BATCH: usize = 32 << 10;
const MAX_BATCH: usize = 512 << 10;
/// The share of the budget that a file takes at once, where that much is free: about as much as it has, within these bounds.
const MIN_STEP: u64 = 64 << 10;
const MAX_STEP: u64 = 4 << 20;

/// Bytes in use, and their limit.
#[derive(Debug, Default)]
struct ByteQuota {
    used: AtomicU64,
    limit: AtomicU64,
}

impl ByteQuota {
    /// Reserves `size` bytes where that many are free.
    fn take(&self, size: u64) -> bool {
        let limit = self.limit.load(Ordering::Acquire);
        let more = |used: u64| used.checked_add(size).filter(|all| *all <= limit);
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        self.used.fetch_update(set, fetch, more).is_ok()
    }

    fn release(&self, size: u64) {
        self.used.fetch_sub(size, Ordering::AcqRel);
    }
}

impl Budget {
    /// Sets the limits: first this many bytes in memory, then this many in files of `directory`. Existing records stay and count.
    pub(crate) fn set(&self, directory: PathBuf, memory: u64, spool: u64) {
        *self.directory() = directory;
        self.memory.limit.store(memory, Ordering::Release);
        self.spool.limit.store(spool, Ordering::Release);
    }

    /// Bytes in use, in memory and in files.
    pub(crate) fn used(&self) -> [u64; 2] {
        [&self.memory, &self.spool].map(|quota| quota.used.load(Ordering::Acquire))
    }

    /// How many bytes of one upload are gathered for one write: fewer where many uploads write.
    fn batch(&self) -> usize {
        let files = self.files.load(Ordering::Relaxed).max(1);
        (MAX_QUEUED / files).clamp(MIN_BATCH, MAX_BATCH)
    }

    /// An unnamed file (`O_TMPFILE`), which only its holder can read.
    fn file(&self) -> io::Result<File> {
        let directory = self.directory().clone();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        tempfile::tempfile_in(&directory)
    }

    /// Takes at least `size` bytes more for a file that has `reserved` and will have at most `total`. `None` where that much is not free.
    fn take_spool(&self, size: u64, reserved: u64, total: u64) -> Option<u64> {
        let ahead = reserved.clamp(MIN_STEP, MAX_STEP);
        let step = size.max(ahead.min(total.saturating_sub(reserved)));
        [step, size].into_iter().find(|size| self.spool.take(*size))
    }

    fn directory(&self) -> MutexGuard<'_, PathBuf> {
        self.directory.lock()
    }
}

/// Removes files below `state` from a daemon that was killed while it created them: on a file system without `O_TMPFILE` they have a name
/// for a moment.
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

/// Why an upload continues without its record.
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
            Self::Budget => f.write_str("`memory` and `spool` of `[replay]` are used up"),
            Self::Spool(error) => write!(f, "the spool file: {error}"),
        }
    }
}

/// The directory of the files, in the state directory.
pub(crate) const SPOOL_DIRECTORY: &str = "spool";

#[cfg(test)]
mod tests;
