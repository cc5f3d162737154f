//! Servers with one fault each, in the response or in the connection before it.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use rustls::ServerConfig;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use crate::support::{background::Background, process::Server};

/// What a server does with every request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    /// Answers with this text, and reads what still comes.
    Answers(&'static str),
    /// Answers with this head and half of the body, and then nothing.
    Stops(&'static str),
    /// The same, and then the end of the connection.
    Cuts(&'static str),
    /// The same, and then a reset.
    Resets(&'static str),
    /// Reads everything and says nothing.
    Silent,
}

/// A server behind TLS with this config.
pub(crate) fn origin(config: Arc<ServerConfig>, behaviour: Behaviour) -> (SocketAddr, Background) {
    let background = Background::new();
    let acceptor = TlsAcceptor::from(config);
    let address = background.serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let accepted = acceptor.accept(stream).into_fallible().await;
            let mut stream = match accepted {
                Ok(stream) => stream,
                Err((_, mut refused)) => {
                    // The alert arrives only where nothing unread makes the end a reset.
                    let _ = refused.shutdown().await;
                    let _ = tokio::io::copy(&mut refused, &mut tokio::io::sink()).await;
                    return;
                }
            };
            let _ = play(&mut stream, behaviour).await;
            if matches!(behaviour, Behaviour::Resets(_)) {
                let _ = SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO));
            }
        }
    });
    (address, background)
}

/// A server without TLS.
pub(crate) fn plain(behaviour: Behaviour) -> (SocketAddr, Background) {
    let background = Background::new();
    let address = background.serve(move |mut stream, _| async move {
        let mut first = [0; 4096];
        let _ = stream.read(&mut first).await;
        if let Behaviour::Answers(text) = behaviour {
            let _ = stream.write_all(text.as_bytes()).await;
        }
        let _ = stream.shutdown().await;
    });
    (address, background)
}

async fn play(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    behaviour: Behaviour,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let half = vec![b'.'; 100_000];
    match behaviour {
        Behaviour::Silent => {}
        Behaviour::Answers(text) => {
            stream.write_all(text.as_bytes()).await?;
            stream.flush().await?;
        }
        Behaviour::Stops(head) | Behaviour::Cuts(head) | Behaviour::Resets(head) => {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&half).await?;
            stream.flush().await?;
        }
    }
    match behaviour {
        Behaviour::Cuts(_) | Behaviour::Resets(_) => {
            // What was written has arrived when the peer has read it: the kernel holds the end back until then.
            tokio::time::sleep(Duration::from_millis(200)).await;
            if matches!(behaviour, Behaviour::Cuts(_)) {
                stream.shutdown().await?;
            }
            Ok(())
        }
        Behaviour::Answers(_) | Behaviour::Stops(_) | Behaviour::Silent => {
            // Until the other side has had enough.
            tokio::io::copy(stream, &mut tokio::io::sink())
                .await
                .map(drop)
        }
    }
}

/// An address whose kernel answers no SYN: its queue is full.
pub(crate) fn black_hole() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut kept = vec![listener];
    for _ in 0..4 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&address.into());
        kept.push(filler);
    }
    (address, kept)
}

/// A listener whose connections take little before their window closes.
pub(crate) fn narrow() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(64).unwrap();
    socket.into()
}

/// A path that resets every ClientHello that names this host, and lets the others pass.
pub(crate) fn name_filter(name: &'static str, origin: SocketAddr) -> (SocketAddr, Background) {
    let background = Background::new();
    let address = background.serve(move |mut client, _| async move {
        let mut hello = vec![0; 16 * 1024];
        let count = client.read(&mut hello).await.unwrap_or(0);
        hello.truncate(count);
        if hello
            .windows(name.len())
            .any(|part| part == name.as_bytes())
        {
            let _ = SockRef::from(&client).set_linger(Some(Duration::ZERO));
            return;
        }
        if let Ok(mut server) = TcpStream::connect(origin).await {
            let _ = server.write_all(&hello).await;
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    (address, background)
}

/// OpenSSL's own server with TLS 1.1 alone.
pub(crate) fn legacy(dir: &std::path::Path, both: &std::path::Path) -> (SocketAddr, Server) {
    s_server(dir, both, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
}

/// A server from before `supported_versions` (RFC 8446, section 4.2.1): it reads the ClientHello's version alone, and chooses TLS 1.1.
///
/// OpenSSL, to which a client goes that offers no more, knows the extension and would refuse the others.
pub(crate) fn chooses_tls_1_1(origin: SocketAddr) -> (SocketAddr, Background) {
    /// The extension with TLS 1.3 and 1.2.
    const VERSIONS: [u8; 9] = [0, 43, 0, 5, 4, 3, 4, 3, 3];
    let background = Background::new();
    let address = background.serve(move |mut client, _| async move {
        let mut hello = vec![0; 5];
        if client.read_exact(&mut hello).await.is_err() {
            return;
        }
        let length = usize::from(hello[3]) << 8 | usize::from(hello[4]);
        hello.resize(5 + length, 0);
        if client.read_exact(&mut hello[5..]).await.is_err() {
            return;
        }
        if hello.windows(9).any(|part| part == VERSIONS) {
            // A record with a ServerHello of version 1.1: random, no session, ECDHE-ECDSA-AES128-SHA, no compression.
            let begin = [22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
            let answer = [&begin[..], &[7; 32], &[0, 0xc0, 0x09, 0]].concat();
            let _ = client.write_all(&answer).await;
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        } else if let Ok(mut server) = TcpStream::connect(origin).await {
            let _ = server.write_all(&hello).await;
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    (address, background)
}

/// TLS before a server that speaks plain HTTP/1.1; over HTTP/2 it resets every stream.
pub(crate) fn resets_http2(
    mut config: Arc<ServerConfig>,
    plain: SocketAddr,
) -> (SocketAddr, Background) {
    Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let background = Background::new();
    let acceptor = TlsAcceptor::from(config);
    let address = background.serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let _ = reset_streams(&mut stream).await;
            } else if let Ok(mut server) = TcpStream::connect(plain).await {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            }
        }
    });
    (address, background)
}

/// RFC 9113: SETTINGS, and RST_STREAM with INTERNAL_ERROR for every HEADERS.
async fn reset_streams(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    stream.flush().await?;
    stream.read_exact(&mut [0; 24]).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        if head[3] == 1 {
            let begin = [0, 0, 4, 3, 0];
            let reset = [&begin[..], &head[5..], &[0, 0, 0, 2]].concat();
            stream.write_all(&reset).await?;
            stream.flush().await?;
        }
    }
}

/// When a front passes an answer on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pauses {
    /// Before its first byte.
    pub(crate) before: Duration,
    /// After the first byte of its body.
    pub(crate) within: Duration,
}

/// TLS with this config before a server that speaks plain HTTP.
pub(crate) fn front(
    config: Arc<ServerConfig>,
    plain: SocketAddr,
    pauses: Pauses,
) -> (SocketAddr, Background) {
    let background = Background::new();
    let acceptor = TlsAcceptor::from(config);
    let address = background.serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            // A peer that does not like it is what these fronts are for.
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let Ok(server) = TcpStream::connect(plain).await else {
                return;
            };
            let (mut from_client, mut to_client) = tokio::io::split(stream);
            let (mut from_server, mut to_server) = server.into_split();
            let up = tokio::io::copy(&mut from_client, &mut to_server);
            let down = async {
                let mut begin = Vec::new();
                while !begin.ends_with(b"\r\n\r\n") {
                    begin.push(from_server.read_u8().await?);
                }
                tokio::time::sleep(pauses.before).await;
                // A body that has begun.
                begin.push(from_server.read_u8().await?);
                to_client.write_all(&begin).await?;
                to_client.flush().await?;
                tokio::time::sleep(pauses.within).await;
                tokio::io::copy(&mut from_server, &mut to_client).await
            };
            let _ = tokio::join!(up, down);
        }
    });
    (address, background)
}

/// OpenSSL's own server with one CBC suite of TLS 1.2, which rustls does not have.
pub(crate) fn cbc_only(dir: &std::path::Path, both: &std::path::Path) -> (SocketAddr, Server) {
    s_server(dir, both, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"])
}

fn s_server(
    dir: &std::path::Path,
    both: &std::path::Path,
    speaks: &[&str],
) -> (SocketAddr, Server) {
    let (server, address) = Server::start_on_a_port("openssl", dir, |address| {
        let mut command = crate::support::process::clean_command("/usr/bin/openssl", dir);
        command.args(["s_server", "-quiet", "-www"]).args(speaks);
        command.arg("-accept").arg(address.to_string());
        command.arg("-cert").arg(both);
        command
    });
    (address, server)
}
