//! A client's HTTP/1.1 connection: its settings, its end at shutdown, and the drain after a refusal.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    time::Duration,
};

use hyper::{StatusCode, server::conn::http1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    head_timer::{Clock, HeadTimer},
    refuse::bad_request,
};
use crate::{
    config::Listen,
    forward::response::errors::{plain_text, proxy_status},
    io::Tcp,
    model::{Fault, FaultKind, Leg, Stage},
    net::RequestLine,
    rt::Shutdown,
};

/// How long gitferry reads from a refused client.
pub(super) const LINGER: Duration = Duration::from_millis(500);
/// How many bytes it reads: a client on this machine writes fast until it has read the response.
const LINGER_BYTES: usize = 256 * 1024 * 1024;

/// The common settings of the daemon's server connections.
pub(super) fn builder(listen: &Listen, line: &RequestLine) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(Clock(HeadTimer::new(listen, line.clone())))
        .header_read_timeout(listen.head_timeout)
        .preserve_header_case(true)
        .max_buf_size(listen.max_head.max(8192));
    builder
}

/// Reads what the client still sends after a response that refused it: closing with unread bytes causes a reset, which can overtake the
/// response (RFC 9112, section 9.6).
pub(super) async fn linger(mut socket: Tcp) {
    if socket.is_marked_for_reset() {
        return;
    }
    let reading = async {
        let _ = socket.shutdown().await;
        let mut scratch = vec![0; 16 * 1024];
        let mut left = LINGER_BYTES;
        loop {
            match socket.read(&mut scratch).await {
                Ok(read) if read > 0 && read <= left => left -= read,
                _ => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, reading).await;
}

/// How a connection ends that was idle for too long.
pub(super) enum IdleEnd {
    /// At once: no request arrived.
    AtOnce,
    /// With the requests that arrive until the client knows.
    Gracefully,
}

/// Drives a server connection: the first step of shutdown ends it when it is idle, the second at once; `idle` ends it, too.
pub(super) async fn run<C>(
    mut connection: Pin<&mut C>,
    graceful_shutdown: fn(Pin<&mut C>),
    client: SocketAddr,
    shutdown: &Shutdown,
    idle: impl Future<Output = IdleEnd>,
) -> Result<(), hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let (mut draining, mut is_idle) = (false, false);
    let mut idle = pin!(idle);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = &ended {
                    tracing::debug!(%client, %error, "client connection ended");
                }
                return ended;
            }
            end = &mut idle, if !is_idle => {
                if matches!(end, IdleEnd::AtOnce) {
                    return Ok(());
                }
                is_idle = true;
                graceful_shutdown(connection.as_mut());
            }
            () = shutdown.drained(), if !draining => {
                draining = true;
                graceful_shutdown(connection.as_mut());
            }
            () = shutdown.ended(), if draining => {
                // Each transfer notices the shutdown itself; this lets it log and respond.
                let _ = tokio::time::timeout(LINGER, connection).await;
                return Ok(());
            }
        }
    }
}

/// The fault of a request that hyper refused: no service saw it.
pub(super) fn malformed(
    error: &hyper::Error,
    line: &RequestLine,
    client: SocketAddr,
) -> Option<Fault> {
    let status = line.refused().or_else(|| error.is_parse().then_some(400))?;
    let detail = error.to_string();
    Some(refused(status, line, &detail).peer(client))
}

/// The response with which hyper's own is replaced.
pub(super) fn refusal(status: u16, line: &RequestLine) -> Vec<u8> {
    let fault = refused(
        status,
        line,
        "the request line or a header field is not HTTP/1.1",
    );
    let reason = StatusCode::from_u16(status).ok();
    let reason = reason.and_then(|status| status.canonical_reason());
    let text = plain_text(&fault);
    format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Proxy-Status: {}\r\nConnection: close\r\n\r\n{text}",
        reason.unwrap_or_default(),
        text.len(),
        proxy_status(&fault),
    )
    .into_bytes()
}

/// hyper has a status for each limit, and its error is not known yet when it responds.
fn refused(status: u16, line: &RequestLine, detail: &str) -> Fault {
    match status {
        431 => Fault::new(Leg::Client, Stage::Accepted, FaultKind::TooLarge).detail(
            "the head is larger than `max_head` of `[listen]`, or has more than 100 fields",
        ),
        414 => bad_request("the URL is longer than 65534 bytes"),
        _ => bad_request(line.objection().unwrap_or_else(|| detail.to_owned())),
    }
}
