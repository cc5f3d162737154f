//! One request: from the client's head to the last byte of the answer.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    header::{EXPECT, USER_AGENT},
    http::request::Parts,
    upgrade::OnUpgrade,
};

use super::{
    Forwarder,
    alive::Patience,
    body::{Answer, Gate, GateKey, OriginBody, OriginState, RequestBody, RequestNotes},
    destination::{Destination, Wants},
    headers,
    pool::{Key, Lease},
    reach::{Purpose, Ways},
    replay::{self, Upload},
    reply::Asker,
    resume::Part,
    resumption::Resumption,
    rewrite::Rewriting,
    send,
    tape::Budget,
    upgrade,
    uploads::Place,
    watch::{self, ClientSocket, Missed},
};
use crate::{
    config::Route,
    mirror::ReverseBase,
    model::{Fault, FaultKind, Leg, Scheme, Stage, Target, stall::Action},
    track::{Begin, Front, Transfer},
};

/// What a front asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// How it came in.
    pub front: Front,
    /// The client's address.
    pub client: SocketAddr,
    /// The scheme toward the origin.
    pub scheme: Scheme,
    /// Where to.
    pub target: Target,
    /// On the reverse front: what the answer's URLs are mapped back to.
    pub base: Option<ReverseBase>,
}

/// A request as it will be written, once or several times.
pub(super) struct Outgoing {
    head: Parts,
    transfer: Transfer,
    /// The body, until it is handed over; then only what is known of it.
    body: Option<RequestBody>,
    notes: Arc<RequestNotes>,
    bodiless: bool,
    /// A small body, kept so that the request can be sent again.
    held: Option<Bytes>,
    /// A body that is kept while it passes, for the same purpose.
    upload: Option<Upload>,
    gate: Option<GateKey>,
    upgrade: Option<(hyper::header::HeaderValue, OnUpgrade)>,
    /// Among the route's uploads, where it is one of them.
    place: Option<Place>,
}

impl Forwarder {
    /// Ferries one request; whatever goes wrong is told to the client in the form it shows.
    pub async fn exchange(self: &Arc<Self>, request: Request<Incoming>, asked: Asked) -> Answer {
        let asker = Asker::of(&request);
        let transfer = self.begin(&request, &asked);
        let refused = if headers::is_loop(request.headers()) {
            let fault =
                Fault::new(Leg::Client, Stage::Accepted, FaultKind::Loop).peer(&asked.target);
            Err(fault.detail("the request went through this gitferry before (Via)"))
        } else {
            self.admit(&asked.target)
        };
        let route = match refused {
            Ok(route) => route,
            Err(fault) => {
                transfer.fault(&fault, &crate::model::retry::Next::GiveUp);
                return asker.refuse(&fault, &transfer, None).await;
            }
        };
        let patience = Patience::of(&request, self.config.interim);
        let mut outgoing = Outgoing::new(request, &asked, &transfer, &route, &self.replay);
        let work = async {
            if let Err(fault) = outgoing.prepare(self, &route).await {
                transfer.fault(&fault, &crate::model::retry::Next::GiveUp);
                return asker.refuse(&fault, &transfer, None).await;
            }
            match self.ferry(&mut outgoing, &route, &asked).await {
                Ok(answer) => answer,
                Err(fault) => asker.refuse(&fault, &transfer, outgoing.body.take()).await,
            }
        };
        match patience {
            Some(patience) => patience.hold(&transfer, work).await,
            None => work.await,
        }
    }

    fn begin(&self, request: &Request<Incoming>, asked: &Asked) -> Transfer {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let transfer = self.shared.tracker.begin(Begin {
            front: asked.front,
            client: asked.client,
            target: &asked.target,
            method: request.method().as_str(),
            path,
            route: self.config.route(&asked.target),
            agent: request
                .headers()
                .get(USER_AGENT)
                .and_then(|agent| agent.to_str().ok()),
        });
        ClientSocket::watch(request, &transfer);
        transfer
    }

    async fn ferry(
        self: &Arc<Self>,
        outgoing: &mut Outgoing,
        route: &Arc<Route>,
        asked: &Asked,
    ) -> Result<Answer, Fault> {
        let distrusted = asked.base.is_some() && self.config.distrusts(&asked.target);
        let wants = Wants::of(&outgoing.head);
        let mut ways = Ways::new(self, route, wants).only_public(distrusted);
        loop {
            let mut lease = self.connect(&mut ways, outgoing, asked).await?;
            let to = Destination::of(asked, ways.upstream().map(|upstream| &**upstream));
            let request = outgoing.request(&lease, asked, &to);
            // A head alone leaves in one write, and nobody says when: what is waited for then is the answer.
            outgoing.transfer.enter(if outgoing.bodiless {
                Stage::AwaitingHead
            } else {
                Stage::SendingHead
            });
            let sent = tokio::select! {
                // First: the end of the connections' tasks is a consequence.
                biased;
                () = self.shared.shutdown.ended() => {
                    let fault = Fault::new(Leg::Client, outgoing.transfer.stage(), FaultKind::Shutdown);
                    outgoing.transfer.fault(&fault, &crate::model::retry::Next::GiveUp);
                    return Err(fault);
                }
                sent = watch::send(&mut lease, request, &outgoing.transfer) => sent,
            };
            match sent {
                Ok(response) => {
                    if let Some(fault) = to.asks_for_credentials(&response) {
                        let fault = fault.sent(!outgoing.may_repeat());
                        if !ways.after(self, &outgoing.transfer, &fault).await {
                            return Err(fault);
                        }
                        continue;
                    }
                    ways.succeeded(self, &outgoing.transfer);
                    return Ok(self.answer(response, lease, outgoing, asked, &ways).await);
                }
                Err(Missed::Stalled(stall)) => {
                    let failover = outgoing.transfer.stall_action() == Action::Failover;
                    let again = failover && outgoing.may_repeat();
                    let fault = outgoing.transfer.stall_fault(&stall).sent(!again);
                    if !ways.after(self, &outgoing.transfer, &fault).await {
                        return Err(fault);
                    }
                }
                Err(Missed::Failed(failed)) => {
                    let fault = failed.fault(&outgoing.transfer, &outgoing.notes, lease.about.peer);
                    outgoing.body = failed.request.map(Request::into_body);
                    let again = outgoing.body.is_some() || outgoing.may_repeat();
                    let idle = lease.reused && outgoing.notes.passed() <= PASSED_TO_THE_DEAD;
                    if again && idle && fault.is_hang_up() {
                        ways.idle_connection_died(&outgoing.transfer, &fault);
                        continue;
                    }
                    let fault = fault.sent(!again);
                    if !ways.after(self, &outgoing.transfer, &fault).await {
                        return Err(fault);
                    }
                }
            }
        }
    }

    /// An idle connection of the upstream whose turn it is, else a new one of the first that answers.
    pub(super) async fn connect(
        &self,
        ways: &mut Ways,
        outgoing: &Outgoing,
        asked: &Asked,
    ) -> Result<Lease, Fault> {
        let key = |ways: &Ways| {
            let to = Destination::of(asked, ways.upstream().map(|upstream| &**upstream));
            let upstream = ways.upstream().map(|upstream| upstream.label.clone());
            Key {
                upstream: upstream.unwrap_or_default(),
                scheme: to.scheme,
                target: to.target,
            }
        };
        let transfer = &outgoing.transfer;
        // After a failure only a new connection tells whether the path works.
        // And a request that cannot be repeated never meets an idle connection that dies just then.
        if ways.is_first()
            && outgoing.may_reuse()
            && let Some(lease) = self.pool.take(&key(ways)).await
        {
            ways.begin(transfer);
            transfer.reused();
            transfer.connected(lease.about.peer);
            lease.watch(transfer);
            return Ok(lease);
        }
        let reached = ways
            .reach(
                self,
                transfer,
                &asked.target,
                Purpose::Requests(asked.scheme),
            )
            .await?;
        match send::open(self, reached, outgoing.upgrade.is_some()).await {
            Ok((sender, about)) => {
                let lease = self.pool.lease(key(ways), sender, about);
                lease.watch(transfer);
                Ok(lease)
            }
            Err(fault) => {
                transfer.fault(&fault, &crate::model::retry::Next::GiveUp);
                Err(fault)
            }
        }
    }

    /// How the answer's rest would be asked for if it broke off; `None` where it could not.
    fn resumption(
        self: &Arc<Self>,
        response: &Response<Incoming>,
        outgoing: &Outgoing,
        asked: &Asked,
        ways: &Ways,
    ) -> Option<Box<Resumption>> {
        let part = Part::of(&outgoing.head.method, response.status(), response.headers())?;
        (outgoing.bodiless && outgoing.upgrade.is_none()).then(|| {
            Box::new(Resumption {
                part,
                outgoing: outgoing.again(),
                ways: ways.clone(),
                asked: asked.clone(),
                forwarder: Arc::clone(self),
            })
        })
    }

    async fn answer(
        self: &Arc<Self>,
        mut response: Response<Incoming>,
        lease: Lease,
        outgoing: &mut Outgoing,
        asked: &Asked,
        ways: &Ways,
    ) -> Answer {
        let to = &Destination::of(asked, ways.upstream().map(|upstream| &**upstream));
        let transfer = outgoing.transfer.clone();
        let resumption = self.resumption(&response, outgoing, asked, ways);
        transfer.enter(Stage::ReceivingBody);
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = headers::strip_hop_by_hop(response.headers_mut());
        headers::strip_transfer_encoding(response.headers_mut());
        headers::add_via(response.headers_mut());
        to.strip_answer(response.headers_mut());
        let rewriting = Rewriting::of(self, &outgoing.head, asked, to, &transfer);
        if let Some(rewriting) = &rewriting {
            rewriting.head(&mut response);
        }
        if switched && let (Some((_, client)), Some(protocol)) = (outgoing.upgrade.take(), protocol)
        {
            headers::set_upgrade(response.headers_mut(), protocol);
            return upgrade::switch(&self.shared, response, client, transfer);
        }
        *response.version_mut() = Version::HTTP_11;
        let state = OriginState {
            status: response.status().as_u16(),
            peer: lease.about.peer,
            transfer,
            lease: Some(lease),
            gate: outgoing.gate.take(),
            place: outgoing.place.take(),
            resumption,
        };
        let shutdown = &self.shared.shutdown;
        let answer = response.map(|body| {
            http_body_util::BodyExt::boxed_unsync(OriginBody::new(body, state, shutdown))
        });
        match rewriting {
            Some(rewriting) => rewriting.body(answer, &self.rewriting).await,
            None => answer,
        }
    }
}

impl Outgoing {
    /// The request once more, for a part of its answer.
    fn again(&self) -> Self {
        Self {
            head: self.head.clone(),
            transfer: self.transfer.clone(),
            body: None,
            notes: Arc::default(),
            bodiless: true,
            held: None,
            upload: None,
            gate: None,
            place: None,
            upgrade: None,
        }
    }

    /// What is being ferried.
    pub(super) fn transfer(&self) -> &Transfer {
        &self.transfer
    }

    /// The request's header fields.
    pub(super) fn headers(&mut self) -> &mut HeaderMap {
        &mut self.head.headers
    }

    /// What is known of the body.
    pub(super) fn notes(&self) -> &Arc<RequestNotes> {
        &self.notes
    }

    fn new(
        request: Request<Incoming>,
        asked: &Asked,
        transfer: &Transfer,
        route: &Route,
        budget: &Arc<Budget>,
    ) -> Self {
        let (mut head, body) = request.into_parts();
        let protocol = headers::strip_hop_by_hop(&mut head.headers);
        headers::add_via(&mut head.headers);
        let on_upgrade = head.extensions.remove::<OnUpgrade>();
        let upgrade = protocol.zip(on_upgrade);
        // The request's own word against the front's: an absolute or reverse target replaces `Host` (RFC 9112, 3.2.2).
        if !matches!(asked.front, Front::Intercept)
            && let Ok(host) = asked.target.authority(asked.scheme).parse()
        {
            head.headers.insert(hyper::header::HOST, host);
        }
        let bodiless = body.is_end_stream();
        let (gate, key) = gate_for(&head.headers, bodiless);
        let (upload, (body, notes)) = if !bodiless && replay::may_replay(&head, route) {
            let upload = Upload::new(body, Arc::clone(budget), transfer.clone());
            let body = RequestBody::taped(upload.reader(), transfer.clone(), gate);
            (Some(upload), body)
        } else {
            (None, RequestBody::new(body, transfer.clone(), gate))
        };
        Self {
            head,
            transfer: transfer.clone(),
            body: Some(body),
            notes,
            bodiless,
            held: None,
            upload,
            gate: key,
            upgrade,
            place: None,
        }
    }

    /// Takes a small body in, and a place for a large one.
    async fn prepare(&mut self, forwarder: &Forwarder, route: &Route) -> Result<(), Fault> {
        self.hold().await?;
        if !self.bodiless && self.held.is_none() {
            let (uploads, shutdown) = (&forwarder.uploads, &forwarder.shared.shutdown);
            self.place = uploads.place(&route.name, &self.transfer, shutdown).await?;
        }
        Ok(())
    }

    /// Takes a small body in whole, where the request may be sent again: then it can be.
    ///
    /// Fails where the client breaks off.
    async fn hold(&mut self) -> Result<(), Fault> {
        let Some(body) = self.body.take() else {
            return Ok(());
        };
        let small = body
            .size_hint()
            .upper()
            .is_some_and(|size| size <= HELD_LIMIT);
        if self.bodiless || !small || self.gate.is_some() || !only_asks(&self.head) {
            self.body = Some(body);
            return Ok(());
        }
        match http_body_util::BodyExt::collect(body).await {
            Ok(collected) => {
                self.held = Some(collected.to_bytes());
                Ok(())
            }
            Err(error) => {
                Err(Fault::new(Leg::Client, Stage::SendingBody, FaultKind::Gone).source(error))
            }
        }
    }

    /// True where the request can be made anew and a second one does no harm.
    fn may_repeat(&self) -> bool {
        let whole = self.upload.as_ref().is_some_and(Upload::is_whole);
        (self.bodiless || self.held.is_some() || whole)
            && self.upgrade.is_none()
            && is_repeatable(&self.head)
    }

    /// True where an idle connection may carry it. A large PUT may meet one that dies just then; its client sends it again.
    fn may_reuse(&self) -> bool {
        self.may_repeat() || self.head.method.is_idempotent()
    }

    /// The body from its first byte, and no question any more whether the origin wants it.
    fn body_again(&mut self) -> RequestBody {
        let Some(upload) = &self.upload else {
            return RequestBody::held(self.held.clone(), self.transfer.clone());
        };
        self.head.headers.remove(EXPECT);
        let (body, notes) = RequestBody::taped(upload.reader(), self.transfer.clone(), None);
        self.notes = notes;
        body
    }

    /// The request for one connection.
    pub(super) fn request(
        &mut self,
        lease: &Lease,
        asked: &Asked,
        to: &Destination,
    ) -> Request<RequestBody> {
        let body = self.body.take().unwrap_or_else(|| self.body_again());
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = self.head.headers.clone();
        *request.extensions_mut() = self.head.extensions.clone();
        to.dress(request.headers_mut());
        Rewriting::ask(request.headers_mut(), &self.head, asked, to);
        send::address(&mut request, &self.head.uri, lease, to);
        if let Some((protocol, _)) = &self.upgrade {
            headers::set_upgrade(request.headers_mut(), protocol.clone());
        }
        if let Some(gate) = self.gate.clone() {
            hyper::ext::on_informational(&mut request, move |informational| {
                if informational.status() == StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        request
    }
}

/// The largest body that is held.
const HELD_LIMIT: u64 = 64 * 1024;

/// How much of an upload an idle connection may have swallowed before its death is a fault: what is written until the reset of a
/// peer that closed long ago comes back.
const PASSED_TO_THE_DEAD: u64 = 256 * 1024;

/// True where a second request does no harm (RFC 9110, section 9.2.2).
fn is_repeatable(head: &Parts) -> bool {
    head.method.is_idempotent() || only_asks(head)
}

/// True for the two POSTs that change nothing: git's fetch (gitprotocol-http, "Smart Service git-upload-pack") and the LFS batch,
/// whose answer is a list of addresses. Their clients write them in one go, so holding them delays nothing.
pub(super) fn only_asks(head: &Parts) -> bool {
    let path = head.uri.path();
    head.method == Method::POST
        && (path.ends_with("/git-upload-pack") || path.ends_with("/objects/batch"))
}

fn gate_for(headers: &HeaderMap, bodiless: bool) -> (Option<Gate>, Option<GateKey>) {
    let expects = headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !expects || bodiless {
        return (None, None);
    }
    let (gate, key) = Gate::new();
    (Some(gate), Some(key))
}
