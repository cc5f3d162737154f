//! What was taken of an upload, kept so that it can be sent again from its first byte.
//!
//! First in memory, then in a file of the state directory that has no name: it is gone with the upload, and with the daemon,
//! however it ends. Both budgets are those of all uploads together. Where they are used up, or the disk is full, an upload goes on
//! without its tape.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;

/// How much all tapes together may keep, over reloads too.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    directory: Mutex<PathBuf>,
    memory: Account,
    spool: Account,
}

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
pub(crate) enum Lost {
    /// Both budgets are used up.
    Budget,
    /// The spool file cannot be written or read.
    Spool(io::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget => f.write_str("`replay.memory` and `replay.spool` are used up"),
            Self::Spool(error) => write!(f, "the spool file: {error}"),
        }
    }
}

/// The bytes of one upload, from the first one on.
#[derive(Debug)]
pub(crate) struct ReplayBuffer {
    budget: Arc<Budget>,
    /// Full blocks of [`BLOCK`] bytes. Copied, not kept as they came: what hyper read is a slice of a buffer that may be a
    /// hundred times as large, and would stay with it.
    blocks: Vec<Bytes>,
    /// The block that is not full yet.
    tail: BytesMut,
    in_memory: u64,
    file: Option<Arc<File>>,
    in_file: u64,
    work: Work,
    /// What was added last, so that the first reader needs no file.
    last: (u64, Bytes),
}

/// A file operation on its way.
#[derive(Debug)]
enum Work {
    None,
    Writing(JoinHandle<io::Result<()>>, Bytes),
    Reading(JoinHandle<io::Result<Bytes>>),
}

/// Where the files are, in the state directory.
pub(crate) const SPOOL_DIRECTORY: &str = "spool";
/// How much is kept in one piece in memory.
const BLOCK: usize = 64 * 1024;
/// One read's worth from the file.
const CHUNK: u64 = 64 * 1024;

impl ReplayBuffer {
    /// An empty one.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            blocks: Vec::new(),
            tail: BytesMut::new(),
            in_memory: 0,
            file: None,
            in_file: 0,
            work: Work::None,
            last: (0, Bytes::new()),
        }
    }

    /// How many bytes can be read again.
    pub(crate) fn length(&self) -> u64 {
        self.in_memory + self.in_file
    }

    /// Adds bytes at the end; they may be read once [`ReplayBuffer::poll_settled`] is ready. Only where nothing is under way.
    ///
    /// Fails where they cannot be kept.
    pub(crate) fn append(&mut self, bytes: Bytes) -> Result<(), Lost> {
        let size = bytes.len() as u64;
        if self.file.is_none() && self.budget.memory.take(size) {
            self.copy(&bytes);
            self.last = (self.in_memory, bytes);
            self.in_memory += size;
            return Ok(());
        }
        if !self.budget.spool.take(size) {
            return Err(Lost::Budget);
        }
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => match self.budget.file() {
                Ok(file) => Arc::clone(self.file.insert(Arc::new(file))),
                Err(error) => {
                    self.budget.spool.give_back(size);
                    return Err(Lost::Spool(error));
                }
            },
        };
        let (at, written) = (self.in_file, bytes.clone());
        let writing = tokio::task::spawn_blocking(move || file.write_all_at(&written, at));
        self.work = Work::Writing(writing, bytes);
        Ok(())
    }

    /// Ready when what was added is kept.
    ///
    /// Fails where the spool file cannot be written.
    pub(crate) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let Work::Writing(writing, bytes) = &mut self.work else {
            return Poll::Ready(Ok(()));
        };
        let written = std::task::ready!(std::pin::Pin::new(writing).poll(cx));
        let bytes = std::mem::take(bytes);
        self.work = Work::None;
        Poll::Ready(match flat(written) {
            Ok(()) => {
                let size = bytes.len() as u64;
                self.last = (self.length(), bytes);
                self.in_file += size;
                Ok(())
            }
            Err(error) => {
                let size = bytes.len() as u64;
                self.budget.spool.give_back(size);
                Err(Lost::Spool(error))
            }
        })
    }

    /// Some of the bytes from `at` on, which must lie before the end.
    ///
    /// Fails where the spool file cannot be read.
    pub(crate) fn poll_read(&mut self, at: u64, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let (start, last) = &self.last;
        if let Some(rest) = part(*start, last, at) {
            return Poll::Ready(Ok(rest));
        }
        if at < self.in_memory {
            let rest = self.remembered(at);
            return Poll::Ready(rest.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()));
        }
        if let Work::None = self.work {
            let Some(file) = self.file.clone() else {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            };
            let from = at - self.in_memory;
            let size = usize::try_from(CHUNK.min(self.in_file - from)).unwrap_or_default();
            self.work = Work::Reading(tokio::task::spawn_blocking(move || {
                let mut bytes = vec![0; size];
                file.read_exact_at(&mut bytes, from)?;
                Ok(bytes.into())
            }));
        }
        let Work::Reading(reading) = &mut self.work else {
            return Poll::Ready(Err(io::Error::other("the replay buffer is being written")));
        };
        let read = std::task::ready!(std::pin::Pin::new(reading).poll(cx));
        self.work = Work::None;
        Poll::Ready(flat(read))
    }

    fn copy(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK.saturating_sub(self.tail.len());
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.tail.extend_from_slice(now);
            bytes = rest;
            if self.tail.len() >= BLOCK {
                self.blocks.push(self.tail.split().freeze());
            }
        }
    }

    /// What is in memory from `at` on, up to the end of its block.
    fn remembered(&self, at: u64) -> Option<Bytes> {
        let at = usize::try_from(at).ok()?;
        let (block, skip) = (at / BLOCK, at % BLOCK);
        match self.blocks.get(block) {
            Some(full) => Some(full.slice(skip..)),
            None => self.tail.get(skip..).map(Bytes::copy_from_slice),
        }
    }

    /// A new reader begins: what the one before had asked for is not for it.
    pub(crate) fn rewind(&mut self) {
        if let Work::Reading(_) = self.work {
            self.work = Work::None;
        }
    }
}

impl Drop for ReplayBuffer {
    fn drop(&mut self) {
        let writing = match &self.work {
            Work::Writing(_, bytes) => bytes.len() as u64,
            Work::None | Work::Reading(_) => 0,
        };
        self.budget.memory.give_back(self.in_memory);
        self.budget.spool.give_back(self.in_file + writing);
    }
}

/// What of `bytes`, which begin at `start`, lies from `at` on.
fn part(start: u64, bytes: &Bytes, at: u64) -> Option<Bytes> {
    let skip = usize::try_from(at.checked_sub(start)?).ok()?;
    (skip < bytes.len()).then(|| bytes.slice(skip..))
}

fn flat<T>(joined: Result<io::Result<T>, tokio::task::JoinError>) -> io::Result<T> {
    joined.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
