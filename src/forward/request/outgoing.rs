//! A request as it is written, once or several times, and the data kept to repeat it.

use std::sync::Arc;

use hyper::{
    Method, Request,
    body::{Body, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue},
    http::request::Parts,
    upgrade::OnUpgrade,
};
use tokio_util::bytes::Bytes;

use crate::forward::{
    framing, headers,
    request::body::{RequestBody, RequestNotes},
    request::exchange_request::ExchangeRequest,
    request::gate::{GateKey, gate_for},
    request::replay::{self, Upload},
    request::spool::Budget,
    request::uploads::{Permit, UploadPlaces},
};
use crate::{
    config::Route,
    model::{
        Fault, FaultKind, Leg, Stage,
        attempts::{BodyState, ConnectionKind, RequestState},
    },
    rt::Shutdown,
    track::{Front, TransferHandle},
};

/// A request as it is written, once or several times.
pub(crate) struct OutgoingRequest {
    pub(crate) head: Parts,
    pub(crate) transfer: TransferHandle,
    /// The body, until a connection takes it.
    pub(crate) body: Option<RequestBody>,
    pub(crate) notes: Arc<RequestNotes>,
    pub(crate) bodiless: bool,
    /// A small body, kept so that the request can be sent again.
    pub(crate) held: Option<Bytes>,
    /// A body that is recorded while it is sent, for the same purpose.
    pub(crate) upload: Option<Upload>,
    pub(crate) gate: Option<GateKey>,
    pub(crate) upgrade: Option<(HeaderValue, OnUpgrade)>,
    /// Its place among the route's uploads, where it is an upload.
    pub(crate) place: Option<Permit>,
}

impl OutgoingRequest {
    pub(crate) fn new(
        request: Request<Incoming>,
        exchange_request: &ExchangeRequest,
        transfer: &TransferHandle,
        route: &Route,
        budget: &Arc<Budget>,
    ) -> Self {
        let (mut head, body) = request.into_parts();
        let protocol = headers::strip_hop_by_hop(&mut head.headers);
        headers::add_via(&mut head.headers, head.version);
        framing::merge_lengths(&mut head.headers);
        let on_upgrade = head.extensions.remove::<OnUpgrade>();
        let upgrade = protocol.zip(on_upgrade);
        // The front may replace the request's own `Host`: an absolute or reverse target takes precedence (RFC 9112, 3.2.2).
        if !matches!(exchange_request.front, Front::Intercept)
            && let Ok(host) = exchange_request
                .target
                .authority(exchange_request.scheme)
                .parse()
        {
            head.headers.insert(hyper::header::HOST, host);
        }
        let bodiless = body.is_end_stream();
        let (gate, key) = gate_for(&head.headers, bodiless);
        let (upload, body) = if !bodiless && replay::may_replay(&head, route) {
            let upload = Upload::new(body, Arc::clone(budget), transfer.clone());
            let body = RequestBody::recorded(upload.reader(), transfer.clone(), gate);
            (Some(upload), body)
        } else {
            (None, RequestBody::new(body, transfer.clone(), gate))
        };
        Self {
            head,
            transfer: transfer.clone(),
            notes: body.notes(),
            body: Some(body),
            bodiless,
            held: None,
            upload,
            gate: key,
            upgrade,
            place: None,
        }
    }

    /// Reads a small body into memory, and waits for an upload's place.
    pub(crate) async fn prepare(
        &mut self,
        route: &Route,
        uploads: &UploadPlaces,
        shutdown: &Shutdown,
    ) -> Result<(), Fault> {
        tokio::select! {
            held = self.hold_small_body() => held?,
            () = shutdown.ended() => {
                return Err(Fault::new(Leg::Client, Stage::SendingBody, FaultKind::Shutdown));
            }
        }
        if !self.bodiless && self.held.is_none() {
            let place = uploads.place(&route.name, &self.transfer, shutdown);
            self.place = place.await?;
        }
        Ok(())
    }

    /// Reads a small body into memory where the request may be repeated, so that it can be.
    ///
    /// Fails where the client aborts.
    async fn hold_small_body(&mut self) -> Result<(), Fault> {
        let Some(body) = self.body.take() else {
            return Ok(());
        };
        let small = body
            .size_hint()
            .upper()
            .is_some_and(|size| size <= MAX_HELD);
        if self.bodiless || !small || self.gate.is_some() || !self.is_read_only() {
            self.body = Some(body);
            return Ok(());
        }
        match http_body_util::BodyExt::collect(body).await {
            Ok(collected) => {
                self.held = Some(collected.to_bytes());
                self.upload = None;
                Ok(())
            }
            Err(error) => {
                Err(Fault::new(Leg::Client, Stage::SendingBody, FaultKind::Gone).source(error))
            }
        }
    }

    /// The state that decides whether it may be repeated.
    pub(crate) fn state(&self) -> RequestState {
        RequestState {
            harmless: self.head.method.is_idempotent() || self.is_read_only(),
            upgrade: self.upgrade.is_some(),
            body: self.body_state(),
            passed: self.notes.bytes_taken(),
            returned: self.body.is_some(),
        }
    }

    /// True where nothing has to be read from the client while it is sent: the whole body is in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        (self.bodiless || self.held.is_some()) && self.upgrade.is_none()
    }

    /// True for a request that is read-only, or may prove to be once its body is read.
    fn may_be_read_only(&self) -> bool {
        is_read_only(&self.head) || may_be_push_probe(&self.head)
    }

    fn is_read_only(&self) -> bool {
        let flush = || self.held.as_deref() == Some(b"0000");
        is_read_only(&self.head) || may_be_push_probe(&self.head) && flush()
    }

    fn body_state(&self) -> BodyState {
        match &self.upload {
            _ if self.bodiless => BodyState::Empty,
            _ if self.held.is_some() => BodyState::Held,
            Some(upload) if upload.is_whole() => BodyState::Kept,
            Some(_) | None => BodyState::Gone,
        }
    }

    /// The kind of connection it may use. A large PUT may fail on an idle connection that dies at that moment; its client then sends it
    /// again.
    pub(crate) fn connection_kind(&self) -> ConnectionKind {
        let sent = RequestState {
            returned: false,
            ..self.state()
        };
        if sent.may_repeat() || self.head.method.is_idempotent() {
            ConnectionKind::Idle
        } else {
            ConnectionKind::New
        }
    }

    /// True for requests that `git push` follows with its commands (gitprotocol-http, "Smart Clients").
    pub(crate) fn precedes_push(&self) -> bool {
        let refs = self.head.method == Method::GET
            && self.head.uri.path().ends_with("/info/refs")
            && self.head.uri.query() == Some("service=git-receive-pack");
        refs || self.is_push() && self.may_be_read_only()
    }

    /// True for the commands of `git push`.
    pub(crate) fn is_push(&self) -> bool {
        self.head.method == Method::POST && self.head.uri.path().ends_with("/git-receive-pack")
    }

    /// The body: the client's own at first; for a repetition, from its first byte and without `Expect`.
    pub(crate) fn take_body(&mut self) -> RequestBody {
        if let Some(body) = self.body.take() {
            return body;
        }
        let transfer = self.transfer.clone();
        let body = match &self.upload {
            Some(upload) => {
                self.head.headers.remove(EXPECT);
                RequestBody::recorded(upload.reader(), transfer, None)
            }
            None => RequestBody::in_memory(self.held.clone(), transfer),
        };
        self.notes = body.notes();
        body
    }
}

/// The largest body held in memory.
const MAX_HELD: u64 = 64 * 1024;

/// True for POSTs that only read: git's fetch (gitprotocol-http, "Smart Service git-upload-pack"), the LFS batch, whose response is a list
/// of addresses, LFS verify, and the Hub's `paths-info`. Their clients write them at once, so holding them causes no delay.
pub(crate) fn is_read_only(head: &Parts) -> bool {
    let path = head.uri.path();
    head.method == Method::POST
        && (path.ends_with("/git-upload-pack")
            || path.ends_with("/objects/batch")
            || is_lfs_verify(head)
            || is_paths_info(path))
}

/// LFS verify checks that an object exists, or that no foreign lock does; git-lfs itself repeats it three times (`lfs.transfer.maxverifies`).
/// A server may choose any address; those of GitHub, GitLab, Gitea and the Hub end in `/verify`.
fn is_lfs_verify(head: &Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    head.uri.path().ends_with("/verify")
        && kind.is_some_and(|kind| kind.starts_with(b"application/vnd.git-lfs+json"))
}

/// True where `git push` may test its credentials with an empty list of commands, before a large pack (git: remote-curl.c, `probe_rpc`).
fn may_be_push_probe(head: &Parts) -> bool {
    let length = head.headers.get(CONTENT_LENGTH).map(HeaderValue::as_bytes);
    head.method == Method::POST
        && head.uri.path().ends_with("/git-receive-pack")
        && length == Some(b"4")
}

/// `POST /api/models/…/paths-info/REVISION` (huggingface_hub: `hf_api.py`, `get_paths_info`).
pub(crate) fn is_paths_info(path: &str) -> bool {
    path.strip_prefix("/api/")
        .is_some_and(|call| call.split('/').any(|part| part == "paths-info"))
}
