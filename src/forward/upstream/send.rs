//! HTTP on one connection to an origin: opening it, sending a request, and the meaning of a failure.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::forward::{
    forwarder::Forwarder,
    request::body::{RequestBody, RequestNotes},
    request::replay::ReplayError,
    upstream::attempt::OriginStream,
    upstream::flood::{Flood, LimitedStream},
    upstream::http1::Http1,
    upstream::pool::{ConnectionInfo, Lease, Sender},
    upstream::stale,
};
use crate::{
    config::HttpVersion,
    io::ReadAfterWriteError,
    model::{Fault, FaultKind, Leg, Stage, classify, stall::Stall},
    rt::io_thread_number,
    sync::Mutex,
    track::TransferHandle,
};

/// The most bytes of a body in one connection's buffer: beyond it, back pressure reaches the client.
const WRITE_BUFFER: usize = 64 * 1024;

/// Starts HTTP on a stream. An HTTP/2 connection gets a task, which ends with its requests, or at shutdown's second step.
pub(crate) async fn open(
    forwarder: &Forwarder,
    stream: OriginStream,
) -> Result<(Sender, ConnectionInfo), Fault> {
    let (shared, max_head) = (&forwarder.shared, forwarder.config.listen.max_head);
    let peer = stream.peer;
    let info = ConnectionInfo {
        peer,
        tcp: stream.tcp.monitor(),
        hop: stream.hop,
        genuine: stream.genuine,
        absolute_form: stream.absolute_form,
        flood: Flood::default(),
        stale_timer: Mutex::default(),
        io_thread: io_thread_number(),
    };
    let fault = |error: hyper::Error| {
        Fault::new(Leg::Origin, Stage::SendingHead, classify::io(&error))
            .peer(peer)
            .source(error)
            .with_unsent(true)
    };
    let http2 = stream.http == HttpVersion::Http2;
    let io = ReadAfterWriteError::new(stream.io);
    let io = TokioIo::new(LimitedStream::new(io, info.flood.clone(), http2));
    let sender = match stream.http {
        HttpVersion::Http1 => {
            let builder = http1_builder(max_head);
            let (sender, connection) = builder.handshake(io).await.map_err(fault)?;
            Sender::Http1(Http1::new(sender, async move {
                // Any request may ask for an upgrade, also a later one on an idle connection.
                log_end(connection.with_upgrades().await, peer);
            }))
        }
        HttpVersion::Http2 => {
            let mut builder = http2::Builder::new(shared.tasks.clone());
            builder
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(header_list(max_head))
                // A connection that died silently is detected while requests wait on it, not by the timeout of the next one.
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT);
            let (sender, connection) = builder.handshake(io).await.map_err(fault)?;
            let shutdown = shared.shutdown.clone();
            shared.tasks.spawn(async move {
                tokio::select! {
                    ended = connection => log_end(ended, peer),
                    () = shutdown.ended() => {}
                }
            });
            Sender::Http2(sender)
        }
    };
    Ok((sender, info))
}

/// HTTP/1.1, parsed as liberally as by the clients: curl and Go accept folded lines, spaces before a colon and hundreds of fields, and skip
/// a line that is no field.
fn http1_builder(max_head: usize) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .preserve_header_case(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .max_headers(MAX_FIELDS)
        .max_header_size(max_head)
        .max_buf_size(WRITE_BUFFER.max(max_head));
    builder
}

/// The most fields in a response.
const MAX_FIELDS: usize = 1000;

/// `max_head` as HTTP/2 counts it: each field costs 32 bytes in addition to its name and value (RFC 9113, section 6.5.2).
fn header_list(max_head: usize) -> u32 {
    u32::try_from(max_head.saturating_add(32 * MAX_FIELDS)).unwrap_or(u32::MAX)
}

/// How much of an HTTP/2 response may arrive before its client reads it: enough for 16 MiB/s over a path of 125 ms.
pub(crate) const STREAM_WINDOW: u32 = 2 << 20;
/// The same for all responses on a connection; Go's HTTP/2 client has the same value. hyper's `adaptive_window` gives the connection no more
/// than one stream: a client that does not read, or the first connection of a download in segments, then blocks every other response.
const CONNECTION_WINDOW: u32 = 1 << 30;

/// How often an HTTP/2 origin is pinged while requests run.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to answer. Longer than most paths stand still; a stall is reported well before.
const PING_TIMEOUT: Duration = Duration::from_secs(60);

/// Faults reach the transfer through the request; this line is for the debug log.
fn log_end(ended: Result<(), hyper::Error>, peer: SocketAddr) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "origin connection ended");
    }
}

/// Why there is no response.
pub(crate) enum NoResponse {
    /// The connection failed.
    Failed(Box<SendError>),
    /// The watchdog ended it.
    Stalled(Stall),
    /// The connection had died while it was idle.
    Stale,
}

/// How long a connection that was shut down may take to release its request.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);

/// Sends the request and waits for the response's head, until the watchdog ends it or the connection proves dead. After that nothing reads
/// the request's body any more, so a retry is its only reader.
pub(crate) async fn send_watched(
    lease: &mut Lease,
    request: Request<RequestBody>,
    transfer: &TransferHandle,
    repeatable: bool,
) -> Result<Response<Incoming>, NoResponse> {
    let shared = match lease.sender {
        Sender::Http1(_) => false,
        // Other requests on the connection may work; dropping the future resets only this stream.
        Sender::Http2(_) => true,
    };
    let stale = stale::watch(lease, repeatable);
    let info = Arc::clone(&lease.info);
    let mut sending = std::pin::pin!(send(lease, request));
    let failure = tokio::select! {
        sent = &mut sending => return sent.map_err(|failed| NoResponse::Failed(Box::new(failed))),
        stall = transfer.stalled() => NoResponse::Stalled(stall),
        () = stale::wait_until_dead(stale) => NoResponse::Stale,
    };
    // A dead connection is dead for all its requests.
    if !shared || matches!(failure, NoResponse::Stale) {
        info.tcp.end();
        let _ = tokio::time::timeout(RELEASE_LIMIT, sending).await;
    }
    Err(failure)
}

/// A request that got no response.
pub(crate) struct SendError {
    pub(crate) error: hyper::Error,
    /// The request itself, where nothing of it was written.
    pub(crate) request: Option<Request<RequestBody>>,
}

/// Sends the request and waits for the response's head.
pub(crate) async fn send(
    lease: &mut Lease,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, SendError> {
    let sent = match &mut lease.sender {
        Sender::Http1(http1) => http1.send(request).await,
        Sender::Http2(sender) => sender.try_send_request(request).await,
    };
    sent.map_err(|mut failed| SendError {
        request: failed.take_message(),
        error: failed.into_error(),
    })
}

impl SendError {
    /// True where the origin states that it did not process the request.
    pub(crate) fn is_unprocessed(&self) -> bool {
        classify::is_unprocessed(&self.error)
    }

    /// The fault, according to the state of the body.
    pub(crate) fn fault(
        &self,
        transfer: &TransferHandle,
        notes: &Arc<RequestNotes>,
        info: &ConnectionInfo,
    ) -> Fault {
        let stage = transfer.stage().max(Stage::SendingHead);
        if notes.client_failed() {
            return Fault::new(Leg::Client, stage, notes.client_fault());
        }
        if let Some(flood) = info.flood.exceeded() {
            let fault = Fault::new(Leg::Origin, stage, FaultKind::BadAnswer);
            return fault.peer(info.peer).detail(flood);
        }
        let kind = classify::io(&self.error);
        let stage = kind.stage_seen_at(stage);
        // A request in absolute form has no TLS except to the hop.
        let leg = match (&kind, &info.absolute_form) {
            (FaultKind::Alert(_), Some(_)) => Leg::Hop,
            _ => Leg::Origin,
        };
        let mut fault = Fault::new(leg, stage, kind).peer(info.peer);
        let mut next: Option<&dyn std::error::Error> = Some(&self.error);
        while let Some(level) = next {
            if let Some(ReplayError::ReplayBuffer) = level.downcast_ref::<ReplayError>() {
                return Fault::new(Leg::Client, stage, FaultKind::Local).detail(level.to_string());
            }
            fault.detail = Some(level.to_string().into());
            next = level.source();
        }
        fault
    }
}
