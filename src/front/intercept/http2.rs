//! A client's HTTP/2 connection inside TLS.

use std::{
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::TokioTimer;

use crate::{
    front::connection::LINGER,
    rt::{Shutdown, Tasks},
};

/// How often a silent client is pinged, and how long it has to answer: a vanished client occupies a slot.
const PING: Duration = Duration::from_secs(20);

/// The common settings of these connections.
pub(super) fn builder(tasks: Tasks, max_head: usize) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Completes where no request arrives within `head_timeout`.
pub(super) async fn first_request_overdue(head_timeout: Duration, request_seen: &AtomicBool) {
    tokio::time::sleep(head_timeout).await;
    if request_seen.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// As [`run`](crate::front::connection::run), for HTTP/2; `idle` ends it, too.
pub(super) async fn run<I, S>(
    mut connection: Pin<&mut http2::Connection<I, S, Tasks>>,
    client: SocketAddr,
    shutdown: &Shutdown,
    idle: impl Future<Output = ()>,
) where
    S: hyper::service::HttpService<Incoming, ResBody = crate::forward::ResponseBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let mut draining = false;
    let mut idle = pin!(idle);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%client, %error, "client connection ended");
                }
                break;
            }
            () = &mut idle => break,
            () = shutdown.drained(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = shutdown.ended(), if draining => {
                let _ = tokio::time::timeout(LINGER, connection).await;
                break;
            }
        }
    }
}
