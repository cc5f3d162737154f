//! Clients and origins that send exactly the bytes that a test gives them.

use std::{future::Future, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    task::{JoinHandle, JoinSet},
};

/// A test step that takes longer hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for `event`; fails with its name where it does not come.
pub(crate) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// The shortest answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The shortest request to `origin.test`.
pub(crate) const GET: &str = "GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n";

/// A client that sends exactly what the test writes and returns what it reads.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self(
            soon("a connection", TcpStream::connect(address))
                .await
                .unwrap(),
        )
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        soon("room to write", self.0.write_all(text.as_ref()))
            .await
            .unwrap();
    }

    /// Reads up to and with `end`.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        String::from_utf8(read_until(&mut self.0, end.as_bytes()).await).unwrap()
    }

    /// Reads a head.
    pub(crate) async fn head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = soon("the end", self.0.read_to_end(&mut rest)).await;
        rest
    }
}

/// Reads up to and with `end`; whatever came before the stream ended, where it ended first.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let what = format!("{:?}", String::from_utf8_lossy(end));
    soon(&what, async {
        let mut byte = [0];
        while !read.ends_with(end) {
            match stream.read(&mut byte).await {
                Ok(1) => read.push(byte[0]),
                _ => return,
            }
        }
    })
    .await;
    read
}

/// An origin on port 0 that plays `script` on its first connection, and can be awaited.
pub(crate) async fn origin<F, T>(
    script: impl FnOnce(Connections) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<T>)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = Handle::current().spawn(script(Connections(listener)));
    (address, served)
}

/// Runs `test` on all cases concurrently: they mostly wait.
pub(crate) async fn all_at_once<T, F>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for case in cases {
        running.spawn(test(case));
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// An origin that answers its first request with `answer`; awaited, it returns the head of that request.
pub(crate) async fn answers_once(answer: impl Into<String>) -> (SocketAddr, JoinHandle<String>) {
    let answer = answer.into();
    origin(|connections| async move {
        let mut stream = connections.next().await;
        let head = read_until(&mut stream, b"\r\n\r\n").await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    })
    .await
}

/// The connections of an origin.
pub(crate) struct Connections(TcpListener);

impl Connections {
    pub(crate) async fn next(&self) -> TcpStream {
        soon("a connection at the origin", self.0.accept())
            .await
            .unwrap()
            .0
    }

    /// The next connection, when the head of its first request is read.
    pub(crate) async fn asked(&self) -> TcpStream {
        let mut stream = self.next().await;
        read_until(&mut stream, b"\r\n\r\n").await;
        stream
    }
}

/// Closes with a reset.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}
