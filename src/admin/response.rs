//! Responses of the daemon's own addresses, with the headers that all of them have.

use hyper::{
    Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};
use serde_json::json;
use tokio_util::bytes::Bytes;

use super::view::API;

/// The content security policy: a browser may run the page's own files and read the API, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TEXT: &str = "text/plain; charset=utf-8";

/// An error, as JSON.
pub(super) fn refused(status: StatusCode, why: &str) -> Response<Bytes> {
    let body = json!({ "api": API, "error": why });
    respond(status, "application/json", format!("{body}\n"))
}

/// A response with the headers that all of them have.
pub(super) fn respond<B>(
    status: StatusCode,
    media: &'static str,
    body: impl Into<B>,
) -> Response<B> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let media = if media.is_empty() { TEXT } else { media };
    const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
    const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
    for (name, value) in [
        (CONTENT_TYPE, media),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (OPENER, "same-origin"),
        (RESOURCE, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
