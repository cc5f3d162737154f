//! The response of each address: `endpoints` maps the address to a page, this module produces the page.

use hyper::{
    Method, Response, StatusCode,
    header::{ALLOW, HeaderValue},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::bytes::Bytes;

use super::{
    api::{Api, ApiError},
    endpoints::{Asset, EndpointPage},
    html,
    response::{refused, respond},
    view::{API, Overview},
};
use crate::{forward::Forwarder, track::metrics::Exposition};

/// `POST` returns a nonce; for a minute the daemon itself responds to client checks with it.
pub(crate) const NONCE_PATH: &str = "/-/api/nonce";

/// The most running transfers on the page for browsers without scripts.
const MAX_LISTED: usize = 200;

/// A request for a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageQuery<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path.
    pub path: &'a str,
    /// The query, without the question mark.
    pub query: &'a str,
    /// `Accept`, empty where it is missing.
    pub accept: &'a str,
}

/// Data that the [`Forwarder`] does not have.
pub(crate) struct Sources<'a> {
    /// When the daemon started.
    pub started: Instant,
    /// The counters as text.
    pub metrics: &'a dyn Fn(Exposition) -> String,
    /// The certificate as PEM.
    pub certificate: &'a dyn Fn() -> Option<String>,
}

/// True where the response is a stream: [`super::events::stream`] serves it.
pub(crate) fn is_stream(query: &PageQuery<'_>) -> bool {
    query.method == Method::GET && EndpointPage::of(query.path).0 == EndpointPage::Events
}

/// The response for every page except a stream.
pub(crate) fn page_response(
    query: &PageQuery<'_>,
    forwarder: &Forwarder,
    sources: &Sources<'_>,
) -> Response<Bytes> {
    if query.method == Method::POST && query.path == NONCE_PATH {
        let nonce = forwarder.shared.nonces.issue(Instant::now());
        let body = json!({ "api": API, "nonce": nonce });
        return respond(StatusCode::OK, "application/json", format!("{body}\n"));
    }
    if ![Method::GET, Method::HEAD].contains(query.method) {
        let mut response = refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "these pages are read-only: use GET or HEAD",
        );
        let methods = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, methods);
        return response;
    }
    let (page, media) = EndpointPage::of(query.path);
    let api = Api {
        forwarder,
        started: sources.started,
        query: query.query,
    };
    if let Some(found) = values(page, &api) {
        return match found {
            Ok(value) => respond(StatusCode::OK, media, format!("{value:#}\n")),
            Err(ApiError::NotFound(why)) => refused(StatusCode::NOT_FOUND, why),
            Err(ApiError::BadParameter(why)) => refused(StatusCode::BAD_REQUEST, &why),
        };
    }
    if page == EndpointPage::Metrics {
        let form = Exposition::negotiate(query.accept);
        return respond(StatusCode::OK, form.content_type(), (sources.metrics)(form));
    }
    match text(page, forwarder, sources) {
        Ok(text) => respond(StatusCode::OK, media, text),
        Err((status, why)) => refused(status, &why),
    }
}

/// The JSON of an API page; `None` for other pages.
fn values(page: EndpointPage, api: &Api<'_>) -> Option<Result<Value, ApiError>> {
    Some(match page {
        EndpointPage::Index => Ok(Api::index()),
        EndpointPage::Daemon => Ok(api.daemon()),
        EndpointPage::Overview => api.overview(),
        EndpointPage::Transfers => api.transfers(),
        EndpointPage::Transfer(id) => api.transfer(id),
        EndpointPage::History => api.history(),
        EndpointPage::FinishedTransfer(id) => api.finished_transfer(id),
        EndpointPage::Upstreams => Ok(api.upstreams()),
        EndpointPage::Faults => Ok(api.faults()),
        EndpointPage::Stalls => Ok(api.stalls()),
        EndpointPage::Totals => Ok(api.totals()),
        _ => return None,
    })
}

/// The content of a page outside the API.
fn text(
    page: EndpointPage,
    forwarder: &Forwarder,
    sources: &Sources<'_>,
) -> Result<String, (StatusCode, String)> {
    match page {
        EndpointPage::Status => Ok(html::render(&Overview::of(
            forwarder,
            sources.started,
            MAX_LISTED,
        ))),
        EndpointPage::Asset(Asset::Style) => Ok(html::STYLE.into()),
        EndpointPage::Asset(Asset::Script) => Ok(html::SCRIPT.into()),
        EndpointPage::Asset(Asset::Icon) => Ok(html::ICON.into()),
        EndpointPage::Health => Ok("ok\n".into()),
        EndpointPage::Certificate => (sources.certificate)().ok_or_else(|| {
            let why = "the CA's certificate cannot be read";
            (StatusCode::NOT_FOUND, why.into())
        }),
        // A `Value` would sort the keys.
        EndpointPage::Config => match serde_json::to_string_pretty(&*forwarder.config) {
            Ok(json) => Ok(json + "\n"),
            Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        },
        // HEAD for the stream.
        EndpointPage::Events => Ok(String::new()),
        _ => {
            let why = "no such page: /-/api/ lists all pages";
            Err((StatusCode::NOT_FOUND, why.into()))
        }
    }
}
