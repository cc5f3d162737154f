//! Hops inside the test, named after what they do. They accept every user.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional, sink},
    net::TcpStream,
};

use super::Hop;
use crate::support::{background::Background, path::Path, script::reset};

/// What came to a hop.
#[derive(Default)]
pub(super) struct Seen {
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

impl Hop {
    /// Runs `script` for every connection whose head it has read. All hops below are such scripts.
    pub(crate) fn playing<F>(
        script: impl Fn(TcpStream, String) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::playing_on(StdListener::bind("127.0.0.1:0").unwrap(), script)
    }

    fn playing_on<F>(
        listener: StdListener,
        script: impl Fn(TcpStream, String) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let background = Background::new();
        let (seen, script) = (Arc::<Seen>::default(), Arc::new(script));
        let counts = Arc::clone(&seen);
        let address = background.serve_on(listener, move |mut stream, _| {
            let (seen, script) = (Arc::clone(&counts), Arc::clone(&script));
            async move {
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let head = read_head(&mut stream).await;
                if !head.is_empty() {
                    seen.heads.lock().unwrap().push(head.clone());
                }
                if head.ends_with("\r\n\r\n") {
                    // A client that disconnects is no fault of the hop.
                    let _ = script(stream, head).await;
                }
            }
        });
        let hop = Self::program(format!("http://{address}"), background);
        Self { seen, ..hop }
    }

    /// Connects every CONNECT to `origin`, whatever its target.
    pub(crate) fn leads_to(origin: SocketAddr) -> Self {
        Self::playing(move |stream, _| connect(stream, origin))
    }

    /// Connects to `names`, which are `HOST:PORT` and where they are, and to addresses; it answers 502 for every other target.
    pub(crate) fn reaches(names: &[(&str, SocketAddr)]) -> Self {
        Self::reaches_on(StdListener::bind("127.0.0.1:0").unwrap(), names)
    }

    /// [`Hop::reaches`] on the far host of `path`, next to the servers, so that its own connections add no delay.
    pub(crate) fn beyond(path: &Path, names: &[(&str, SocketAddr)]) -> Self {
        Self::reaches_on(path.listen().0, names)
    }

    fn reaches_on(listener: StdListener, names: &[(&str, SocketAddr)]) -> Self {
        let names = names.iter().map(|(name, at)| ((*name).to_owned(), *at));
        let names: Vec<(String, SocketAddr)> = names.collect();
        Self::playing_on(listener, move |mut stream, head| {
            let target = target(&head);
            let known = names.iter().find(|(name, _)| name == target);
            let to = known.map(|(_, at)| *at).or_else(|| target.parse().ok());
            async move {
                match to {
                    Some(to) => connect(stream, to).await,
                    None => stream.write_all(NOT_REACHED.as_bytes()).await,
                }
            }
        })
    }

    /// Connects only to `to`, by its address or as port 443 of `name`; it does not answer for every other target.
    pub(crate) fn reaches_only(name: &str, to: SocketAddr) -> Self {
        let names = [to.to_string(), format!("{name}:443")];
        Self::playing(move |stream, head| {
            let reached = names.iter().any(|name| name == target(&head));
            async move {
                match reached {
                    true => connect(stream, to).await,
                    false => read_on(stream).await,
                }
            }
        })
    }

    /// Refuses the credentials.
    pub(crate) fn answers_407() -> Self {
        Self::answers(
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"hop\"\r\nContent-Length: 0\r\n\r\n",
        )
    }

    /// Refuses the target.
    pub(crate) fn answers_403() -> Self {
        Self::answers("HTTP/1.1 403 Forbidden\r\nContent-Length: 15\r\n\r\nnot by this hop")
    }

    /// Cannot reach the target.
    pub(crate) fn answers_502() -> Self {
        Self::answers(NOT_REACHED)
    }

    /// Answers with bytes that are not HTTP.
    pub(crate) fn garbage() -> Self {
        Self::answers("\x16\x03garbage and more of it\n\n\r\n\r\n")
    }

    /// Answers with `text`, and reads until the other side closes.
    pub(crate) fn answers(text: impl Into<String>) -> Self {
        let text = Arc::new(text.into());
        Self::playing(move |mut stream, _| {
            let text = Arc::clone(&text);
            async move {
                stream.write_all(text.as_bytes()).await?;
                read_on(stream).await
            }
        })
    }

    /// Reads the request and does not answer.
    pub(crate) fn silent() -> Self {
        Self::playing(|stream, _| read_on(stream))
    }

    /// Reads the request and closes the connection.
    pub(crate) fn hangs_up() -> Self {
        Self::playing(|_, _| async { Ok(()) })
    }

    /// Reads the request and resets the connection.
    pub(crate) fn resets() -> Self {
        Self::playing(|stream, _| async {
            reset(stream);
            Ok(())
        })
    }

    /// Answers 200 and closes: GnuTLS reports a handshake that was not properly terminated.
    pub(crate) fn says_200_and_closes() -> Self {
        Self::answers_and_closes("HTTP/1.1 200 Connection established\r\n\r\n")
    }

    /// Answers with `text` and closes.
    pub(crate) fn answers_and_closes(text: impl Into<String>) -> Self {
        let text = Arc::new(text.into());
        Self::playing(move |mut stream, _| {
            let text = Arc::clone(&text);
            async move { stream.write_all(text.as_bytes()).await }
        })
    }

    /// Refuses everything: for the proxy variables of a client that must not use them.
    pub(crate) fn trap() -> Self {
        Self::answers_and_closes(
            "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        )
    }

    /// The heads of the requests that came; of other bytes, the first one.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// Fails the test if anything connected.
    #[track_caller]
    pub(crate) fn assert_unused(&self) {
        let connections = self.seen.connections.load(Ordering::SeqCst);
        assert_eq!(connections, 0, "{:#?}", self.asked());
    }
}

const NOT_REACHED: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

/// The target of a request.
fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

/// Reads a head; ends early with the stream, or where the first byte begins no request.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
        if !head[0].is_ascii_alphabetic() {
            break;
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Grants the request and carries its bytes to `origin` and back.
async fn connect(mut stream: TcpStream, origin: SocketAddr) -> io::Result<()> {
    let mut origin = TcpStream::connect(origin).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut origin).await?;
    Ok(())
}

/// Reads until the other side closes.
async fn read_on(mut stream: TcpStream) -> io::Result<()> {
    copy(&mut stream, &mut sink()).await?;
    Ok(())
}
