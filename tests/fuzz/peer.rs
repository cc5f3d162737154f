//! A peer that sends given bytes, in pieces, and accepts whatever it receives.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
};

/// The stream to it.
pub(crate) struct Peer {
    output: Vec<u8>,
    /// The bytes of one read.
    step: usize,
    /// The number of bytes that were read.
    bytes_read: Arc<AtomicUsize>,
}

impl Peer {
    pub(crate) fn new(output: &[u8], step: usize) -> Self {
        Self {
            output: output.to_vec(),
            step: step.max(1),
            bytes_read: Arc::default(),
        }
    }

    pub(crate) fn bytes_read(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.bytes_read)
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.output[self.bytes_read.load(Ordering::Relaxed)..];
        let count = rest.len().min(self.step).min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.bytes_read.fetch_add(count, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A runtime with a paused clock, which advances when all tasks wait.
pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}
