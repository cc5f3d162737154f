//! The part of an upload that is in a file: writes gather many frames and run one after the other.
//!
//! A write runs on a blocking thread. With one write for each frame of 16 KiB that cost as much CPU time as the rest of an upload.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::bytes::Bytes;

use super::MIN_BATCH;

/// A file, and the frames not yet written to it.
#[derive(Debug)]
pub(super) struct SpoolFile {
    file: Arc<File>,
    /// Its share of the budget: the bytes that it may take on the disk.
    pub(super) reserved: u64,
    /// Up to here, the blocks of the file are reserved on the disk.
    allocated: u64,
    /// Bytes in the file.
    written: u64,
    /// The frames that are being written after them.
    writing: Option<(JoinHandle<io::Result<()>>, Arc<FrameBatch>)>,
    /// The frames to write after that.
    queued: FrameBatch,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

/// Frames as received. None of them crosses a multiple of [`PIECE`] in the file.
#[derive(Debug, Default)]
struct FrameBatch {
    list: Vec<Bytes>,
    size: usize,
    /// The number of frames up to the last multiple of [`PIECE`], and their size.
    whole: (usize, usize),
}

/// The size of one read.
const MAX_READ: u64 = 64 * 1024;
/// The most frames gathered. A small frame may keep a large buffer in memory.
const MAX_FRAMES: usize = 64;
/// The kernel gets at most this many bytes in one write, and at a multiple of it: it then needs one folio of the page cache for them. With
/// larger folios, a virtual machine took five times as long (ext4, Linux 6.18).
const PIECE: usize = 256 << 10;

impl SpoolFile {
    /// An empty file that may take `reserved` bytes.
    pub(super) fn new(file: File, reserved: u64) -> Self {
        Self {
            file: Arc::new(file),
            reserved,
            allocated: 0,
            written: 0,
            writing: None,
            queued: FrameBatch::default(),
            reading: None,
        }
    }

    /// The number of bytes appended.
    pub(super) fn length(&self) -> u64 {
        let writing = self.writing.as_ref().map_or(0, |(_, frames)| frames.size);
        self.written + (writing + self.queued.size) as u64
    }

    /// Adds a frame at the end.
    pub(super) fn append(&mut self, mut frame: Bytes) {
        let room = PIECE - usize::try_from(self.length() % PIECE as u64).unwrap_or_default();
        if frame.len() >= room {
            self.queued.push(frame.split_to(room));
            self.queued.whole = (self.queued.list.len(), self.queued.size);
        }
        if !frame.is_empty() {
            self.queued.push(frame);
        }
    }

    /// Ready when another frame can be appended: fewer than `batch` bytes wait or are being written.
    ///
    /// Fails where the file cannot be written.
    pub(super) fn poll_ready(
        &mut self,
        batch: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let full = self.queued.size >= batch || self.queued.list.len() >= MAX_FRAMES;
        // Where many uploads write, they do not gather frames meanwhile.
        let waits = full || batch <= MIN_BATCH;
        if let Some((write, frames)) = &mut self.writing {
            // Not polled here: the end of a write then wakes the upload only where the upload waits for it.
            if !waits && !write.is_finished() {
                return Poll::Ready(Ok(()));
            }
            let done = flatten_join(ready!(Pin::new(write).poll(cx)));
            self.written += frames.size as u64;
            self.writing = None;
            done?;
        }
        if full {
            let frames = Arc::new(self.queued.take_batch());
            let (file, at, list) = (Arc::clone(&self.file), self.written, Arc::clone(&frames));
            let new = std::mem::replace(&mut self.allocated, self.reserved)..self.reserved;
            let write = spawn_blocking(move || {
                allocate(&file, new);
                write_all(&file, &list, at)
            });
            self.writing = Some((write, frames));
        }
        Poll::Ready(Ok(()))
    }

    /// Some of the bytes from `at` on, which must lie before the end.
    ///
    /// Fails where the file cannot be read.
    pub(super) fn poll_read(&mut self, at: u64, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if let Some(unwritten) = at.checked_sub(self.written) {
            let found = self.frame_from(usize::try_from(unwritten).unwrap_or(usize::MAX));
            return Poll::Ready(found.ok_or_else(|| io::ErrorKind::UnexpectedEof.into()));
        }
        let size = usize::try_from(MAX_READ.min(self.written - at)).unwrap_or_default();
        let file = &self.file;
        let reading = self.reading.get_or_insert_with(|| {
            let file = Arc::clone(file);
            spawn_blocking(move || {
                let mut bytes = vec![0; size];
                file.read_exact_at(&mut bytes, at)?;
                Ok(bytes.into())
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        Poll::Ready(flatten_join(read))
    }

    /// Cancels the read under way.
    pub(super) fn rewind(&mut self) {
        self.reading = None;
    }

    /// The rest of the frame in memory at this offset from the end of the file.
    fn frame_from(&self, mut skip: usize) -> Option<Bytes> {
        let writing = self.writing.iter().flat_map(|(_, frames)| &frames.list);
        for frame in writing.chain(&self.queued.list) {
            match skip.checked_sub(frame.len()) {
                Some(further) => skip = further,
                None => return Some(frame.slice(skip..)),
            }
        }
        None
    }
}

impl FrameBatch {
    fn push(&mut self, frame: Bytes) {
        self.size += frame.len();
        self.list.push(frame);
    }

    /// Takes the frames up to the last multiple of [`PIECE`], or all where there is none.
    fn take_batch(&mut self) -> Self {
        let mut batch = std::mem::take(self);
        let (count, size) = batch.whole;
        if count > 0 {
            self.list = batch.list.split_off(count);
            self.size = batch.size - size;
            batch.size = size;
        }
        batch
    }
}

fn write_all(file: &File, frames: &FrameBatch, mut at: u64) -> io::Result<()> {
    let list = frames.list.iter();
    let mut slices: Vec<_> = list.map(|frame| io::IoSlice::new(frame)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let mut room = PIECE - usize::try_from(at % PIECE as u64).unwrap_or_default();
        let fits = rest.iter().take_while(|slice| {
            let fits = slice.len() <= room;
            room = room.saturating_sub(slice.len());
            fits
        });
        let count = fits.count().max(1);
        let piece = rest.get(..count).unwrap_or(rest);
        let written = write_some(file, piece, at)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        at += written as u64;
        io::IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

/// Reserves blocks for bytes that will be written. ext4 then takes a third less CPU time for the write than where it counts every block until
/// it writes to the disk. A failure is no matter: the write reserves what it needs, or fails with the reason.
#[cfg(target_os = "linux")]
fn allocate(file: &File, bytes: Range<u64>) {
    use nix::fcntl::{FallocateFlags, fallocate};
    let size = bytes.end.saturating_sub(bytes.start);
    if let (Ok(at), Ok(size @ 1..)) = (i64::try_from(bytes.start), i64::try_from(size)) {
        let _ = fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, at, size);
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: Range<u64>) {}

#[cfg(target_os = "linux")]
fn write_some(file: &File, slices: &[io::IoSlice<'_>], at: u64) -> io::Result<usize> {
    let offset = i64::try_from(at).map_err(io::Error::other)?;
    match nix::sys::uio::pwritev(file, slices, offset) {
        Err(nix::errno::Errno::EINTR) => write_some(file, slices, at),
        written => Ok(written?),
    }
}

/// pwritev(2) is not available on all systems.
#[cfg(not(target_os = "linux"))]
fn write_some(file: &File, slices: &[io::IoSlice<'_>], at: u64) -> io::Result<usize> {
    let first = slices.iter().find(|slice| !slice.is_empty());
    let Some(first) = first else { return Ok(0) };
    file.write_all_at(first, at)?;
    Ok(first.len())
}

fn flatten_join<T>(joined: Result<io::Result<T>, tokio::task::JoinError>) -> io::Result<T> {
    joined.unwrap_or_else(|error| Err(io::Error::other(error)))
}
