//! The bytes of one upload: in memory first, then in a file.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
};

use tokio::{runtime::Handle, task::spawn_blocking};
use tokio_util::bytes::{Bytes, BytesMut};

use super::{Budget, ReplayLoss, file::SpoolFile};

/// The bytes of one upload, from the first one on.
#[derive(Debug)]
pub(crate) struct ReplayBuffer {
    budget: Arc<Budget>,
    /// Full blocks of [`BLOCK`] bytes. They are copies: hyper's bytes are a slice of a buffer that may be a hundred times as large, and would
    /// keep it in memory.
    blocks: Vec<Bytes>,
    /// The block that is not full yet.
    tail: BytesMut,
    in_memory: u64,
    /// The share of its buffers in the budget, in addition to its bytes.
    buffers: u64,
    pub(super) file: Option<SpoolFile>,
    /// The number of bytes that the upload will have.
    total: u64,
}

/// The memory of an upload besides the recorded bytes: the buffers of its two connections, and frames being written to the file (measured
/// with 64 uploads). It counts as recorded, so that the budget bounds the resident memory.
const BUFFERS: u64 = 192 * 1024;
/// The block size in memory.
const BLOCK: usize = 64 * 1024;

impl ReplayBuffer {
    /// An empty one, for an upload of `total` bytes.
    pub(crate) fn new(budget: Arc<Budget>, total: u64) -> Self {
        let buffers = if budget.memory.take(BUFFERS) {
            BUFFERS
        } else {
            0
        };
        Self {
            budget,
            buffers,
            blocks: Vec::new(),
            tail: BytesMut::new(),
            in_memory: 0,
            file: None,
            total,
        }
    }

    /// How many bytes can be read again.
    pub(crate) fn length(&self) -> u64 {
        self.in_memory + self.in_file()
    }

    fn in_file(&self) -> u64 {
        self.file.as_ref().map_or(0, SpoolFile::length)
    }

    /// Adds bytes at the end, when [`ReplayBuffer::poll_ready`] is ready.
    ///
    /// Fails where they cannot be kept.
    pub(crate) fn append(&mut self, bytes: Bytes) -> Result<(), ReplayLoss> {
        let size = bytes.len() as u64;
        if self.file.is_none() && self.budget.memory.take(size) {
            self.copy(&bytes);
            self.in_memory += size;
            return Ok(());
        }
        self.make_room(size)?;
        if let Some(file) = &mut self.file {
            file.append(bytes);
        }
        Ok(())
    }

    /// Makes sure that there is a file which may take `size` more bytes.
    fn make_room(&mut self, size: u64) -> Result<(), ReplayLoss> {
        let in_file = self.total.saturating_sub(self.in_memory);
        if let Some(file) = &mut self.file {
            let needed = (file.length() + size).saturating_sub(file.reserved);
            if needed > 0 {
                let taken = self.budget.take_spool(needed, file.reserved, in_file);
                file.reserved += taken.ok_or(ReplayLoss::Budget)?;
            }
            return Ok(());
        }
        let taken = self.budget.take_spool(size, 0, in_file);
        let taken = taken.ok_or(ReplayLoss::Budget)?;
        match self.budget.file() {
            Ok(file) => {
                self.budget.files.fetch_add(1, Ordering::Relaxed);
                self.file = Some(SpoolFile::new(file, taken));
                Ok(())
            }
            Err(error) => {
                self.budget.spool.release(taken);
                Err(ReplayLoss::Spool(error))
            }
        }
    }

    /// Ready when there is room for more.
    ///
    /// Fails where the spool file cannot be written.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReplayLoss>> {
        let Some(file) = &mut self.file else {
            return Poll::Ready(Ok(()));
        };
        let settled = ready!(file.poll_ready(self.budget.batch(), cx));
        Poll::Ready(settled.map_err(|error| {
            self.drop_file();
            ReplayLoss::Spool(error)
        }))
    }

    /// Some of the bytes from `at` on, which must lie before the end.
    ///
    /// Fails where the spool file cannot be read.
    pub(crate) fn poll_read(&mut self, at: u64, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let lost = || io::ErrorKind::UnexpectedEof.into();
        match (at.checked_sub(self.in_memory), &mut self.file) {
            (None, _) => Poll::Ready(self.bytes_in_memory(at).ok_or_else(lost)),
            (Some(at), Some(file)) => file.poll_read(at, cx),
            (Some(_), None) => Poll::Ready(Err(lost())),
        }
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

    /// The bytes in memory from `at` to the end of its block.
    fn bytes_in_memory(&self, at: u64) -> Option<Bytes> {
        let at = usize::try_from(at).ok()?;
        let (block, skip) = (at / BLOCK, at % BLOCK);
        match self.blocks.get(block) {
            Some(full) => Some(full.slice(skip..)),
            None => self.tail.get(skip..).map(Bytes::copy_from_slice),
        }
    }

    /// A new reader starts: cancels the read of the earlier one.
    pub(crate) fn rewind(&mut self) {
        if let Some(file) = &mut self.file {
            file.rewind();
        }
    }

    fn drop_file(&mut self) {
        if let Some(file) = self.file.take() {
            self.budget.files.fetch_sub(1, Ordering::Relaxed);
            self.budget.spool.release(file.reserved);
            // To free the pages and blocks of a large file takes a while, in which this thread would serve nobody.
            if Handle::try_current().is_ok() {
                spawn_blocking(move || drop(file));
            }
        }
    }
}

impl Drop for ReplayBuffer {
    fn drop(&mut self) {
        self.budget.memory.release(self.in_memory + self.buffers);
        self.drop_file();
    }
}
