//! A URL taken apart as far as mapping needs it; what is not needed is kept to the byte.

use crate::model::{Scheme, Target};

/// An absolute http or https URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url<'u> {
    /// http or https.
    pub scheme: Scheme,
    /// Host and port, the port implied or not.
    pub target: Target,
    /// Everything behind the authority, as written: empty, or beginning with `/`, `?` or `#`.
    pub rest: &'u str,
}

/// What a text may be where a URL is expected (RFC 3986, section 4.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reference<'u> {
    /// `https://host/…`, or `//host/…` with the scheme of what was asked.
    Absolute(Url<'u>),
    /// `/…`: of the host that was asked.
    Path(&'u str),
    /// Relative to the path that was asked, another scheme, or no URL at all: never mapped.
    Other,
}

/// Takes `text` apart; `asked` is the scheme of the request that it answers.
///
/// User info is not taken apart: such a URL is `Other`, because what stands before the `@` belongs to one host only.
pub(crate) fn reference(text: &str, asked: Scheme) -> Reference<'_> {
    if let Some(rest) = text.strip_prefix("//") {
        return absolute(asked, rest);
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
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    // An empty port is valid and means the scheme's (RFC 3986, section 3.2.3).
    let authority = authority.strip_suffix(':').unwrap_or(authority);
    match Target::parse(authority, Some(scheme.default_port())) {
        Ok(target) => Reference::Absolute(Url {
            scheme,
            target,
            rest,
        }),
        Err(_) => Reference::Other,
    }
}

/// `text` with its escapes resolved; a `%` without two hex digits stays.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = after.first_chunk::<2>().filter(|_| byte == b'%');
        let escaped = escape
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(byte));
        let skipped = if escaped.is_some() { 2 } else { 0 };
        rest = after.get(skipped..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_its_rest_is_kept_to_the_byte() {
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
    fn escapes_are_resolved_and_what_is_none_stays() {
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
    fn what_is_no_url_of_a_host_is_left_alone() {
        for text in [
            "",
            "relative/path",
            "mailto:me@hf.co",
            "ftp://hf.co/x",
            "https://",
            "https://me:secret@hf.co/x",
            "https://hf.co:99999/x",
            "https://hf .co/x",
            "https:/hf.co/x",
        ] {
            assert_eq!(reference(text, Scheme::Https), Reference::Other, "{text}");
        }
        assert_eq!(reference("/a//b", Scheme::Http), Reference::Path("/a//b"));
    }
}
