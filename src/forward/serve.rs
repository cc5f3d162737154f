//! A request from its routing to the response that the client gets: the entry point for the fronts.

use std::{pin::pin, sync::Arc};

use http_body_util::BodyExt;
use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{HeaderValue, USER_AGENT},
};
use tokio::time::Instant;

use crate::forward::{
    client_check, credentials,
    exchange::{Exchange, LeasedResponse},
    forwarder::Forwarder,
    framing, headers,
    keep_alive::KeepAlive,
    request::body::{HttpResponse, RequestBody},
    request::exchange_request::ExchangeRequest,
    request::outgoing::OutgoingRequest,
    response::batch::{BatchSource, is_batch},
    response::body::{
        OriginBody,
        departure::{ClientBody, head_suffices},
    },
    response::errors::ErrorFormat,
    response::quoted,
    response::rewrite::ResponseRewrite,
    tunnel::upgrade,
    upstream::destination::Destination,
};
use crate::{
    config::Route,
    model::{Fault, FaultKind, Leg, Stage, TlsMode},
    net::dial::trail,
    track::{FinalFault, Transfer, TransferStart},
};

impl Forwarder {
    /// Forwards one request; the client gets the response, or a fault in a form that it shows to its user.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        request: Request<Incoming>,
        exchange_request: ExchangeRequest,
    ) -> HttpResponse {
        if self.config.route(&exchange_request.target).tls == TlsMode::Terminate {
            // The daemon's own response to a client that `gitferry doctor` started.
            let nonces = &self.shared.nonces;
            if let Some(response) =
                client_check::response(&request, &exchange_request, nonces, Instant::now())
            {
                return response;
            }
        }
        let format = ErrorFormat::of(&request);
        let transfer = self.begin(&request, &exchange_request);
        let route = match self.route_of(&request, &exchange_request) {
            Ok(route) => route,
            Err(fault) => {
                let given_up = transfer.give_up(fault);
                let mut response = format.refuse(&given_up, &transfer, None).await;
                let objection = framing::request_objection(request.headers());
                if objection.is_some() && request.version() != Version::HTTP_2 {
                    framing::close(response.headers_mut());
                }
                return response;
            }
        };
        let keep_alive = KeepAlive::of(
            &request,
            exchange_request.client.interims.as_ref(),
            self.config.interim,
        );
        let handle = transfer.handle();
        let budget = &self.shared.replay;
        let mut outgoing =
            OutgoingRequest::new(request, &exchange_request, &handle, &route, budget);
        credentials::withhold(
            &self.shared.credentials,
            &exchange_request,
            &mut outgoing.head.headers,
        );
        // Pinned here: as an argument its memory would count twice.
        let work = pin!(async {
            match self
                .serve(&route, exchange_request, transfer, outgoing)
                .await
            {
                Ok(response) => response,
                Err(refused) => {
                    let (given_up, transfer, body) = *refused;
                    format.refuse(&given_up, &transfer, body).await
                }
            }
        });
        match keep_alive {
            Some(keep_alive) => keep_alive.run(&handle, work).await,
            None => work.await,
        }
    }

    fn begin(&self, request: &Request<Incoming>, exchange_request: &ExchangeRequest) -> Transfer {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let transfer = self.shared.tracker.begin(TransferStart {
            front: exchange_request.front,
            client: exchange_request.client.address,
            target: &exchange_request.target,
            method: request.method().as_str(),
            path,
            route: self.config.route(&exchange_request.target),
            agent: headers::text(request.headers(), &USER_AGENT),
        });
        exchange_request.client.watch(&transfer);
        transfer
    }

    fn route_of(
        &self,
        request: &Request<Incoming>,
        exchange_request: &ExchangeRequest,
    ) -> Result<Arc<Route>, Fault> {
        let target = &exchange_request.target;
        let refused = |kind, detail: String| {
            let fault = Fault::new(Leg::Client, Stage::Accepted, kind);
            Err(fault.peer(target).detail(detail))
        };
        if trail::is_loop(request.headers()) {
            let detail = "the request has passed through this gitferry already (Via)";
            return refused(FaultKind::Loop, detail.into());
        }
        if let Some(detail) = framing::request_objection(request.headers()) {
            return refused(FaultKind::BadRequest, detail.into());
        }
        if let Some(detail) = exchange_request.client.fragment_objection(request) {
            return refused(FaultKind::BadRequest, detail);
        }
        self.admit(target)
    }

    async fn serve(
        self: &Arc<Self>,
        route: &Arc<Route>,
        exchange_request: ExchangeRequest,
        transfer: Transfer,
        mut outgoing: OutgoingRequest,
    ) -> Result<HttpResponse, FailedRequest> {
        let shared = &self.shared;
        let prepared = outgoing.prepare(route, &shared.uploads, &shared.shutdown);
        if let Err(fault) = prepared.await {
            return Err(Box::new((transfer.give_up(fault), transfer, None)));
        }
        let mut exchange = Box::new(Exchange::new(
            self,
            route,
            exchange_request,
            transfer,
            outgoing,
        ));
        match exchange.request().await {
            Ok(response) => Ok(deliver(exchange, response).await),
            Err(given_up) => {
                let body = exchange.outgoing.body.take();
                Err(Box::new((given_up, exchange.transfer, body)))
            }
        }
    }
}

/// A request that ended with a fault, and its body where nothing of it was sent.
type FailedRequest = Box<(FinalFault, Transfer, Option<RequestBody>)>;

/// The origin's response in the form for the client.
async fn deliver(
    mut exchange: Box<Exchange>,
    (mut response, lease): LeasedResponse,
) -> HttpResponse {
    exchange.transfer.enter(Stage::ReceivingBody);
    let to = exchange.destination();
    let close_delimited = framing::is_close_delimited(&response);
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = set_connection_fields(&mut response, &exchange, &to);
    let handle = exchange.transfer.handle();
    let (head, exchange_request) = (&exchange.outgoing.head, &exchange.exchange_request);
    let batch = is_batch(&head.method, &head.uri).then(|| BatchSource {
        forwarder: Arc::clone(&exchange.forwarder),
        api: exchange_request.target.clone(),
        reverse: exchange_request.base.is_some(),
    });
    let rewriting = ResponseRewrite::of(&exchange.forwarder, head, exchange_request, &to, &handle);
    if let Some(rewriting) = &rewriting {
        rewriting.head(&mut response, &head.headers);
    }
    if switched
        && let (Some(protocol), Some((_, upgrade))) = (protocol, exchange.outgoing.upgrade.take())
    {
        headers::set_upgrade(response.headers_mut(), protocol);
        let Exchange {
            forwarder,
            exchange_request,
            transfer,
            ..
        } = *exchange;
        let client = (exchange_request.client, upgrade);
        return upgrade::switch(&forwarder.shared, response, client, transfer);
    }
    *response.version_mut() = Version::HTTP_11;
    if close_delimited && !exchange.exchange_request.client.shared {
        // hyper chunks a body without a length for HTTP/1.1, and the last chunk would mark a broken response as complete.
        *response.version_mut() = Version::HTTP_10;
        framing::close(response.headers_mut());
    }
    let forwarder = Arc::clone(&exchange.forwarder);
    let status = response.status().as_u16();
    let quotable = quoted::quotable(&lease.info);
    let reads_here = rewriting.as_ref().is_some_and(ResponseRewrite::has_body);
    let head_suffices = !reads_here && head_suffices(head, response.status());
    let response = response.map(|body| {
        let body = OriginBody::new(body, (status, close_delimited), exchange, lease);
        ClientBody::new(body, head_suffices).boxed_unsync()
    });
    let response = match batch {
        Some(batch) => batch.watch(response),
        None => response,
    };
    let response = quoted::hide(quotable, response);
    match rewriting {
        Some(rewriting) => rewriting.body(response, &forwarder.rewriting).await,
        None => response,
    }
}

/// Sets a response's fields for this connection; returns the protocol that it switches to, if any.
fn set_connection_fields(
    response: &mut Response<Incoming>,
    exchange: &Exchange,
    to: &Destination,
) -> Option<HeaderValue> {
    let limited = response.status() == StatusCode::TOO_MANY_REQUESTS;
    let version = response.version();
    let fields = response.headers_mut();
    let protocol = headers::clean_response(fields);
    headers::add_via(fields, version);
    framing::merge_lengths(fields);
    to.strip_response(fields);
    let agent = headers::text(&exchange.outgoing.head.headers, &USER_AGENT);
    if limited && agent.is_some_and(|agent| agent.starts_with("git-lfs/")) {
        headers::add_retry_after(fields);
    }
    protocol
}
