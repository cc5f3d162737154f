//! A client's HTTP/1.1 connection: its settings, its end at shutdown, and the drain after a refusal.

use std::{net::SocketAddr, pin::Pin, time::Duration};

use hyper::{body::Incoming, server::conn::http1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::head_timer::{Clock, HeadTimer};
use crate::{
    config::Listen,
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
    if socket.resets_at_end() {
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

/// Drives a server connection: the first step of shutdown ends it when it is idle, the second at once.
pub(super) async fn run<I, S>(
    mut connection: Pin<&mut http1::UpgradeableConnection<I, S>>,
    client: SocketAddr,
    shutdown: &Shutdown,
) -> Result<(), hyper::Error>
where
    S: hyper::service::HttpService<Incoming, ResBody = crate::forward::ResponseBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let mut draining = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%client, %error, "client connection ended");
                    return Err(error);
                }
                return Ok(());
            }
            () = shutdown.drained(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = shutdown.ended(), if draining => {
                // Each transfer notices the shutdown itself; this lets it log and respond.
                let _ = tokio::time::timeout(LINGER, connection).await;
                return Ok(());
            }
        }
    }
}

/// A refusal by hyper itself, whose response has no text. `line` is the request line, where it was captured.
pub(super) fn malformed(error: &hyper::Error, line: &RequestLine) -> Option<Fault> {
    let kind = match () {
        () if error.is_parse_too_large() => FaultKind::TooLarge,
        () if error.is_parse() => FaultKind::BadRequest,
        () => return None,
    };
    let detail = line.objection().filter(|_| kind == FaultKind::BadRequest);
    let detail = detail.unwrap_or_else(|| error.to_string());
    Some(Fault::new(Leg::Client, Stage::Accepted, kind).detail(detail))
}
