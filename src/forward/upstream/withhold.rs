//! Which requests may go to a mirror with `credentials = "withhold"`, and what it may see of a request and return to the client.
//!
//! Such a mirror is not trusted. It gets only requests that read public data: a mirror that answers an LFS upload batch or a Xet write
//! token chooses the host to which the client then uploads private files. Pure functions of a request's head and body;
//! [`destination`](super::destination) applies them.

use hyper::{
    HeaderMap, Method,
    header::{
        ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName,
        HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
        LINK, LOCATION, RANGE, SET_COOKIE, TRANSFER_ENCODING, USER_AGENT, VIA,
    },
    http::request::Parts,
};
use serde::Deserialize;

use crate::forward::request::outgoing::is_paths_info;
use crate::{
    mirror::{
        fields,
        url::{Reference, percent_decoded, reference},
    },
    model::{Scheme, Target},
    track::redact,
};

/// The fields of a request that such a mirror sees, in addition to those that begin with `Accept`. All others (tokens, cookies, the
/// referring page) are for the site. gitferry itself writes `Host`, `Via`, `Expect` and the framing.
const ALLOWED: [HeaderName; 16] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    HeaderName::from_static("git-protocol"),
    HOST,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
    HeaderName::from_static("te"),
    TRANSFER_ENCODING,
    USER_AGENT,
    VIA,
];

/// Query parameters that such a mirror may see. Sources: git (`http-backend`), git-lfs (`locking/api.go`), huggingface_hub 2.4
/// (`hf_api.py`, `hf_file_system.py`) and the REST interfaces of GitHub and GitLab.
const HARMLESS: [&str; 46] = [
    "author",
    "blobs",
    "cardData",
    "config",
    "cursor",
    "direction",
    "download",
    "expand",
    "expand[]",
    "fetch_config",
    "files_metadata",
    "filter",
    "format",
    "full",
    "gated",
    "id",
    "include_prs",
    "include_prs[]",
    "inline",
    "language",
    "lfs",
    "library",
    "limit",
    "model_name",
    "order_by",
    "p",
    "page",
    "path",
    "per_page",
    "pipeline_tag",
    "raw",
    "recursive",
    "ref",
    "ref_type",
    "refspec",
    "revision",
    "search",
    "securityStatus",
    "service",
    "sha",
    "since",
    "sort",
    "status",
    "tags",
    "type",
    "until",
];

/// A request's body, as far as it is known before sending.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload<'b> {
    /// There is no body.
    Empty,
    /// The whole body is in memory.
    Held(&'b [u8]),
    /// The body has not arrived yet.
    Streamed,
}

/// Why a request must not go to such a mirror; `None` where it may.
pub(crate) fn objection(head: &Parts, payload: Payload<'_>) -> Option<&'static str> {
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let names_push = |text: &str| percent_decoded(text).ends_with("git-receive-pack");
    if names_push(path) || query.split(['&', ';']).any(names_push) {
        return Some("the request is part of a push");
    }
    if redact::has_token(&percent_decoded(path)) {
        return Some("the path has a part that looks like a token");
    }
    if path.split('/').any(|part| part == "xet-write-token") {
        return Some("the response names the storage host of an upload");
    }
    query_objection(query).or_else(|| body_objection(head, payload))
}

/// A read has no body, with three exceptions: a fetch, a download batch, and the Hub's `paths-info`.
fn body_objection(head: &Parts, payload: Payload<'_>) -> Option<&'static str> {
    let path = head.uri.path();
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&head.method);
    match payload {
        Payload::Empty if reads => None,
        _ if head.method != Method::POST => Some("the request is not read-only, or has a body"),
        _ if path.ends_with("/git-upload-pack") || is_paths_info(path) => None,
        Payload::Held(body) if path.ends_with("/objects/batch") => {
            let plain = !head.headers.contains_key(CONTENT_ENCODING);
            (!plain || !is_download_batch(body)).then_some(NO_DOWNLOAD)
        }
        _ if path.ends_with("/objects/batch") => Some(NO_DOWNLOAD),
        Payload::Empty | Payload::Held(_) | Payload::Streamed => {
            Some("the request is not read-only, or has a body")
        }
    }
}

const NO_DOWNLOAD: &str = "the request is an LFS batch for an upload, or cannot be read";

/// True for the batch request of a download (git-lfs: `docs/api/batch.md`). A duplicate member is refused, because another parser may use
/// the other value.
fn is_download_batch(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct BatchRequest<'b> {
        operation: &'b str,
    }
    serde_json::from_slice(body).is_ok_and(|batch: BatchRequest<'_>| batch.operation == "download")
}

/// A query is never edited: it may be part of a signature, and only its site knows what a parameter means.
fn query_objection(query: &str) -> Option<&'static str> {
    for pair in query.split(['&', ';']).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !HARMLESS.contains(&name) {
            return Some("the query has a parameter that may be a credential");
        }
        if redact::has_token(&percent_decoded(value)) {
            return Some("the query has a value that looks like a token");
        }
    }
    None
}

/// Removes the request fields that such a mirror must not see.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    let withheld: Vec<HeaderName> = headers
        .keys()
        .filter(|name| !ALLOWED.contains(name) && !name.as_str().starts_with(ACCEPT.as_str()))
        .cloned()
        .collect();
    for name in withheld {
        headers.remove(name);
    }
    // The path so far may name hosts of the user's network; the marks of daemons stay, because they detect a loop.
    let daemons: Vec<HeaderValue> = headers
        .get_all(VIA)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|entry| entry.contains(" gitferry-"))
        .filter_map(|entry| entry.trim().parse().ok())
        .collect();
    headers.remove(VIA);
    for daemon in daemons {
        headers.append(VIA, daemon);
    }
}

/// Fields with a URL that a client requests next with the user's token, whatever its host: huggingface_hub follows `Link: rel="next"`
/// (`utils/_pagination.py`) and refreshes a Xet token (`utils/_xet.py`) with the request's own `Authorization`.
const FOLLOWED_WITH_TOKEN: [HeaderName; 2] = [LINK, HeaderName::from_static("x-xet-refresh-route")];

/// Removes fields from such a mirror's response that would give it withheld data: cookies, which would go to the site itself, and URLs of
/// hosts other than `own` (the mirror and the site) that a client requests with its token.
pub(crate) fn strip_response(headers: &mut HeaderMap, own: &[(Scheme, &Target)]) {
    headers.remove(SET_COOKIE);
    for name in FOLLOWED_WITH_TOKEN {
        let strays = headers.get_all(&name).iter().any(|value| {
            value.to_str().map_or(true, |value| match name == LINK {
                true => link_leaves_origin(value, own),
                false => leaves_origin(value.trim(), own),
            })
        });
        if strays {
            headers.remove(&name);
        }
    }
}

fn link_leaves_origin(value: &str, own: &[(Scheme, &Target)]) -> bool {
    let mut found = false;
    fields::link(value, &mut |url| {
        found |= leaves_origin(url, own);
        None
    });
    found
}

/// True for a URL of another host, and for one that cannot be parsed.
fn leaves_origin(url: &str, own: &[(Scheme, &Target)]) -> bool {
    let asked = own.first().map_or(Scheme::Https, |(scheme, _)| *scheme);
    match reference(url, asked) {
        Reference::Path(_) => false,
        Reference::Absolute(url) => {
            !url.user.is_empty()
                || !own.iter().any(|(scheme, target)| {
                    let safe = url.scheme == Scheme::Https || *scheme == Scheme::Http;
                    url.target.host == target.host && safe
                })
        }
        Reference::Unreadable(_) => true,
        Reference::Other => url.contains(':') || url.contains('\\'),
    }
}

/// True for a redirect of git's discovery to a host other than `own`: git then sends everything meant for the site there,
/// `http.extraHeader` included (`http.c`, `update_url_from_redirect`).
pub(crate) fn redirects_git_elsewhere(
    uri: &hyper::Uri,
    headers: &HeaderMap,
    own: &[(Scheme, &Target)],
) -> bool {
    let discovery = uri.path().ends_with("/info/refs");
    let strays = |value: &HeaderValue| {
        value
            .to_str()
            .map_or(true, |url| leaves_origin(url.trim(), own))
    };
    discovery && headers.get(LOCATION).is_some_and(strays)
}

#[cfg(test)]
mod tests;
