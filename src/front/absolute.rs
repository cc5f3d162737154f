//! `GET http://host/…`: plain forward proxying (RFC 9112, section 3.2.2).

use std::sync::Arc;

use hyper::{Request, body::Incoming};

use super::refuse::{bad_request, bad_target, refuse};
use crate::{
    forward::{ExchangeRequest, Forwarder, HttpResponse, client::ClientConn},
    model::{Scheme, Target},
    track::Front,
};

/// Forwards the request to the host of its target.
pub(super) async fn serve(
    forwarder: Arc<Forwarder>,
    request: Request<Incoming>,
    client: &ClientConn,
) -> HttpResponse {
    let scheme = match request.uri().scheme_str() {
        Some("http") => Scheme::Http,
        // A client may speak plain HTTP to gitferry for an https URL: the connection to the origin is encrypted all the same.
        Some("https") => Scheme::Https,
        other => {
            let detail = format!(
                "gitferry supports http and https, not {:?}",
                other.unwrap_or_default()
            );
            return refuse(&forwarder, &request, client, None, bad_request(detail)).await;
        }
    };
    let text = request
        .uri()
        .authority()
        .map_or("", |authority| authority.as_str());
    match Target::parse(text, Some(scheme.default_port())) {
        Ok(target) => {
            let exchange_request = ExchangeRequest {
                front: Front::Absolute,
                client: client.clone(),
                scheme,
                target,
                base: None,
            };
            forwarder.exchange(request, exchange_request).await
        }
        Err(error) => refuse(&forwarder, &request, client, None, bad_target(text, error)).await,
    }
}
