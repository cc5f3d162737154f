//! Header fields that end at gitferry, and those that it adds (RFC 9110, section 7.6).

use hyper::{
    HeaderMap,
    header::{
        ALT_SVC, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

use crate::model::pseudonym;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Takes out what is meant for this connection alone; gives back the protocol that an upgrade asks for.
///
/// `TE: trailers` stays, since trailers are passed on (RFC 9110, section 10.1.4).
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
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
        // Framing is not the sender's to take away: RFC 9110, section 7.6.1 names only fields for this connection.
        if name != hyper::header::CONTENT_LENGTH && name != hyper::header::HOST {
            headers.remove(name);
        }
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHORIZATION,
        PROXY_AUTHENTICATE,
        TE,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    upgrade
}

/// `Alt-Svc` (RFC 7838) names another way to the origin; the client's way is this daemon, and behind a mirror the origin is another one.
pub(crate) fn strip_alternatives(headers: &mut HeaderMap) {
    headers.remove(ALT_SVC);
}

/// True where a body is coded for the way beyond being chunked: passed on as it is, it would be taken for plain.
pub(crate) fn is_coded_for_transfer(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TRANSFER_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| {
        let coding = coding.trim_ascii();
        !coding.is_empty()
            && !coding.eq_ignore_ascii_case(b"chunked")
            && !coding.eq_ignore_ascii_case(b"identity")
    })
}

/// Framing that the connection itself decides: a chunked body is chunked anew, on HTTP/2 not at all.
pub(crate) fn strip_transfer_encoding(headers: &mut HeaderMap) {
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // RFC 9112, section 6.3: it overrides a length, which is not to be passed on.
        headers.remove(CONTENT_LENGTH);
    }
}

/// Asks for an upgrade, or grants one.
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Adds gitferry to `Via`.
pub(crate) fn add_via(headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::try_from(format!("1.1 {}", pseudonym())) {
        headers.append(VIA, value);
    }
}

/// True where the message went through this daemon before.
pub(crate) fn is_loop(headers: &HeaderMap) -> bool {
    headers
        .get_all(VIA)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .any(|entry| entry.split_whitespace().nth(1) == Some(pseudonym()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn what_is_for_this_connection_alone_goes_no_further() {
        let mut map = headers(&[
            ("connection", "keep-alive, X-Private"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("proxy-authorization", "Basic c2VjcmV0"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip, trailers"),
            ("authorization", "Bearer kept"),
        ]);
        assert_eq!(strip_hop_by_hop(&mut map), None);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "te"]);
        assert_eq!(map[TE], "trailers");
    }

    #[test]
    fn an_upgrade_counts_only_where_connection_names_it() {
        let mut map = headers(&[("upgrade", "websocket")]);
        assert_eq!(strip_hop_by_hop(&mut map), None);
        let mut map = headers(&[("upgrade", "websocket"), ("connection", "Upgrade")]);
        assert_eq!(strip_hop_by_hop(&mut map).unwrap(), "websocket");
        assert!(map.is_empty());
    }

    #[test]
    fn a_connection_field_cannot_take_the_framing_away() {
        let mut map = headers(&[("connection", "content-length"), ("content-length", "5")]);
        strip_hop_by_hop(&mut map);
        assert_eq!(map["content-length"], "5");
    }

    #[test]
    fn a_message_that_passed_here_is_known_again() {
        let mut map = headers(&[("via", "1.0 other, 1.1 proxy.example")]);
        assert!(!is_loop(&map));
        add_via(&mut map);
        assert!(is_loop(&map));
    }
}
