//! Credentials stay with their host on the reverse front, where a client sees one host for all.
//!
//! A client that follows a redirect from A to B brings A's credentials along, since both are this daemon to it. What was seen is kept
//! in the [`CredentialMemory`], which decides; here it is told what comes and goes, and what it does not admit is taken out.

use std::{borrow::Cow, collections::HashMap};

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, LOCATION},
};
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    forward::request::exchange_request::ExchangeRequest,
    mirror::{Mapping, table::url_text},
    model::credential_memory::{CredentialMemory, CredentialOrigin},
};

/// Fields whose bearer may act as the user, beside cookies.
static CREDENTIALS: [HeaderName; 5] = [
    AUTHORIZATION,
    // GitLab (docs.gitlab.com/api/rest/authentication).
    HeaderName::from_static("private-token"),
    HeaderName::from_static("job-token"),
    HeaderName::from_static("deploy-token"),
    // huggingface_hub: utils/_xet.py.
    HeaderName::from_static("x-xet-access-token"),
];

/// Takes out of a request on the reverse front what a redirect brought along from another host.
pub(crate) fn withhold(
    memory: &CredentialMemory,
    asked: &ExchangeRequest,
    headers: &mut HeaderMap,
) {
    if asked.base.is_none() {
        return;
    }
    let origin = (asked.scheme, asked.target.clone());
    let now = Instant::now();
    let mut withheld = false;
    for name in &CREDENTIALS {
        withheld |= retain(headers, name, |value| {
            memory
                .admits(value.as_bytes(), &origin, now)
                .then(|| value.clone())
        });
    }
    withheld |= retain(headers, &COOKIE, |value| {
        let own: Vec<&[u8]> = cookies(value)
            .filter(|cookie| memory.admits(cookie, &origin, now))
            .collect();
        HeaderValue::from_bytes(&own.join(&b"; "[..]))
            .ok()
            .filter(|value| !value.is_empty())
    });
    if withheld {
        tracing::info!(host = %asked.target.host, port = asked.target.port, "credentials of another host withheld after a redirect");
    }
}

/// Puts every value of a field through `keep`; true where one changed.
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

/// Learns from an answer's head, before it is mapped: where it redirects to, and whether it asks for credentials. `sent` are the
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
        memory.asks(&from, Instant::now());
    }
    if !response.status().is_redirection() {
        return;
    }
    // Read as it is read where it is mapped: what the client follows is what counts.
    for location in response.headers().get_all(LOCATION) {
        let fields = CREDENTIALS.iter().flat_map(|name| sent.get_all(name));
        let pairs = sent.get_all(COOKIE).iter().flat_map(cookies);
        let credentials = fields.map(HeaderValue::as_bytes).chain(pairs);
        let to = mapping.redirects_to(&url_text(location));
        memory.redirects(&from, &to, credentials, Instant::now());
    }
}

/// Learns from a batch answer what the client was told to send, and where (git-lfs, docs/api/batch.md, "Successful Responses").
pub(crate) fn learn_batch(memory: &CredentialMemory, mapping: &Mapping, body: &[u8]) {
    if !mapping.is_reverse() {
        return;
    }
    let Ok(batch) = serde_json::from_slice::<Batch<'_>>(body) else {
        return;
    };
    let actions = batch.objects.iter().flat_map(|object| {
        let links = object.links.iter();
        object.actions.iter().chain(links).flat_map(HashMap::values)
    });
    let mut granted: Vec<(&[u8], CredentialOrigin)> = Vec::new();
    for action in actions {
        for (name, value) in action.header.iter().flatten() {
            let is_one = |field: &HeaderName| name.eq_ignore_ascii_case(field.as_str());
            if let Some(value) = value.as_str()
                && CREDENTIALS.iter().any(is_one)
            {
                granted.push((value.as_bytes(), mapping.origin(&action.href)));
            }
        }
    }
    memory.grants(granted.into_iter(), Instant::now());
}

#[derive(Deserialize)]
struct Batch<'b> {
    #[serde(borrow, default)]
    objects: Vec<Object<'b>>,
}

#[derive(Deserialize)]
struct Object<'b> {
    #[serde(borrow, default)]
    actions: Option<HashMap<Cow<'b, str>, Action<'b>>>,
    #[serde(borrow, default, rename = "_links")]
    links: Option<HashMap<Cow<'b, str>, Action<'b>>>,
}

#[derive(Deserialize)]
struct Action<'b> {
    #[serde(borrow, default)]
    href: Cow<'b, str>,
    #[serde(borrow, default)]
    header: Option<HashMap<Cow<'b, str>, serde_json::Value>>,
}
