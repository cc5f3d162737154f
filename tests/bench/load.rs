//! The load generator: opens connections through a peer, or straight to the origin, and works on them.

use std::{
    io::{self, BufRead},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, net::TcpStream, runtime::Runtime, task::JoinSet, time::Instant};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    Result, pki,
    wire::{self, CHUNK, Io, Pace},
};

/// How the origin is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Way {
    /// Who is connected to.
    pub(crate) address: SocketAddr,
    /// What is asked for with CONNECT before anything else.
    pub(crate) connect: Option<String>,
    /// The PEM files that are trusted; without them there is no TLS on this side.
    pub(crate) roots: Option<Vec<PathBuf>>,
}

/// What is done on the connections.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// One upload of so many bytes on each of so many connections; with a pace, the origin reads no faster.
    Put {
        streams: usize,
        bytes: u64,
        pace: Option<u64>,
    },
    /// One download of so many bytes on each of so many connections.
    Get { streams: usize, bytes: u64 },
    /// Downloads of 1 KiB, one after the other on each connection.
    Small { streams: usize, requests: usize },
    /// The same, each on a connection of its own with a full handshake.
    Fresh { streams: usize, requests: usize },
    /// Uploads of 1 KiB as git-lfs does them: a PUT, then a POST that asks whether the object is there.
    Objects { streams: usize, requests: usize },
    /// Connections that did one small request each and are kept open until the next order.
    Hold { streams: usize },
    /// Closes what was held.
    Release,
}

/// A way and a work.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) way: Way,
    pub(crate) work: Work,
}

/// How it went: seconds, and the times of small requests in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) seconds: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) error: Option<String>,
}

/// The small request's body.
const SMALL: u64 = 1024;

/// Carries out orders from standard input until it ends.
pub(crate) fn play() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut held = Vec::new();
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let done = carry_out(&runtime, order, &mut held).unwrap_or_else(|error| Done {
            error: Some(error.to_string()),
            ..Done::default()
        });
        println!("{}", serde_json::to_string(&done)?);
    }
    Ok(())
}

fn carry_out(runtime: &Runtime, order: Order, held: &mut Vec<Connection>) -> Result<Done> {
    held.clear();
    let streams = match order.work {
        Work::Put { streams, .. }
        | Work::Get { streams, .. }
        | Work::Small { streams, .. }
        | Work::Fresh { streams, .. }
        | Work::Objects { streams, .. }
        | Work::Hold { streams } => streams,
        Work::Release => return Ok(Done::default()),
    };
    runtime.block_on(async {
        let mut connections = open_all(&order.way, streams).await?;
        if let Work::Hold { .. } = order.work {
            for connection in &mut connections {
                connection.small().await?;
            }
            *held = connections;
            return Ok(Done::default());
        }
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for connection in connections {
            match order.work {
                Work::Fresh { requests, .. } => tasks.spawn(fresh(order.way.clone(), requests)),
                other => tasks.spawn(work(connection, other)),
            };
        }
        let mut times = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            times.extend(ended??);
        }
        let seconds = begun.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |part: f64| {
            let index = (times.len() as f64 * part) as usize;
            times
                .get(index)
                .map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        Ok(Done {
            seconds,
            p50: at(0.5),
            p99: at(0.99),
            error: None,
        })
    })
}

async fn work(mut connection: Connection, work: Work) -> Result<Vec<Duration>> {
    match work {
        Work::Put { bytes, pace, .. } => connection.put(bytes, pace).await?,
        Work::Get { bytes, .. } => connection.get(bytes).await?,
        Work::Small { requests, .. } => {
            let mut times = Vec::with_capacity(requests);
            // The first of them finds the origin's connection, and is not counted.
            connection.small().await?;
            for _ in 0..requests {
                let begun = Instant::now();
                connection.small().await?;
                times.push(begun.elapsed());
            }
            return Ok(times);
        }
        Work::Objects { requests, .. } => {
            let mut times = Vec::with_capacity(requests);
            for _ in 0..requests {
                let begun = Instant::now();
                connection.object().await?;
                times.push(begun.elapsed());
            }
            return Ok(times);
        }
        Work::Fresh { .. } | Work::Hold { .. } | Work::Release => {}
    }
    Ok(Vec::new())
}

async fn fresh(way: Way, requests: usize) -> Result<Vec<Duration>> {
    let tls = match &way.roots {
        Some(roots) => {
            let mut config = wire::client_config(roots)?.as_ref().clone();
            config.resumption = rustls::client::Resumption::disabled();
            Some(TlsConnector::from(std::sync::Arc::new(config)))
        }
        None => None,
    };
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let begun = Instant::now();
        open(&way, tls.as_ref()).await?.small().await?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// A connection on which requests can be made.
enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn open_all(way: &Way, streams: usize) -> Result<Vec<Connection>> {
    let tls = match &way.roots {
        Some(roots) => Some(TlsConnector::from(wire::client_config(roots)?)),
        None => None,
    };
    let mut connections = Vec::with_capacity(streams);
    for _ in 0..streams {
        connections.push(open(way, tls.as_ref()).await?);
    }
    Ok(connections)
}

async fn open(way: &Way, tls: Option<&TlsConnector>) -> Result<Connection> {
    let mut socket = TcpStream::connect(way.address).await?;
    socket.set_nodelay(true)?;
    if let Some(authority) = &way.connect {
        let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let head = wire::read_head(&mut socket, &mut Vec::with_capacity(1024)).await?;
        let first = head.map(|head| head.first).unwrap_or_default();
        if !first.contains(" 200") {
            return Err(format!("CONNECT was answered {first:?}").into());
        }
    }
    let Some(tls) = tls else {
        return Ok(Connection::Plain(socket));
    };
    let stream = tls
        .connect(ServerName::try_from(pki::HOST)?, socket)
        .await?;
    Ok(Connection::Tls(Box::new(stream)))
}

impl Connection {
    async fn put(&mut self, bytes: u64, pace: Option<u64>) -> Result<()> {
        match self {
            Self::Plain(io) => put(io, bytes, pace).await,
            Self::Tls(io) => put(&mut **io, bytes, pace).await,
        }
    }

    async fn get(&mut self, bytes: u64) -> Result<()> {
        match self {
            Self::Plain(io) => get(io, bytes).await,
            Self::Tls(io) => get(&mut **io, bytes).await,
        }
    }

    async fn small(&mut self) -> Result<()> {
        self.get(SMALL).await
    }

    async fn object(&mut self) -> Result<()> {
        self.put(SMALL, None).await?;
        match self {
            Self::Plain(io) => verify(io).await,
            Self::Tls(io) => verify(&mut **io).await,
        }
    }
}

async fn put(io: &mut impl Io, bytes: u64, pace: Option<u64>) -> Result<()> {
    let path = pace.map_or("/".to_owned(), |pace| format!("/pace/{pace}"));
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {bytes}\r\n\r\n",
        pki::HOST
    );
    io.write_all(head.as_bytes()).await?;
    let mut offset = 0;
    while offset < bytes {
        let next = usize::try_from(bytes - offset).unwrap_or(CHUNK).min(CHUNK);
        io.write_all(wire::expected(offset, next)).await?;
        offset += next as u64;
    }
    io.flush().await?;
    answer(io).await
}

async fn verify(io: &mut impl Io) -> Result<()> {
    const BODY: usize = 64;
    let head = format!(
        "POST /r.git/info/lfs/objects/verify HTTP/1.1\r\nHost: {}\r\nContent-Type: application/vnd.git-lfs+json\r\n\
         Content-Length: {BODY}\r\n\r\n",
        pki::HOST
    );
    let mut message = head.into_bytes();
    message.extend_from_slice(wire::expected(0, BODY));
    io.write_all(&message).await?;
    io.flush().await?;
    answer(io).await
}

async fn get(io: &mut impl Io, bytes: u64) -> Result<()> {
    let request = format!("GET /bytes/{bytes} HTTP/1.1\r\nHost: {}\r\n\r\n", pki::HOST);
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    answer(io).await
}

/// Reads an answer to its end; every byte of its body must be right.
async fn answer(io: &mut impl Io) -> Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    let head = wire::read_head(io, &mut buffer).await?;
    let head = head.ok_or("the connection was closed before an answer")?;
    if !head.first.contains(" 200") {
        return Err(format!("the answer was {:?}", head.first).into());
    }
    let already = buffer.get(head.size..).unwrap_or_default();
    if already.len() as u64 == head.length && already == wire::expected(0, already.len()) {
        return Ok(());
    }
    if !wire::read_body(io, already, head.length, Pace::new(None)).await? {
        return Err("the bytes that came are not those that were sent".into());
    }
    Ok(())
}
