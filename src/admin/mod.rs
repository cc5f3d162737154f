//! The daemon's own pages under `/-/`: status, API, metrics, the CA certificate (never its key).
//!
//! Pure: a [`View`] in, an answer out. `service` fills the view.

mod html;

use std::net::SocketAddr;

use bytes::Bytes;
use hyper::{
    Method, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::Serialize;

use crate::track::{
    event::{FaultOccurred, StallTold},
    transfer::Snapshot,
};

/// Everything the status shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    /// Of gitferry.
    pub version: &'static str,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// The config's file; none for the embedded default.
    pub config: Option<String>,
    /// Tasks that run.
    pub tasks: usize,
    /// Origin connections that are kept for the next request.
    pub idle_connections: usize,
    /// Running transfers, the oldest first.
    pub transfers: Vec<Snapshot>,
    /// Every upstream of every route, in the order of the config.
    pub upstreams: Vec<UpstreamView>,
    /// The last faults, the newest first.
    pub faults: Vec<FaultOccurred>,
    /// The last stalls, the newest first.
    pub stalls: Vec<StallTold>,
}

/// How an upstream fares.
#[derive(Debug, Serialize)]
pub(crate) struct UpstreamView {
    /// The route.
    pub route: Box<str>,
    /// Its label.
    pub upstream: Box<str>,
    /// Its circuits that are not closed; none where it is well.
    pub circuits: Vec<CircuitView>,
}

/// An upstream's circuit for one host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CircuitView {
    /// The host, with its port.
    pub host: Box<str>,
    /// `open`, `probing`, `trial`.
    pub state: &'static str,
    /// Failures since its last success.
    pub failures: u32,
    /// Seconds since the last of them.
    pub failed_s_ago: u64,
    /// The last of them.
    pub code: Box<str>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// For people.
    Status,
    /// For programs.
    Json,
    /// For Prometheus.
    Metrics,
    /// The certificate.
    Certificate,
    /// Alive.
    Health,
    /// No such page.
    Unknown,
    /// Only GET and HEAD.
    WrongMethod,
}

impl Page {
    /// By method and path.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        if ![Method::GET, Method::HEAD].contains(method) {
            return Self::WrongMethod;
        }
        match path {
            "/-/" => Self::Status,
            "/-/status" => Self::Json,
            "/-/metrics" => Self::Metrics,
            "/-/ca.pem" => Self::Certificate,
            "/-/healthz" => Self::Health,
            _ => Self::Unknown,
        }
    }

    /// The page, of what it needs alone.
    pub(crate) fn answer(
        self,
        view: impl FnOnce() -> View,
        metrics: impl FnOnce() -> String,
        certificate: impl FnOnce() -> Option<String>,
    ) -> Response<Bytes> {
        const TEXT: &str = "text/plain; charset=utf-8";
        let (status, content_type, body) = match self {
            Self::Status => (
                StatusCode::OK,
                "text/html; charset=utf-8",
                html::render(&view()),
            ),
            Self::Json => match serde_json::to_string_pretty(&view()) {
                Ok(json) => (StatusCode::OK, "application/json", json + "\n"),
                Err(error) => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT,
                    format!("gitferry: the status cannot be written: {error}\n"),
                ),
            },
            Self::Metrics => (
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                metrics(),
            ),
            Self::Certificate => match certificate() {
                Some(pem) => (StatusCode::OK, "application/x-pem-file", pem),
                None => (
                    StatusCode::NOT_FOUND,
                    TEXT,
                    "gitferry: the CA's certificate cannot be read\n".into(),
                ),
            },
            Self::Health => (StatusCode::OK, TEXT, "ok\n".into()),
            Self::Unknown => (
                StatusCode::NOT_FOUND,
                TEXT,
                "gitferry: there are /-/, /-/status, /-/metrics, /-/ca.pem, /-/healthz\n".into(),
            ),
            Self::WrongMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                "gitferry: these pages are only read\n".into(),
            ),
        };
        let mut answer = Response::new(Bytes::from(body));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ),
        );
        if self == Self::WrongMethod {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        answer
    }
}
