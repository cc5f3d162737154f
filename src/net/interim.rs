//! What gitferry writes below hyper's server: interim responses, of which hyper can only send `100 Continue`, and text for the errors that
//! hyper answers by itself.
//!
//! A client that gives up on a silent connection (git-lfs does after 30 s) gets `102 Processing` (RFC 2518, section 10.1) while its response
//! is prepared. Three properties make it safe to write into a stream that hyper owns: hyper serves one HTTP/1.1 request at a time; it polls
//! the request's service and then flushes, in one task; and it flushes only when it has nothing of its own left to write. So what
//! [`InterimSender::queue`] queues within a service is written at the next flush, before the response's first byte.
//!
//! hyper answers a request that it cannot parse with a status and no body, before any service sees the request. Such a response is replaced
//! by one that says what is wrong.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use tokio_util::bytes::{Buf as _, Bytes};

use super::RequestLine;

/// The whole response to a request that hyper refused with this status.
pub(crate) type Refusal = fn(u16, &RequestLine) -> Vec<u8>;

const PROCESSING: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// A server's stream with interim responses that hyper does not know of.
#[derive(Debug)]
pub(crate) struct Interims<S> {
    inner: S,
    queued: InterimSender,
    /// The rest of a response of gitferry's own that is being written.
    left: Bytes,
    line: RequestLine,
    refusal: Refusal,
}

/// Queues interim responses. Use it only within the service of the request that is being served.
#[derive(Clone, Debug, Default)]
pub(crate) struct InterimSender(Arc<AtomicBool>);

impl InterimSender {
    /// Queues one interim response for the next flush.
    pub(crate) fn queue(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Cancels it: the response itself is ready.
    pub(crate) fn cancel(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl<S> Interims<S> {
    /// Wraps `inner`; returns the stream and the sender of its interim responses.
    pub(crate) fn new(inner: S, refusal: Refusal) -> (Self, InterimSender) {
        let stream = Self {
            inner,
            queued: InterimSender::default(),
            left: Bytes::new(),
            line: RequestLine::default(),
            refusal,
        };
        let sender = stream.queued.clone();
        (stream, sender)
    }

    /// The last request line read, as received.
    pub(crate) fn request_line(&self) -> RequestLine {
        self.line.clone()
    }

    /// The stream, after an upgrade.
    pub(crate) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncWrite + Unpin> Interims<S> {
    /// Completes a response of gitferry's own that was begun: no other byte may come between.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Interims<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.line
            .record(buf.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Interims<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        if let Some(status) = self.line.mark_responded(buf) {
            self.left = (self.refusal)(status, &self.line).into();
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        if let [head] = bufs {
            return self.poll_write(cx, head);
        }
        self.line.mark_responded(b"");
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.left.is_empty() && self.queued.0.swap(false, Ordering::Relaxed) {
            self.left = Bytes::from_static(PROCESSING);
        }
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use super::*;
    use http_body_util::Full;
    use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// What a client reads that sends `requests` at once to a server with three interim responses for each request to `/slow`.
    async fn read(requests: &str, room: usize) -> String {
        let (mut client, server) = duplex(room);
        let (server, interims) = Interims::new(server, |_, _| Vec::new());
        let line = server.request_line();
        let service = service_fn(move |request: Request<Incoming>| {
            line.mark_received();
            let interims = interims.clone();
            async move {
                if request.uri().path() == "/slow" {
                    for _ in 0..3 {
                        tokio::time::sleep(Duration::from_secs(25)).await;
                        interims.queue();
                    }
                    tokio::time::sleep(Duration::from_secs(25)).await;
                }
                let body = request.uri().path().repeat(40);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let (mut from, mut to) = tokio::io::split(&mut client);
        let talk = async {
            let ((), text) = tokio::join!(
                async { to.write_all(requests.as_bytes()).await.unwrap() },
                async {
                    let mut text = String::new();
                    from.read_to_string(&mut text).await.unwrap();
                    text
                }
            );
            text
        };
        let (_, text) = tokio::join!(serving, talk);
        text
    }

    const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    const LAST: &str = "GET /fast HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn interim_responses_precede_their_response_and_are_never_inside_another() {
        // Pipelined, and through a pipe that takes a few bytes at a time.
        let requests = format!("{SLOW}{}{SLOW}{LAST}", SLOW.replace("/slow", "/fast"));
        for room in [1, 7, 64, 1 << 16] {
            let text = read(&requests, room).await;
            let found: Vec<&str> = text.matches("HTTP/1.1 102 Processing\r\n\r\n").collect();
            assert_eq!(found.len(), 6, "{text}");
            let without = text.replace("HTTP/1.1 102 Processing\r\n\r\n", "");
            let bodies: Vec<&str> = without
                .split("HTTP/1.1 200 OK\r\n")
                .filter_map(|response| response.split_once("\r\n\r\n"))
                .map(|(_, body)| body)
                .collect();
            let whole = |path: &str| path.repeat(40);
            assert_eq!(
                bodies,
                [
                    whole("/slow"),
                    whole("/fast"),
                    whole("/slow"),
                    whole("/fast")
                ]
            );
            // Each directly before its own response.
            let first = text.find("HTTP/1.1 102").unwrap();
            assert_eq!(first, 0);
            assert!(text.contains("/fastHTTP/1.1 102 Processing"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_cancelled_interim_response_is_not_written() {
        let (mut client, server) = duplex(64);
        let (mut server, interims) = Interims::new(server, |_, _| Vec::new());
        interims.queue();
        interims.cancel();
        server.flush().await.unwrap();
        server.write_all(b"x").await.unwrap();
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "x");
    }
}
