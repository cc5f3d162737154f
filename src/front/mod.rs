//! What clients can send to one port: CONNECT, absolute form, the reverse front, and requests for the daemon's own pages.
//!
//! A [`FrontServer`] serves connections. Every request uses the [`Forwarder`] that is current when it arrives, so a reload applies to
//! kept-alive clients and does not affect running transfers. `forward` decides what goes to the origin.

mod absolute;
mod access;
mod admission;
mod connect;
mod connection;
mod head_timer;
mod intercept;
mod methods;
mod own;
mod refuse;
mod reverse;
mod wrong_protocol;

use std::{convert::Infallible, future::pending, net::SocketAddr, pin::pin, sync::Arc};

use hyper::{
    Method, Request, body::Incoming, server::conn::http1::UpgradeableConnection,
    service::service_fn,
};
use hyper_util::rt::TokioIo;

use crate::{
    admin::Pages,
    forward::{
        Current, Forwarder, HttpResponse,
        client::{AfterUpgrade, ClientConn, ConnId, UpgradedWork},
    },
    model::{Fault, FaultKind, Leg, Stage, Target, password_guesses::PasswordGuesses},
    net::{Interims, listen::AcceptedClient},
    rt::IoPlace,
};

use connection::{builder, linger, run};
use refuse::{bad_hosts, log_refusal_without_target, refuse};

/// Serves clients with the current snapshot.
#[derive(Clone)]
pub(crate) struct FrontServer {
    current: Current,
    pages: Arc<Pages>,
    guesses: Arc<PasswordGuesses>,
}

impl FrontServer {
    /// Serves with `forwarder` until it is replaced.
    pub(crate) fn new(forwarder: Arc<Forwarder>) -> Self {
        Self {
            current: Current::new(forwarder),
            pages: Arc::default(),
            guesses: Arc::default(),
        }
    }

    /// New requests use `forwarder`; running ones keep theirs.
    pub(crate) fn replace(&self, forwarder: Arc<Forwarder>) {
        self.current.replace(forwarder);
    }

    /// The snapshot for new requests.
    pub(crate) fn current(&self) -> Arc<Forwarder> {
        self.current.get()
    }

    /// Serves one client connection at `place` until it ends, including upgraded protocols; then releases its slot.
    pub(crate) fn serve(&self, client: AcceptedClient, place: IoPlace) {
        let (front, forwarder) = (self.clone(), self.current());
        let tasks = forwarder.shared.tasks.clone();
        tasks.spawn_at(place, async move {
            // Boxed, so that an upgraded protocol runs without its memory.
            let after_upgrade = Box::pin(front.serve_http(client, forwarder)).await;
            if let Some(upgraded) = after_upgrade {
                upgraded.await;
            }
        });
    }

    /// Serves HTTP until the connection ends, and returns what follows an upgrade.
    async fn serve_http(
        self,
        client: AcceptedClient,
        forwarder: Arc<Forwarder>,
    ) -> Option<UpgradedWork> {
        let listen = &forwarder.config.listen;
        let raw_socket = client.tcp.clone();
        let monitor = client.tcp.monitor();
        let (io, interims) = Interims::new(client.tcp, wrong_protocol::refusal);
        let line = io.request_line();
        let builder = builder(listen, &line);
        let conn = ClientConn {
            id: ConnId::next(),
            address: client.peer,
            tcp: monitor,
            shared: false,
            interims: Some(interims),
            line: Some(line.clone()),
            owner: client.owner,
            slot: Arc::new(client.slot),
            after_upgrade: AfterUpgrade::default(),
        };
        let after_upgrade = conn.after_upgrade.clone();
        let serving = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (front, conn) = (serving.clone(), conn.clone());
            async move { Ok::<_, Infallible>(front.response(request, &conn).await) }
        });
        let connection = builder
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let shutdown = &forwarder.shared.shutdown;
        let (connection, close) = (pin!(connection), UpgradeableConnection::graceful_shutdown);
        if let Err(error) = run(connection, close, client.peer, shutdown, pending()).await {
            if let Some(fault) = wrong_protocol::malformed(&error, &line, client.peer) {
                log_refusal_without_target(&self.current(), client.peer, fault);
            }
            linger(raw_socket).await;
        }
        after_upgrade.take()
    }

    async fn response(&self, mut request: Request<Incoming>, client: &ClientConn) -> HttpResponse {
        client.mark_received();
        let forwarder = self.current();
        if let Some(fault) = admission::refusal(&forwarder, client).await {
            return refuse(&forwarder, &request, client, None, fault).await;
        }
        if let Some(fault) = bad_hosts(&request) {
            return refuse(&forwarder, &request, client, None, fault).await;
        }
        let absolute =
            request.uri().scheme().is_some() && !convert_own_url(&mut request, &forwarder);
        if let Some(credentials) = &forwarder.config.listen.credentials
            && let Err(fault) =
                access::admit(&mut request, credentials, &self.guesses, client).await
        {
            let mut response = refuse(&forwarder, &request, client, None, fault).await;
            if !absolute && own::is_own(request.uri().path()) {
                access::challenge_as_origin(&mut response);
            }
            return response;
        }
        // A secret segment makes it a URL of the reverse front.
        let absolute = absolute && request.uri().scheme().is_some();
        if let Some(response) = methods::response(&forwarder, &mut request, client, None).await {
            return response;
        }
        let connect = request.method() == Method::CONNECT;
        let _busy = client.slot.mark_busy();
        if !absolute && !connect && own::is_own(request.uri().path()) {
            return own::serve(&self.current, &self.pages, &request, client);
        }
        if client.slot.take().await.is_err() {
            let fault = slots_full(client.address);
            return refuse(&forwarder, &request, client, None, fault).await;
        }
        // Boxed: hyper keeps room for the largest one as long as the connection lives, and a tunnel needs the smallest.
        if connect {
            Box::pin(connect::serve(&self.current, forwarder, request, client)).await
        } else if absolute {
            Box::pin(absolute::serve(forwarder, request, client)).await
        } else {
            Box::pin(reverse::serve(forwarder, request, client)).await
        }
    }
}

/// No connection slot is free, and too many requests already wait for one.
fn slots_full(client: SocketAddr) -> Fault {
    Fault::new(Leg::Client, Stage::Queued, FaultKind::Full).peer(client)
}

/// Converts `GET http://127.0.0.1:4483/…` to origin form; false for any other request. Clients with both `HTTP_PROXY` and a URL of the
/// reverse front send it.
fn convert_own_url(request: &mut Request<Incoming>, forwarder: &Forwarder) -> bool {
    let uri = request.uri();
    let authority = uri
        .authority()
        .map(|authority| authority.as_str().to_owned());
    let own = uri.scheme_str() == Some("http")
        && authority
            .as_deref()
            .and_then(|text| Target::parse(text, Some(80)).ok())
            .is_some_and(|target| forwarder.is_own(&target));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let (true, Ok(path)) = (own, path.parse()) else {
        return false;
    };
    access::use_origin_form(request, path);
    true
}
