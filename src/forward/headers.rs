//! Removes header fields that end at gitferry and adds its own (RFC 9110, section 7.6).

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use hyper::{
    HeaderMap, Version,
    header::{
        ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, DATE, Entry, HOST, HeaderName,
        HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER, SET_COOKIE, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE, VIA, WWW_AUTHENTICATE,
    },
};

use time::{OffsetDateTime, PrimitiveDateTime, macros::format_description};

use crate::{model::pseudonym, net::dial::trail};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Defined in RFC 9209.
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The value of a field, where it is visible ASCII; the first of several.
pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Fields for one connection only.
static HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATE,
    TE,
    UPGRADE,
];

/// Removes the fields for this connection only; returns the protocol that an upgrade requests.
///
/// `TE: trailers` stays, because trailers are passed on (RFC 9110, section 10.1.4).
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
    // One check of each name costs less than a search for each of these.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return None;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let upgrade = if named.contains(&UPGRADE) {
        headers.get(UPGRADE).cloned()
    } else {
        None
    };
    let trailers = headers.get_all(TE).iter().any(|value| {
        value.to_str().is_ok_and(|value| {
            value
                .split(',')
                .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
        })
    });
    for name in named {
        // The sender may not remove framing: RFC 9110, section 7.6.1 covers only fields for this connection.
        if name != hyper::header::CONTENT_LENGTH && name != hyper::header::HOST {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    upgrade
}

/// Removes trailers that affect framing, routing or authorization, or belong to one connection (RFC 9110, section 6.5.1): a recipient that
/// merges trailers into the head would trust them as if this daemon had checked them.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip_hop_by_hop(trailers);
    for name in [
        AUTHORIZATION,
        CONTENT_LENGTH,
        COOKIE,
        HOST,
        SET_COOKIE,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        VIA,
        WWW_AUTHENTICATE,
        trail::TRAIL,
    ] {
        trailers.remove(name);
    }
    strip_proxy_status(trailers);
}

/// Fields of a response that do not reach the client unchanged, in addition to [`HOP_BY_HOP`].
static NOT_PASSED_ON: [HeaderName; 4] =
    [TRANSFER_ENCODING, ALT_SVC, WWW_AUTHENTICATE, PROXY_STATUS];

/// Removes fields of a response that are not for the client; returns the protocol that it switches to.
///
/// `Alt-Svc` (RFC 7838) names another path to the origin. The client must use this daemon, and behind a mirror the origin is another one.
pub(crate) fn clean_response(headers: &mut HeaderMap) -> Option<HeaderValue> {
    if headers.keys().any(|name| NOT_PASSED_ON.contains(name)) {
        strip_transfer_encoding(headers);
        headers.remove(ALT_SVC);
        join_folds(headers);
        strip_proxy_status(headers);
    }
    strip_hop_by_hop(headers)
}

/// Removes framing that the connection itself decides: a chunked body is chunked again, or not at all on HTTP/2.
pub(crate) fn strip_transfer_encoding(headers: &mut HeaderMap) {
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // RFC 9112, section 6.3: chunked framing overrides a length, which must then not be passed on.
        headers.remove(CONTENT_LENGTH);
    }
}

/// How long the origin asks the client to wait (RFC 9110, section 10.2.3): seconds, or a date relative to the response's own `Date`
/// (to this machine's clock where it has none). Of several values the longest counts.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |value: &HeaderValue| Some(value.to_str().ok()?.trim().to_owned());
    let seconds = |value: &str| {
        let value = value.trim();
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        // A value that overflows is longer than any wait.
        digits.then(|| Duration::from_secs(value.parse().unwrap_or(u64::MAX)))
    };
    let now = || {
        let now = OffsetDateTime::from(SystemTime::now());
        PrimitiveDateTime::new(now.date(), now.time())
    };
    let sent = headers.get(DATE).and_then(text);
    let sent = sent.and_then(|sent| date(&sent)).unwrap_or_else(now);
    let waits = headers.get_all(RETRY_AFTER).iter().filter_map(|value| {
        let value = text(value)?;
        let until =
            date(&value).map(|until| (until - sent).max(time::Duration::ZERO).unsigned_abs());
        until.or_else(|| value.split(',').filter_map(seconds).max())
    });
    waits.max()
}

/// A date as HTTP sends it (RFC 9110, section 5.6.7): UTC.
pub(crate) fn date(text: &str) -> Option<PrimitiveDateTime> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    PrimitiveDateTime::parse(text, format).ok()
}

/// Adds `Retry-After` where it is missing: git-lfs 3.3.0 panics at a 429 without it.
pub(crate) fn add_retry_after(headers: &mut HeaderMap) {
    if !headers.contains_key(RETRY_AFTER) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
    }
}

/// Normalises challenges for git. hyper writes a space for each fold of a field, so an empty line among them leaves two spaces; a client
/// that unfolds lines itself sees one (RFC 9112, section 5.2, allows both). Outside strings both mean the same (RFC 9110, section 11.3).
pub(crate) fn join_folds(headers: &mut HeaderMap) {
    let Entry::Occupied(mut challenges) = headers.entry(WWW_AUTHENTICATE) else {
        return;
    };
    for value in challenges.iter_mut() {
        if !value.as_bytes().windows(2).any(|pair| pair == b"  ") {
            continue;
        }
        let (mut quoted, mut escaped, mut last) = (false, false, 0);
        let mut joined = value.as_bytes().to_vec();
        joined.retain(|byte| {
            let literal = std::mem::take(&mut escaped);
            match byte {
                b'\\' if quoted && !literal => escaped = true,
                b'"' if !literal => quoted = !quoted,
                _ => {}
            }
            let again = !quoted && *byte == b' ' && last == b' ';
            last = *byte;
            !again
        });
        if let Ok(joined) = HeaderValue::from_bytes(&joined) {
            *value = joined;
        }
    }
}

/// Sets the fields that request or grant an upgrade.
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Adds gitferry to `Via`, with the HTTP version of the received message (RFC 9110, section 7.6.3).
pub(crate) fn add_via(headers: &mut HeaderMap, received: Version) {
    /// The value for most messages.
    static HTTP_11: LazyLock<Option<HeaderValue>> = LazyLock::new(|| own_via("1.1"));
    let value = match received {
        Version::HTTP_09 => own_via("0.9"),
        Version::HTTP_10 => own_via("1.0"),
        Version::HTTP_2 => own_via("2.0"),
        // Neither hyper's server nor its client supports HTTP/3.
        _ => HTTP_11.clone(),
    };
    if let Some(value) = value {
        headers.append(VIA, value);
    }
}

fn own_via(version: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{version} {}", pseudonym())).ok()
}

/// Removes members that an origin wrote in gitferry's name (RFC 9209, section 2): clients read the cause of a failure there.
pub(crate) fn strip_proxy_status(headers: &mut HeaderMap) {
    let values: Vec<HeaderValue> = headers.get_all(PROXY_STATUS).iter().cloned().collect();
    if !values
        .iter()
        .any(|value| list_members(value.as_bytes()).any(names_this_daemon))
    {
        return;
    }
    headers.remove(PROXY_STATUS);
    for value in values {
        let others: Vec<&[u8]> = list_members(value.as_bytes())
            .filter(|member| !names_this_daemon(member))
            .collect();
        if let Ok(value) = HeaderValue::from_bytes(&others.join(&b", "[..]))
            && !value.is_empty()
        {
            headers.append(PROXY_STATUS, value);
        }
    }
}

/// A member of the list is the proxy's name, a token or a string, followed by parameters.
fn names_this_daemon(member: &[u8]) -> bool {
    let name = member
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    let name = name.trim_ascii();
    let name = name.strip_prefix(b"\"").unwrap_or(name);
    let name = name.strip_suffix(b"\"").unwrap_or(name);
    name.eq_ignore_ascii_case(b"gitferry")
}

/// Splits at commas outside strings (RFC 9651, section 3.1).
fn list_members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |byte| {
        let literal = std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted && !literal => escaped = true,
            b'"' if !literal => quoted = !quoted,
            _ => {}
        }
        *byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
    .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests;
