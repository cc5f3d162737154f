//! A request in the form that one connection needs.

use hyper::Request;

use super::Exchange;
use crate::forward::{
    headers,
    request::body::RequestBody,
    upstream::{
        address,
        destination::Destination,
        pool::{Lease, Sender},
    },
};
use crate::model::Fault;

impl Exchange {
    /// The request, or the request for the rest of its response.
    ///
    /// Fails where its address cannot be written for this destination.
    pub(super) fn write(
        &mut self,
        lease: &Lease,
        to: &Destination,
    ) -> Result<Request<RequestBody>, Fault> {
        let outgoing = &mut self.outgoing;
        let mut request = Request::new(outgoing.take_body());
        *request.method_mut() = outgoing.head.method.clone();
        *request.headers_mut() = outgoing.head.headers.clone();
        *request.extensions_mut() = outgoing.head.extensions.clone();
        if let (Some(partial), Some(got)) = (&self.partial, self.got) {
            partial.request_rest(got, request.headers_mut())?;
        }
        to.set_destination_fields(request.headers_mut());
        to.request_identity_coding(
            request.headers_mut(),
            &outgoing.head,
            &self.exchange_request,
        );
        address::address(&mut request, &outgoing.head.uri, lease, to)?;
        if let Some((protocol, _)) = &outgoing.upgrade {
            headers::set_upgrade(request.headers_mut(), protocol.clone());
        }
        match (&lease.sender, &outgoing.gate) {
            // HTTP/2 flow control holds an unwanted body back, and `Expect` is not sent on.
            (Sender::Http2(_), Some(gate)) => gate.open(),
            (Sender::Http2(_), None) => {}
            (Sender::Http1(_), gate) => lease.info.flood.watch(&mut request, gate.clone()),
        }
        Ok(request)
    }
}
