//! Keeps credentials with their host on the reverse front, where a client sees one host for all.
//!
//! A client that follows a redirect from A to B sends A's credentials along, because both hosts are this daemon for it. The
//! [`CredentialMemory`] records what was seen and decides; this module reports requests and responses to it, and removes what it rejects.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, LOCATION},
};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    forward::request::exchange_request::ExchangeRequest,
    mirror::{Mapping, table::url_text},
    model::credential_memory::{Credential, CredentialMemory, CredentialOrigin},
};

/// Fields of a request that carry no credential, in addition to those that begin with `accept` and `content-`. Any other may be one:
/// `Private-Token` (GitLab), `X-Api-Key`, or a site's own. A field missing here is withheld after a redirect, so nothing leaks.
const HARMLESS: [&str; 40] = [
    "cache-control",
    "connection",
    "date",
    "depth",
    "destination",
    "dnt",
    "expect",
    "git-protocol",
    "gitferry-trail",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "overwrite",
    "pragma",
    "priority",
    "range",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "te",
    "timeout",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "tus-resumable",
    "upgrade",
    "upload-length",
    "upload-offset",
    "user-agent",
    "via",
    "x-amzn-trace-id",
    "x-correlation-id",
    "x-request-id",
    "x-requested-with",
];

fn may_be_credential(name: &HeaderName) -> bool {
    let name = name.as_str();
    let harmless = name.starts_with("accept") || name.starts_with("content-");
    !harmless && HARMLESS.binary_search(&name).is_err()
}

/// The part that is equal in all requests with the same credential. Responses to a challenge differ every time, so only their scheme counts:
/// that is enough, because a host that may have a credential requests it with 401.
fn lasting<'v>(name: &HeaderName, value: &'v HeaderValue) -> &'v [u8] {
    let value = value.as_bytes();
    let scheme = value.split(|byte| *byte == b' ').next().unwrap_or(value);
    let challenged = [&b"Digest"[..], b"Negotiate", b"NTLM"];
    let challenged = challenged
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    match *name == AUTHORIZATION && challenged {
        true => scheme,
        false => value,
    }
}

/// Removes what a redirect brought along from another host out of a request on the reverse front.
pub(crate) fn withhold(
    memory: &CredentialMemory,
    exchange_request: &ExchangeRequest,
    headers: &mut HeaderMap,
) {
    if exchange_request.base.is_none() {
        return;
    }
    let origin = (exchange_request.scheme, exchange_request.target.clone());
    let now = Instant::now();
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| may_be_credential(name))
        .cloned()
        .collect();
    let mut withheld: Vec<&str> = Vec::new();
    for name in &names {
        let admits = |value: &[u8]| {
            let field = name.as_str();
            memory.admits(Credential { field, value }, &origin, now)
        };
        let changed = retain(headers, name, |value| match *name == COOKIE {
            true => {
                let own: Vec<&[u8]> = cookies(value).filter(|cookie| admits(cookie)).collect();
                let own = HeaderValue::from_bytes(&own.join(&b"; "[..])).ok();
                own.filter(|value| !value.is_empty())
            }
            false => admits(lasting(name, value)).then(|| value.clone()),
        });
        if changed {
            withheld.push(name.as_str());
        }
    }
    if !withheld.is_empty() {
        let fields = withheld.join(", ");
        tracing::info!(host = %exchange_request.target.host, port = exchange_request.target.port, fields, "credentials of another host withheld after a redirect");
    }
}

/// Passes every value of a field through `keep`; true where one changed.
fn retain(
    headers: &mut HeaderMap,
    name: &HeaderName,
    keep: impl Fn(&HeaderValue) -> Option<HeaderValue>,
) -> bool {
    let before: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    let after: Vec<HeaderValue> = before.iter().filter_map(keep).collect();
    if before == after {
        return false;
    }
    headers.remove(name);
    for value in after {
        headers.append(name, value);
    }
    true
}

fn cookies(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
}

/// Records from a response's head, before it is mapped, where it redirects to and whether it requests credentials. `sent` holds the
/// request's fields.
pub(crate) fn learn<B>(
    memory: &CredentialMemory,
    mapping: &Mapping,
    sent: &HeaderMap,
    response: &Response<B>,
) {
    if !mapping.is_reverse() {
        return;
    }
    let from = (mapping.scheme, mapping.target.clone());
    if response.status() == StatusCode::UNAUTHORIZED {
        memory.note_challenge(&from, Instant::now());
    }
    if !response.status().is_redirection() {
        return;
    }
    // Read in the same way as the mapping reads it: what the client follows counts.
    for location in response.headers().get_all(LOCATION) {
        let to = mapping.redirects_to(&url_text(location));
        memory.redirects(&from, &to, credentials(sent), Instant::now());
    }
}

/// The credentials of a request.
fn credentials(headers: &HeaderMap) -> impl Iterator<Item = Credential<'_>> {
    let fields = headers.iter().filter(|(name, _)| may_be_credential(name));
    fields.flat_map(|(name, value)| {
        let field = name.as_str();
        let parts: Vec<&[u8]> = match *name == COOKIE {
            true => cookies(value).collect(),
            false => vec![lasting(name, value)],
        };
        parts
            .into_iter()
            .map(move |value| Credential { field, value })
    })
}

/// A batch has up to 100 objects. A response with more origins is meant to displace others from the memory.
const MOST_ORIGINS: usize = 256;

/// Records from a batch response what the client must send where (git-lfs, docs/api/batch.md, "Successful Responses"). A link to another host
/// works like a redirect: credentials that it does not name are not for that host.
pub(crate) fn learn_batch(memory: &CredentialMemory, mapping: &Mapping, body: &[u8]) {
    if !mapping.is_reverse() {
        return;
    }
    let Ok(batch) = serde_json::from_slice::<LfsBatch<'_>>(body) else {
        return;
    };
    let actions = batch.objects.iter().flat_map(|object| {
        let links = object.links.iter();
        object.actions.iter().chain(links).flat_map(HashMap::values)
    });
    let now = Instant::now();
    let from = (mapping.scheme, mapping.target.clone());
    let mut origins: HashSet<CredentialOrigin> = HashSet::new();
    let mut named: Vec<(HeaderName, &str, CredentialOrigin)> = Vec::new();
    for action in actions {
        let origin = mapping.origin(&action.href);
        for (name, value) in action.header.iter().flatten() {
            if let Some(value) = value.as_str()
                && let Ok(name) = HeaderName::try_from(&**name)
                && may_be_credential(&name)
            {
                named.push((name, value, origin.clone()));
            }
        }
        // Links to hosts that are not served never reach this daemon.
        if origin != from && origins.len() < MOST_ORIGINS && (mapping.served)(&origin.1) {
            origins.insert(origin);
        }
    }
    for to in &origins {
        memory.redirects(&from, to, std::iter::empty(), now);
    }
    let granted = named.iter().map(|(name, value, origin)| {
        let (field, value) = (name.as_str(), value.as_bytes());
        (Credential { field, value }, origin.clone())
    });
    memory.grants(granted, now);
}

#[derive(Deserialize)]
struct LfsBatch<'b> {
    #[serde(borrow, default)]
    objects: Vec<LfsObject<'b>>,
}

#[derive(Deserialize)]
struct LfsObject<'b> {
    #[serde(borrow, default)]
    actions: Option<HashMap<Cow<'b, str>, LfsAction<'b>>>,
    #[serde(borrow, default, rename = "_links")]
    links: Option<HashMap<Cow<'b, str>, LfsAction<'b>>>,
}

#[derive(Deserialize)]
struct LfsAction<'b> {
    #[serde(borrow, default)]
    href: Cow<'b, str>,
    #[serde(borrow, default)]
    header: Option<HashMap<Cow<'b, str>, serde_json::Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_but_the_harmless_ones_may_be_a_credential() {
        assert!(HARMLESS.is_sorted());
        for name in ["authorization", "cookie", "private-token", "x-api-key", "x"] {
            assert!(may_be_credential(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["accept-language", "content-type", "range", "user-agent"] {
            assert!(!may_be_credential(&HeaderName::from_static(name)), "{name}");
        }
    }
}
