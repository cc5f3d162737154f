//! A client's HTTP/2 connection inside TLS.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{config::Listen, front::connection::IdleEnd, net::listen::Slot, rt::Tasks};

/// How often a silent client is pinged, and how long it has to answer: a vanished client occupies a slot.
const PING: Duration = Duration::from_secs(20);

/// How much of an upload is read before its origin takes it. The round trip to the client is short, so that a larger window gains nothing.
const STREAM_WINDOW: u32 = 256 << 10;
/// The most requests at once on a connection.
const MAX_STREAMS: u32 = 100;
/// Room for all streams: hyper's default is one stream's window, and an upload that waits for its turn would block the one that runs.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// The common settings of these connections.
pub(super) fn builder(tasks: Tasks, max_head: usize) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// Completes where no request arrives within `head_timeout`, and later where none was answered for `idle_timeout`.
pub(super) async fn idle_too_long(
    listen: &Listen,
    slot: &Slot,
    request_seen: &AtomicBool,
) -> IdleEnd {
    sleep(listen.head_timeout).await;
    while request_seen.load(Ordering::Relaxed) {
        let now = Instant::now();
        let end = slot.idle_since().unwrap_or(now) + listen.idle_timeout;
        if end <= now {
            return IdleEnd::Gracefully;
        }
        sleep_until(end).await;
    }
    IdleEnd::AtOnce
}
