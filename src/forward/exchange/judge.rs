//! The event for a response: passed on, requested again, or not from the origin.

use hyper::{
    HeaderMap, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, HeaderName},
};

use super::{Exchange, hop_response};
use crate::{
    forward::{
        framing, headers,
        upstream::{destination::Destination, pool::Lease},
    },
    model::{
        Fault, FaultKind, Leg, Stage,
        attempts::{Event, ResponseHead},
    },
};

impl Exchange {
    /// The event for a response.
    pub(super) fn judge(
        &self,
        response: &Response<Incoming>,
        lease: &Lease,
        to: &Destination,
    ) -> Event {
        let request = self.outgoing.state();
        if let Some(fault) = self.objection(response, lease, to) {
            return Event::Unusable { fault, request };
        }
        let status = response.status();
        let busy =
            status == StatusCode::TOO_MANY_REQUESTS || (502..=504).contains(&status.as_u16());
        let rest = self.partial.as_ref().zip(self.got);
        if let Some((partial, got)) = rest.filter(|_| !busy)
            && !partial.is_continued_by(got, status, response.headers())
        {
            let fault = Fault::new(Leg::Origin, Stage::AwaitingHead, FaultKind::BadAnswer);
            let fault = fault.peer(lease.info.peer).detail(format!(
                "the request was for the rest from byte {got}, and the response was {} or had other bytes",
                status.as_u16()
            ));
            return if partial.is_gone(status, response.headers()) {
                Event::Refused(fault)
            } else {
                Event::Unusable { fault, request }
            };
        }
        Event::Response(ResponseHead {
            status: status.as_u16(),
            retry_after: headers::retry_after(response.headers()),
            peer: lease.info.peer,
            by_hop: hop_response::hop_evidence(response, &lease.info),
            request,
        })
    }

    /// Why a response is not passed on: it is not the origin's, or it cannot be forwarded.
    pub(super) fn objection(
        &self,
        response: &Response<Incoming>,
        lease: &Lease,
        to: &Destination,
    ) -> Option<Fault> {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let framing = framing::response_objection(response.headers());
        let unusable = if framing.is_some() {
            framing
        } else if switches && self.outgoing.upgrade.is_none() {
            Some("the response switches protocols without a request for it")
        } else {
            None
        };
        if let Some(detail) = unusable {
            let fault = Fault::new(Leg::Origin, Stage::AwaitingHead, FaultKind::BadAnswer);
            return Some(fault.peer(lease.info.peer).detail(detail));
        }
        hop_response::credentials_fault(response, &lease.info)
            .or_else(|| to.withheld_credentials_fault(&self.outgoing.head.uri, response))
    }
}

/// True where the credentials of a request are valid or invalid by themselves. NTLM and Negotiate are not: their handshake is refused
/// before it succeeds.
pub(super) fn gives_credentials(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) && !authenticates_connection(headers, AUTHORIZATION)
}

/// True where a field contains NTLM or Negotiate.
pub(super) fn authenticates_connection(headers: &HeaderMap, field: HeaderName) -> bool {
    headers.get_all(field).iter().any(|value| {
        let words = value.as_bytes().split(|byte| *byte == b',');
        words.map(<[u8]>::trim_ascii).any(|word| {
            let scheme = word.split(|byte| *byte == b' ').next().unwrap_or_default();
            [&b"NTLM"[..], b"Negotiate"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
        })
    })
}
