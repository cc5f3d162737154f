//! Inside a CONNECT to a terminated host: TLS with a leaf of the local CA, then requests one by one.
//!
//! What is not TLS is tunnelled, no byte lost; a client that stays silent waits for the server to speak, and is tunnelled too.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{LINGER, builder, run};
use crate::{
    config::{HttpVersion, Route},
    forward::{Asked, Forwarder, tunnel::Tunnel, watch::ClientSocket},
    model::{Fault, Leg, Scheme, Stage, Target, classify, retry::Next},
    net::{BoxIo, Interims, Prefixed},
    rt::{Shutdown, Tasks},
    tls::{FirstBytes, accept},
    track::{Front, Outcome, Transfer},
};

/// How long a client may keep silent before it is taken for one that waits for the server.
const SILENCE: Duration = Duration::from_secs(2);

/// Who is served.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) socket: Option<ClientSocket>,
}

/// Serves the client's stream. `transfer` is the CONNECT's own: it goes on as a tunnel, or ends when TLS stands.
pub(super) async fn serve(
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
            terminate(forwarder, io, client, &route, target, transfer).await;
        }
        Ok(FirstBytes::Plain(bytes)) => {
            tunnel(
                &forwarder,
                Box::new(Prefixed::new(bytes, io)),
                &route,
                &target,
                transfer,
            )
            .await;
        }
        Ok(FirstBytes::Silent) => {
            tunnel(&forwarder, io, &route, &target, transfer).await;
        }
        Ok(FirstBytes::Closed) => transfer.finish(Outcome::Closed),
        Err(error) => {
            let fault = Fault::new(Leg::Client, Stage::Accepted, classify::io(&error))
                .peer(client.address)
                .source(error);
            transfer.fault(&fault, &Next::GiveUp);
            transfer.finish(Outcome::Broken {
                code: fault.code().into(),
            });
        }
    }
}

async fn tunnel(
    forwarder: &Forwarder,
    io: BoxIo,
    route: &Arc<Route>,
    target: &Target,
    transfer: Transfer,
) {
    match Tunnel::open(forwarder, &transfer, route, target).await {
        Ok(tunnel) => tunnel.run(forwarder, transfer, io).await,
        Err(fault) => transfer.finish(Outcome::Broken {
            code: fault.code().into(),
        }),
    }
}

async fn terminate(
    forwarder: Arc<Forwarder>,
    io: BoxIo,
    client: Client,
    route: &Route,
    target: Target,
    transfer: Transfer,
) {
    let Client {
        address: client,
        socket,
    } = client;
    transfer.enter(Stage::Handshaking);
    let deadline = route.dial.handshake_timeout;
    let accepted = accept::accept(
        io,
        &forwarder.leaves,
        &target.host,
        route.http,
        client,
        deadline,
    )
    .await;
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(fault) => {
            transfer.fault(&fault, &Next::GiveUp);
            transfer.finish(Outcome::Broken {
                code: fault.code().into(),
            });
            return;
        }
    };
    // From here on each request is a transfer of its own.
    transfer.handed_over();
    drop(transfer);
    let max_head = forwarder.config.listen.max_head;
    let (shutdown, tasks) = (
        forwarder.shared.shutdown.clone(),
        forwarder.shared.tasks.clone(),
    );
    let (io, voice) = Interims::new(accepted.io);
    let shared = accepted.http == HttpVersion::Http2;
    let socket = socket.map(|socket| ClientSocket {
        shared,
        voice: (!shared).then_some(voice),
        ..socket
    });
    let service = service_fn(move |mut request: Request<Incoming>| {
        let forwarder = Arc::clone(&forwarder);
        if let Some(socket) = &socket {
            request.extensions_mut().insert(socket.clone());
        }
        let asked = Asked {
            front: Front::Intercept,
            client,
            scheme: Scheme::Https,
            target: target.clone(),
            base: None,
        };
        async move { Ok::<_, Infallible>(forwarder.exchange(request, asked).await) }
    });
    let io = TokioIo::new(io);
    match accepted.http {
        HttpVersion::Http1 => {
            let connection = builder(max_head)
                .serve_connection(io, service)
                .with_upgrades();
            run(std::pin::pin!(connection), client, &shutdown).await;
        }
        HttpVersion::Http2 => {
            let mut http2 = http2::Builder::new(tasks);
            http2.timer(TokioTimer::new());
            let connection = std::pin::pin!(http2.serve_connection(io, service));
            run_http2(connection, client, &shutdown).await;
        }
    }
}

/// As [`run`], for HTTP/2.
async fn run_http2<I, S>(
    mut connection: std::pin::Pin<&mut http2::Connection<I, S, Tasks>>,
    client: SocketAddr,
    shutdown: &Shutdown,
) where
    S: hyper::service::HttpService<Incoming, ResBody = crate::forward::AnswerBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let mut draining = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%client, %error, "client connection ended");
                }
                break;
            }
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
