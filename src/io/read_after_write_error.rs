//! Streams whose reader still gets what the peer sent before a write failed.

use std::{
    future::Future as _,
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// A stream that reports a failed write only after the received bytes were read.
///
/// A server that refuses an upload (413, 403, 401) responds and closes while bytes of the upload are on their way, and these cause a reset.
/// The response is in the receive buffer, which Linux keeps, but the writer gets the reset first, and hyper then drops the connection. Here
/// such a write stays pending and wakes the reader, which gets the error after the received bytes.
///
/// After that every write fails, because hyper flushes before it closes: while writes stayed pending, the task of the connection never
/// ended, and its socket stayed open. The same holds where nobody reads for [`READ_LIMIT`].
#[derive(Debug)]
pub(crate) struct ReadAfterWriteError<S> {
    inner: S,
    state: WriteState,
    /// The reader has reached the end: a write that fails after that need not wait for it.
    read_over: bool,
}

#[derive(Debug)]
enum WriteState {
    Open,
    /// A write failed; the reader has not reached the end yet. At the end of the timer, writes fail although it has not.
    Failed(io::Error, Pin<Box<Sleep>>),
    /// The reader has reached the end after a write failed.
    Over,
}

/// How long a failed write waits for a reader.
const READ_LIMIT: Duration = Duration::from_secs(30);

impl<S> ReadAfterWriteError<S> {
    /// A stream without a failed write.
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            state: WriteState::Open,
            read_over: false,
        }
    }

    /// The result for the writer.
    fn on_write<T>(
        &mut self,
        cx: &Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(error)) if is_hang_up(&error) && !self.read_over => {
                self.state = WriteState::Failed(error, Box::pin(sleep(READ_LIMIT)));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            result => result,
        }
    }

    fn has_failed(&self) -> bool {
        !matches!(self.state, WriteState::Open)
    }

    /// The result of a write after one that failed; `None` where none has.
    fn poll_failed<T>(&mut self, cx: &mut Context<'_>) -> Option<Poll<io::Result<T>>> {
        let error = match &mut self.state {
            WriteState::Open => return None,
            WriteState::Failed(error, limit) => {
                if limit.as_mut().poll(cx).is_pending() {
                    return Some(Poll::Pending);
                }
                let error = error.kind().into();
                self.state = WriteState::Over;
                error
            }
            WriteState::Over => io::ErrorKind::BrokenPipe.into(),
        };
        Some(Poll::Ready(Err(error)))
    }

    /// Bytes were read: the reader is at work.
    fn note_read(&mut self) {
        if let WriteState::Failed(_, limit) = &mut self.state {
            limit.as_mut().reset(Instant::now() + READ_LIMIT);
        }
    }

    /// The result for the reader at the end of the received bytes, after a failed write.
    fn end(&mut self) -> io::Result<()> {
        match mem::replace(&mut self.state, WriteState::Over) {
            // Linux reports this where a FIN arrived before the reset: the peer had sent everything.
            WriteState::Failed(error, _) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            WriteState::Failed(error, _) => Err(error),
            WriteState::Open | WriteState::Over => Ok(()),
        }
    }
}

/// True where the peer does not accept any more data.
fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAfterWriteError<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let over = read.is_err() || buf.filled().len() == before && buf.remaining() > 0;
        self.read_over |= over;
        match (&self.state, read) {
            (WriteState::Failed(..), _) if over => Poll::Ready(self.end()),
            (_, read) => {
                self.note_read();
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAfterWriteError<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(failed) = self.poll_failed(cx) {
            return failed;
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.on_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(failed) = self.poll_failed(cx) {
            return failed;
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.on_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(failed) = self.poll_failed(cx) {
            return failed;
        }
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.on_write(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_failed() {
            // No task waits for it.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use super::*;
    use crate::io::Tcp;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// The bytes that are read after a failed write, and the error at their end. The peer sends `response` and closes; `orderly` where its FIN
    /// arrives before the reset.
    async fn read_after_failure(
        response: &[u8],
        orderly: bool,
    ) -> (Vec<u8>, Option<io::ErrorKind>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut near, mut far) = (
            ReadAfterWriteError::new(Tcp::new(near.unwrap())),
            far.unwrap().0,
        );
        near.write_all(b"PUT").await.unwrap();
        far.write_all(response).await.unwrap();
        if orderly {
            far.read_exact(&mut [0; 3]).await.unwrap();
        }
        drop(far);
        let failed = poll_fn(|cx| {
            while Pin::new(&mut near).poll_write(cx, b"more").is_ready() {}
            match near.has_failed() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        timeout(PATIENCE, failed).await.unwrap();
        let mut read = Vec::new();
        let end = timeout(PATIENCE, near.read_to_end(&mut read))
            .await
            .unwrap();
        (read, end.err().map(|error| error.kind()))
    }

    /// Its peer resets it at the first write.
    #[derive(Default)]
    struct ResetAtFirstWrite {
        is_reset: bool,
        /// Nothing is read after the reset: the reader waits for something else.
        unread: bool,
    }

    impl AsyncRead for ResetAtFirstWrite {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.is_reset && !self.unread {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        }
    }

    impl AsyncWrite for ResetAtFirstWrite {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.is_reset = true;
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Each such connection stayed open for ever, and held shutdown up for its whole grace.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_reset_while_its_request_is_written_ends() {
        for unread in [false, true] {
            let io = ResetAtFirstWrite {
                unread,
                ..ResetAtFirstWrite::default()
            };
            let io = hyper_util::rt::TokioIo::new(ReadAfterWriteError::new(io));
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            let request = hyper::Request::new(http_body_util::Empty::<&[u8]>::new());
            let sending = timeout(2 * READ_LIMIT, sender.send_request(request));
            let ends = timeout(2 * READ_LIMIT, connection);
            let (sent, ended) = tokio::join!(sending, ends);
            assert!(sent.unwrap().is_err(), "unread: {unread}");
            assert!(ended.is_ok(), "it goes on, unread: {unread}");
        }
    }

    /// The task of a broken upload waited 30 s for a reader that had gone, and the client's next request behind it.
    #[tokio::test]
    async fn a_write_that_fails_after_the_end_was_read_fails_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let mut near = ReadAfterWriteError::new(Tcp::new(near.unwrap()));
        near.write_all(b"PUT").await.unwrap();
        let (far, _) = far.unwrap();
        far.readable().await.unwrap();
        // Unread bytes cause a reset.
        drop(far);
        near.read(&mut [0; 9]).await.unwrap_err();
        let written = timeout(PATIENCE, near.write_all(b"more")).await;
        let error = written.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_response_is_read_whole_after_a_write_failed_with_a_reset() {
        let response = vec![7; 100_000];
        for (orderly, error) in [(false, Some(io::ErrorKind::ConnectionReset)), (true, None)] {
            let (read, end) = read_after_failure(&response, orderly).await;
            assert!(read == response, "{} bytes, orderly: {orderly}", read.len());
            assert_eq!(end, error, "orderly: {orderly}");
        }
    }
}
