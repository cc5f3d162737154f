//! Keeps credentials with their host on the reverse front, where a client sees one host for all.
//!
//! A client that follows a redirect from A to B sends A's credentials along, because both hosts are this daemon for it. The
//! [`CredentialMemory`] records what was seen and decides; this module reports requests and responses to it, and removes what it rejects.

use hyper::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue},
};
use tokio::time::Instant;

use crate::{
    forward::request::exchange_request::ExchangeRequest,
    mirror::{Findings, Mapping, batch, mapping::UrlUse},
    model::credential_memory::{Credential, CredentialMemory},
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
fn stable_part<'v>(name: &HeaderName, value: &'v HeaderValue) -> &'v [u8] {
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
            memory.permit_use(Credential { field, value }, &origin, now)
        };
        let changed = retain(headers, name, |value| match *name == COOKIE {
            true => {
                let own: Vec<&[u8]> = cookies(value).filter(|cookie| admits(cookie)).collect();
                let own = HeaderValue::from_bytes(&own.join(&b"; "[..])).ok();
                own.filter(|value| !value.is_empty())
            }
            false => admits(stable_part(name, value)).then(|| value.clone()),
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

/// Records that a host requests credentials.
pub(crate) fn record_challenge(memory: &CredentialMemory, mapping: &Mapping, status: StatusCode) {
    if mapping.is_reverse() && status == StatusCode::UNAUTHORIZED {
        let from = (mapping.scheme, mapping.target.clone());
        memory.note_challenge(&from, Instant::now());
    }
}

/// Records the hosts that a response links to; `sent` are the request's fields. A link to another host works like a redirect: of these
/// fields, that host gets none that the response does not name for it.
pub(crate) fn record_links(
    memory: &CredentialMemory,
    mapping: &Mapping,
    findings: &Findings,
    sent: &HeaderMap,
) {
    let from = (mapping.scheme, mapping.target.clone());
    for to in &findings.links {
        memory.note_redirect(&from, to, credentials(sent), Instant::now());
    }
}

/// The credentials of a request.
fn credentials(headers: &HeaderMap) -> impl Iterator<Item = Credential<'_>> {
    let fields = headers.iter().filter(|(name, _)| may_be_credential(name));
    fields.flat_map(|(name, value)| {
        let field = name.as_str();
        let parts: Vec<&[u8]> = match *name == COOKIE {
            true => cookies(value).collect(),
            false => vec![stable_part(name, value)],
        };
        parts
            .into_iter()
            .map(move |value| Credential { field, value })
    })
}

/// Records from a batch response which fields the client must send where.
pub(crate) fn record_batch(memory: &CredentialMemory, mapping: &Mapping, body: &[u8]) {
    if !mapping.is_reverse() {
        return;
    }
    let actions = batch::actions(body);
    let granted = actions.iter().flat_map(|action| {
        let origins = action
            .urls
            .iter()
            .map(|url| mapping.origin(url, UrlUse::Link));
        origins.flat_map(|origin| {
            let named = action.fields.iter().filter_map(|(name, value)| {
                let name = HeaderName::try_from(name).ok()?;
                may_be_credential(&name).then_some((name, value))
            });
            named.map(move |(name, value)| (name, value, origin.clone()))
        })
    });
    let granted: Vec<_> = granted.collect();
    let granted = granted.iter().map(|(name, value, origin)| {
        let (field, value) = (name.as_str(), value.as_bytes());
        (Credential { field, value }, origin.clone())
    });
    memory.note_grants(granted, Instant::now());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_outside_the_harmless_list_may_be_credentials() {
        assert!(HARMLESS.is_sorted());
        for name in ["authorization", "cookie", "private-token", "x-api-key", "x"] {
            assert!(may_be_credential(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["accept-language", "content-type", "range", "user-agent"] {
            assert!(!may_be_credential(&HeaderName::from_static(name)), "{name}");
        }
    }
}
