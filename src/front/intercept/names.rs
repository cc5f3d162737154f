//! Inside a terminated connection, the CONNECT, `Host` and the authority must name the same host.
//!
//! An origin, a hop or a cache that reads a different name would answer for another host.

use hyper::{
    HeaderMap, Request, Uri,
    header::{HOST, HeaderValue},
};

use crate::model::{Fault, FaultKind, Host, Leg, Scheme, Stage, Target};

/// The fault of a request that names a host other than the connection's.
pub(super) fn mismatch<B>(request: &Request<B>, target: &Target) -> Option<Fault> {
    names(request.uri(), request.headers())
        .find(|name| !is_same(name, target))
        .map(|name| {
            Fault::new(Leg::Client, Stage::Accepted, FaultKind::Misdirected)
                .peer(target)
                .detail(format!(
                    "the request is for {:?}, but the connection is for {target}",
                    printable_name(name)
                ))
        })
}

fn names<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> impl Iterator<Item = &'r [u8]> {
    let authority = uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let hosts = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    authority.into_iter().chain(hosts)
}

/// Ignores case, a final dot and the scheme's port (RFC 9110, section 4.2.3). A client that omits another port still names the host.
fn is_same(name: &[u8], target: &Target) -> bool {
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    if let Host::Name(host) = &target.host
        && **host == *name
    {
        return true;
    }
    let implied = [Scheme::Https.default_port(), target.port];
    implied
        .into_iter()
        .any(|port| Target::parse(name, Some(port)).as_ref() == Ok(target))
}

/// The part that a log line may contain: no user info, and at most the length of a name.
fn printable_name(name: &[u8]) -> String {
    let name = name.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let graphic = |byte: &u8| {
        if byte.is_ascii_graphic() {
            char::from(*byte)
        } else {
            '?'
        }
    };
    name.iter().take(80).map(graphic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_agree(target: &str, uri: &str, host: Option<&str>) -> bool {
        let mut request = Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let target = Target::parse(target, None).unwrap();
        mismatch(&request.body(()).unwrap(), &target).is_none()
    }

    #[test]
    fn equivalent_names_match_and_others_do_not() {
        for (target, uri, host) in [
            ("hf.co:443", "/x", Some("hf.co")),
            ("hf.co:443", "/x", Some("HF.co.")),
            ("hf.co:443", "/x", Some("hf.co:443")),
            ("hf.co:443", "https://hf.co/x", None),
            ("hf.co:443", "https://hf.co:443/x", Some("hf.co")),
            ("hf.co:8443", "/x", Some("hf.co:8443")),
            ("hf.co:8443", "/x", Some("hf.co")),
            ("[::1]:443", "/x", Some("[::1]")),
            ("hf.co:443", "/x", None),
        ] {
            assert!(names_agree(target, uri, host), "{target} {uri} {host:?}");
        }
        for (target, uri, host) in [
            ("hf.co:443", "/x", Some("cdn.hf.co")),
            ("hf.co:443", "/x", Some("hf.co:8443")),
            ("hf.co:443", "/x", Some("me@hf.co")),
            ("hf.co:443", "/x", Some("")),
            ("hf.co:443", "https://evil.test/x", Some("hf.co")),
            ("hf.co:443", "https://hf.co/x", Some("evil.test")),
        ] {
            assert!(!names_agree(target, uri, host), "{target} {uri} {host:?}");
        }
    }

    #[test]
    fn a_shown_name_has_no_user_info() {
        assert_eq!(printable_name(b"me:secret@hf.co\n"), "hf.co?");
    }
}
