//! Splits a URL into the parts that mapping needs; all other bytes stay unchanged.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

use crate::model::{Scheme, Target};

/// An absolute http or https URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url<'u> {
    /// http or https.
    pub scheme: Scheme,
    /// User info, for this host only; empty where there is none.
    pub user: &'u str,
    /// Host and port; the port may be implied by the scheme.
    pub target: Target,
    /// Everything after the authority, as written: empty, or beginning with `/`, `?` or `#`.
    pub rest: &'u str,
}

/// A URI reference (RFC 3986, section 4.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reference<'u> {
    /// `https://host/…`, or `//host/…` with the scheme of the request.
    Absolute(Url<'u>),
    /// `/…`: a path of the requested host.
    Path(&'u str),
    /// An absolute http or https URL with a host that gitferry cannot parse, such as a name in raw UTF-8: its authority without user info.
    Unreadable(&'u str),
    /// Relative to the requested path, another scheme, or no URL at all: never mapped.
    Other,
}

/// Parses `text`; `scheme` is the scheme of the request.
pub(crate) fn reference(text: &str, scheme: Scheme) -> Reference<'_> {
    if let Some(rest) = text.strip_prefix("//") {
        return absolute(scheme, rest);
    }
    if text.starts_with('/') {
        return Reference::Path(text);
    }
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => {
            absolute(Scheme::Https, rest)
        }
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => absolute(Scheme::Http, rest),
        Some(_) | None => Reference::Other,
    }
}

fn absolute(scheme: Scheme, after: &str) -> Reference<'_> {
    // WHATWG's URL reads a backslash as a slash; no parser accepts one in an authority.
    let end = after.find(['/', '\\', '?', '#']).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    let (user, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
    // An empty port is valid and means the scheme's (RFC 3986, section 3.2.3).
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    match Target::parse(authority, Some(scheme.default_port())) {
        Ok(target) => Reference::Absolute(Url {
            scheme,
            user,
            target,
            rest,
        }),
        Err(_) if authority.is_empty() => Reference::Other,
        Err(_) => Reference::Unreadable(authority),
    }
}

/// Decodes the percent escapes of `text`; a `%` without two hex digits stays.
pub(crate) fn percent_decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// Rewrites `text` to a form that all clients parse alike. Some clients read `http:/b.test`, `///b.test` or `/\b.test` as a path of the
/// same host, others as another host: it becomes a path. WHATWG's URL removes tabs.
pub(crate) fn unambiguous(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim_start_matches(|c: char| c <= ' ');
    let text: Cow<'_, str> = match trimmed.contains(['\t', '\r', '\n']) {
        true => trimmed.replace(['\t', '\r', '\n'], "").into(),
        false => trimmed.into(),
    };
    let rest = match scheme(&text) {
        Some((scheme, rest)) if is_http(scheme) => rest,
        Some(_) => return text,
        None if text.starts_with(['/', '\\']) => &text,
        None => return text,
    };
    let path = rest.trim_start_matches(['/', '\\']);
    let slashes = rest.len() - path.len();
    let has_host = slashes == 2 && rest.starts_with("//");
    let is_path = text.starts_with('/') && !text.starts_with("//");
    match has_host || is_path {
        true => text,
        false => format!("/{path}").into(),
    }
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// The scheme (RFC 3986, section 3.1) and what follows its colon.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    valid.then_some((scheme, rest))
}

/// True for a reference relative to the requested path: no scheme, no authority, no leading slash, and not empty or only a query or
/// fragment.
pub(crate) fn is_relative_path(text: &str) -> bool {
    scheme(text).is_none() && !text.is_empty() && !text.starts_with(['/', '?', '#'])
}

/// Resolves `relative` against the directory of `path` (RFC 3986, section 5.2.3).
pub(crate) fn resolve_relative(path: &str, relative: &str) -> String {
    let directory = path.rfind('/').and_then(|at| path.get(..=at));
    format!("{}{relative}", directory.unwrap_or("/"))
}

/// Removes dot segments as clients do (RFC 3986, section 5.2.4), so that the URL cannot leave a host's segment on this daemon. Dots may be
/// escaped, and WHATWG's URL reads a backslash as a slash. A rest without either stays unchanged.
pub(crate) fn resolve_dots(rest: &str) -> Cow<'_, str> {
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (path, after) = rest.split_at(end);
    if !path.contains('\\') && !path.split('/').any(|part| dots(part).is_some()) {
        return rest.into();
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = format!("{slash}{}", path.replace('\\', "%5C"));
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        match dots(part) {
            None => kept.push(part),
            Some(dots) => {
                if dots == 2 {
                    kept.pop();
                }
                if parts.peek().is_none() {
                    kept.push("");
                }
            }
        }
    }
    format!("/{}{after}", kept.join("/")).into()
}

/// The number of dots in a dot segment; `None` for another segment.
fn dots(part: &str) -> Option<usize> {
    // The longest is `%2e%2e`.
    let part = (part.len() <= 6).then(|| part.to_ascii_lowercase().replace("%2e", "."))?;
    matches!(part.as_str(), "." | "..").then_some(part.len())
}

/// Percent-encodes all bytes that are not visible ASCII (RFC 3986, section 2.1).
pub(crate) fn percent_encoded(bytes: &[u8]) -> String {
    const ESCAPED: &AsciiSet = &CONTROLS.remove(b'\t');
    percent_encode(bytes, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_and_its_rest_is_unchanged() {
        for (text, scheme, target, rest) in [
            ("https://hf.co", Scheme::Https, "hf.co:443", ""),
            ("HTTPS://HF.co:443/", Scheme::Https, "hf.co:443", "/"),
            ("http://hf.co?a=b#c", Scheme::Http, "hf.co:80", "?a=b#c"),
            ("https://hf.co:/x", Scheme::Https, "hf.co:443", "/x"),
            (
                "https://[::1]:8443//a%2Fb/../c",
                Scheme::Https,
                "[::1]:8443",
                "//a%2Fb/../c",
            ),
            ("//hf.co/x", Scheme::Https, "hf.co:443", "/x"),
        ] {
            let target = Target::parse(target, None).unwrap();
            let url = Url {
                scheme,
                user: "",
                target,
                rest,
            };
            assert_eq!(
                reference(text, Scheme::Https),
                Reference::Absolute(url),
                "{text}"
            );
        }
    }

    #[test]
    fn percent_escapes_are_decoded_and_invalid_ones_kept() {
        for (text, decoded) in [
            ("hf%5Fx%2", "hf_x%2"),
            ("%", "%"),
            ("%zz%+1%41", "%zz%+1A"),
            ("%C3%A4%FF", "\u{e4}\u{fffd}"),
        ] {
            assert_eq!(percent_decoded(text), decoded, "{text}");
        }
    }

    #[test]
    fn references_without_a_parsable_host_are_distinguished() {
        for text in [
            "",
            "relative/path",
            "mailto:me@hf.co",
            "ftp://hf.co/x",
            "https://",
            "https:/hf.co/x",
        ] {
            assert_eq!(reference(text, Scheme::Https), Reference::Other, "{text}");
        }
        assert_eq!(reference("/a//b", Scheme::Http), Reference::Path("/a//b"));
        for (text, authority) in [
            ("https://hf.co:99999/x", "hf.co:99999"),
            ("https://me:secret@hf .co/x", "hf .co"),
            ("http://h\u{e4}.test", "h\u{e4}.test"),
        ] {
            let unreadable = Reference::Unreadable(authority);
            assert_eq!(reference(text, Scheme::Https), unreadable, "{text}");
        }
    }

    #[test]
    fn user_info_is_split_from_the_authority() {
        for (text, user, host) in [
            ("https://me:secret@hf.co/x@y", "me:secret", "hf.co"),
            ("https://a@b@hf.co/x", "a@b", "hf.co"),
        ] {
            let Reference::Absolute(url) = reference(text, Scheme::Https) else {
                panic!("{text}");
            };
            assert_eq!((url.user, &*url.target.host.to_string()), (user, host));
        }
    }

    #[test]
    fn raw_bytes_are_percent_encoded() {
        assert_eq!(percent_encoded("/\u{e4}%20 b".as_bytes()), "/%C3%A4%20 b");
        assert_eq!(percent_encoded(b"/\xe4?\xff"), "/%E4?%FF");
    }

    #[test]
    fn dot_segments_are_resolved_and_other_paths_unchanged() {
        for (rest, expected) in [
            ("", ""),
            ("?a=/../b", "?a=/../b"),
            ("/a//b/...//%2F..?x=..", "/a//b/...//%2F..?x=.."),
            ("/../b.test/x", "/b.test/x"),
            ("/a/../../b.test/x?y#z", "/b.test/x?y#z"),
            ("/a/%2E%2e/.%2e/b", "/b"),
            ("/a/./b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("/..\\..\\b.test", "/..%5C..%5Cb.test"),
        ] {
            assert_eq!(resolve_dots(rest), expected, "{rest}");
        }
    }

    #[test]
    fn a_relative_reference_is_resolved_against_the_requested_directory() {
        for (text, relative) in [
            ("x", true),
            ("../b.test/x:y", true),
            ("\\b.test", true),
            ("", false),
            ("?x", false),
            ("#x", false),
            ("/x", false),
            ("//b.test/x", false),
            ("mailto:me@hf.co", false),
        ] {
            assert_eq!(is_relative_path(text), relative, "{text}");
        }
        assert_eq!(resolve_relative("/a/b", "../c"), "/a/../c");
        assert_eq!(resolve_relative("/", "c"), "/c");
    }
}
