//! Inside a CONNECT to a terminated host: TLS with a leaf of the local CA, then requests one by one.
//!
//! What is not TLS is tunnelled, no byte lost; a client that stays silent waits for the server to speak, and is tunnelled too.

mod http2;
mod names;
mod silent;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use hyper::{
    Method, Request, StatusCode, Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use silent::Silent;
use tokio::io::AsyncReadExt;

use super::{
    Front, admission,
    connection::{builder, linger, malformed, run},
    methods, refuse, unfit, unfit_hosts,
};
use crate::{
    config::{HttpVersion, Route},
    forward::{Answer, ExchangeRequest, Forwarder, client::ClientConn, tunnel::Tunnel},
    io::{BoxIo, Prefixed, Tcp},
    model::{Fault, FaultKind, Leg, Scheme, Stage, Target, TlsMode, agent, classify},
    net::Interims,
    tls::{
        FirstBytes,
        accept::{self, Accepted},
    },
    track::{self, Outcome, Transfer},
};

/// How long a client may keep silent before it is taken for one that waits for the server.
const SILENCE: Duration = Duration::from_secs(2);

/// Who is served.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) conn: ClientConn,
    /// Its `User-Agent`.
    pub(super) agent: Option<String>,
    /// The socket below, to listen to a client that was answered before it had said everything.
    pub(super) raw_socket: Option<Tcp>,
}

/// Serves the client's stream. `transfer` is the CONNECT's own: it goes on as a tunnel, or ends when TLS stands.
pub(super) async fn serve(
    front: Front,
    forwarder: Arc<Forwarder>,
    mut io: BoxIo,
    client: Client,
    route: Arc<Route>,
    target: Target,
    transfer: Transfer,
) {
    let first = tokio::select! {
        first = accept::first_bytes(&mut io, SILENCE) => first,
        () = forwarder.shared.shutdown.ended() => return,
    };
    match first {
        Ok(FirstBytes::Tls(bytes)) => {
            let io = Box::new(Prefixed::new(bytes, io));
            terminate(front, forwarder, io, client, &route, target, transfer).await;
        }
        Ok(FirstBytes::Plain(bytes)) => {
            let io = Box::new(Prefixed::new(bytes, io));
            warn_of_tunnel(&route, &target, "the client does not speak TLS");
            match Tunnel::open(&forwarder, &transfer, &route, &target).await {
                Ok(tunnel) => tunnel.run(transfer, io).await,
                Err(given_up) => transfer.break_off(&given_up),
            }
        }
        Ok(FirstBytes::Silent) => {
            Box::pin(wait(
                front,
                forwarder,
                io,
                client,
                (route, target),
                transfer,
            ))
            .await;
        }
        Ok(FirstBytes::Closed) => transfer.finish(Outcome::Closed),
        Err(error) => {
            let fault = Fault::new(Leg::Client, Stage::Accepted, classify::io(&error))
                .peer(client.conn.address)
                .source(error);
            transfer.fail(fault);
        }
    }
}

/// A silent client waits for the server to speak, or is slow: the origin is dialled, and whoever speaks first decides.
async fn wait(
    front: Front,
    forwarder: Arc<Forwarder>,
    mut io: BoxIo,
    client: Client,
    (route, target): (Arc<Route>, Target),
    transfer: Transfer,
) {
    let mut bytes = BytesMut::with_capacity(4096);
    let head_timeout = forwarder.config.listen.head_timeout;
    let opening = async {
        let mut tunnel = Tunnel::open(&forwarder, &transfer, &route, &target).await?;
        // Both may be silent for long, and are a tunnel's business then.
        let _ = tokio::time::timeout(head_timeout, tunnel.hear_origin()).await;
        Ok(tunnel)
    };
    let mut given_up = None;
    let read = tokio::select! {
        biased;
        read = io.read_buf(&mut bytes) => read,
        opened = opening => match opened {
            Ok(tunnel) => {
                warn_of_tunnel(&route, &target, "the client said nothing, and did not begin TLS");
                return tunnel.run(transfer, io).await;
            }
            // A client that begins TLS after all reads why there.
            Err(fault) => {
                given_up = Some(fault);
                let late = tokio::time::timeout(head_timeout, io.read_buf(&mut bytes)).await;
                late.unwrap_or(Ok(0))
            }
        },
        () = forwarder.shared.shutdown.ended() => return,
    };
    match (read, given_up) {
        (Ok(0), None) => transfer.finish(Outcome::Closed),
        (Ok(0) | Err(_), Some(given_up)) => transfer.break_off(&given_up),
        (Ok(_), _) => {
            let io = Box::new(Prefixed::new(bytes.freeze(), io));
            serve(front, forwarder, io, client, route, target, transfer).await;
        }
        (Err(error), None) => {
            let fault = Fault::new(Leg::Client, Stage::Accepted, classify::io(&error));
            transfer.fail(fault.peer(client.conn.address).source(error));
        }
    }
}

/// The route says that gitferry sees the requests, and it will not.
pub(super) fn warn_of_tunnel(route: &Route, target: &Target, reason: &'static str) {
    tracing::warn!(
        host = %target.host,
        port = target.port,
        route = %route.name,
        reason,
        "tunnelled on a terminating route"
    );
}

/// TLS with the client; the CONNECT's transfer ends with it, as each request is a transfer of its own from there on.
async fn handshake(
    forwarder: &Forwarder,
    io: BoxIo,
    (client, agent): (SocketAddr, Option<&str>),
    route: &Route,
    target: &Target,
    transfer: Transfer,
) -> Option<Accepted> {
    transfer.enter(Stage::Handshaking);
    let accepted = tokio::select! {
        accepted = accept::accept(
            io,
            &forwarder.leaves,
            &target.host,
            route.http,
            client,
            route.dial.handshake_timeout,
        ) => accepted,
        () = forwarder.shared.shutdown.ended() => {
            Err(Fault::new(Leg::Client, Stage::Handshaking, FaultKind::Shutdown).peer(client))
        }
    };
    match accepted {
        Ok(accepted) => {
            transfer.handed_over();
            Some(accepted)
        }
        Err(fault) if fault.is_hang_up() && agent.is_some_and(agent::opens_in_reserve) => {
            tracing::debug!(%client, %fault, "a connection in reserve was closed");
            transfer.finish(Outcome::Closed);
            None
        }
        Err(fault) => {
            transfer.fail(fault);
            None
        }
    }
}

async fn terminate(
    front: Front,
    forwarder: Arc<Forwarder>,
    io: BoxIo,
    client: Client,
    route: &Route,
    target: Target,
    transfer: Transfer,
) {
    let Client {
        conn,
        agent,
        raw_socket,
    } = client;
    let client = conn.address;
    let named = (client, agent.as_deref());
    let Some(accepted) = handshake(&forwarder, io, named, route, &target, transfer).await else {
        return;
    };
    let listen = &forwarder.config.listen;
    let (max_head, head_timeout) = (listen.max_head, listen.head_timeout);
    let (shutdown, tasks) = (
        forwarder.shared.shutdown.clone(),
        forwarder.shared.tasks.clone(),
    );
    let (io, interims) = Interims::new(accepted.io);
    let line = io.request_line();
    let shared = accepted.http == HttpVersion::Http2;
    let conn = ClientConn {
        shared,
        interims: (!shared).then_some(interims),
        line: (!shared).then(|| line.clone()),
        ..conn
    };
    let asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&asked);
    let upgraded = Arc::new(AtomicBool::new(false));
    let upgrades = Arc::clone(&upgraded);
    let silent = Silent {
        front: front.clone(),
        client,
        target: target.clone(),
        agent,
    };
    let service = service_fn(move |request: Request<Incoming>| {
        asks.store(true, Ordering::Relaxed);
        // A reload reaches clients that keep their connection.
        let forwarder = front.current();
        let asked = ExchangeRequest {
            front: track::Front::Intercept,
            client: conn.clone(),
            scheme: Scheme::Https,
            target: target.clone(),
            base: None,
        };
        let upgrades = Arc::clone(&upgrades);
        async move {
            let answer = ferry(forwarder, request, asked).await;
            let switches = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
            upgrades.fetch_or(switches, Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(io);
    let unread = match accepted.http {
        HttpVersion::Http1 => {
            let mut http1 = builder(max_head);
            http1.header_read_timeout(head_timeout);
            let connection = http1.serve_connection(io, service).with_upgrades();
            let ran = run(std::pin::pin!(connection), client, &shutdown).await;
            // What it was upgraded to goes on with the socket.
            if let Some(raw_socket) = raw_socket.filter(|_| !upgraded.load(Ordering::Relaxed)) {
                linger(raw_socket).await;
            }
            ran.err().and_then(|error| malformed(&error, &line))
        }
        HttpVersion::Http2 => {
            let http2 = http2::builder(tasks, max_head);
            let connection = std::pin::pin!(http2.serve_connection(io, service));
            let idle = http2::idle(head_timeout, &asked);
            http2::run(connection, client, &shutdown, idle).await;
            None
        }
    };
    silent.ended(unread, asked.load(Ordering::Relaxed), &shutdown);
}

/// Ferries a request of this connection's host, unless a reload has taken its TLS out of this daemon's hands.
async fn ferry(
    forwarder: Arc<Forwarder>,
    mut request: Request<Incoming>,
    asked: ExchangeRequest,
) -> Answer {
    let slot = Arc::clone(&asked.client.slot);
    let _busy = slot.busy();
    let fault = if request.method() == Method::CONNECT {
        Some(unfit(
            "CONNECT inside a connection that was made by CONNECT",
        ))
    } else {
        unfit_hosts(&request)
            .or_else(|| names::mismatch(&request, &asked.target))
            .or_else(|| reloaded(&forwarder, &asked.target))
    };
    let fault = match fault {
        Some(fault) => Some(fault),
        None => admission::refusal(&forwarder, &asked.client).await,
    };
    let target = Some(&asked.target);
    let Some(fault) = fault else {
        let here = methods::answer(&forwarder, &mut request, &asked.client, target).await;
        return match here {
            Some(answer) => answer,
            None => forwarder.exchange(request, asked).await,
        };
    };
    let http2 = request.version() == Version::HTTP_2;
    let mut answer = refuse(&forwarder, &request, &asked.client, target, fault).await;
    // RFC 9110, section 15.5.20: the same request on another connection is another matter.
    if answer.status() == StatusCode::MISDIRECTED_REQUEST && !http2 {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    answer
}

/// The fault where a reload took the host's TLS out of this daemon's hands.
fn reloaded(forwarder: &Forwarder, target: &Target) -> Option<Fault> {
    (forwarder.config.route(target).tls == TlsMode::Tunnel).then(|| {
        Fault::new(Leg::Client, Stage::Accepted, FaultKind::Misdirected)
            .peer(target)
            .detail(
                "the config was reloaded: the route tunnels this host now; open a new connection",
            )
    })
}
