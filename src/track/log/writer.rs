//! The thread that writes the log, so that no other task waits for the log's reader.
//!
//! A pipe without a reader, a terminal stopped by Ctrl-S or a stuck journal blocks `write(2)`. The daemon only puts lines into a queue of
//! [`ROOM`] bytes. When the queue is full, new lines are dropped and counted; a line reports their number once the reader continues.
//!
//! A single line is written at once. Lines in quick succession are written together every [`GATHER`]: waking the thread and calling
//! `write(2)` for each of them took a tenth of a small request's CPU time.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    os::fd::AsFd as _,
    sync::{Arc, Condvar, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::sync::Mutex;

/// The number of bytes that may wait for the reader: some minutes of an ordinary log.
const ROOM: usize = 4 << 20;
/// The size of one write.
const CHUNK: usize = 64 << 10;
/// The shortest time between two writes, unless a whole chunk waits.
const GATHER: Duration = Duration::from_millis(10);
/// The wait between two tries where another process made the file non-blocking.
const RETRY: Duration = Duration::from_millis(20);

/// Puts lines into the queue. Clones share it.
#[derive(Clone)]
pub(super) struct Writer(Arc<WriterQueue>);

struct WriterQueue {
    queue: Mutex<Queue>,
    /// Notified when the queue is not empty and the thread waits.
    filled: Condvar,
    /// Notified when the queue is empty and the last line is written.
    drained: Condvar,
    /// Formats the line with the number of dropped lines.
    notice: fn(u64) -> String,
}

#[derive(Default)]
struct Queue {
    /// Whole lines, in chunks of about [`CHUNK`] bytes.
    chunks: VecDeque<Vec<u8>>,
    /// Bytes queued or being written.
    bytes: usize,
    /// Lines dropped since the last notice.
    dropped: u64,
    /// Lines dropped since the start.
    lost: u64,
    /// Lines queued since the start.
    queued: u64,
    /// The state of the thread.
    thread: ThreadState,
    /// True where a flush waits until everything is written.
    flushing: bool,
}

#[derive(Default, PartialEq, Eq)]
enum ThreadState {
    /// Waits for a line.
    #[default]
    Idle,
    /// Waits for more lines, or writes.
    Busy,
}

impl Writer {
    /// Writes to stderr in a separate thread.
    pub(super) fn to_stderr(notice: fn(u64) -> String) -> io::Result<Self> {
        // A separate descriptor: other writers to stderr then do not wait for a lock that a blocked write holds.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::new(stderr, notice)
    }

    fn new(output: impl Write + Send + 'static, notice: fn(u64) -> String) -> io::Result<Self> {
        let shared = Arc::new(WriterQueue {
            queue: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
            notice,
        });
        let own = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || own.write_to(output))?;
        Ok(Self(shared))
    }

    /// Queues a line, or drops it where the queue is full; never waits for the reader.
    pub(super) fn write(&self, line: String) {
        let mut queue = self.0.queue.lock();
        if queue.bytes + line.len() > ROOM {
            queue.dropped += 1;
            queue.lost += 1;
            return;
        }
        if queue.dropped > 0 {
            let notice = (self.0.notice)(std::mem::take(&mut queue.dropped));
            queue.push(&notice);
        }
        queue.push(&line);
        let wakes = queue.thread == ThreadState::Idle || queue.chunks.len() > 1;
        // Waking is a system call: the lines until the thread runs need no other.
        queue.thread = ThreadState::Busy;
        drop(queue);
        if wakes {
            self.0.filled.notify_one();
        }
    }

    /// The number of lines that were dropped since the start.
    pub(super) fn lost(&self) -> u64 {
        self.0.queue.lock().lost
    }

    /// The number of lines that were queued since the start.
    pub(super) fn queued(&self) -> u64 {
        self.0.queue.lock().queued
    }

    /// Waits until everything is written, for `patience` at most.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut queue = self.0.queue.lock();
        queue.flushing = true;
        self.0.filled.notify_one();
        while queue.bytes > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.0.drained.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.flushing = false;
    }
}

impl Queue {
    fn push(&mut self, line: &str) {
        self.queued += 1;
        self.bytes += line.len();
        match self.chunks.back_mut() {
            Some(last) if last.len() + line.len() <= CHUNK => {
                last.extend_from_slice(line.as_bytes())
            }
            _ => self.chunks.push_back(line.as_bytes().to_vec()),
        }
    }
}

impl WriterQueue {
    fn write_to(&self, mut output: impl Write) {
        let mut wrote = None;
        loop {
            let chunk = self.next(wrote);
            // A closed stderr is no reason to stop: nothing reads the log then.
            let _ = write_all(&mut output, &chunk);
            wrote = Some(Instant::now());
            self.queue.lock().bytes -= chunk.len();
        }
    }

    /// Waits for the next lines; `wrote` is the time of the last write.
    fn next(&self, wrote: Option<Instant>) -> Vec<u8> {
        let mut queue = self.queue.lock();
        loop {
            if queue.chunks.is_empty() && queue.dropped > 0 {
                let notice = (self.notice)(std::mem::take(&mut queue.dropped));
                queue.push(&notice);
            }
            let left = wrote.map_or(Duration::ZERO, |at| GATHER.saturating_sub(at.elapsed()));
            let due = left.is_zero() || queue.flushing || queue.chunks.len() > 1;
            if due && let Some(chunk) = queue.chunks.pop_front() {
                queue.thread = ThreadState::Busy;
                return chunk;
            }
            if queue.chunks.is_empty() {
                self.drained.notify_all();
            }
            queue = if queue.chunks.is_empty() && left.is_zero() {
                queue.thread = ThreadState::Idle;
                let waited = self.filled.wait(queue);
                waited.unwrap_or_else(PoisonError::into_inner)
            } else {
                queue.thread = ThreadState::Busy;
                let waited = self.filled.wait_timeout(queue, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }
}

fn write_all(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Other programs on the terminal may make it non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, pipe},
        sync::mpsc,
    };

    use super::*;

    fn notice(count: u64) -> String {
        format!("dropped {count}\n")
    }

    #[test]
    fn a_blocked_reader_drops_lines_and_delays_no_writer() {
        let (reader, writer) = pipe().unwrap();
        let log = Writer::new(writer, notice).unwrap();
        let line = format!("{}\n", "x".repeat(1023));
        // The pipe holds 64 KiB, the queue ROOM bytes.
        for _ in 0..ROOM / 1024 + 1000 {
            log.write(line.clone());
        }
        let dropped = log.lost();
        assert!((900..=1000).contains(&dropped), "{dropped}");
        let begun = Instant::now();
        log.flush(Duration::from_millis(50));
        assert!(begun.elapsed() < Duration::from_secs(5));
        // The reader continues.
        let lines = BufReader::new(reader).lines().map(Result::unwrap);
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || lines.for_each(|line| drop(sender.send(line))));
        // More than one notice, where the thread writes a chunk while the queue is full.
        let (mut whole, mut noticed) = (0, 0);
        while whole + noticed < (ROOM / 1024 + 1000) as u64 {
            let line = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
            if let Some(count) = line.strip_prefix("dropped ") {
                noticed += count.parse::<u64>().unwrap();
            } else {
                assert_eq!(line.len(), 1023);
                whole += 1;
            }
        }
        assert_eq!(noticed, dropped);
        log.write("after\n".into());
        log.flush(Duration::from_secs(20));
        assert_eq!(
            receiver.recv_timeout(Duration::from_secs(20)).unwrap(),
            "after"
        );
        assert_eq!(log.lost(), dropped);
    }
}
