//! Range requests for parts of a response that is being received, over further connections: the same request through the same upstream,
//! with `Range` and `If-Range`.

use std::{ops::Range, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_RANGE, RANGE},
    http::request::Parts,
};

use super::{Exchange, authenticates_connection};
use crate::forward::{
    forwarder::Forwarder,
    framing,
    request::{body::RequestBody, partial_response::PartialResponse},
    upstream::{
        address,
        background_dial::BackgroundDial,
        destination::Destination,
        pool::{Key, Lease, Sender},
        send,
    },
};
use crate::{config::HttpVersion, model::Target, track::TransferHandle};

/// How long the response to a range request may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// The same on a connection that was idle before and may be dead.
const IDLE_RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// What a range request needs.
pub(crate) struct RangeRequests {
    forwarder: Arc<Forwarder>,
    dial: BackgroundDial,
    key: Arc<Key>,
    to: Destination,
    head: Parts,
    partial: PartialResponse,
    transfer: TransferHandle,
}

/// A range that is being received.
pub(crate) struct RangeResponse {
    pub(crate) lease: Lease,
    pub(crate) body: Incoming,
}

/// Why a range request failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RangeRefusal {
    /// The connection or its data failed: another connection may work.
    Failed(String),
    /// The origin does not serve ranges of these bytes.
    Refused(String),
}

impl Exchange {
    /// Range requests for the response on `lease`; `None` where it cannot be segmented.
    pub(crate) fn ranges(&self, lease: &Lease) -> Option<RangeRequests> {
        let head = &self.outgoing.head;
        let partial = self
            .partial
            .as_ref()
            .filter(|partial| partial.is_plain_whole())?;
        let own_range = head.headers.contains_key(RANGE);
        // Another connection does not have the identity of this one.
        let bound = lease.is_bound() || authenticates_connection(&head.headers, AUTHORIZATION);
        if own_range || !self.supports_ranges || bound {
            return None;
        }
        let to = self.destination();
        let mut head = head.clone();
        to.set_destination_fields(&mut head.headers);
        to.request_identity_coding(
            &mut head.headers,
            &self.outgoing.head,
            &self.exchange_request,
        );
        Some(RangeRequests {
            forwarder: Arc::clone(&self.forwarder),
            dial: self.plan.background_dial()?,
            key: self.key(),
            to,
            head,
            partial: partial.clone(),
            transfer: self.transfer.handle(),
        })
    }
}

impl RangeRequests {
    /// The host that is dialled.
    pub(crate) fn host(&self) -> &Target {
        &self.to.target
    }

    /// The transfer.
    pub(crate) fn transfer(&self) -> &TransferHandle {
        &self.transfer
    }

    /// Requests `bytes`, on `kept` where it can still carry a request, else on another connection.
    pub(crate) async fn fetch(
        self: Arc<Self>,
        kept: Option<Lease>,
        bytes: Range<u64>,
    ) -> Result<RangeResponse, RangeRefusal> {
        let idle = match kept {
            Some(mut lease) => lease.ready().await.then_some(lease),
            None => self.take_idle().await,
        };
        if let Some(lease) = idle
            && let Ok(response) = self.send(lease, &bytes, IDLE_RESPONSE_TIMEOUT).await
        {
            return self.judge(response, &bytes);
        }
        // An idle connection may be dead; a new one shows whether the path works.
        let lease = self.connect().await?;
        let response = self.send(lease, &bytes, RESPONSE_TIMEOUT).await?;
        self.judge(response, &bytes)
    }

    async fn take_idle(&self) -> Option<Lease> {
        let lease = self.forwarder.pool.take(&self.key).await?;
        matches!(lease.sender, Sender::Http1(_)).then_some(lease)
    }

    async fn connect(&self) -> Result<Lease, RangeRefusal> {
        let failed = |fault: crate::model::Fault| RangeRefusal::Failed(fault.code());
        let reached = self
            .dial
            .dial_once(&self.forwarder, HttpVersion::Http1)
            .await
            .map_err(failed)?;
        let opened = send::open(&self.forwarder, reached).await;
        let (sender, info) = opened.map_err(failed)?;
        let pool = &self.forwarder.pool;
        Ok(pool.lease(Arc::clone(&self.key), sender, info))
    }

    async fn send(
        &self,
        mut lease: Lease,
        bytes: &Range<u64>,
        limit: Duration,
    ) -> Result<(Response<Incoming>, Lease), RangeRefusal> {
        let failed = |fault: crate::model::Fault| RangeRefusal::Failed(fault.code());
        let mut request = Request::new(RequestBody::in_memory(None, self.transfer.clone()));
        *request.method_mut() = self.head.method.clone();
        *request.headers_mut() = self.head.headers.clone();
        *request.extensions_mut() = self.head.extensions.clone();
        let range_field = self.partial.request_range(bytes, request.headers_mut());
        range_field.map_err(failed)?;
        address::address(&mut request, &self.head.uri, &lease, &self.to).map_err(failed)?;
        lease.info.flood.watch(&mut request, None);
        let shared = &self.forwarder.shared;
        lease.spawn_driver(&shared.tasks, &shared.shutdown);
        let sending = tokio::time::timeout(limit, send::send(&mut lease, request));
        match sending.await {
            Ok(Ok(response)) => Ok((response, lease)),
            Ok(Err(failed)) => Err(RangeRefusal::Failed(failed.error.to_string())),
            Err(_) => Err(RangeRefusal::Failed("no answer in time".into())),
        }
    }

    /// Accepts exactly the requested range and nothing else.
    fn judge(
        &self,
        (response, lease): (Response<Incoming>, Lease),
        bytes: &Range<u64>,
    ) -> Result<RangeResponse, RangeRefusal> {
        let (status, fields): (StatusCode, &HeaderMap) = (response.status(), response.headers());
        if let Some(objection) = framing::response_objection(fields) {
            return Err(RangeRefusal::Refused(objection.into()));
        }
        if self.partial.is_range(bytes, status, fields) {
            let body = response.into_body();
            return Ok(RangeResponse { lease, body });
        }
        if status != StatusCode::PARTIAL_CONTENT {
            return Err(RangeRefusal::Refused(format!(
                "the response to a range request is {}",
                status.as_u16()
            )));
        }
        let changed = self.partial.is_gone(status, fields);
        match fields.get(CONTENT_RANGE) {
            Some(_) if !changed => Err(RangeRefusal::Failed(
                "the response has another range".into(),
            )),
            _ => Err(RangeRefusal::Refused(
                "the response has another version".into(),
            )),
        }
    }
}
