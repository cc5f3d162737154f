//! Streams whose reader still gets what the peer sent before a write failed.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that reports a failed write only after the received bytes were read.
///
/// A server that refuses an upload (413, 403, 401) responds and closes while bytes of the upload are on their way, and these cause a reset.
/// The response is in the receive buffer, which Linux keeps, but the writer gets the reset first, and hyper then drops the connection. Here
/// such a write stays pending and wakes the reader, which gets the error after the received bytes.
#[derive(Debug)]
pub(crate) struct ReadAfterWriteError<S> {
    inner: S,
    state: WriteState,
}

#[derive(Debug)]
enum WriteState {
    Open,
    /// A write failed; the reader has not reached the end yet.
    Failed(io::Error),
    /// The reader has reached the end after a write failed.
    Over,
}

impl<S> ReadAfterWriteError<S> {
    /// A stream without a failed write.
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            state: WriteState::Open,
        }
    }

    /// The result for the writer.
    fn on_write<T>(
        &mut self,
        cx: &Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(error)) if is_hang_up(&error) => {
                self.state = WriteState::Failed(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            result => result,
        }
    }

    fn has_failed(&self) -> bool {
        !matches!(self.state, WriteState::Open)
    }

    /// The result for the reader at the end of the received bytes, after a failed write.
    fn end(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.state, WriteState::Over) {
            // Linux reports this where a FIN arrived before the reset: the peer had sent everything.
            WriteState::Failed(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            WriteState::Failed(error) => Err(error),
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
        match (&self.state, read) {
            (WriteState::Failed(_), _) if over => Poll::Ready(self.end()),
            (_, read) => Poll::Ready(read),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAfterWriteError<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.has_failed() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.on_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.has_failed() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.on_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_failed() {
            return Poll::Pending;
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
