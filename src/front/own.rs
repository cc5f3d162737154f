//! `GET /-/…`: the daemon's own pages, for clients that address the daemon itself.

use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN},
};

use crate::{
    admin::{PageRequest, Pages},
    forward::{Current, Forwarder, HttpResponse, client::ClientConn, headers, request::body::full},
    model::Target,
};

/// How a browser describes the page that makes a request (W3C, Fetch Metadata Request Headers).
pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// True for a path of the daemon's own pages.
pub(super) fn is_own(path: &str) -> bool {
    path == "/" || path == "/-" || path.starts_with("/-/")
}

/// Answers, unless the requested name is not the daemon's: a web page whose name resolves to loopback (DNS rebinding) could otherwise read
/// this daemon's status.
pub(super) fn serve(
    current: &Current,
    pages: &Pages,
    request: &Request<Incoming>,
    client: &ClientConn,
) -> HttpResponse {
    let forwarder = &*current.get();
    // A foreign page can direct its user's browser here; only an address that the user types is answered.
    let headers = request.headers();
    let from = headers.get(SEC_FETCH_SITE);
    let cross_site = from.is_some_and(|from| !matches!(from.as_bytes(), b"none" | b"same-origin"))
        || headers
            .get(ORIGIN)
            .is_some_and(|origin| !is_of_own_page(origin, headers));
    let refusal = if cross_site {
        Some("gitferry: links from other sites are refused: type the address into the browser\n")
    } else if !is_for_this_daemon(request, forwarder) {
        Some("gitferry: these pages are served only under an address or localhost\n")
    } else {
        None
    };
    if let Some(refusal) = refusal {
        let mut response = Response::new(full(refusal));
        *response.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        return response;
    }
    pages.page(
        current,
        PageRequest {
            method: request.method(),
            path: path(request.uri()),
            query: request.uri().query().unwrap_or_default(),
            headers: request.headers(),
            slot: &client.slot,
        },
    )
}

fn path(uri: &Uri) -> &str {
    match uri.path() {
        "/" | "/-" => "/-/",
        path => path,
    }
}

/// True where the daemon's own page makes the request. For browsers that do not send `Sec-Fetch-Site`.
fn is_of_own_page(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let page = origin.as_bytes().strip_prefix(b"http://");
    page.is_some() && page == headers.get(HOST).map(HeaderValue::as_bytes)
}

/// True where `Host` is an address of this daemon, or localhost.
pub(super) fn is_for_this_daemon(request: &Request<Incoming>, forwarder: &Forwarder) -> bool {
    headers::text(request.headers(), &HOST).is_some_and(|host| names_this_daemon(host, forwarder))
}

fn names_this_daemon(host: &str, forwarder: &Forwarder) -> bool {
    Target::parse(host, Some(80)).is_ok_and(|target| {
        target.host.is_loopback()
            || target.host.ip().is_some_and(|ip| {
                forwarder
                    .config
                    .listen
                    .addresses
                    .iter()
                    .any(|own| own.ip() == ip || own.ip().is_unspecified())
            })
    })
}
