//! A client's HTTP/2 connection inside TLS.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;

use crate::rt::Tasks;

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
