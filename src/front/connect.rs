//! `CONNECT host:port` (RFC 9110, section 9.3.6).

use std::sync::Arc;

use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING, USER_AGENT},
    upgrade,
};
use hyper_util::rt::TokioIo;

use super::{
    intercept,
    refuse::{bad_request, bad_target, begin, refuse},
};
use crate::{
    config::Route,
    forward::{
        Current, Forwarder, HttpResponse,
        client::{AfterUpgrade, ClientConn},
        request::body::full,
        response::errors::ErrorFormat,
        tunnel::Tunnel,
    },
    io::{BoxIo, Prefixed, Tcp},
    model::{Fault, FaultKind, Leg, Stage, Target, TlsMode, classify},
    net::{
        Interims,
        dial::trail::{self, Trail},
    },
    track::Transfer,
};

/// ssh and git's own protocol: dialled before the response, so that a failure gets a status, which `gitferry connect` shows.
const SPEAKS_NO_TLS: [u16; 2] = [22, 9418];

/// Answers 200 and serves the bytes that follow, or refuses with the reason.
pub(super) async fn serve(
    current: &Current,
    forwarder: Arc<Forwarder>,
    request: Request<Incoming>,
    client: &ClientConn,
) -> HttpResponse {
    let text = request
        .uri()
        .authority()
        .map_or("", |authority| authority.as_str());
    let target = match Target::parse(text, None) {
        Ok(target) => target,
        Err(error) => {
            return refuse(&forwarder, &request, client, None, bad_target(text, error)).await;
        }
    };
    if request.uri().scheme().is_some() {
        let fault =
            bad_request("the target of a CONNECT is host and port (RFC 9112, section 3.2.3)");
        return refuse(&forwarder, &request, client, Some(&target), fault).await;
    }
    if has_body(request.headers()) {
        let fault = bad_request("a CONNECT cannot have a body (RFC 9110, section 9.3.6)");
        return refuse(&forwarder, &request, client, Some(&target), fault).await;
    }
    if trail::is_loop(request.headers()) {
        let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Loop).peer(&target);
        let fault = fault.detail("the request has passed through this gitferry already (Via)");
        return refuse(&forwarder, &request, client, Some(&target), fault).await;
    }
    let route = match forwarder.admit(&target) {
        Ok(route) => route,
        Err(fault) => return refuse(&forwarder, &request, client, Some(&target), fault).await,
    };
    let terminated = route.tls == TlsMode::Terminate && !SPEAKS_NO_TLS.contains(&target.port);
    let connect = ConnectRequest {
        forwarder,
        client,
        route,
        target,
    };
    let (forwarder, target) = (&connect.forwarder, &connect.target);
    // The CA's constraints permit every name below a configured one; a leaf is issued only for names of a route.
    if terminated && forwarder.config.has_route(target) && forwarder.leaves.covers(&target.host) {
        return connect.terminate(current, request);
    }
    if terminated {
        let reason = "the local CA does not cover this host: run `gitferry ca rotate`";
        intercept::warn_of_tunnel(&connect.route, target, reason);
    }
    connect.tunnel(request).await
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

fn established() -> HttpResponse {
    Response::new(full(""))
}

/// The parameters of a CONNECT, and its client.
struct ConnectRequest<'a> {
    forwarder: Arc<Forwarder>,
    client: &'a ClientConn,
    route: Arc<Route>,
    target: Target,
}

impl ConnectRequest<'_> {
    fn terminate(self, current: &Current, request: Request<Incoming>) -> HttpResponse {
        let transfer = begin(&self.forwarder, &request, self.client, &self.target);
        let agent = request.headers().get(USER_AGENT);
        let agent = agent.and_then(|agent| Some(agent.to_str().ok()?.to_owned()));
        let trail = Trail::of(request.headers());
        // Without the work itself: it would hold itself.
        let conn = ClientConn {
            after_upgrade: AfterUpgrade::default(),
            ..self.client.clone()
        };
        let current = current.clone();
        let (forwarder, route, target) = (self.forwarder, self.route, self.target);
        self.client.after_upgrade.run(async move {
            if let Some((io, raw_socket)) = upgraded(request, &transfer).await {
                let client = intercept::ConnectClient {
                    conn,
                    agent,
                    raw_socket,
                };
                let accepting = intercept::InterceptedConnect {
                    current,
                    forwarder,
                    client,
                    route,
                    target,
                    trail,
                    transfer,
                };
                accepting.serve(io).await;
            }
        });
        established()
    }

    /// Dials before the response, so that a failure gets a status.
    async fn tunnel(self, request: Request<Incoming>) -> HttpResponse {
        let (forwarder, client) = (self.forwarder, self.client);
        let transfer = begin(&forwarder, &request, client, &self.target);
        let tunnel = match Tunnel::open(
            &forwarder,
            &transfer,
            &self.route,
            &self.target,
            Trail::of(request.headers()),
        )
        .await
        {
            Ok(tunnel) => tunnel,
            Err(given_up) => {
                let refused = ErrorFormat::Connect.refuse(&given_up, &transfer, None);
                return refused.await;
            }
        };
        let slot = Arc::clone(&client.slot);
        client.after_upgrade.run(async move {
            if let Some((io, _)) = upgraded(request, &transfer).await {
                tunnel.run(transfer, io).await;
            }
            drop(slot);
        });
        established()
    }
}

/// The client's stream after the 200, with the bytes that hyper had already read, and the socket.
async fn upgraded(request: Request<Incoming>, transfer: &Transfer) -> Option<(BoxIo, Option<Tcp>)> {
    let upgraded = match upgrade::on(request).await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            let kind = classify::client(&error);
            transfer.fail(Fault::new(Leg::Client, Stage::Accepted, kind).source(error));
            return None;
        }
    };
    Some(match upgraded.downcast::<TokioIo<Interims<Tcp>>>() {
        Ok(parts) => {
            let socket = parts.io.into_inner().into_inner();
            let below = Some(socket.clone());
            if parts.read_buf.is_empty() {
                (Box::new(socket), below)
            } else {
                (Box::new(Prefixed::new(parts.read_buf, socket)), below)
            }
        }
        Err(upgraded) => (Box::new(TokioIo::new(upgraded)), None),
    })
}
