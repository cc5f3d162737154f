//! The part of an upload that is in a file: writes gather many frames and run one after the other.
//!
//! A write runs on a blocking thread. With one write for each frame of 16 KiB that cost as much CPU time as the rest of an upload.

use std::{
    fs::File,
    io,
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
    /// Bytes in the file.
    written: u64,
    /// The frames that are being written after them.
    writing: Option<(JoinHandle<io::Result<()>>, FrameBatch)>,
    /// The frames to write after that.
    queued: FrameBatch,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

/// Frames as received.
#[derive(Clone, Debug, Default)]
struct FrameBatch {
    list: Vec<Bytes>,
    size: usize,
}

/// The size of one read.
const MAX_READ: u64 = 64 * 1024;
/// The most frames gathered. A small frame may keep a large buffer in memory.
const MAX_FRAMES: usize = 64;

impl SpoolFile {
    pub(super) fn new(file: File) -> Self {
        Self {
            file: Arc::new(file),
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
    pub(super) fn append(&mut self, frame: Bytes) {
        self.queued.size += frame.len();
        self.queued.list.push(frame);
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
            let done = match Pin::new(write).poll(cx) {
                Poll::Ready(done) => flatten_join(done),
                Poll::Pending if waits => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Ok(())),
            };
            self.written += frames.size as u64;
            self.writing = None;
            done?;
        }
        if full {
            let frames = std::mem::take(&mut self.queued);
            let (file, at, list) = (Arc::clone(&self.file), self.written, frames.list.clone());
            let write = spawn_blocking(move || write_all(&file, &list, at));
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

fn write_all(file: &File, frames: &[Bytes], mut at: u64) -> io::Result<()> {
    let mut slices: Vec<_> = frames.iter().map(|frame| io::IoSlice::new(frame)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let written = write_some(file, rest, at)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        at += written as u64;
        io::IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

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
