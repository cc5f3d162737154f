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

/// Which daemon this is: what a command needs to know before it trusts what it is told.
#[derive(Debug, Serialize)]
pub(crate) struct DaemonView {
    /// Of gitferry.
    pub version: &'static str,
    /// The process.
    pub pid: u32,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// The config's file; none for the embedded default.
    pub config: Option<String>,
    /// Where the CA is.
    pub state_directory: String,
    /// The SHA-256 fingerprint of the CA's certificate, in hexadecimal; none where it cannot be read.
    pub ca_sha256: Option<String>,
    /// The proxies that its own environment names, without user info.
    pub environment: EnvironmentView,
}

/// The `*_PROXY` variables as the daemon found them at its start.
#[derive(Debug, Serialize)]
pub(crate) struct EnvironmentView {
    /// For `https://` targets.
    pub https_proxy: Option<String>,
    /// For `http://` targets.
    pub http_proxy: Option<String>,
    /// The hosts that are reached without either.
    pub no_proxy: Vec<Box<str>>,
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
    /// Which daemon this is, for commands.
    Daemon,
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
            "/-/api/daemon" => Self::Daemon,
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
        daemon: impl FnOnce() -> DaemonView,
        metrics: impl FnOnce() -> String,
        certificate: impl FnOnce() -> Option<String>,
    ) -> Response<Bytes> {
        let (status, content_type, body) = match self {
            Self::Status => (
                StatusCode::OK,
                "text/html; charset=utf-8",
                html::render(&view()),
            ),
            Self::Json => json(&view()),
            Self::Daemon => json(&daemon()),
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

const TEXT: &str = "text/plain; charset=utf-8";

fn json(value: &impl Serialize) -> (StatusCode, &'static str, String) {
    match serde_json::to_string_pretty(value) {
        Ok(json) => (StatusCode::OK, "application/json", json + "\n"),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            TEXT,
            format!("gitferry: cannot write the answer as JSON: {error}\n"),
        ),
    }
}
