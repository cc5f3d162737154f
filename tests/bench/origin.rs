//! The origin: HTTP/1.1 over TLS and in the clear, which gives bodies of any length and checks the ones it gets.
//!
//! `GET /bytes/N` is answered with N bytes; `PUT /` with 200 where every byte was right; `PUT /pace/N` is read at N bytes a second.

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Result,
    wire::{self, CHUNK, Io, Pace},
};

/// The origin's two ports.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) tls: u16,
    pub(crate) plain: u16,
}

/// Serves until standard input ends.
pub(crate) fn play(directory: &Path) -> Result<()> {
    let acceptor = TlsAcceptor::from(wire::server_config(directory)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime
        .block_on(async {
            let tls = TcpListener::bind("127.0.0.1:0").await?;
            let plain = TcpListener::bind("127.0.0.1:0").await?;
            let ports = Ports {
                tls: tls.local_addr()?.port(),
                plain: plain.local_addr()?.port(),
            };
            println!("{}", serde_json::to_string(&ports)?);
            Result::Ok(runtime_tasks(acceptor, tls, plain))
        })
        .map(|tasks| {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            drop(tasks);
        })
}

fn runtime_tasks(acceptor: TlsAcceptor, tls: TcpListener, plain: TcpListener) -> JoinSet<()> {
    let acceptor = Arc::new(acceptor);
    let mut tasks = JoinSet::new();
    tasks.spawn(accept(tls, Some(acceptor)));
    tasks.spawn(accept(plain, None));
    tasks
}

async fn accept(listener: TcpListener, acceptor: Option<Arc<TlsAcceptor>>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            // A connection that breaks is the peer's to tell.
            let _ = connection(socket, acceptor).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(socket: TcpStream, acceptor: Option<Arc<TlsAcceptor>>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    match acceptor {
        Some(acceptor) => serve(acceptor.accept(socket).await?).await,
        None => serve(socket).await,
    }
}

async fn serve(mut io: impl Io) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    while let Some(head) = wire::read_head(&mut io, &mut buffer).await? {
        buffer.drain(..head.size);
        let mut words = head.first.split(' ');
        let (method, path) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or("/"),
        );
        let number = path
            .rsplit('/')
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        if method == "GET" {
            give(&mut io, number.unwrap_or_default()).await?;
        } else {
            let pace = Pace::new(number);
            let right = wire::read_body(&mut io, &buffer, head.length, pace).await?;
            buffer.clear();
            let status = if right { "200 OK" } else { "500 Bytes Differ" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            io.write_all(answer.as_bytes()).await?;
        }
        io.flush().await?;
    }
    Ok(())
}

async fn give(io: &mut impl Io, length: u64) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    );
    let first = usize::try_from(length).unwrap_or(CHUNK).min(CHUNK);
    let mut message = head.into_bytes();
    message.extend_from_slice(wire::expected(0, first));
    io.write_all(&message).await?;
    let mut offset = first as u64;
    while offset < length {
        let next = usize::try_from(length - offset).unwrap_or(CHUNK).min(CHUNK);
        io.write_all(wire::expected(offset, next)).await?;
        offset += next as u64;
    }
    Ok(())
}
