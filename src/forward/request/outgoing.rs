//! A request as it will be written, once or several times: what is kept of it, and when it may be sent again.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::EXPECT,
    http::request::Parts,
    upgrade::OnUpgrade,
};

use crate::forward::{
    Forwarder,
    exchange::ExchangeRequest,
    framing, headers,
    request::body::{RequestBody, RequestNotes},
    request::gate::{GateKey, gate_for},
    request::replay::{self, Upload},
    request::spool::Budget,
    request::uploads::Place,
    response::rewrite::Rewriting,
    upstream::destination::Destination,
    upstream::pool::{Lease, Sender},
    upstream::send,
    upstream::withhold::is_paths_info,
};
use crate::{
    config::Route,
    model::{Fault, FaultKind, Leg, Stage},
    track::{Front, Transfer},
};

/// A request as it will be written, once or several times.
pub(crate) struct Outgoing {
    pub(crate) head: Parts,
    pub(crate) transfer: Transfer,
    /// The body, until it is handed over; then only what is known of it.
    pub(crate) body: Option<RequestBody>,
    pub(crate) notes: Arc<RequestNotes>,
    pub(crate) bodiless: bool,
    /// A small body, kept so that the request can be sent again.
    pub(crate) held: Option<Bytes>,
    /// A body that is kept while it passes, for the same purpose.
    pub(crate) upload: Option<Upload>,
    pub(crate) gate: Option<GateKey>,
    pub(crate) upgrade: Option<(hyper::header::HeaderValue, OnUpgrade)>,
    /// Among the route's uploads, where it is one of them.
    pub(crate) place: Option<Place>,
}

impl Outgoing {
    /// The request once more, for a part of its answer.
    pub(crate) fn again(&self) -> Self {
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
    pub(crate) fn transfer(&self) -> &Transfer {
        &self.transfer
    }

    /// The request's header fields.
    pub(crate) fn headers(&mut self) -> &mut HeaderMap {
        &mut self.head.headers
    }

    /// What is known of the body.
    pub(crate) fn notes(&self) -> &Arc<RequestNotes> {
        &self.notes
    }

    pub(crate) fn new(
        request: Request<Incoming>,
        asked: &ExchangeRequest,
        transfer: &Transfer,
        route: &Route,
        budget: &Arc<Budget>,
    ) -> Self {
        let (mut head, body) = request.into_parts();
        let protocol = headers::strip_hop_by_hop(&mut head.headers);
        headers::add_via(&mut head.headers, head.version);
        framing::merge_lengths(&mut head.headers);
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
    pub(crate) async fn prepare(
        &mut self,
        forwarder: &Forwarder,
        route: &Route,
    ) -> Result<(), Fault> {
        self.hold().await?;
        if !self.bodiless && self.held.is_none() {
            let shared = &forwarder.shared;
            let place = shared
                .uploads
                .place(&route.name, &self.transfer, &shared.shutdown);
            self.place = place.await?;
        }
        Ok(())
    }

    /// Takes a small body in whole, where the request may be sent again: then it can be.
    ///
    /// Fails where the client breaks off.
    pub(crate) async fn hold(&mut self) -> Result<(), Fault> {
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
    pub(crate) fn may_repeat(&self) -> bool {
        let whole = self.upload.as_ref().is_some_and(Upload::is_whole);
        (self.bodiless || self.held.is_some() || whole)
            && self.upgrade.is_none()
            && is_repeatable(&self.head)
    }

    /// The fault that an answer of 502, 503 or 504 is, where the request is small and can be asked again: git-lfs gives a push up at
    /// the first such answer to its batch request, and so does git at `info/refs`.
    pub(crate) fn may_pass(
        &self,
        response: &Response<Incoming>,
        peer: SocketAddr,
    ) -> Option<Fault> {
        let status = response.status().as_u16();
        let small = self.bodiless || self.held.is_some();
        ((502..=504).contains(&status) && small && self.may_repeat()).then(|| {
            let kind = FaultKind::Answered(status);
            Fault::new(Leg::Origin, Stage::AwaitingHead, kind)
                .peer(peer)
                .sent(false)
        })
    }

    /// True where an idle connection may carry it. A large PUT may meet one that dies just then; its client sends it again.
    pub(crate) fn may_reuse(&self) -> bool {
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
    ///
    /// Fails where its address cannot be written for this destination; that is in the log then.
    pub(crate) fn request(
        &mut self,
        lease: &Lease,
        asked: &ExchangeRequest,
        to: &Destination,
    ) -> Result<Request<RequestBody>, Fault> {
        let body = self.body.take().unwrap_or_else(|| self.body_again());
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = self.head.headers.clone();
        *request.extensions_mut() = self.head.extensions.clone();
        to.dress(request.headers_mut());
        Rewriting::ask(request.headers_mut(), &self.head, asked, to);
        send::address(&mut request, &self.head.uri, lease, to)
            .inspect_err(|fault| self.transfer.gives_up(fault))?;
        if let Some((protocol, _)) = &self.upgrade {
            headers::set_upgrade(request.headers_mut(), protocol.clone());
        }
        if let (Some(gate), Sender::Http2(_)) = (&self.gate, &lease.sender) {
            // Its flow control says when a body is not wanted, and `Expect` is not sent on.
            gate.open();
        } else if let Some(gate) = self.gate.clone() {
            hyper::ext::on_informational(&mut request, move |informational| {
                if informational.status() == StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        Ok(request)
    }
}

/// The largest body that is held.
const HELD_LIMIT: u64 = 64 * 1024;

/// True where a second request does no harm (RFC 9110, section 9.2.2).
fn is_repeatable(head: &Parts) -> bool {
    head.method.is_idempotent() || only_asks(head)
}

/// True for the three POSTs that change nothing: git's fetch (gitprotocol-http, "Smart Service git-upload-pack"), the LFS batch,
/// whose answer is a list of addresses, and the Hub's `paths-info`. Their clients write them in one go, so holding them delays nothing.
pub(crate) fn only_asks(head: &Parts) -> bool {
    let path = head.uri.path();
    head.method == Method::POST
        && (path.ends_with("/git-upload-pack")
            || path.ends_with("/objects/batch")
            || is_paths_info(path))
}
