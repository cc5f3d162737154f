//! TCP streams whose socket can be monitored.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// A TCP stream whose socket can be monitored (`tcp_info`) while a protocol owns the stream.
#[derive(Clone, Debug)]
pub(crate) struct Tcp(Arc<TcpState>);

#[derive(Debug)]
struct TcpState {
    socket: TcpStream,
    read: AtomicU64,
    written: AtomicU64,
    blocked: AtomicBool,
    resets: AtomicBool,
    close_hook: Option<CloseHook>,
}

/// Reads a socket's state before it is closed.
type CloseHook = fn(&TcpStream);

impl Drop for TcpState {
    fn drop(&mut self) {
        if let Some(close_hook) = self.close_hook {
            close_hook(&self.socket);
        }
    }
}

impl Tcp {
    /// Wraps a connected socket. It supports one reader and one writer at a time: a second one would wait for ever.
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self::of(socket, None)
    }

    /// Like [`Self::new`]; `close_hook` reads the socket's state before it is closed.
    pub(crate) fn with_close_hook(socket: TcpStream, close_hook: CloseHook) -> Self {
        Self::of(socket, Some(close_hook))
    }

    fn of(socket: TcpStream, close_hook: Option<CloseHook>) -> Self {
        Self(Arc::new(TcpState {
            socket,
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            resets: AtomicBool::new(false),
            close_hook,
        }))
    }

    /// The socket itself.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.0.socket
    }

    /// Bytes read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Bytes written so far: those that the kernel accepted, whether or not the peer has received them.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// True where the kernel accepted no more bytes at the last write.
    pub(crate) fn is_blocked(&self) -> bool {
        self.0.blocked.load(Ordering::Relaxed)
    }

    /// True where it must be closed with a reset, because a FIN would mean that everything was sent.
    pub(crate) fn is_marked_for_reset(&self) -> bool {
        self.0.resets.load(Ordering::Relaxed)
    }

    /// A monitor of the socket that does not keep it open.
    pub(crate) fn monitor(&self) -> TcpMonitor {
        TcpMonitor(Arc::downgrade(&self.0))
    }

    /// Counts the bytes of a write, and returns its result.
    fn count_written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = result {
            self.0.written.fetch_add(count as u64, Ordering::Relaxed);
        }
        self.0.blocked.store(result.is_pending(), Ordering::Relaxed);
        result
    }

    fn poll_writing(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl Fn() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.socket.poll_write_ready(cx))?;
            let written = self.try_io(Interest::WRITABLE, length, &write);
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Runs `act`. If it moves fewer than `wanted` bytes, the kernel's buffer is empty or full, so the next poll waits for an event before it tries
    /// again. `TcpStream` does the same in `poll_read` and `poll_write`, but these need exclusive access.
    fn try_io(
        &self,
        interest: Interest,
        wanted: usize,
        act: impl FnOnce() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut moved = None;
        let result = self.0.socket.try_io(interest, || {
            let count = act()?;
            moved = Some(count);
            // The error is returned inside of `try_io`, which does not clear an event that arrives meanwhile.
            if EDGE_TRIGGERED && 0 < count && count < wanted {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(count)
        });
        moved.map_or(result, Ok)
    }
}

/// Monitors a [`Tcp`] as long as its owner keeps it open.
#[derive(Clone, Debug)]
pub(crate) struct TcpMonitor(Weak<TcpState>);

impl TcpMonitor {
    /// The stream; `None` once it is closed.
    pub(crate) fn tcp(&self) -> Option<Tcp> {
        self.0.upgrade().map(Tcp)
    }

    /// The name of its congestion control, where the system reports it.
    pub(crate) fn congestion(&self) -> Option<String> {
        congestion(&socket2::SockRef::from(&self.0.upgrade()?.socket))
    }

    /// Marks the socket to be closed with a reset when its owner drops it, without a shutdown before.
    pub(crate) fn mark_for_reset(&self) {
        if let Some(inner) = self.0.upgrade() {
            inner.resets.store(true, Ordering::Relaxed);
            // A closed socket needs no reset.
            let _ = socket2::SockRef::from(&inner.socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// Shuts down both directions at once, also while a protocol owns the stream.
    pub(crate) fn end(&self) {
        if let Some(inner) = self.0.upgrade() {
            // A closed socket needs no shutdown.
            let _ = socket2::SockRef::from(&inner.socket).shutdown(std::net::Shutdown::Both);
        }
    }
}

/// True where tokio's events are edge-triggered: the kernel reports each change once (epoll, kqueue).
const EDGE_TRIGGERED: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd"
));

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        loop {
            ready!(self.0.socket.poll_read_ready(cx))?;
            // `try_read_buf` does not zero the buffer first, which would cost as much as the copy.
            let read = self.try_io(Interest::READABLE, room, || self.0.socket.try_read_buf(buf));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) => {
                    self.0.read.fetch_add(count as u64, Ordering::Relaxed);
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.count_written(self.poll_writing(cx, buf.len(), || self.0.socket.try_write(buf)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // send(2) costs less than writev(2), and rustls writes one record at a time.
        if let [only] = bufs {
            return self.poll_write(cx, only);
        }
        let length = bufs.iter().map(|buf| buf.len()).sum();
        let write = || self.0.socket.try_write_vectored(bufs);
        self.count_written(self.poll_writing(cx, length, write))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match socket2::SockRef::from(&self.0.socket).shutdown(std::net::Shutdown::Write) {
            // The peer closed first: there is nothing left to close.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

/// The name of a socket's congestion control, where the system reports it.
#[cfg(target_os = "linux")]
pub(crate) fn congestion(socket: &socket2::SockRef<'_>) -> Option<String> {
    let name = socket.tcp_congestion().ok()?;
    let name = name.split(|byte| *byte == 0).next()?;
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

/// The name of a socket's congestion control, where the system reports it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn congestion(_: &socket2::SockRef<'_>) -> Option<String> {
    None
}

/// Sets the options of every socket: small writes are sent at once, and a peer that vanished without a FIN is detected.
///
/// It has no effect on a socket that is already closed, whose first read fails.
pub(crate) fn tune(socket: &socket2::SockRef<'_>) {
    let alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10));
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&alive);
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn pair() -> (Tcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Tcp::new(near.unwrap()), far.unwrap().0)
    }

    #[tokio::test]
    async fn bytes_move_in_both_directions_at_once_until_the_end_of_stream() {
        let (near, mut far) = pair().await;
        let (mut read, mut write) = tokio::io::split(near);
        let sent: Vec<u8> = (0..4_000_000_u32).map(|at| (at % 251) as u8).collect();
        let up = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let down = async {
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.unwrap();
            got
        };
        let echo = async {
            let (mut from, mut to) = far.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
        };
        let (_, got, _) = timeout(PATIENCE, async { tokio::join!(up, down, echo) })
            .await
            .unwrap();
        assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    }

    #[tokio::test]
    async fn a_read_after_a_short_read_gets_the_next_bytes() {
        let (mut near, mut far) = pair().await;
        let mut buffer = [0; 64];
        for round in 0..200_u8 {
            far.write_all(&[round; 3]).await.unwrap();
            let read = near.read_exact(&mut buffer[..3]);
            timeout(PATIENCE, read).await.unwrap().unwrap();
            // The next bytes arrive while the reader waits, and do not fill its buffer.
            let (read, ()) = tokio::join!(timeout(PATIENCE, near.read(&mut buffer)), async {
                far.write_all(&[round; 2]).await.unwrap();
            });
            let count = read.unwrap().unwrap();
            assert_eq!(buffer[..count], vec![round; count]);
            if count < 2 {
                near.read_exact(&mut buffer[..2 - count]).await.unwrap();
            }
        }
        drop(far);
        let last = timeout(PATIENCE, near.read(&mut buffer)).await.unwrap();
        assert_eq!(last.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_shutdown_after_a_reset_is_no_error() {
        let (mut near, far) = pair().await;
        socket2::SockRef::from(&far)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(far);
        let reset = timeout(PATIENCE, near.read(&mut [0; 8])).await.unwrap();
        assert_eq!(reset.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        near.shutdown().await.unwrap();
    }
}
