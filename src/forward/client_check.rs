//! `/.well-known/gitferry/NONCE`: how `gitferry doctor` learns whether a client goes through this daemon and trusts its CA.
//!
//! The daemon answers such a path itself only on a route whose TLS it terminates, and only for a nonce that its admin front issued shortly
//! before. Every other request for such a path goes to the origin.

use std::{collections::VecDeque, time::Duration};

use hyper::{Request, Response, header::CONTENT_TYPE, header::HeaderValue};
use rustls::crypto::aws_lc_rs;
use serde_json::json;
use tokio::time::Instant;

use super::{ExchangeRequest, HttpResponse, request::body::full};

use crate::sync::Mutex;

/// The prefix of the paths.
const PATH_PREFIX: &str = "/.well-known/gitferry/";

/// How long a nonce is valid.
const LIFETIME: Duration = Duration::from_secs(60);

/// The most nonces kept, more than one run of doctor needs. Beyond it, the oldest is removed.
const MAX_NONCES: usize = 32;

/// The nonces that the admin front issued.
#[derive(Debug, Default)]
pub(crate) struct Nonces(Mutex<VecDeque<(Box<str>, Instant)>>);

impl Nonces {
    /// A new nonce. `None` where the machine has no random numbers.
    pub(crate) fn issue(&self, now: Instant) -> Option<String> {
        let mut bytes = [0_u8; 16];
        aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut bytes)
            .ok()?;
        let nonce: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut issued = self.0.lock();
        issued.push_back((nonce.as_str().into(), now));
        while issued.len() > MAX_NONCES {
            issued.pop_front();
        }
        Some(nonce)
    }

    fn is_valid(&self, nonce: &str, now: Instant) -> bool {
        let mut issued = self.0.lock();
        issued.retain(|(_, at)| now.saturating_duration_since(*at) < LIFETIME);
        issued.iter().any(|(known, _)| **known == *nonce)
    }
}

/// The response to a request for a valid nonce; `None` for every other request.
pub(super) fn response<B>(
    request: &Request<B>,
    exchange_request: &ExchangeRequest,
    nonces: &Nonces,
    now: Instant,
) -> Option<HttpResponse> {
    let rest = request.uri().path().strip_prefix(PATH_PREFIX)?;
    let (nonce, below) = rest.split_once('/').unwrap_or((rest, ""));
    if !nonces.is_valid(nonce, now) {
        return None;
    }
    let front = exchange_request.front.as_str();
    tracing::debug!(%front, target = %exchange_request.target, "client check answered");
    let (content_type, body) = match below {
        // The response to `git ls-remote`: one ref, named after the nonce (gitprotocol-http, "Smart Clients").
        "info/refs" => (
            "application/x-git-upload-pack-advertisement",
            advertisement(nonce, front),
        ),
        // The response to `git lfs locks` (git-lfs: docs/api/locking.md).
        "locks" => (
            "application/vnd.git-lfs+json",
            json!({ "locks": [{
                "id": nonce, "path": format!("gitferry/{nonce}"), "locked_at": "2026-01-01T00:00:00Z",
                "owner": { "name": front },
            }] })
            .to_string(),
        ),
        _ => (
            "application/json",
            json!({ "gitferry": env!("CARGO_PKG_VERSION"), "nonce": nonce, "front": front })
                .to_string(),
        ),
    };
    let mut response = Response::new(full(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Some(response)
}

/// The ref's name contains the nonce, the agent the front.
fn advertisement(nonce: &str, front: &str) -> String {
    let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let reference = format!(
        "{} refs/gitferry/{nonce}/{front}\0agent=gitferry/{}\n",
        "1".repeat(40),
        env!("CARGO_PKG_VERSION")
    );
    format!(
        "{}0000{}0000",
        line("# service=git-upload-pack\n"),
        line(&reference)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_valid_for_a_minute_and_unissued_ones_never() {
        let nonces = Nonces::default();
        let now = Instant::now();
        let nonce = nonces.issue(now).unwrap();
        assert_eq!(nonce.len(), 32);
        assert!(nonces.is_valid(&nonce, now));
        assert!(!nonces.is_valid("0123456789abcdef0123456789abcdef", now));
        assert!(!nonces.is_valid("", now));
        assert!(!nonces.is_valid(&nonce, now + LIFETIME));
    }

    #[test]
    fn the_oldest_nonce_is_removed_beyond_the_limit() {
        let nonces = Nonces::default();
        let now = Instant::now();
        let first = nonces.issue(now).unwrap();
        let others: Vec<_> = (0..MAX_NONCES).filter_map(|_| nonces.issue(now)).collect();
        assert!(!nonces.is_valid(&first, now));
        assert!(others.iter().all(|nonce| nonces.is_valid(nonce, now)));
    }
}
