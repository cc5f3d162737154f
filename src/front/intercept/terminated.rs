//! A connection whose TLS gitferry terminates: its requests are forwarded one by one.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hyper::{
    Method, Request, StatusCode, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    server::conn::{http1::UpgradeableConnection, http2::Connection},
    service::service_fn,
};
use hyper_util::rt::TokioIo;

use super::{ConnectClient, http2, names, silent::SilentClient};
use crate::{
    config::HttpVersion,
    forward::{
        Current, ExchangeRequest, Forwarder, HttpResponse,
        client::{AfterUpgrade, ClientConn},
    },
    front::{
        admission,
        connection::{builder, linger, malformed, refusal, run},
        methods,
        refuse::{bad_hosts, bad_request, refuse},
    },
    io::{BoxIo, Tcp},
    model::{Fault, FaultKind, Leg, Scheme, Stage, Target, TlsMode},
    net::Interims,
    tls::accept::ClientTls,
    track,
};

/// A connection whose TLS gitferry terminates.
pub(super) struct TerminatedConnection {
    current: Current,
    conn: ClientConn,
    target: Target,
    /// True once a request has arrived.
    request_seen: AtomicBool,
}

impl TerminatedConnection {
    /// Serves the requests of `tls` until it ends.
    pub(super) async fn serve(
        current: Current,
        forwarder: &Forwarder,
        client: ConnectClient,
        target: Target,
        tls: ClientTls,
    ) {
        let (io, interims) = Interims::new(tls.io, refusal);
        let line = io.request_line();
        let shared = tls.http == HttpVersion::Http2;
        let silent = SilentClient {
            current: current.clone(),
            client: client.conn.address,
            target: target.clone(),
            agent: client.agent,
        };
        let terminated = Arc::new(Self {
            current,
            conn: ClientConn {
                shared,
                interims: (!shared).then_some(interims),
                line: (!shared).then(|| line.clone()),
                after_upgrade: AfterUpgrade::default(),
                ..client.conn
            },
            target,
            request_seen: AtomicBool::new(false),
        });
        let error = match tls.http {
            HttpVersion::Http1 => {
                let served = terminated.http1(TokioIo::new(io), forwarder, client.raw_socket);
                served.await.err()
            }
            HttpVersion::Http2 => {
                Box::pin(terminated.http2(TokioIo::new(io), forwarder)).await;
                None
            }
        };
        let unread = error.and_then(|error| malformed(&error, &line, terminated.conn.address));
        let request_seen = terminated.request_seen.load(Ordering::Relaxed);
        silent.report_end(unread, request_seen, &forwarder.shared.shutdown);
    }

    async fn http1(
        self: &Arc<Self>,
        io: TokioIo<Interims<BoxIo>>,
        forwarder: &Forwarder,
        raw_socket: Option<Tcp>,
    ) -> hyper::Result<()> {
        let listen = &forwarder.config.listen;
        let http1 = builder(listen, &io.inner().request_line());
        let service = service_fn(|request| self.clone().response(request));
        let connection = http1.serve_connection(io, service).with_upgrades();
        let (client, shutdown) = (self.conn.address, &forwarder.shared.shutdown);
        // Boxed, so that an upgraded protocol runs without its memory.
        let mut connection = Box::pin(connection);
        let close = UpgradeableConnection::graceful_shutdown;
        let ran = run(connection.as_mut(), close, client, shutdown, pending()).await;
        drop(connection);
        if let Some(upgraded) = self.conn.after_upgrade.take() {
            upgraded.await;
        } else if let Some(raw_socket) = raw_socket {
            linger(raw_socket).await;
        }
        ran
    }

    async fn http2(self: &Arc<Self>, io: TokioIo<Interims<BoxIo>>, forwarder: &Forwarder) {
        let (listen, shared) = (&forwarder.config.listen, &forwarder.shared);
        let http2 = http2::builder(shared.tasks.clone(), listen.max_head);
        let this = Arc::clone(self);
        let service = service_fn(move |request| this.clone().response(request));
        let connection = std::pin::pin!(http2.serve_connection(io, service));
        let idle = http2::idle_too_long(listen, &self.conn.slot, &self.request_seen);
        let (client, close) = (self.conn.address, Connection::graceful_shutdown);
        let _ = run(connection, close, client, &shared.shutdown, idle).await;
    }

    async fn response(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<HttpResponse, Infallible> {
        self.request_seen.store(true, Ordering::Relaxed);
        self.conn.mark_received();
        let exchange_request = ExchangeRequest {
            front: track::Front::Intercept,
            client: self.conn.clone(),
            scheme: Scheme::Https,
            target: self.target.clone(),
            base: None,
        };
        // A reload also applies to clients that keep their connection.
        Ok(forward_request(self.current.get(), request, exchange_request).await)
    }
}

/// Forwards a request of this connection's host, unless a reload made gitferry stop terminating its TLS.
async fn forward_request(
    forwarder: Arc<Forwarder>,
    mut request: Request<Incoming>,
    exchange_request: ExchangeRequest,
) -> HttpResponse {
    let slot = Arc::clone(&exchange_request.client.slot);
    let _busy = slot.mark_busy();
    let fault = if request.method() == Method::CONNECT {
        Some(bad_request("CONNECT inside a CONNECT tunnel"))
    } else {
        bad_hosts(&request)
            .or_else(|| names::mismatch(&request, &exchange_request.target))
            .or_else(|| no_longer_terminated(&forwarder, &exchange_request.target))
    };
    let fault = match fault {
        Some(fault) => Some(fault),
        None => admission::refusal(&forwarder, &exchange_request.client).await,
    };
    let target = Some(&exchange_request.target);
    let Some(fault) = fault else {
        let answered_here =
            methods::response(&forwarder, &mut request, &exchange_request.client, target).await;
        return match answered_here {
            Some(response) => response,
            None => forwarder.exchange(request, exchange_request).await,
        };
    };
    let http2 = request.version() == Version::HTTP_2;
    let mut response = refuse(
        &forwarder,
        &request,
        &exchange_request.client,
        target,
        fault,
    )
    .await;
    // RFC 9110, section 15.5.20: the client may send the request again on another connection.
    if response.status() == StatusCode::MISDIRECTED_REQUEST && !http2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// The fault where a reload made gitferry stop terminating the host's TLS.
fn no_longer_terminated(forwarder: &Forwarder, target: &Target) -> Option<Fault> {
    (forwarder.config.route(target).tls == TlsMode::Tunnel).then(|| {
        Fault::new(Leg::Client, Stage::Accepted, FaultKind::Misdirected)
            .peer(target)
            .detail("after a reload the route tunnels this host: open a new connection")
    })
}
