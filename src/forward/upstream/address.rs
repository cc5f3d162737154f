//! Writes a request's target in the form for its connection: origin form, absolute form for a hop, or HTTP/2.

use std::borrow::Cow;

use hyper::{
    HeaderMap, Request, Uri, Version,
    header::{COOKIE, EXPECT, HOST, HeaderValue, PROXY_AUTHORIZATION, TRANSFER_ENCODING},
    http::uri::InvalidUri,
};

use crate::forward::{
    request::body::RequestBody,
    upstream::destination::Destination,
    upstream::pool::{Lease, Sender},
};
use crate::{
    model::{Fault, FaultKind, Leg, Stage, fault::BoxError},
    net::dial::{AbsoluteForm, trail},
};

/// Writes the request's target in the form for this connection.
///
/// Fails where the result is no valid URI: a mirror's base path may make it too long.
pub(crate) fn address(
    request: &mut Request<RequestBody>,
    uri: &Uri,
    lease: &Lease,
    to: &Destination,
) -> Result<(), Fault> {
    if matches!(lease.sender, Sender::Http1(_)) {
        join_cookies(request.headers_mut());
    }
    if lease.info.absolute_form.is_none() {
        // The field is for hops only.
        request.headers_mut().remove(trail::TRAIL);
    }
    match (&lease.sender, &lease.info.absolute_form) {
        (Sender::Http2(_), _) => address_http2(request, uri, to),
        (Sender::Http1(_), Some(form)) => address_hop(request, uri, to, form),
        (Sender::Http1(_), None) => address_origin(request, uri, to),
    }
}

fn address_http2(
    request: &mut Request<RequestBody>,
    uri: &Uri,
    to: &Destination,
) -> Result<(), Fault> {
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(EXPECT);
    request.headers_mut().remove(TRANSFER_ENCODING);
    // The client's own `Host`, where it sent one: it may be part of a signature.
    let host = request.headers_mut().remove(HOST);
    let named = host.as_ref().and_then(|host| host.to_str().ok());
    let own = to.target.authority(to.scheme);
    *request.uri_mut() = absolute(to, named.unwrap_or(&own), uri)
        .or_else(|_| absolute(to, &own, uri))
        .map_err(|error| unwritable(&own, error))?;
    Ok(())
}

/// In absolute form, for a hop (RFC 9112, section 3.2.2).
fn address_hop(
    request: &mut Request<RequestBody>,
    uri: &Uri,
    to: &Destination,
    form: &AbsoluteForm,
) -> Result<(), Fault> {
    let own = to.target.authority(to.scheme);
    *request.uri_mut() = absolute(to, &own, uri).map_err(|error| unwritable(&own, error))?;
    if !form.via {
        trail::replace_via_by_mark(request.headers_mut());
    }
    if let Some(authorization) = &form.authorization {
        let fields = request.headers_mut();
        fields.insert(PROXY_AUTHORIZATION, authorization.clone());
    }
    Ok(())
}

/// In origin form (RFC 9112, section 3.2.1), with a `Host`.
fn address_origin(
    request: &mut Request<RequestBody>,
    uri: &Uri,
    to: &Destination,
) -> Result<(), Fault> {
    let authority = || to.target.authority(to.scheme);
    *request.uri_mut() = match (to.path(uri), uri.path_and_query()) {
        // Unchanged, so there is nothing to parse again. In absolute form the path may be empty.
        (Cow::Borrowed(_), Some(path)) if uri.scheme().is_none() => path.clone().into(),
        (path, _) => path
            .parse()
            .map_err(|error: InvalidUri| unwritable(&authority(), error))?,
    };
    if !request.headers().contains_key(HOST)
        && let Ok(host) = authority().parse()
    {
        request.headers_mut().insert(HOST, host);
    }
    Ok(())
}

fn absolute(to: &Destination, authority: &str, uri: &Uri) -> Result<Uri, hyper::http::Error> {
    Uri::builder()
        .scheme(to.scheme.as_str())
        .authority(authority)
        .path_and_query(&*to.path(uri))
        .build()
}

fn unwritable(authority: &str, error: impl Into<BoxError>) -> Fault {
    Fault::new(Leg::Client, Stage::SendingHead, FaultKind::BadRequest)
        .detail(format!("the URL for {authority} cannot be built"))
        .source(error)
}

/// HTTP/2 may split a cookie field; HTTP/1 has one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let fields: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if fields.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&fields.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_fields_are_joined_for_http_1() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=1", "b=2; c=3"] {
            headers.append(COOKIE, HeaderValue::from_static(cookie));
        }
        join_cookies(&mut headers);
        let fields: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(fields, ["a=1; b=2; c=3"]);
    }
}
